"""JAX functions and Flax modules through ``jax2onnx``."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from common import Array, Example, Suite, integers, random
from flax import nnx
from jax import lax
from jax2onnx import onnx_function, to_onnx

X = Any
Inputs = Sequence[tuple[Array, ...]]


def mlp(x: X) -> X:
    """Two layers written out."""
    x = jax.nn.gelu(x @ random(1, 6, 12) + random(2, 12))
    return jax.nn.softmax(x @ random(3, 12, 4))


def norm(x: X) -> X:
    """A layer norm written out."""
    mean = jnp.mean(x, -1, keepdims=True)
    return (x - mean) * lax.rsqrt(jnp.var(x, -1, keepdims=True) + 1e-5)


def scan(x: X) -> tuple[X, X]:
    """A running state."""

    def step(state: X, row: X) -> tuple[X, X]:
        new = jnp.tanh(0.5 * state + row)
        return new, new * 2

    return lax.scan(step, jnp.zeros(4), x)


def fori(x: X) -> X:
    """A loop of a known count."""
    return lax.fori_loop(0, 5, lambda i, y: y * 1.1 + i, x)


def until(x: X) -> X:
    """A loop until the data says so."""
    return lax.while_loop(lambda y: jnp.sum(y) < 100.0, lambda y: y * 1.5, abs(x) + 1)


def branch(x: X) -> X:
    """A branch on the data."""
    return lax.cond(jnp.sum(x) > 0, jnp.sin, lambda x: jnp.cos(x) * 2, x)


def conv(x: X) -> X:
    """A convolution of channels-last images, channels pooled."""
    dims = ("NHWC", "HWIO", "NHWC")
    kernel = random(1, 3, 3, 3, 4)
    x = lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=dims)
    return jnp.max(jnp.transpose(x, (0, 3, 1, 2)), (2, 3))


def einsum(x: X, y: X) -> X:
    """A contraction of batches."""
    return jnp.einsum("bij,bjk->bik", x, y)


def indexing(x: X, i: X) -> tuple[X, ...]:
    """Gathers, scatters, slices and joins."""
    return (
        x[i], x[1:, ::2], x.at[i].set(0.0), x.at[i].add(1.0),
        jnp.concatenate([x, x], 1), jnp.stack([x, -x]), jnp.pad(x, 1), x.T,
        lax.dynamic_slice(x, (i[0], 0), (2, 2)), jnp.where(x > 0, x, 0.0),
    )  # fmt: skip


def ordered(x: X) -> tuple[X, ...]:
    """Sorts, extremes and running sums."""
    return (
        jnp.sort(x, 1), jnp.argmax(x, 1), jnp.cumsum(x, axis=1), lax.top_k(x, 2)[0],
        jnp.max(x, 0), jnp.prod(x, 1), jnp.clip(x, -0.5, 0.5), jnp.linalg.norm(x),
    )  # fmt: skip


def pointwise(x: X, y: X) -> tuple[X, ...]:
    """Functions of single elements."""
    return (
        x / y, abs(x) ** y, jnp.exp(x), jnp.log1p(abs(x)), jnp.expm1(x), jnp.tan(x),
        jnp.arctan(x), jnp.sign(x), jnp.floor(x), jnp.round(x), lax.erf(x),
        jax.nn.silu(x), jax.nn.softplus(x), jax.nn.elu(x), jnp.logaddexp(x, y),
        jnp.minimum(x, y), jnp.mod(x, y), jnp.square(x), jnp.isnan(x), x < y,
    )  # fmt: skip


def mapped(x: X) -> X:
    """A function of one row over all."""
    weights = random(1, 4, 3)
    return jax.vmap(lambda row: jnp.tanh(row @ weights) / jnp.sum(row**2))(x)


def gradient(x: X) -> X:
    """A gradient, taken before export."""
    return jax.grad(lambda x: jnp.sum(jnp.tanh(x) ** 2))(x)


BIAS = {"bias_init": nnx.initializers.normal(0.3)}


class Block(nnx.Module):
    """A transformer's block."""

    def __init__(self) -> None:
        """Sixteen wide, two heads."""
        rngs = nnx.Rngs(0)
        self.attention = nnx.MultiHeadAttention(2, 16, **BIAS, decode=False, rngs=rngs)
        self.norm = nnx.LayerNorm(16, **BIAS, rngs=rngs)
        self.dense = nnx.Linear(16, 16, **BIAS, rngs=rngs)

    def __call__(self, x: X) -> X:
        """Attend, add, transform."""
        x = x + self.attention(self.norm(x))
        return x + nnx.gelu(self.dense(x))


