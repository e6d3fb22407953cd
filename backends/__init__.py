"""Backends and the contract that they fulfil."""
