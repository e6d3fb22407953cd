"""Bad input: each case is one clear error, from Python and from the command line."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_graphs import model_of

import graphwright as gw
from graphwright.backends.numpy.kernels import threads
from graphwright.cli import main

DIGITS = Path(str(gw.__file__)).parent / "data" / "digits.onnx"

FEED = np.zeros((1, 1, 32, 32), np.float32)

Write = Callable[[Path], Path]


def written(folder: Path, model: Any) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def text(graph: str, opset: int = 21) -> Write:
    return lambda folder: written(folder, model_of(graph, opset))


def raw(blob: bytes) -> Write:
    def write(folder: Path) -> Path:
        path = folder / "model.onnx"
        path.write_bytes(blob)
        return path

    return write


def missing(folder: Path) -> Path:
    return folder / "nothing.onnx"


def truncated(folder: Path) -> Path:
    return raw(DIGITS.read_bytes()[:150_000])(folder)


def node(op: str, domain: str = "", **attributes: Any) -> Write:
    """A model of one node."""

    def write(folder: Path) -> Path:
        made = helper.make_node(
            op, ["x"], ["y"], name="odd", domain=domain, **attributes
        )
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
        graph = helper.make_graph([made], "g", [x], [onnx.ValueInfoProto(name="y")])
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.example", 1)]
        return written(folder, helper.make_model(graph, opset_imports=opsets))

    return write


def external(location: str, length: int = 8) -> Write:
    """A model whose weight lies in another file."""

    def write(folder: Path) -> Path:
        (folder.parent / "outside.bin").write_bytes(bytes(64))
        (folder / "short.bin").write_bytes(bytes(4))
        weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[length // 4])
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=location)
        made = helper.make_node("Add", ["x", "w"], ["y"])
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
        end = onnx.ValueInfoProto(name="y")
        graph = helper.make_graph([made], "g", [x], [end], [weight])
        return written(folder, helper.make_model(graph))

    return write


def no_opset(folder: Path) -> Path:
    model = model_of("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    del model.opset_import[:]
    return written(folder, model)


CYCLE = "g (float[2] x) => (float[2] y) { a = Add(x, b) b = Relu(a) y = Neg(b) }"
TWICE = "g (float[2] x) => (float[2] y) { y = Relu(x) y = Neg(x) }"
UNDEFINED = "g (float[2] x) => (float[2] y) { y = Add(x, nowhere) }"
NO_OUTPUT = "g (float[2] x) => (float[2] z) { y = Relu(x) }"
MISMATCH = "g (float[2, 3] x, float[4, 5] y) => (float[2, 5] z) { z = MatMul(x, y) }"
OUTPUT_SIZE = "g (float[2, 3] x) => (float[2, 4] y) { y = Relu(x) }"
OUTPUT_DTYPE = "g (float[2, 3] x) => (int64[2, 3] y) { y = Relu(x) }"
INNER_DTYPE = "g (float[2] x) => (float[2] y) <int32[2] h> { h = Relu(x) y = Neg(h) }"
INNER_SIZE = "g (float[2] x) => (float[2] y) <float[7] h> { h = Relu(x) y = Neg(h) }"
NEGATIVE = "g (float[-3] x) => (float[2] y) { y = Relu(x) }"
MIXED = "g (float[2] x, double[2] y) => (float[2] z) { z = Add(x, y) }"
TWO_INPUTS = "g (float[2] x, float[2] x) => (float[2] y) { y = Relu(x) }"
RELU = "g (float[2] x) => (float[2] y) { y = Relu(x) }"

MODELS: dict[str, tuple[Write, type[gw.GraphwrightError], str]] = {
    "missing file": (missing, gw.ModelError, "nothing.onnx.*No such file"),
    "a folder": (lambda folder: folder, gw.ModelError, "cannot read model"),
    "empty": (raw(b""), gw.ModelError, "is empty"),
    "not ONNX": (
        raw(b"This is text, not a model.\n" * 9),
        gw.ModelError,
        "not an ONNX",
    ),
    "zeros": (raw(bytes(5000)), gw.ModelError, "not an ONNX"),
    "another protobuf": (raw(b"\x08\x07"), gw.ModelError, "holds no graph"),
    "truncated": (truncated, gw.ModelError, "cut short"),
    "unknown operator": (node("Frob"), gw.UnsupportedOpError, r"Frob 'odd'.*opset 21"),
    "operator too new": (
        text("g (float[2] x) => (float[2] y) { y = Gelu(x) }", 13),
        gw.UnsupportedOpError,
        "Gelu came with opset 20.*opset 13",
    ),
    "unknown opset": (text(RELU, 999), gw.ModelError, "opset 999.*upgrade onnx"),
    "opset 0": (text(RELU, 0), gw.ModelError, "opset 0"),
    "no opset": (no_opset, gw.ModelError, "imports no opset"),
    "domain not imported": (node("Relu", "com.nobody"), gw.ModelError, "com.nobody"),
    "unknown domain": (
        node("Relu", "com.example"),
        gw.UnsupportedOpError,
        r"com.example.Relu",
    ),
    "cycle": (text(CYCLE), gw.ModelError, "form a cycle.*Add"),
    "missing value": (text(UNDEFINED), gw.ModelError, "'nowhere'"),
    "missing output": (text(NO_OUTPUT), gw.ModelError, "'z'"),
    "duplicate value": (text(TWICE), gw.ModelError, "'y' is defined twice"),
    "duplicate input": (text(TWO_INPUTS), gw.ModelError, "'x' is defined twice"),
    "wrong attribute type": (
        node("Softmax", axis=1.5),
        gw.ModelError,
        r"Softmax 'odd'.*'axis'.*integer",
    ),
    "attribute out of range": (node("Softmax", axis=7), gw.ModelError, "axis 7"),
    "shapes that do not fit": (text(MISMATCH), gw.ShapeError, "MatMul"),
    "dtypes that do not fit": (text(MIXED), gw.DTypeError, "Add.*float32.*float64"),
    "declared output size": (text(OUTPUT_SIZE), gw.ModelError, "'y'.*declare.*2, 4"),
    "declared output dtype": (text(OUTPUT_DTYPE), gw.ModelError, "'y'.*declare.*int64"),
    "declared inner dtype": (text(INNER_DTYPE), gw.ModelError, "'h'.*declare.*int32"),
    "negative size": (text(NEGATIVE), gw.ModelError, "negative"),
    "external data outside": (external("../outside.bin"), gw.ModelError, "outside"),
    "external data absolute": (external("/etc/hosts"), gw.ModelError, "relative"),
    "external data missing": (external("none.bin"), gw.ModelError, "none.bin"),
    "external data short": (external("short.bin"), gw.ModelError, "4 bytes"),
}


@pytest.mark.parametrize("case", MODELS)
def test_bad_model_from_python(case: str, tmp_path: Path) -> None:
    write, kind, words = MODELS[case]
    (tmp_path / "in").mkdir()
    path = write(tmp_path / "in")
    with pytest.raises(gw.GraphwrightError) as found:
        gw.compile(path)
    assert isinstance(found.value, kind)
    assert len(str(found.value)) < 300
    assert re.search(words, str(found.value)), str(found.value)


@pytest.mark.parametrize("case", MODELS)
def test_bad_model_from_the_command_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write, _, words = MODELS[case]
    (tmp_path / "in").mkdir()
    assert main(["run", str(write(tmp_path / "in")), "--random"]) == 2
    check_paragraph(capsys, words)


def check_paragraph(capsys: pytest.CaptureFixture[str], words: str) -> None:
    """Checks that stdout is empty and stderr one paragraph that says the words."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(words, err), err