class Net(nnx.Module):
    """A convolutional classifier."""

    def __init__(self) -> None:
        """Three channels, five classes."""
        rngs = nnx.Rngs(0)
        self.conv = nnx.Conv(3, 6, (3, 3), **BIAS, rngs=rngs)
        self.norm = nnx.BatchNorm(6, use_running_average=True, rngs=rngs)
        self.head = nnx.Linear(6, 5, **BIAS, rngs=rngs)

    def __call__(self, x: X) -> X:
        """Return the classes' scores."""
        x = nnx.relu(self.norm(self.conv(x)))
        x = nnx.avg_pool(x, window_shape=(2, 2), strides=(2, 2))
        return self.head(jnp.mean(x, (1, 2)))


@onnx_function
class Layer(nnx.Module):
    """A layer that becomes a function of the model's own."""

    def __init__(self, seed: int) -> None:
        """Eight wide."""
        self.dense = nnx.Linear(8, 8, **BIAS, rngs=nnx.Rngs(seed))

    def __call__(self, x: X) -> X:
        """Transform and bend."""
        return jnp.tanh(self.dense(x))


class Layers(nnx.Module):
    """Two such layers."""

    def __init__(self) -> None:
        """Seed each."""
        self.first = Layer(0)
        self.second = Layer(1)

    def __call__(self, x: X) -> X:
        """Run both."""
        return self.second(self.first(x)) + x


def shaped(*shapes: tuple[int, ...]) -> Inputs:
    """A case of one random array for each shape."""
    return [(random(i, *s),) for i, s in enumerate(shapes, 1)]


SAME = shaped((3, 4), (3, 4), (3, 4))
ROWS = shaped((2, 6), (1, 6))
Takes = Sequence[Any]

MODELS: dict[str, tuple[Callable[..., Any], Takes, Inputs]] = {
    "mlp": (mlp, [("B", 6)], ROWS),
    "mlp_static": (mlp, [(2, 6)], [ROWS[0], ROWS[0]]),
    "norm": (norm, [("B", 6)], ROWS),
    "scan": (scan, [(5, 4)], shaped((5, 4), (5, 4))),
    "fori": (fori, [(3, 4)], SAME),
    "while": (until, [(3, 4)], SAME),
    "cond": (branch, [(3, 4)], SAME),
    "conv": (conv, [("B", 8, 8, 3)], shaped((2, 8, 8, 3), (1, 8, 8, 3))),
    "einsum": (
        einsum,
        [("B", 3, 4), ("B", 4, 5)],
        [(random(i, n, 3, 4), random(9, n, 4, 5)) for i, n in enumerate((2, 1))],
    ),
    "indexing": (
        indexing,
        [jax.ShapeDtypeStruct((4, 4), "float32"), jax.ShapeDtypeStruct((2,), "int32")],
        [(random(i, 4, 4), integers(i, 4, 2, dtype="int32")) for i in (1, 2)],
    ),
    "ordered": (ordered, [(3, 4)], SAME),
    "pointwise": (
        pointwise,
        [(2, 4), (2, 4)],
        [(random(i, 2, 4), random(9, 2, 4)) for i in (1, 2)],
    ),
    "vmap": (mapped, [("B", 4)], shaped((2, 4), (1, 4))),
    "gradient": (gradient, [(3, 4)], SAME),
    "attention": (Block(), [("B", 5, 16)], shaped((2, 5, 16), (1, 5, 16))),
    "functions": (Layers(), [("B", 8)], shaped((2, 8), (1, 8))),
    "cnn": (Net(), [("B", 8, 8, 3)], shaped((2, 8, 8, 3), (1, 8, 8, 3))),
}


def export(function: Callable[..., Any], takes: Takes, cases: Inputs) -> Example:
    """Trace and convert."""
    return Example(to_onnx(function, takes), cases)


if __name__ == "__main__":
    suite = Suite("jax2onnx", ("jax2onnx", "jax", "flax", "onnx", "onnxruntime"))
    for name, entry in MODELS.items():
        suite.add(name, partial(export, *entry))
    suite.close()
