"""A mechanical check of the tests: faults put into the passes, which they must find."""
