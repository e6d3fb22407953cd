"""Objects under a trace: what is read of them may change, and nothing is set."""

from typing import Any

import numpy as np
import pytest

import graphwright as gw

X = np.arange(3.0)
SETTINGS = {"rate": 2.0}


def traces(f: Any) -> int:
    return int(f.explain().split(" was traced ")[1].split()[0])


class Base:
    """What it gives, subclasses inherit."""

    def padded(self, x: Any) -> Any:
        out = np.zeros(5)
        out[1:4] = x
        return out[1:4]


class Layer(Base):
    """A NumPy program in methods: storage that is written, helpers of all kinds."""

    def __init__(self, scale: float) -> None:
        self.w = np.eye(3) * scale
        self.bias = 1.0

    def __call__(self, x: Any) -> Any:
        return super().padded(self.w @ x) + self.bias * self.size

    @property
    def size(self) -> int:
        return len(self.w)

    @staticmethod
    def flipped(x: Any) -> Any:
        out = np.zeros(3)
        out[:] = x[::-1]
        return out

    @classmethod
    def named(cls, x: Any) -> Any:
        return x + len(cls.__name__)


class Network:
    def __init__(self) -> None:
        self.layers = [Layer(2.0), Layer(3.0)]
        self.head = Layer(0.5)
        self.mean = np.zeros(3)
        self.steps = 0

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        assert isinstance(self.head, Layer)
        return self.head.named(self.head.flipped(self.head(x)))

    @gw.jit
    def run(self, x: Any) -> Any:
        self.mean += x
        return self.forward(x)

    @gw.jit
    def itself(self, x: Any) -> Any:
        return self, x + 1

    @gw.jit
    def counts(self, x: Any) -> Any:
        self.steps += 1
        return x


def test_methods_run_as_they_are() -> None:
    net, same = Network(), Network()
    want = same.forward(X)
    np.testing.assert_allclose(net.run(X), want)
    np.testing.assert_allclose(gw.jit(net.forward)(X), want)
    np.testing.assert_allclose(gw.jit(net.head)(X), same.head(X))
    assert net.mean.tolist() == X.tolist()
    net.run(X)
    assert net.mean.tolist() == (2 * X).tolist()


def test_what_is_read_of_an_object_may_change() -> None:
    net = Network()

    @gw.jit
    def f(x: Any) -> Any:
        return net.head(x) * SETTINGS["rate"]

    def check(count: int) -> None:
        np.testing.assert_allclose(f(X), net.head(X) * SETTINGS["rate"])
        assert traces(f) == count

    check(1)
    net.steps = 7  # it is not read
    net.head.w[0] = 5  # an array is read at each call
    check(1)
    net.head.bias = 3.0
    check(2)
    assert "because Layer.bias is no longer" in f.explain()
    net.head.w = np.ones((3, 3))
    check(3)
    SETTINGS["rate"] = 4.0
    check(4)
    assert "because SETTINGS is no longer" in f.explain()


def test_lists_of_layers_may_change() -> None:
    net = Network()
    f = gw.jit(net.forward)
    f(X)
    net.layers.append(Layer(1.0))
    np.testing.assert_allclose(f(X), net.forward(X))


def test_setting_an_attribute_is_an_error_at_its_line() -> None:
    net = Network()
    line = Network.counts.__wrapped__.__code__.co_firstlineno + 2
    with pytest.raises(gw.TraceError, match=rf"{__file__}:{line}: .* Network\.steps"):
        net.counts(X)
    assert net.steps == 0


def test_objects_come_back_themselves() -> None:
    net = Network()
    found, y = net.itself(X)
    assert found is net
    assert type(net.head) is Layer
    assert y.tolist() == [1, 2, 3]


def test_objects_made_inside_are_plain() -> None:
    @gw.jit
    def f(x: Any) -> Any:
        layer = Layer(2.0)
        layer.bias = 5.0
        return layer.w @ x + layer.bias

    assert f(X).tolist() == [5, 7, 9]
