"""Windows of wider arrays run as long rows, with what lies between them."""

import random
from typing import Any

import numpy as np
import pytest

from graphwright.backends.numpy.kernels import program as programs
from graphwright.backends.numpy.kernels.pitch import Pitch, constant, pitch_of
from graphwright.backends.numpy.kernels.program import (
    Instruction,
    Operand,
    Program,
    Result,
    Source,
)

F8 = np.dtype("f8")
BASE = np.random.default_rng(2).standard_normal((40, 50))
WIDE = np.zeros((9, 310))
BOX = np.random.default_rng(3).standard_normal((14, 20, 24))


def windows(base: Any, count: int) -> list[Any]:
    """Windows of one shape, each at another place."""
    offsets = list(np.ndindex(*(3,) * base.ndim))[:: 3 ** (base.ndim - 1) - 1][:count]
    sizes = [n - 2 for n in base.shape]
    return [
        base[tuple(slice(o, o + n) for o, n in zip(at, sizes, strict=True))]
        for at in offsets
    ]


def sum_of(arrays: list[Any], out: Any, **options: Any) -> Any:
    """A program that adds arrays up, bound to them."""
    x: Operand = Operand(0, F8)
    instructions: list[Instruction] = []
    for i in range(1, len(arrays)):
        instructions.append(Instruction(np.add, (x, Operand(i, F8)), F8))
        x = Operand(-len(instructions), F8)
    sources = [Source(i) for i in range(len(arrays))]
    made = Program(out.shape, sources, instructions, [Result(x, **options)])
    buffer = np.empty(made.scratch_bytes, np.uint8)
    return programs._Bound(made, buffer, [out, *arrays])


@pytest.mark.parametrize("base", [BASE, BOX])
@pytest.mark.parametrize("block", [1 << 10, 1 << 11, 1 << 18])
@pytest.mark.parametrize("inside", [False, True])
def test_windows_run_in_one(
    base: Any, block: int, inside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_BLOCK_BYTES", block)
    arrays = windows(base, 4)
    room = np.full(base.shape, 7.0)
    out = room[tuple(slice(1, -1) for _ in base.shape)] if inside else room
    out = out if inside else np.empty(arrays[0].shape)
    bound = sum_of(arrays, out)
    assert bound.pitch is not None
    assert all(b.size <= bound.program.room for b in bound.blocks)
    bound.call()()
    np.testing.assert_array_equal(out, sum(arrays[1:], arrays[0]))
    if inside:
        out[...] = 7
        assert (room == 7).all()


@pytest.mark.parametrize("other", ["dense", "row", "column", "number", "transposed"])
def test_arrays_of_other_distances_are_copied(other: str) -> None:
    arrays = windows(BASE, 3)
    n, m = arrays[0].shape
    made = {
        "dense": BASE.reshape(-1)[: n * m].reshape(n, m),
        "row": BASE[:1, :m],
        "column": BASE[:n, :1],
        "number": BASE[3:4, 3:4],
        "transposed": BASE.reshape(-1)[: n * m].reshape(m, n).T,
    }
    arrays.append(np.broadcast_to(made[other], (n, m)))
    out = np.empty((n, m))
    bound = sum_of(arrays, out)
    assert bound.pitch is not None
    bound.call()()
    np.testing.assert_array_equal(out, sum(arrays[1:], arrays[0]))


def test_what_is_copied_may_be_wider_than_what_is_computed() -> None:
    base = np.arange(400, dtype=np.int8).reshape(20, 20) % 3
    parts = [base[i : i + 18, i : i + 18] for i in range(3)]
    wide = np.arange(18 * 18).reshape(18, 18) % 5
    i1, i8 = np.dtype("i1"), np.dtype("i8")

    def cast(x: Any, out: Any) -> None:
        np.copyto(out, x, casting="unsafe")

    instructions = [
        Instruction(np.add, (Operand(0, i1), Operand(1, i1)), i1),
        Instruction(np.add, (Operand(-1, i1), Operand(2, i1)), i1),
        Instruction(cast, (Operand(3, i8),), i1),
        Instruction(np.add, (Operand(-2, i1), Operand(-3, i1)), i1),
    ]
    sources = [Source(i) for i in range(4)]
    made = Program((18, 18), sources, instructions, [Result(Operand(-4, i1))])
    out = np.empty((18, 18), np.int8)
    made.run(out, *parts, wide)
    np.testing.assert_array_equal(out, parts[0] + parts[1] + parts[2] + wide)


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ([BASE, BASE, BASE], "they have nothing between"),
        ([BASE[:, :9], BASE[:, 1:10], BASE[:, 2:11]], "most would be for nothing"),
        ([BASE[:, ::2], BASE[:, 1::2], BASE[:, ::2]], "rows are not side by side"),
        ([WIDE[:, :300], np.ones((9, 300)), np.ones((9, 300))], "copies cost more"),
        ([BASE[::-1, :48], BASE[::-1, 1:49], BASE[::-1, 2:]], "rows go backwards"),
    ],
)
def test_no_pitch_where(arrays: list[Any], why: str) -> None:
    bound = sum_of(arrays, np.empty(arrays[0].shape))
    assert bound.pitch is None, why
    bound.call()()
    np.testing.assert_array_equal(
        bound.targets[0].reshape(-1), sum(arrays[1:], arrays[0]).reshape(-1)
    )


