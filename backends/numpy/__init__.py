"""The numpy backend, graphwright's embedded default."""
