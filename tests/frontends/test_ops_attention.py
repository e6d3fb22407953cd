"""Attention of ONNX, by ONNX Runtime, by its definition and by its recurrence."""

from typing import Any

import numpy as np
import pytest
from composites import same_decomposed
from onnx_graphs import imported, model_of, node_model, output_types, run, same_as_ort

RNG = np.random.default_rng(23)


def draw(*shape: int, dtype: Any = np.float32) -> Any:
    return RNG.standard_normal(shape).astype(dtype)


def attend(
    q: Any,
    k: Any,
    v: Any,
    allowed: Any = True,
    bias: Any = 0.0,
    scale: float | None = None,
) -> Any:
    """Attention in double precision; a query that may attend nothing gives zeros."""
    repeats = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, repeats, 1), np.repeat(v, repeats, 1)
    factor = q.shape[3] ** -0.5 if scale is None else scale
    scores = q.astype(np.float64) @ k.swapaxes(2, 3) * factor + bias
    scores = np.where(allowed, scores, -np.inf)
    high = scores.max(-1, keepdims=True)
    powers = np.exp(scores - np.where(np.isneginf(high), 0, high))
    total = powers.sum(-1, keepdims=True)
    return powers / np.where(total == 0, 1, total) @ v


def check(want: Any, inputs: list[Any], opset: int = 25, **how: Any) -> None:
    model = node_model("Attention", inputs, opset=opset, **how)
    np.testing.assert_allclose(run(*model)[0], want, rtol=1e-4, atol=1e-5)
    same_decomposed(*model)


def heads(h: int = 4, g: int = 2, rows: int = 3, columns: int = 5) -> list[Any]:
    return [draw(2, h, rows, 6), draw(2, g, columns, 6), draw(2, g, columns, 7)]


@pytest.mark.parametrize(("h", "g"), [(4, 4), (4, 2), (4, 1)])
@pytest.mark.parametrize("causal", [0, 1])
def test_heads_that_share_keys(h: int, g: int, causal: int) -> None:
    q, k, v = heads(h, g)
    allowed = np.arange(5) <= np.arange(3)[:, None] if causal else True
    check(attend(q, k, v, allowed), [q, k, v], is_causal=causal)
    same_as_ort(
        *node_model("Attention", [q, k, v], opset=23, is_causal=causal), rtol=1e-4
    )


@pytest.mark.parametrize(
    "shape", [(3, 5), (4, 3, 5), (1, 1, 3, 5), (2, 4, 3, 5), (2, 1, 1, 5)]
)
def test_masks(shape: tuple[int, ...]) -> None:
    q, k, v = heads()
    bias, allowed = draw(*shape), draw(*shape) > 0
    check(attend(q, k, v, bias=bias), [q, k, v, bias])
    check(attend(q, k, v, allowed), [q, k, v, allowed])
    causal = allowed & (np.arange(5) <= np.arange(3)[:, None])
    check(attend(q, k, v, causal), [q, k, v, allowed], is_causal=1)


def test_a_mask_that_ends_early() -> None:
    q, k, v = heads()
    bias = draw(3, 4)
    allowed = np.arange(5) < 4
    padded = np.pad(bias, [(0, 0), (0, 1)])
    check(attend(q, k, v, allowed, padded), [q, k, v, bias])


def test_nothing_to_attend_gives_zeros() -> None:
    q, k, v = heads()
    mask = np.ones((3, 5), bool)
    mask[1] = False
    model = node_model("Attention", [q, k, v, mask], opset=25)
    (y,) = same_decomposed(*model)
    assert not y[:, :, 1].any()
    assert np.isfinite(y).all()
    bias = np.where(mask, np.float32(0), np.float32(-np.inf))
    (same,) = run(*node_model("Attention", [q, k, v, bias], opset=25))
    np.testing.assert_array_equal(same, y)


