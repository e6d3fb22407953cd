"""Graphs from Python functions, and the tensor class that they compute with."""
