"""Kernels for what plain loops are too slow for, by op: see `table.py`."""
