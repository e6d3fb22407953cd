"""How many threads kernels use."""

from graphwright.backends.numpy.kernels.threads import get_num_threads, set_num_threads

__all__ = ["get_num_threads", "set_num_threads"]
