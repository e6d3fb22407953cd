"""NumPy's settings in which kernels run."""

import numpy as np

_BUFFER = 256
"""Elements. Of an array with gaps between its rows NumPy copies as many rows as fit
into its buffer, if several do, instead of reading them where they are."""


def settle() -> None:
    """Settles them in a context of its own, or inside of ``with np.errstate():``."""
    np.seterr(all="ignore")
    np.setbufsize(_BUFFER)
