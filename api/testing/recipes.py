"""All recipes of the library's own ops."""

from graphwright.testing import (
    recipes_control,
    recipes_elementwise,
    recipes_host,
    recipes_movement,
    recipes_reduce,
    recipes_text,
)

FAMILIES = (
    recipes_elementwise,
    recipes_movement,
    recipes_reduce,
    recipes_control,
    recipes_host,
    recipes_text,
)
"""Modules whose recipes are registered by importing them."""
