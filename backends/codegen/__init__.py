"""Kernels from graphs: expressions, schedules, a small loop IR, C-family source."""