def feeds(**changed: Any) -> dict[str, Any]:
    return {"image": FEED, **changed}


TWO_DIMS = """g (float[n, 3] x, float[n, 3] y) => (float[n, 3] z) { z = Add(x, y) }"""

FEEDS: dict[str, tuple[dict[str, Any], str]] = {
    "wrong name": ({"picture": FEED}, "no input is called 'picture'.*'image'"),
    "one too many": (feeds(other=FEED), "'other'.*'image'"),
    "none": ({}, "'image'.*is missing"),
    "wrong dtype": (feeds(image=FEED.astype(np.float64)), r"float64.*astype"),
    "wrong rank": (feeds(image=FEED[0]), "3 axes"),
    "wrong size": (
        feeds(image=np.zeros((1, 1, 28, 28), np.float32)),
        "size 28 on axis 2",
    ),
}


@pytest.mark.parametrize("case", FEEDS)
def test_bad_feed_from_python(case: str) -> None:
    given, words = FEEDS[case]
    exe = gw.compile(DIGITS)
    with pytest.raises(gw.FeedError, match=words) as found:
        exe.run(None, given)
    assert len(str(found.value)) < 300
    with pytest.raises(gw.FeedError, match=words):
        gw.InferenceSession(DIGITS).run(None, given)


@pytest.mark.parametrize("case", FEEDS)
def test_bad_feed_from_the_command_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, words = FEEDS[case]
    args = ["run", str(DIGITS)]
    for name, array in given.items():
        np.save(tmp_path / f"{name}.npy", array)
        args += ["--input", f"{name}={tmp_path / name}.npy"]
    assert main(args) == 2
    check_paragraph(capsys, words)


