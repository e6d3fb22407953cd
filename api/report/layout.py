"""Places for the nodes of a graph: layers from top to bottom."""

from collections.abc import Collection, Sequence

_SWEEPS = 2


def layered(
    count: int,
    edges: Sequence[tuple[int, int]],
    late: Collection[int] = (),
) -> tuple[list[float], list[int]]:
    """Columns and layers of nodes that are in topological order.

    Each node lies below what it reads, near the middle of it; what reads nothing lies
    just above its first reader.

    Args:
        count: How many nodes there are.
        edges: Pairs of a node and one that reads it, the former first in the order.
        late: Nodes that lie just above their first reader, too; what they read is of
            them.
    """
    before: list[list[int]] = [[] for _ in range(count)]
    after: list[list[int]] = [[] for _ in range(count)]
    for a, b in edges:
        before[b].append(a)
        after[a].append(b)
    layer = [0] * count
    for i in range(count):
        layer[i] = max((layer[j] + 1 for j in before[i]), default=0)
    for i in reversed(range(count)):
        if after[i] and (i in late or not before[i]):
            layer[i] = max(0, min(layer[j] for j in after[i]) - 1)
    rows: dict[int, list[int]] = {}
    for i in range(count):
        rows.setdefault(layer[i], []).append(i)
    column = [0.0] * count
    for _ in range(_SWEEPS):
        for number in sorted(rows):
            _place(rows[number], before, column)
        for number in sorted(rows, reverse=True):
            _place(rows[number], after, column)
    for number in sorted(rows):
        _place(rows[number], before, column)
    return column, layer


def _place(row: list[int], near: list[list[int]], column: list[float]) -> None:
    """Puts a layer's nodes near the middle of others, at least 1 apart."""
    wish = {
        i: sum(column[j] for j in near[i]) / len(near[i]) if near[i] else column[i]
        for i in row
    }
    row.sort(key=lambda i: (wish[i], i))
    at = [wish[i] for i in row]
    for k in range(1, len(row)):
        at[k] = max(at[k], at[k - 1] + 1)
    shift = sum(wish[i] - x for i, x in zip(row, at, strict=True)) / len(row)
    for i, x in zip(row, at, strict=True):
        column[i] = x + shift
