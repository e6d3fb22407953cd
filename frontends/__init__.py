"""Frontends: where graphs come from and go to."""
