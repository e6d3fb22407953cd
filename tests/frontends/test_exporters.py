"""Models that real exporters wrote agree with the outputs stored beside them."""

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import graphwright as gw

FOLDER = Path(__file__).parent.parent / "data" / "exporters"
MODELS: list[dict[str, Any]] = json.loads((FOLDER / "manifest.json").read_text())[
    "models"
]


def stored(data: Any, prefix: str, names: list[str]) -> dict[str, Any]:
    """Arrays, or lists of dictionaries, under a prefix by the model's names."""
    found: dict[str, Any] = {}
    for name in names:
        key = f"{prefix}/{name}"
        if key in data:
            found[name] = data[key]
        elif f"{key}/length" in data:
            found[name] = [
                item(data, f"{key}/{i}") for i in range(int(data[f"{key}/length"]))
            ]
    return found


def item(data: Any, key: str) -> Any:
    """Element of a stored sequence: an array, or a dictionary."""
    if key in data:
        return data[key]
    keys, values = data[f"{key}/keys"].tolist(), data[f"{key}/values"].tolist()
    return dict(zip(keys, values, strict=True))


def feed(array: Any, declared: Any) -> Any:
    """A stored input as the model takes it."""
    if declared.numpy == np.dtype(object):
        return array.astype(object)
    if (
        array.dtype != declared.numpy
        and array.dtype.itemsize == declared.numpy.itemsize
    ):
        return array.view(declared.numpy)
    return array


def compare(got: Any, want: Any, rtol: float, atol: float) -> None:
    """Asserts that a result is what was stored, structures included."""
    if isinstance(want, list):
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            compare(g, w, rtol, atol)
        return
    if isinstance(want, dict):
        assert list(got) == list(want)
        compare(np.array(list(got.values())), np.array(list(want.values())), rtol, atol)
        return
    got = np.asarray(got)
    assert got.shape == want.shape
    if want.dtype.kind in "US":
        assert got.astype(str).tolist() == want.tolist()
        return
    if got.dtype == ml_dtypes.bfloat16 and want.dtype == np.uint16:
        want = want.view(ml_dtypes.bfloat16)
    wide = np.complex128 if want.dtype.kind == "c" else np.float64
    np.testing.assert_allclose(
        got.astype(wide), want.astype(wide), rtol=rtol, atol=atol
    )


@pytest.mark.parametrize("row", MODELS, ids=lambda r: r["file"].removesuffix(".onnx"))
def test_agrees_with_the_oracle(row: dict[str, Any]) -> None:
    path = FOLDER / row["file"]
    exe = gw.compile(path, backend="numpy")
    types = dict(zip(exe.graph.input_names, exe.graph.input_types, strict=True))
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as data:
        for case in range(row["cases"]):
            names = list(exe.input_names)
            feeds = stored(data, f"case{case}/in", names)
            arrays = {n: feed(x, types[n].dtype) for n, x in feeds.items()}  # type: ignore[union-attr]
            want = stored(data, f"case{case}/out", list(exe.output_names))
            got = dict(zip(exe.output_names, exe.run(None, arrays), strict=True))
            assert want, "the case stores outputs"
            for name, array in want.items():
                compare(got[name], array, row["rtol"], row["atol"])


def test_every_model_is_listed() -> None:
    files = {str(p.relative_to(FOLDER)) for p in FOLDER.rglob("*.onnx")}
    assert files == {row["file"] for row in MODELS}
