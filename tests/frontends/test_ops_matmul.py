"""Matrix products and Einstein sums, old forms and dynamic dims included."""

from typing import Any

import numpy as np
import pytest
from onnx_graphs import model_of, node_model, node_same_as_ort, output_types, run

from graphwright.ir.errors import GraphwrightError, ModelError

RNG = np.random.default_rng(0)


def tensor(*shape: int) -> Any:
    """Random float32."""
    return RNG.standard_normal(shape).astype(np.float32)


def einsum(equation: str, *inputs: Any) -> Any:
    """The result here."""
    return run(*node_model("Einsum", inputs, equation=equation))[0]


SHAPES = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((4, 2, 3), (3, 5)),
    ((4, 1, 2, 3), (7, 3, 5)),
    ((2, 0), (0, 3)),
    ((0, 2), (2, 3)),
]


@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_matmul(left: Any, right: Any) -> None:
    node_same_as_ort("MatMul", (tensor(*left), tensor(*right)))


def test_matmul_of_integers_wraps() -> None:
    x = np.full((2, 2), 2**31 - 1, np.int32)
    node_same_as_ort("MatMul", (x, x))


@pytest.mark.parametrize("flags", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("bias", [(4,), (3, 1), (3, 4), (1,), (), None])
def test_gemm(flags: tuple[int, int], bias: Any) -> None:
    a = tensor(2, 3) if flags[0] else tensor(3, 2)
    b = tensor(4, 2) if flags[1] else tensor(2, 4)
    c = None if bias is None else tensor(*bias)
    how = {"transA": flags[0], "transB": flags[1], "alpha": 0.5, "beta": -2.0}
    node_same_as_ort("Gemm", (a, b) if c is None else (a, b, c), **how)


def test_gemm_of_old_opsets() -> None:
    a, b, c = tensor(3, 2), tensor(2, 4), tensor(4)
    (got,) = run(*node_model("Gemm", (a, b, c), opset=6, broadcast=1))
    np.testing.assert_allclose(got, a @ b + c, rtol=1e-5, atol=1e-6)


def test_gemm_of_integers() -> None:
    a, b = np.arange(6).reshape(2, 3), np.arange(6).reshape(3, 2)
    (got,) = run(*node_model("Gemm", (a, b), alpha=0.5))
    np.testing.assert_array_equal(got, a @ b // 2)


def test_gemm_takes_matrices() -> None:
    with pytest.raises(ModelError, match="matrices"):
        run(*node_model("Gemm", (tensor(3), tensor(3, 2))))


EQUATIONS: list[tuple[str, list[tuple[int, ...]]]] = [
    ("ij->ji", [(2, 3)]),
    ("ij", [(2, 3)]),
    ("ba", [(2, 3)]),
    ("ii", [(3, 3)]),
    ("ii->i", [(3, 3)]),
    ("iij->j", [(3, 3, 2)]),
    ("iji->ij", [(3, 2, 3)]),
    ("iii->i", [(3, 3, 3)]),
    ("ij->", [(2, 3)]),
    ("i,i", [(3,), (3,)]),
    ("i,j->ij", [(3,), (4,)]),
    ("ij,jk", [(2, 3), (3, 4)]),
    ("ij,jk->ki", [(2, 3), (3, 4)]),
    ("bij,bjk->bik", [(5, 2, 3), (5, 3, 4)]),
    ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]),
    ("ij,ij->ij", [(2, 3), (2, 3)]),
    ("ij,kl->", [(2, 3), (4, 5)]),
    ("ij,j", [(2, 3), (3,)]),
    ("...ii->...i", [(2, 3, 3)]),
    ("...ij,...jk->...ik", [(7, 2, 3), (7, 3, 4)]),
    ("...ij,...jk", [(7, 2, 3), (3, 4)]),
    ("...ij,...jk->...ik", [(7, 1, 2, 3), (6, 3, 4)]),
    ("i...,i...->...", [(3, 4, 5), (3, 4, 5)]),
    ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)]),
    ("abc,abd,abe->ecd", [(2, 3, 4), (2, 3, 5), (2, 3, 6)]),
    ("aB,Bc->Ac".replace("A", "a"), [(2, 3), (3, 4)]),
    (" i j , j k -> i k ", [(2, 3), (3, 4)]),
    ("ij,jk->ik", [(2, 0), (0, 3)]),
    ("ii->i", [(0, 0)]),
    ("ij,jk->ik", [(2, 1), (3, 4)]),
]


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS)
def test_einsum(equation: str, shapes: Any) -> None:
    inputs = [tensor(*s) for s in shapes]
    want = np.einsum(equation.replace(" ", ""), *inputs)
    got = einsum(equation, *inputs)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_einsum_of_integers() -> None:
    x = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(einsum("ij,kj->ik", x, x), x @ x.T)


BAD = [
    ("ij,jk", [(2, 3)]),
    ("ijk", [(2, 3)]),
    ("i", [(2, 3)]),
    ("i?->i", [(2, 3)]),
    ("ij->ik", [(2, 3)]),
    ("ij->ii", [(2, 3)]),
    ("ii->i", [(2, 3)]),
    ("ij,jk->ik", [(2, 3), (4, 5)]),
    ("->->", [()]),
]


@pytest.mark.parametrize(("equation", "shapes"), BAD)
def test_equations_that_do_not_fit(equation: str, shapes: Any) -> None:
    with pytest.raises(GraphwrightError):
        einsum(equation, *(tensor(*s) for s in shapes))


def test_einsum_of_dynamic_dims() -> None:
    text = """g (float[B, Q, H] q, float[B, K, H] k) => (float[X, Y, Z] y) {
        y = Einsum <equation = "bqh,bkh->bqk"> (q, k)
    }"""
    assert output_types(text) == "float32[B, Q, K]"
    q, k = tensor(2, 3, 4), tensor(2, 5, 4)
    (got,) = run(model_of(text), {"q": q, "k": k})
    np.testing.assert_allclose(got, q @ k.swapaxes(1, 2), rtol=1e-5, atol=1e-6)


def test_diagonal_of_dynamic_dims() -> None:
    text = """g (float[N, N] x) => (float[A] y) {
        y = Einsum <equation = "ii->i"> (x)
    }"""
    assert output_types(text) == "float32[N]"
    for n in (0, 1, 4):
        x = tensor(n, n)
        (got,) = run(model_of(text), {"x": x})
        np.testing.assert_array_equal(got, np.diag(x))
