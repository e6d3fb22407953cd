"""Comparing backends: runs, provenance, derived bounds, verdicts and reports."""
