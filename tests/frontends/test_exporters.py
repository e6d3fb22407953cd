"""Models that real exporters wrote agree with the outputs stored beside them."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from exporter_models import FOLDER, MODELS, case_feeds, stored

import graphwright as gw


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
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as data:
        for case in range(row["cases"]):
            arrays = case_feeds(row, case, exe.graph)
            want = stored(data, f"case{case}/out", list(exe.output_names))
            got = dict(zip(exe.output_names, exe.run(None, arrays), strict=True))
            assert want, "the case stores outputs"
            for name, array in want.items():
                compare(got[name], array, row["rtol"], row["atol"])


def test_every_model_is_listed() -> None:
    files = {str(p.relative_to(FOLDER)) for p in FOLDER.rglob("*.onnx")}
    assert files == {row["file"] for row in MODELS}