@pytest.mark.parametrize("case", ["run", "bisect", "compare"])
def test_a_negative_seed(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    random = ["--random"] if case == "run" else []
    assert main([case, str(DIGITS), *random, "--seed", "-1"]) == 2
    check_paragraph(capsys, "seed=-1.*negative")


def test_a_dim_with_two_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = text(TWO_DIMS)(tmp_path)
    x, y = np.zeros((2, 3), np.float32), np.zeros((5, 3), np.float32)
    words = "'y' has size 5 on axis 0 where n = 2"
    with pytest.raises(gw.FeedError, match=words):
        gw.compile(path)(x, y)
    np.savez(tmp_path / "both.npz", x=x, y=y)
    assert main(["run", str(path), "--input", str(tmp_path / "both.npz")]) == 2
    check_paragraph(capsys, words)
    np.savez(tmp_path / "both.npz", x=x, y=x)
    args = ["run", str(path), "--input", str(tmp_path / "both.npz"), "--dim", "n=4"]
    assert main(args) == 2
    check_paragraph(capsys, "size 2 on axis 0")


def test_calls_by_position() -> None:
    exe = gw.compile(DIGITS)
    with pytest.raises(gw.FeedError, match=r"takes 1 input.*got 2"):
        exe(FEED, FEED)
    with pytest.raises(gw.FeedError, match="by position and by name"):
        exe(FEED, image=FEED)
    with pytest.raises(gw.FeedError, match="'digit'"):
        exe.run(["digit"], {"image": FEED})


@pytest.mark.parametrize(
    ("name", "library"), [("opencl", "pyopencl"), ("cuda", "cupy")]
)
def test_a_missing_optional_package(
    name: str,
    library: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for home in ("registry", "cuda.library", "opencl.library"):
        monkeypatch.setattr(f"graphwright.backends.{home}.find_spec", lambda _: None)
    monkeypatch.setattr("graphwright.backends.registry._instances", {})
    words = rf'(?i){library}.*pip install "graphwright\[{name}\]"'
    with pytest.raises(gw.BackendUnavailable, match=words) as found:
        gw.compile(DIGITS, backend=name)
    assert isinstance(found.value, ImportError)
    assert main(["run", str(DIGITS), "--random", "--backend", name]) == 2
    check_paragraph(capsys, words)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("uint8", [300, 1]),
        ("uint8", [-1, 1]),
        ("int64", [1.5, 2]),
        ("bool", [1, 0]),
        ("float", ["a", "b"]),
        ("float", [None, None]),
        ("float", None),
        ("float", [[1], [2, 3]]),
        ("float", {}),
        ("string", np.zeros(2)),
        ("string", ["a", 1.5j]),
        ("string", np.array(["a", None], object)),
    ],
)
def test_python_values_that_do_not_fit(dtype: str, value: Any) -> None:
    graph = f"g ({dtype}[2] x) => ({dtype}[2] y) {{ y = Identity(x) }}"
    with pytest.raises(gw.FeedError, match="'x' takes"):
        gw.compile(model_of(graph)).run(None, {"x": value})


