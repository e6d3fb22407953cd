"""Constants: what makes two equal, and that mapped data is read only when needed."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.errors import ModelError


def mapped(array: Any, handle: tuple[str, int, int], log: list[int]) -> Constant:
    def load() -> Any:
        log.append(1)
        return array

    return Constant.mapped(dt.dtype(array.dtype), array.shape, load, handle)


DIFFERENT: list[Any] = [
    np.float32(0.0),
    np.float32(-0.0),
    np.array([0.0], np.float32),
    np.float64(0.0),
    np.int32(0),
    np.uint32(0),
    np.array([0, 1], np.int32),
    np.array([1, 0], np.int32),
    np.array([[0, 1]], np.int32),
    np.array([[0], [1]], np.int32),
    np.zeros((0, 2), np.int8),
    np.zeros((2, 0), np.int8),
    np.array([1, 0], ml_dtypes.int4),
    np.array([1, 0], ml_dtypes.uint4),
    np.array([True, False]),
    np.array(["a", "b"], object),
    np.array(["ab", ""], object),
    np.array(["", "ab"], object),
    np.array(["\udc80", "b"], object),
]


def constant(array: Any) -> Constant:
    return Constant.of(array, dt.string if array.dtype == object else None)


def test_constants_of_other_bits_dtype_or_shape_differ() -> None:
    for i, x in enumerate(DIFFERENT):
        for j, y in enumerate(DIFFERENT):
            assert (constant(x) == constant(y)) is (i == j), (x, y)
            if i == j:
                assert hash(constant(x)) == hash(constant(y))


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=4)))
def test_equality_does_not_see_memory_layout(array: Any) -> None:
    one = Constant.of(array)
    assert one == Constant.of(np.asfortranarray(array))
    assert one == Constant.of(np.repeat(array, 2, 0)[::2])
    assert one.digest == Constant.of(array.copy()).digest
    assert one != 1


@given(st.sampled_from(list(dt.DTYPES.values())), st.integers(0, 1))
def test_the_dtype_is_kept(dtype: dt.DType, value: int) -> None:
    found = Constant.of(np.array([value]).astype(dtype.numpy), dtype)
    assert found.dtype is dtype
    assert found.array().dtype == dtype.numpy
    assert found.nbytes == dtype.itemsize


def test_the_data_cannot_be_written() -> None:
    found = Constant.of(np.zeros(3))
    with pytest.raises(ValueError, match="read-only"):
        found.array()[0] = 1


def test_mapped_data_is_read_once_when_asked_for() -> None:
    log: list[int] = []
    array = np.arange(100, dtype=np.float32)
    found = mapped(array, ("weights.bin", 0, 400), log)
    assert (found.size, found.nbytes, str(found.type)) == (100, 400, "float32[100]")
    assert repr(found) == "Constant(float32[100])"
    assert log == []
    np.testing.assert_array_equal(found.array(), array)
    assert found.array() is found.array()
    assert log == [1]


def test_derived_data_is_computed_whenever_it_is_read() -> None:
    calls: list[int] = []

    def compute() -> Any:
        calls.append(1)
        return np.ones(3, np.float32)

    constant = Constant.derived(dt.float32, (3,), compute)
    assert (constant.type, constant.nbytes, calls) == (
        Constant.of(np.ones(3, np.float32)).type,
        12,
        [],
    )
    first, second = constant.array(), constant.array()
    assert len(calls) == 2
    assert not first.flags.writeable
    np.testing.assert_array_equal(first, second)
    assert constant == Constant.of(np.ones(3, np.float32))


def test_a_derived_constant_names_its_source() -> None:
    base = Constant.of(np.arange(4, dtype=np.float32))
    found = Constant.derived(base.dtype, base.shape, lambda: base.array() * 2, base)
    assert found.source is base
    assert base.source is None
    np.testing.assert_array_equal(found.array(), [0, 2, 4, 6])


def test_one_place_in_a_file_is_one_constant() -> None:
    log: list[int] = []
    array = np.arange(100, dtype=np.float32)
    one = mapped(array, ("a.bin", 0, 400), log)
    assert one == mapped(array, ("a.bin", 0, 400), log)
    assert log == []
    assert one == mapped(array, ("b.bin", 64, 400), log)
    assert one == Constant.of(array)
    assert log
    assert one != mapped(array + 1, ("a.bin", 400, 400), log)


def test_one_place_read_as_another_type_is_another_constant() -> None:
    log: list[int] = []
    handle = ("a.bin", 0, 400)
    one = mapped(np.zeros(100, np.float32), handle, log)
    assert one != mapped(np.zeros(100, np.int32), handle, log)
    assert one != mapped(np.zeros((10, 10), np.float32), handle, log)
    assert log == []


def test_a_digest_alone_compares_but_holds_no_data() -> None:
    full = Constant.of(np.arange(100.0))
    bare = Constant(dt.float64, (100,), digest=full.digest)
    assert bare == full
    with pytest.raises(ModelError, match="parse"):
        bare.array()


def test_contents_wrap_around_as_values_do() -> None:
    b = Builder()
    x = b.constant(np.array([200, 3], np.uint8))
    assert b.add(x, x).tensor.contents == (144, 6)
    assert b.sub(b.scalar(3, dt.uint64), b.scalar(5, dt.uint64)).tensor.contents == (
        2**64 - 2,
    )
    big = b.constant(np.array([2**62]))
    assert b.mul(b.add(big, big), b.scalar(1, dt.int64)).tensor.contents == (-(2**63),)


def test_small_integers_are_contents_of_the_type() -> None:
    assert Constant.of(np.array([[1, -2]], np.int8)).type.contents == (1, -2)
    assert Constant.of(np.array([True])).type.contents == (1,)
    assert Constant.of(np.arange(64)).type.contents == tuple(range(64))
    for array in (np.arange(65), np.zeros(2), np.zeros(2, ml_dtypes.int4)):
        assert Constant.of(array).type.contents is None
