"""Faults put into kernels and passes by seed, and what ``gw.compare`` makes of them."""
