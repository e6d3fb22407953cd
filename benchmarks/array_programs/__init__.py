"""Array programs as people write them, in plain NumPy: what tracing is measured on.

Each is a function of arrays and numbers, with arguments for a given number of bytes.
Several follow kernels that public suites of NumPy programs made familiar.
"""

from array_programs import data, grids, learning, matrices, pointwise, stencils
from array_programs.case import Case

PROGRAMS: dict[str, Case] = {
    case.name: case
    for family in (stencils, grids, pointwise, learning, matrices, data)
    for case in family.CASES
}
"""All programs by name."""
