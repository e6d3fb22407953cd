"""The typed graph IR: types, ops, graphs, verifier, text form, reference evaluation."""
