"""How many threads kernels use."""

from graphwright.backends.numpy.kernels import threads
from graphwright.ir.arguments import checked
from graphwright.ir.errors import FeedError

get_num_threads = threads.get_num_threads


@checked
def set_num_threads(count: int) -> None:
    """Makes the numpy backend's kernels use ``count`` threads, the caller among them.

    Raises:
        FeedError: If it is less than 1.
    """
    if count < 1:
        raise FeedError(f"at least 1 thread is needed, got {count}")
    threads.set_num_threads(int(count))
