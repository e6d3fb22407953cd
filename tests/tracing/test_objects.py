"""Methods, objects and helper modules in traced programs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from tracing import numpy_helpers

import graphwright as gw
from graphwright.frontends.tracing.objects import is_plain, is_users


class Base:
    def __init__(self, n: int) -> None:
        self.scale = np.arange(1.0, n + 1)
        self.total = np.zeros(n)

    def doubled(self, x: Any) -> Any:
        out = np.zeros(x.shape)
        out[:] = 2 * x
        return out


class Model(Base):
    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.inner = Base(n)

    def __call__(self, x: Any) -> Any:
        self.total += x.sum(axis=0)
        return self.inner.doubled(x) * self.scale

    @property
    def first(self) -> Any:
        return self.scale[0]


@dataclass
class Pair:
    left: Any
    right: Any

    def product(self) -> Any:
        out = np.empty(self.left.shape)
        out[...] = self.left * self.right
        return out


MODEL = Model(3)
PAIR = Pair(np.ones(3), np.arange(3.0))


def test_methods_of_captured_objects_are_copies_too() -> None:
    def f(x: Any) -> Any:
        return MODEL(x) + MODEL.first

    x = np.ones((2, 3))
    MODEL.total[:] = 0
    want = 2 * x * MODEL.scale + 1
    np.testing.assert_array_equal(gw.jit(f)(x), want)
    assert MODEL.total.tolist() == [2, 2, 2]
    assert isinstance(MODEL.total, np.ndarray)


def test_objects_are_jitted_themselves() -> None:
    model = Model(2)
    compiled = gw.jit(model)
    for _ in range(2):
        np.testing.assert_array_equal(compiled(np.ones((1, 2))), [[2, 4]])
    assert model.total.tolist() == [2, 2]
    np.testing.assert_array_equal(gw.jit(model.doubled)(np.ones(2)), [2, 2])


def test_attributes_are_read_at_each_call() -> None:
    compiled = gw.jit(lambda x: x + PAIR.product())
    assert compiled(np.zeros(3)).tolist() == [0, 1, 2]
    PAIR.left[1] = 5
    try:
        assert compiled(np.zeros(3)).tolist() == [0, 5, 2]
    finally:
        PAIR.left[1] = 1


def test_what_stands_for_an_object_is_of_its_class() -> None:
    def f(x: Any) -> Any:
        assert isinstance(MODEL, Model)
        assert type(MODEL).__name__ == "Model"
        return x

    gw.jit(f)(np.ones(2))


def test_helpers_of_other_modules_create_arrays() -> None:
    def f(x: Any) -> Any:
        return numpy_helpers.smoothed(x)

    x = np.arange(5.0) ** 2
    np.testing.assert_array_equal(gw.jit(f)(x), numpy_helpers.smoothed(x))
    spec = gw.spec("float64", (5,))
    np.testing.assert_array_equal(gw.compile(gw.trace(f, spec))(x), f(x))


@pytest.mark.parametrize("value", [np.ones(2), 3, Model, "x", print, np])
def test_what_is_no_object_of_the_users(value: Any) -> None:
    assert not is_plain(value)


def test_installed_modules_are_not_the_users() -> None:
    assert is_users(vars(numpy_helpers))
    assert not is_users(vars(pytest))
    assert not is_users(vars(gw))
    assert is_users({"__name__": "__main__"})
    assert is_plain(MODEL)
