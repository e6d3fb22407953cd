"""Einstein summation in terms of diagonals, sums, transposes and matrix products.

A label is a letter, or ``.1``, ``.2``, ... for the axes of an ellipsis counted from
its end, so that ellipses of different lengths broadcast as NumPy's shapes do.
"""

import re
from collections.abc import Collection, Sequence
from functools import partial
from typing import NamedTuple

from graphwright.ir.dim import Dim, equal, product
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ShapeError

_TERM = re.compile(r"([A-Za-z]*)(\.\.\.)?([A-Za-z]*)")


class Term(NamedTuple):
    """A tensor and what its axes are called."""

    x: Value
    labels: list[str]

    def size(self, label: str) -> Dim:
        """Size of an axis."""
        return self.x.shape[self.labels.index(label)]


def einsum(b: Emitter, equation: str, values: Sequence[Value]) -> Value:
    """Products of elements with equal labels, summed over labels not in the output.

    Raises:
        ShapeError: If the equation does not fit the operands.
    """
    left, arrow, right = "".join(equation.split()).partition("->")
    words = left.split(",")
    if len(words) != len(values):
        raise ShapeError(f"einsum {equation!r} of {len(values)} operands")
    labels = [_labels(w, v.rank) for w, v in zip(words, values, strict=True)]
    places = (int(a[1:]) for row in labels for a in row if a[0] == ".")
    output = _output(labels, right if arrow else None, max(places, default=0))
    diagonals = map(partial(_diagonal, b), map(Term, values, labels))
    return _contract(b, _without_ones(b, list(diagonals)), output)


def sums(equation: str) -> bool:
    """Whether an equation has a label that is summed over."""
    left, arrow, right = "".join(equation.split()).partition("->")
    letters = left.replace(",", "").replace(".", "")
    kept = right if arrow else [c for c in letters if letters.count(c) == 1]
    return not set(letters).issubset(kept)


def _labels(word: str, rank: int) -> list[str]:
    """The labels of a term; an ellipsis stands for the axes that letters leave."""
    found = _TERM.fullmatch(word)
    if found is None:
        raise ShapeError(f"einsum has a term {word!r}")
    head, dots, tail = found.groups("")
    n = rank - len(head) - len(tail)
    if n < 0 or (n and not dots):
        raise ShapeError(f"einsum has a term {word!r} for an operand of rank {rank}")
    return [*head, *(f".{i}" for i in range(n, 0, -1)), *tail]


def _output(labels: list[list[str]], word: str | None, dots: int) -> list[str]:
    """The labels of the result; by default the letters that occur once, sorted."""
    every = [label for row in labels for label in row]
    if word is None:
        once = sorted(x for x in set(every) if x.isalpha() and every.count(x) == 1)
        return [*(f".{i}" for i in range(dots, 0, -1)), *once]
    letters = len(word.replace(".", ""))
    found = _labels(word, letters + (dots if "..." in word else 0))
    if len(set(found)) != len(found) or not set(found) <= set(every):
        raise ShapeError(
            f"einsum to {word!r} of labels {''.join(sorted(set(every)))!r}"
        )
    return found


def _diagonal(b: Emitter, term: Term) -> Term:
    """The term with axes of one label joined: every (n + 1)-th element of n x n."""
    x, labels = term
    twice = next((a for a in labels if labels.count(a) > 1), None)
    if twice is None:
        return term
    i = labels.index(twice)
    j = labels.index(twice, i + 1)
    n = x.shape[i]
    if equal(n, x.shape[j]) is False:
        raise ShapeError(f"einsum: label {twice!r} is {n} and {x.shape[j]} in one term")
    rest = [k for k in range(x.rank) if k not in (i, j)]
    moved = b.transpose(x, [*rest, i, j])
    lead = moved.shape[:-2]
    flat = b.reshape(moved, (*lead, n * n))
    start, ones = (0,) * len(rest), (1,) * len(rest)
    line = b.slice(flat, (*start, 0), (*lead, n), (*ones, n + 1))
    return _diagonal(b, Term(line, [*(labels[k] for k in rest), twice]))


def _without_ones(b: Emitter, terms: list[Term]) -> list[Term]:
    """Terms without axes of size 1 that other terms have in another size."""
    long = {a for t in terms for a in t.labels if not equal(t.size(a), 1)}
    done: list[Term] = []
    for x, labels in terms:
        drop = [i for i, a in enumerate(labels) if a in long and equal(x.shape[i], 1)]
        kept = [a for i, a in enumerate(labels) if i not in drop]
        done.append(Term(b.squeeze(x, drop) if drop else x, kept))
    return done


def _contract(b: Emitter, terms: list[Term], output: list[str]) -> Value:
    """The product of all terms, pair by pair, first to last."""
    first, *rest = terms
    for i, term in enumerate(rest):
        later = {a for t in rest[i + 1 :] for a in t.labels}
        first = _pair(b, first, term, later.union(output))
    return _arrange(b, _summed(b, first, output), output)


def _summed(b: Emitter, term: Term, keep: Collection[str]) -> Term:
    """The term summed over labels that nobody needs."""
    axes = [i for i, a in enumerate(term.labels) if a not in keep]
    return Term(b.sum(term.x, axes), [a for a in term.labels if a in keep])


def _arrange(b: Emitter, term: Term, order: Sequence[str]) -> Value:
    """Axes in an order of labels; labels that it lacks become axes of size 1."""
    x = b.transpose(term.x, [term.labels.index(a) for a in order if a in term.labels])
    return b.expand_dims(x, [i for i, a in enumerate(order) if a not in term.labels])


def _pair(b: Emitter, x: Term, y: Term, keep: set[str]) -> Term:
    """The product of two terms, summed over shared labels that nobody needs."""
    x = _summed(b, x, keep.union(y.labels))
    y = _summed(b, y, keep.union(x.labels))
    shared = [a for a in x.labels if a in y.labels]
    batch, inner = (
        [a for a in shared if a in keep],
        [a for a in shared if a not in keep],
    )
    left = [a for a in x.labels if a not in shared]
    right = [a for a in y.labels if a not in shared]
    order = [*batch, *left, *right]
    if not inner:
        return Term(b.mul(_arrange(b, x, order), _arrange(b, y, order)), order)
    depth = product([x.size(a) for a in inner])
    lead = [x.size(a) for a in batch]
    rows, columns = [x.size(a) for a in left], [y.size(a) for a in right]
    p = b.reshape(
        _arrange(b, x, [*batch, *left, *inner]), (*lead, product(rows), depth)
    )
    q = _arrange(b, y, [*batch, *inner, *right])
    q = b.reshape(q, (*q.shape[: len(batch)], depth, product(columns)))
    return Term(b.reshape(b.dot(p, q), (*lead, *rows, *columns)), order)
