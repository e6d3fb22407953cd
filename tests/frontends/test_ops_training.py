"""ai.onnx.preview.training: gradients and optimisers."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx_graphs import imported, model_of, run

from graphwright.ir.errors import ModelError, UnsupportedOpError

DOMAIN = "ai.onnx.preview.training"


def trained(text: str) -> Any:
    model = model_of(text, opset=17)
    model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
    return model


def f32(*items: float) -> Any:
    return np.array(items, np.float32)


def test_gradient() -> None:
    text = f"""g (float[2] a, float[2] b) => (y, da, db) {{
        m = Mul (a, b)  e = Exp (m)  y = Add (e, a)
        da, db = {DOMAIN}.Gradient <xs = ["a", "b"], y = "y"> (a, b)
    }}"""
    a, b = f32(0.5, 1.0), f32(1.0, -1.0)
    _, da, db = run(trained(text), {"a": a, "b": b})
    np.testing.assert_allclose(da, b * np.exp(a * b) + 1, rtol=1e-6)
    np.testing.assert_allclose(db, a * np.exp(a * b), rtol=1e-6)


def test_gradient_by_an_intermediate_value() -> None:
    text = f"""g (float[2] a) => (dh) {{
        h = Exp (a)  y = Mul (h, a)
        dh = {DOMAIN}.Gradient <xs = ["h"], zs = ["a"], y = "y"> (h, a)
    }}"""
    (dh,) = run(trained(text), {"a": f32(1, 2)})
    assert dh.tolist() == [1, 2]


def test_gradient_at_another_point() -> None:
    text = f"""g (float[2] a, float[2] other) => (y, da) {{
        m = Mul (a, a)  y = Mul (m, a)
        da = {DOMAIN}.Gradient <xs = ["a"], y = "y"> (other)
    }}"""
    y, da = run(trained(text), {"a": f32(1, 2), "other": f32(3, -1)})
    assert y.tolist() == [1, 8]
    assert da.tolist() == [27, 3]


def test_gradient_of_a_gradient() -> None:
    text = f"""g (float[2] a) => (two) {{
        m = Mul (a, a)  y = Mul (m, a)
        one = {DOMAIN}.Gradient <xs = ["a"], y = "y"> (a)
        two = {DOMAIN}.Gradient <xs = ["a"], y = "one"> (a)
    }}"""
    assert run(trained(text), {"a": f32(1, 2)})[0].tolist() == [6, 12]


def test_gradient_names_what_has_none() -> None:
    text = f"""g (float[2] a, bool c) => (da) {{
        y = If (c) <then_branch = p () => (t) {{ t = Neg (a) }},
                    else_branch = q () => (e) {{ e = Abs (a) }}>
        da = {DOMAIN}.Gradient <xs = ["a"], y = "y"> (a)
    }}"""
    with pytest.raises(UnsupportedOpError, match="cond has no gradient"):
        imported(trained(text))
    integers = f"""g (int64[2] a) => (da) {{
        y = Neg (a)
        da = {DOMAIN}.Gradient <xs = ["a"], y = "y"> (a)
    }}"""
    with pytest.raises(ModelError, match="tensors of floats"):
        imported(trained(integers))


def test_adam_without_correction_at_the_first_step() -> None:
    text = f"""g (float r, int64 t, float[2] x, float[2] g, float[2] v, float[2] h)
        => (y, w, k) {{
        y, w, k = {DOMAIN}.Adam <alpha = 0.9, beta = 0.5, epsilon = 0.0>
            (r, t, x, g, v, h)
    }}"""
    feeds = {
        "r": np.array(0.1, np.float32),
        "t": np.array(0),
        "x": f32(1, 2),
        "g": f32(2, -2),
        "v": f32(0, 0),
        "h": f32(0, 0),
    }
    y, w, k = run(trained(text), feeds)
    np.testing.assert_allclose(w, [0.2, -0.2], rtol=1e-6)
    np.testing.assert_allclose(k, [2, 2], rtol=1e-6)
    np.testing.assert_allclose(y, f32(1, 2) - 0.1 * w / np.sqrt(k), rtol=1e-6)


def test_optimisers_check_their_operands() -> None:
    text = f"""g (float r, int64 t, float[2] x) => (y, v) {{
        y, v = {DOMAIN}.Adagrad (r, t, x)
    }}"""
    with pytest.raises(ModelError, match="3 operands a tensor"):
        imported(trained(text))
    text = f"""g (float r, int64 t, float[2] x) => (y, v) {{
        y, v = {DOMAIN}.Momentum <alpha = 0.5, beta = 1.0, norm_coefficient = 0.0,
                                  mode = "other"> (r, t, x, x, x)
    }}"""
    with pytest.raises(ModelError, match="no mode 'other'"):
        imported(trained(text))