def test_no_pitch_where_results_are_reduced() -> None:
    arrays = windows(BASE, 3)
    out = np.empty(arrays[0].shape[0])
    x = Operand(-1, F8)
    add = Instruction(np.add, (Operand(0, F8), Operand(1, F8)), F8)
    total = Result(x, reduce=np.add, axes=(1,))
    made = Program(arrays[0].shape, [Source(0), Source(1)], [add], [total])
    assert not made.staged
    made.run(out, *arrays[:2])
    np.testing.assert_allclose(out, (arrays[0] + arrays[1]).sum(1), rtol=1e-13)


def test_a_slab_that_does_not_fit_is_cut_further() -> None:
    x = np.zeros((6, 30, 40))[1:5, 1:29, 1:39]
    for room, axis in ((10_000, 0), (1_500, 0), (1_000, 1), (100, 1)):
        found = pitch_of(x.shape, [(x, 3)], [x], room)
        assert found is not None
        assert found.axis == axis
        for slots in (1, 2):
            blocks = found.blocks(x.shape, room, slots)
            seen = np.zeros(x.shape, int)
            for block in blocks:
                seen[block.box] += 1
                assert block.size == found.extent(seen[block.box].shape) <= room
            assert (seen == 1).all()
    assert pitch_of(x.shape, [(x, 3)], [x], 37) is None


def test_a_run_spans_its_rows_and_no_more() -> None:
    part = BASE[1:4, 2:9]
    pitch = Pitch((50, 1), 0)
    run = pitch.run(part)
    np.testing.assert_array_equal(run, BASE.reshape(-1)[52:159])
    np.testing.assert_array_equal(pitch.rows(run, part.shape), part)
    number = np.broadcast_to(BASE[0, 0], part.shape)
    assert constant(number)
    assert (pitch.run(number) == BASE[0, 0]).all()
    assert pitch.run(number).shape == run.shape


@pytest.mark.parametrize("seed", range(40))
def test_random_windows(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(seed)
    if seed % 2:
        monkeypatch.setattr(programs, "_BLOCK_BYTES", draw.choice([1 << 10, 1 << 11]))
        monkeypatch.setattr(programs, "_ASKS", False)
    base = draw.choice([BASE, BOX, np.stack([BOX] * 4)]).copy()
    arrays = [draw.choice(windows(base, 5)) for _ in range(draw.randint(2, 5))]
    shape = arrays[0].shape
    if draw.random() < 0.5:
        arrays.append(np.broadcast_to(arrays[0][..., :1].copy(), shape))
    if draw.random() < 0.5:
        arrays.append(arrays[1].copy())
    values = [Operand(i, F8) for i in range(len(arrays))]
    wanted = list(arrays)
    instructions: list[Instruction] = []
    for _ in range(draw.randint(3, 9)):
        i, j = draw.randrange(len(values)), draw.randrange(len(values))
        function = draw.choice([np.add, np.subtract, np.minimum, np.maximum])
        instructions.append(Instruction(function, (values[i], values[j]), F8))
        values.append(Operand(-len(instructions), F8))
        wanted.append(function(wanted[i], wanted[j]))
    chosen = [len(values) - 1, draw.randrange(len(values))]
    sources = [Source(i) for i in range(len(arrays))]
    results = [Result(values[i]) for i in chosen]
    made = Program(shape, sources, instructions, results)
    outs = [np.empty(shape), np.zeros(base.shape)[tuple(slice(1, -1) for _ in shape)]]
    for _ in range(2):
        made.run(*outs, *arrays)
        for out, i in zip(outs, chosen, strict=True):
            np.testing.assert_array_equal(out, wanted[i])
