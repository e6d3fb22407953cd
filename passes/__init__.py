"""Passes: typed callables from graph to graph."""