def test_python_values_take_the_declared_dtype() -> None:
    for dtype, value in (
        ("uint8", [3, 1]),
        ("float", [1, 2.5]),
        ("string", ["a", "b"]),
    ):
        graph = f"g ({dtype}[2] x) => ({dtype}[2] y) {{ y = Identity(x) }}"
        (found,) = gw.compile(model_of(graph)).run(None, {"x": value})
        assert found.tolist() == value


def test_feeds_without_names() -> None:
    exe = gw.compile(model_of("g (float[2] x) => (float[2] y) { y = Neg(x) }"))
    with pytest.raises(gw.FeedError, match="a dict by the inputs' names, got a list"):
        exe.run(None, [np.ones(2, np.float32)])  # type: ignore[arg-type]


def test_no_threads_at_all() -> None:
    with pytest.raises(gw.FeedError, match="at least 1 thread"):
        gw.set_num_threads(0)


@pytest.mark.parametrize("count", ["0", "two"])
def test_no_number_of_threads(count: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHWRIGHT_NUM_THREADS", count)
    with pytest.raises(gw.BackendUnavailable, match=f"is '{count}': it can be 1 or"):
        threads._default_threads()


def test_an_unknown_backend(capsys: pytest.CaptureFixture[str]) -> None:
    words = "no backend 'abacus'.*numpy"
    with pytest.raises(gw.BackendUnavailable, match=words):
        gw.compile(DIGITS, backend="abacus")
    assert main(["check", str(DIGITS), "--backend", "abacus"]) == 2
    check_paragraph(capsys, words)
    assert (
        gw.compile(DIGITS, backend=["abacus", "numpy"]).options.backend.name == "numpy"
    )


def test_what_is_no_model_at_all() -> None:
    with pytest.raises(gw.ModelError, match="got int"):
        gw.load(7)
    with pytest.raises(gw.ModelError, match="not an ONNX model"):
        gw.load(b"\xff\xff\xff")


def test_a_wrong_size_inside_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gw.load(text(INNER_SIZE)(tmp_path))
    assert "'h' is declared float32[7], its nodes make it float32[2]" in caplog.text


def test_text_that_is_not_utf_8() -> None:
    blob = model_of(RELU).SerializeToString().replace(b"Relu", b"Rel\xff")
    with pytest.raises(gw.ModelError, match="UTF-8"):
        gw.load(blob)


def test_a_malformed_node_is_named(tmp_path: Path) -> None:
    model = model_of("g (float[1, 1, 2] x) => (float[1, 1, h] y) { y = Resize(x) }")
    with pytest.raises(gw.ModelError, match="Resize"):
        gw.load(written(tmp_path, model))


@pytest.mark.parametrize("seed", range(3))
def test_damaged_bytes_never_escape_as_other_errors(seed: int) -> None:
    """Each of many models with damaged bytes loads, or fails with one of our errors."""
    rng = np.random.default_rng(seed)
    blob = np.frombuffer(DIGITS.read_bytes(), np.uint8)
    headers = np.flatnonzero(blob < 128)[:1500]
    for _ in range(150):
        damaged = blob.copy()
        where = rng.choice(headers, rng.integers(1, 6))
        damaged[where] = rng.integers(0, 256, where.size)
        with contextlib.suppress(gw.GraphwrightError):
            gw.load(damaged.tobytes())


def test_messages_hold_no_control_characters(tmp_path: Path) -> None:
    model = model_of(RELU)
    model.graph.node[0].op_type = "Fr\x1b[31mob\n" * 99
    with pytest.raises(gw.UnsupportedOpError) as found:
        gw.load(written(tmp_path, model))
    assert str(found.value).isprintable()
    assert len(str(found.value)) < 300


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "nothing.onnx", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err
