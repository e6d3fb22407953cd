"""Tools to test backends, passes and ops."""