@pytest.mark.parametrize(("left", "right"), [(1, -1), (-1, 1), (1, 2), (0, 0), (3, 0)])
@pytest.mark.parametrize("causal", [0, 1])
def test_windows(left: int, right: int, causal: int) -> None:
    q, k, v = heads()
    distance = np.arange(5) - np.arange(3)[:, None]
    allowed = np.ones((3, 5), bool)
    if left >= 0:
        allowed &= distance >= -left
    if right >= 0:
        allowed &= distance <= right
    if causal:
        allowed &= distance <= 0
    how: dict[str, Any] = {
        "left_window_size": left,
        "right_window_size": right,
        "is_causal": causal,
    }
    check(attend(q, k, v, allowed), [q, k, v], **how)


def test_lengths_of_the_keys() -> None:
    q, k, v = heads()
    lengths = np.array([4, 2], np.int64)
    column = lengths.reshape(-1, 1, 1, 1)
    inside = np.arange(5) < column
    check(attend(q, k, v, inside), [q, k, v, None, None, None, lengths])
    place = np.arange(3)[:, None] + column - 3
    causal = inside & (np.arange(5) <= place)
    check(attend(q, k, v, causal), [q, k, v, None, None, None, lengths], is_causal=1)


def test_a_cache_continues() -> None:
    q, k, v = heads(4, 2, 5, 5)
    (whole,) = run(*node_model("Attention", [q, k, v], opset=23, is_causal=1))
    past = [k[:, :, :3], v[:, :, :3]]
    inputs = [q[:, :, 3:], k[:, :, 3:], v[:, :, 3:], None, *past]
    model = node_model("Attention", inputs, outputs=3, opset=23, is_causal=1)
    y, keys, values = same_decomposed(*model)
    np.testing.assert_allclose(y, whole[:, :, 3:], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(keys, k)
    np.testing.assert_array_equal(values, v)


def test_packed_heads() -> None:
    q, k, v = draw(2, 3, 24), draw(2, 5, 12), draw(2, 5, 14)
    how: dict[str, Any] = {"q_num_heads": 4, "kv_num_heads": 2, "opset": 23}
    same_as_ort(*node_model("Attention", [q, k, v], **how), rtol=1e-4)


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_scores_as_a_result(mode: int) -> None:
    q, k, v = heads(4, 4)
    how: dict[str, Any] = {"softcap": 1.5, "qk_matmul_output_mode": mode, "outputs": 4}
    y, _, _, scores = run(
        *node_model("Attention", [q, k, v, draw(3, 5)], opset=25, **how)
    )
    assert scores.shape == (2, 4, 3, 5)
    raw = q @ k.swapaxes(2, 3) / np.sqrt(6)
    if mode == 0:
        np.testing.assert_allclose(scores, raw, rtol=1e-4, atol=1e-5)
    if mode == 1:
        np.testing.assert_allclose(
            scores, np.tanh(raw / 1.5) * 1.5, rtol=1e-4, atol=1e-5
        )
    if mode == 3:
        np.testing.assert_allclose(scores @ v, y, rtol=1e-4, atol=1e-5)


def test_a_negative_scale() -> None:
    q, k, v = heads()
    check(attend(q, k, v, scale=-0.3), [q, k, v], scale=-0.3)


def test_symbolic_sizes_stay_one_op() -> None:
    text = """g (float[n, 4, s, 8] q, float[n, 4, t, 8] k, float[n, 4, t, 8] v)
        => (float[a, b, c, d] y) { y = Attention<is_causal=1>(q, k, v) }"""
    assert output_types(text, opset=23) == "float32[n, 4, s, 8]"
    model = model_of(text, opset=23)
    assert [n.op.name for n in imported(model).nodes] == ["attention"]
    feeds = {"q": draw(2, 4, 3, 8), "k": draw(2, 4, 5, 8), "v": draw(2, 4, 5, 8)}
    same_as_ort(model, feeds, rtol=1e-4)
    same_decomposed(model, feeds)


@pytest.mark.parametrize("pairs", [0, 1])
@pytest.mark.parametrize("size", [0, 4])
def test_rotary_embedding(pairs: int, size: int) -> None:
    half = (size or 8) // 2
    angles = draw(10, half)
    ids = np.array([[0, 1, 2], [7, 8, 9]], np.int64)
    inputs = [draw(2, 4, 3, 8), np.cos(angles), np.sin(angles), ids]
    how: dict[str, Any] = {
        "interleaved": pairs,
        "rotary_embedding_dim": size,
        "opset": 23,
    }
    same_as_ort(*node_model("RotaryEmbedding", inputs, **how), rtol=1e-4)
    packed = [draw(2, 3, 32), np.cos(angles)[ids], np.sin(angles)[ids]]
    (y,) = run(*node_model("RotaryEmbedding", packed, num_heads=4, **how))
    assert y.shape == packed[0].shape
    split = packed[0].reshape(2, 3, 4, 8).swapaxes(1, 2)
    (apart,) = run(*node_model("RotaryEmbedding", [split, *packed[1:]], **how))
    np.testing.assert_array_equal(y.reshape(2, 3, 4, 8).swapaxes(1, 2), apart)


@pytest.mark.parametrize("rule", ["linear", "gated", "delta", "gated_delta"])
@pytest.mark.parametrize("wide", [False, True])
def test_linear_attention_continues(rule: str, wide: bool) -> None:
    steps, h, g, d, e = 5, 4, 2, 3, 2
    inputs = [draw(2, steps, h * d), draw(2, steps, g * d), draw(2, steps, g * e), None]
    decay = -np.abs(draw(2, steps, g * d if wide else g))
    inputs.append(decay if "gated" in rule else None)
    inputs.append(np.abs(draw(2, steps, 1 if wide else g)) if "delta" in rule else None)
    how: dict[str, Any] = {"q_num_heads": h, "kv_num_heads": g, "update_rule": rule}
    how.update(outputs=2, opset=27)
    model = node_model("LinearAttention", inputs, **how)
    whole, last = same_decomposed(*model, rtol=1e-4)
    state: Any = None
    rows: list[Any] = []
    for t in range(steps):
        line = [None if x is None else x[:, t : t + 1] for x in inputs]
        line[3] = state
        y, state = run(*node_model("LinearAttention", line, **how))
        rows.append(y)
    np.testing.assert_allclose(np.concatenate(rows, 1), whole, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(state, last, rtol=1e-4, atol=1e-5)


def test_linear_attention_by_its_sum() -> None:
    q, k, v = draw(1, 4, 3), draw(1, 4, 3), draw(1, 4, 2)
    how: dict[str, Any] = {
        "q_num_heads": 1,
        "kv_num_heads": 1,
        "update_rule": "linear",
        "outputs": 2,
    }
    y, _ = run(*node_model("LinearAttention", [q, k, v], opset=27, scale=0.5, **how))
    want = np.tril(q[0] @ k[0].T) @ v[0] * 0.5
    np.testing.assert_allclose(y[0], want, rtol=1e-4, atol=1e-5)


def test_packed_heads_of_symbolic_sizes() -> None:
    text = """g (float[n, s, 32] q, float[n, t, 16] k, float[n, t, 16] v,
               float[n, 2, p, 8] pk, float[n, 2, p, 8] pv)
        => (float[a, b, c] y, float[d, e, f, g] nk, float[h, i, j, l] nv) {
        y, nk, nv = Attention<q_num_heads=4, kv_num_heads=2, is_causal=1>
            (q, k, v, , pk, pv) }"""
    got = output_types(text, opset=23)
    assert got.startswith("float32[n, s, 32], float32[n, 2, p + t, 8]")
    feeds = {"q": draw(2, 3, 32), "k": draw(2, 3, 16), "v": draw(2, 3, 16)}
    feeds.update(pk=draw(2, 2, 4, 8), pv=draw(2, 2, 4, 8))
    y, keys, _ = run(model_of(text, opset=23), feeds)
    assert y.shape == (2, 3, 32)
    assert keys.shape == (2, 2, 7, 8)
    same_decomposed(model_of(text, opset=23), feeds)
