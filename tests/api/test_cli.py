"""The command line: what it prints for people and machines, and its exit codes."""

import json
import logging
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from onnx_graphs import model_of
from PIL import Image

import graphwright as gw
from graphwright.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(str(gw.__file__)).parent / "data"
DIGITS = DATA / "digits.onnx"
SEVEN = DATA / "digits" / "7.png"

Capture = pytest.CaptureFixture[str]


def run(capsys: Capture, *args: object, code: int = 0) -> str:
    """What a command writes to stdout; its exit code is checked."""
    found = main([str(arg) for arg in args])
    out, err = capsys.readouterr()
    assert found == code, err
    return out


def run_json(capsys: Capture, *args: object, code: int = 0) -> Any:
    return json.loads(run(capsys, *args, "--json", code=code))


def fails(capsys: Capture, words: str, *args: object) -> None:
    """Checks that a command ends with 2 and says the words in one paragraph."""
    assert main([str(arg) for arg in args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.match(f"error: .*{words}", err), err
    assert err.count("\n") == 1


def model(folder: Path, graph: str, **initializers: Any) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model_of(graph, **initializers).SerializeToString())
    return path


def process(*args: object, **variables: str) -> "subprocess.CompletedProcess[str]":
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    command = [sys.executable, "-m", "graphwright", *map(str, args)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env={**kept, **variables, "PYTHONIOENCODING": "utf-8"},
    )


# --- run ------------------------------------------------------------------------------


def test_run_reads_a_digit(capsys: Capture) -> None:
    out = run(capsys, "run", DIGITS, "--input", f"image={SEVEN}")
    assert re.match(r"7.png: 7  \(probability 99\.\d%\)\n", out)


def test_run_as_a_process_writes_plain_text() -> None:
    done = process("run", DIGITS, "--input", f"image={SEVEN}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("7.png: 7 ")
    assert "\x1b" not in done.stdout + done.stderr
    coloured = process("run", DIGITS, "--random", FORCE_COLOR="1")
    assert "\x1b[" in coloured.stdout
    plain = process("run", DIGITS, "--random", FORCE_COLOR="1", NO_COLOR="1")
    assert "\x1b" not in plain.stdout
    narrow = process("run", DIGITS, "--random", COLUMNS="30")
    assert max(map(len, narrow.stdout.splitlines())) <= 30


def test_run_json_agrees_with_onnx_runtime(capsys: Capture) -> None:
    found = run_json(capsys, "run", DIGITS, "--input", f"image={SEVEN}")
    assert found["graph"] == "digits"
    assert found["backend"] == "numpy"
    assert set(found["seconds"]) == {"load", "read", "compile", "run"}
    (image,) = found["inputs"]
    assert (image["name"], image["dtype"]) == ("image", "float32")
    assert image["shape"] == [1, 1, 32, 32]
    (output,) = found["outputs"]
    (row,) = output["labels"]
    session: Any = ort.InferenceSession(DIGITS)
    with Image.open(SEVEN) as picture:
        feed = np.asarray(picture, np.float32)[None, None] / np.float32(255)
    (odds,) = session.run(None, {"image": feed})
    assert [entry["label"] for entry in row] == [
        str(i) for i in np.argsort(-odds[0], kind="stable")[:5]
    ]
    assert row[0]["value"] == pytest.approx(float(odds.max()), rel=1e-4)
    assert output["max"] == pytest.approx(float(odds.max()), rel=1e-4)


def test_pngs_make_a_batch(capsys: Capture) -> None:
    words = [w for d in (3, 1, 4) for w in ("--input", f"{DATA}/digits/{d}.png")]
    found = run_json(capsys, "run", DIGITS, *words)
    rows = found["outputs"][0]["labels"]
    assert [row[0]["label"] for row in rows] == ["3", "1", "4"]
    out = run(capsys, "run", DIGITS, *words)
    assert re.search(r"3\.png +3 ", out)


@pytest.mark.parametrize("shape", ["1,h,w", "n,3,8,6", "n,8,6,4", "8,6", "4,h,w"])
@pytest.mark.parametrize("dtype", ["float", "uint8", "float16"])
def test_a_png_takes_the_declared_layout(
    shape: str, dtype: str, tmp_path: Path, capsys: Capture
) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (8, 6, 4), np.uint8)
    picture = Image.fromarray(pixels)
    picture.save(tmp_path / "x.png")
    path = model(
        tmp_path, f"g ({dtype}[{shape}] x) => ({dtype}[{shape}] y) {{y = Identity(x)}}"
    )
    run(
        capsys,
        "run",
        path,
        "--input",
        tmp_path / "x.png",
        "--output",
        tmp_path / "y.npy",
    )
    modes = {
        "1,h,w": "L",
        "n,3,8,6": "RGB",
        "n,8,6,4": "RGBA",
        "8,6": "L",
        "4,h,w": "RGBA",
    }
    want = np.asarray(picture.convert(modes[shape]))
    if shape in ("n,3,8,6", "4,h,w"):
        want = want.transpose(2, 0, 1)
    if shape.startswith(("1", "n")):
        want = want[None]
    if dtype != "uint8":
        want = (want / np.float32(255)).astype(
            np.float16 if dtype == "float16" else "f4"
        )
    found = np.load(tmp_path / "y.npy")
    np.testing.assert_array_equal(found, want, strict=True)


def test_a_png_is_brought_to_the_declared_size(tmp_path: Path, capsys: Capture) -> None:
    Image.new("L", (64, 50), 51).save(tmp_path / "grey.png")
    found = run_json(capsys, "run", DIGITS, "--input", tmp_path / "grey.png")
    assert found["inputs"][0]["shape"] == [1, 1, 32, 32]
    assert found["inputs"][0]["min"] == found["inputs"][0]["max"] == pytest.approx(0.2)


def test_pictures_that_do_not_fit(tmp_path: Path, capsys: Capture) -> None:
    deep = tmp_path / "deep.png"
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(deep)
    fails(capsys, "over 8 bits", "run", DIGITS, "--input", deep)
    other = tmp_path / "other.png"
    Image.new("RGB", (4, 4)).save(tmp_path / "other.jpg")
    (tmp_path / "other.jpg").rename(other)
    fails(capsys, "cannot be read as a PNG", "run", DIGITS, "--input", other)
    fails(capsys, "no such file", "run", DIGITS, "--input", tmp_path / "none.png")
    path = model(tmp_path, "g (float[5, 5, 5] x) => (float[5, 5, 5] y) { y = Relu(x) }")
    fails(capsys, "does not fit input 'x'", "run", path, "--input", SEVEN)
    path = model(tmp_path, "g (int64[1, h, w] x) => (int64[1, h, w] y) { y = Neg(x) }")
    fails(capsys, "does not fit input 'x'", "run", path, "--input", SEVEN)


TWO = """g (float[n, 2] x, int64[n] i) => (float[n, 2] y, int64[n] j)
{ y = Neg(x) j = Neg(i) }"""


def test_arrays_from_files(tmp_path: Path, capsys: Capture) -> None:
    path = model(tmp_path, TWO)
    x, i = np.array([[1, -2]], np.float32), np.array([7])
    np.savez(tmp_path / "both.npz", x=x, i=i, more=x)
    np.savez(tmp_path / "one.npz", anything=i)
    np.save(tmp_path / "x.npy", x)
    out = tmp_path / "out.npz"
    for words in (
        [f"x={tmp_path}/both.npz", f"i={tmp_path}/both.npz"],
        [f"x={tmp_path}/both.npz:more", f"i={tmp_path}/one.npz"],
        [f"x={tmp_path}/x.npy", f"i={tmp_path}/both.npz:i"],
    ):
        given = [w for word in words for w in ("--input", word)]
        found = run_json(capsys, "run", path, *given, "--output", out)
        assert found["output_file"] == str(out)
        with np.load(out) as results:
            np.testing.assert_array_equal(results["y"], -x, strict=True)
            np.testing.assert_array_equal(results["j"], -i, strict=True)
    fails(capsys, "'more'.*'x', 'i'", "run", path, "--input", tmp_path / "both.npz")
    fails(capsys, "holds no 'z'", "run", path, "--input", f"x={tmp_path}/both.npz:z")
    fails(capsys, "names no input", "run", path, "--input", tmp_path / "x.npy")
    fails(capsys, "called 'z'", "run", path, "--input", f"z={tmp_path}/x.npy")
    twice = ["--input", f"x={tmp_path}/x.npy"] * 2
    fails(capsys, "given twice", "run", path, *twice)
    fails(capsys, "give .npy", "run", path, "--input", "x=x.csv")
    fails(capsys, "write .npz", "run", path, "--random", "--output", tmp_path / "o.txt")
    fails(capsys, "cannot write", "run", path, "--random", "--output", "/none/o.npz")


def test_damaged_and_pickled_files_are_refused(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY\x01\x00nonsense")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04nonsense")
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("1 2 3")
    rows = {
        "bad.npy": "cannot read",
        "bad.npz": "cannot read",
        "objects.npy": "objects are never unpickled",
        "text.npy": "no .npy or .npz of numbers",
    }
    for name, words in rows.items():
        fails(capsys, words, "run", DIGITS, "--input", f"image={tmp_path / name}")


def test_bfloat16_through_files(tmp_path: Path, capsys: Capture) -> None:
    path = model(tmp_path, "g (bfloat16[3] x) => (bfloat16[3] y) { y = Neg(x) }")
    np.save(tmp_path / "x.npy", np.array([1, 2, 3], ml_dtypes.bfloat16))
    args = ["--input", tmp_path / "x.npy", "--output", tmp_path / "y.npz"]
    found = run_json(capsys, "run", path, *args)
    assert found["outputs"][0]["dtype"] == "bfloat16"
    with np.load(tmp_path / "y.npz") as results:
        want = np.array([-1, -2, -3], np.float32)
        np.testing.assert_array_equal(results["y"], want, strict=True)


def test_random_inputs_are_seeded(tmp_path: Path, capsys: Capture) -> None:
    path = model(tmp_path, TWO)
    args = ["run", path, "--random", "--dim", "n=5"]
    one = run_json(capsys, *args)
    assert one["inputs"][0]["shape"] == [5, 2]
    assert one["inputs"] == run_json(capsys, *args)["inputs"]
    assert one["inputs"] != run_json(capsys, *args, "--seed", 1)["inputs"]
    np.save(tmp_path / "i.npy", np.zeros(3, np.int64))
    filled = run_json(capsys, "run", path, "--random", "--input", f"i={tmp_path}/i.npy")
    assert filled["inputs"][0]["shape"] == [3, 2]


def test_dims(tmp_path: Path, capsys: Capture) -> None:
    path = model(tmp_path, TWO)
    fails(capsys, "no dim is called 'm'.*'n'", "run", path, "--random", "--dim", "m=2")
    fails(capsys, "form name=size", "run", path, "--random", "--dim", "n=two")
    fails(capsys, "two sizes", "run", path, "--random", "--dim", "n=1", "--dim", "n=2")
    fails(
        capsys, "needs .* bytes", "run", path, "--random", "--dim", "n=99999999999999"
    )


def test_special_numbers_are_json(tmp_path: Path, capsys: Capture) -> None:
    path = model(tmp_path, "g (float[2] x) => (float[2] y) { y = Log(x) }")
    np.save(tmp_path / "x.npy", np.array([-1, 0], np.float32))
    (y,) = run_json(capsys, "run", path, "--input", tmp_path / "x.npy")["outputs"]
    assert y["first"] == ["nan", "-inf"]


def test_scores_are_not_called_probabilities(tmp_path: Path, capsys: Capture) -> None:
    made = model_of("g (float[n, 2] x) => (float[n, 2] y) { y = Identity(x) }")
    made.metadata_props.add(key="labels", value='["cat", "dog"]')
    path = tmp_path / "model.onnx"
    path.write_bytes(made.SerializeToString())
    np.save(tmp_path / "x.npy", np.array([[3, -1]], np.float32))
    out = run(capsys, "run", path, "--input", tmp_path / "x.npy")
    assert "item 0: cat  (score 3)" in out
    assert "no softmax" in out
    made.metadata_props[0].value = "not JSON"
    path.write_bytes(made.SerializeToString())
    assert "first values" in run(capsys, "run", path, "--input", tmp_path / "x.npy")


def test_host_values_are_shown(tmp_path: Path, capsys: Capture) -> None:
    graph = "g (float[2] x) => (seq(float[2]) y) { y = SequenceConstruct(x, x) }"
    path = model(tmp_path, graph)
    out = tmp_path / "y.npz"
    (y,) = run_json(capsys, "run", path, "--random", "--output", out)["outputs"]
    assert (y["kind"], y["length"]) == ("list", 2)
    with np.load(out) as results:
        assert list(results) == ["y.0", "y.1"]


# --- the other commands ---------------------------------------------------------------


def test_inspect(capsys: Capture) -> None:
    out = run(capsys, "inspect", DIGITS)
    for words in ("float32[batch, 1, 32, 32]", "ai.onnx 18", "61.7 k", "softmax"):
        assert words in out
    found = run_json(capsys, "inspect", DIGITS, "--dim", "batch=2")
    assert found["parameters"] == 61_706
    assert (
        found["flops"]
        == 2 * run_json(capsys, "inspect", DIGITS, "--dim", "batch=1")["flops"]
    )
    text = run(capsys, "inspect", DIGITS, "--text")
    assert text == str(gw.load(DIGITS))
    fails(capsys, "no dim is called 'n'", "inspect", DIGITS, "--dim", "n=2")


def test_check(tmp_path: Path, capsys: Capture) -> None:
    found = run_json(capsys, "check", DIGITS)
    assert found["ok"] is True
    assert found["findings"] == []
    assert "runs all" in run(capsys, "check", DIGITS)
    nodes = [helper.make_node(n, ["x"], [n], name=f"odd {n}") for n in ("Frob", "Blub")]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    ends = [onnx.ValueInfoProto(name=n.output[0]) for n in nodes]
    path = tmp_path / "model.onnx"
    graph = helper.make_graph(nodes, "g", [x], ends)
    path.write_bytes(helper.make_model(graph).SerializeToString())
    found = run_json(capsys, "check", path, code=1)
    assert [f["op"] for f in found["findings"]] == ["Frob", "Blub"]
    assert "unknown operator" in run(capsys, "check", path, code=1)


def test_export(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out.onnx"
    assert "written to" in run(capsys, "export", DIGITS, out)
    args = ["--input", f"image={SEVEN}"]
    want = run_json(capsys, "run", DIGITS, *args)["outputs"][0]["labels"][0][0]
    found = run_json(capsys, "run", out, *args)["outputs"][0]["labels"][0][0]
    assert found["label"] == want["label"] == "7"
    data = run_json(capsys, "export", DIGITS, out, "--opset", 17, "--dim", "batch=2")
    assert data["bytes"] == out.stat().st_size
    model = onnx.load(out)
    assert model.opset_import[0].version == 17
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 2
    fails(capsys, "cannot|No such", "export", DIGITS, "/none/out.onnx")
    fails(capsys, "opset 999", "export", DIGITS, out, "--opset", 999)


def test_backends(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHWRIGHT_NUM_THREADS", "3")
    found = run_json(capsys, "backends")
    (numpy,) = (b for b in found["backends"] if b["name"] == "numpy")
    assert numpy == {
        "name": "numpy",
        "available": True,
        "devices": ["numpy"],
        "reason": "",
    }
    assert found["settings"]["GRAPHWRIGHT_NUM_THREADS"] == "3"
    assert "available" in run(capsys, "backends")


# --- the program ----------------------------------------------------------------------


def test_help_names_every_command(capsys: Capture) -> None:
    out = run(capsys)
    assert all(f"  {name} " in out for name in COMMANDS)
    assert run(capsys, "--version") == f"graphwright, version {gw.__version__}\n"
    for name in COMMANDS:
        out = run(capsys, name, "--help")
        assert "--json" in out
        assert "--debug" in out


def test_logging_follows_the_environment(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    level = logging.getLogger("graphwright").level
    monkeypatch.setenv("GRAPHWRIGHT_LOG", "debug")
    assert main(["run", str(DIGITS), "--random"]) == 0
    assert "compiled 'digits' for numpy" in " ".join(capsys.readouterr().err.split())
    monkeypatch.setenv("GRAPHWRIGHT_LOG", "loud")
    fails(capsys, "GRAPHWRIGHT_LOG is 'loud'", "run", DIGITS, "--random")
    assert logging.getLogger("graphwright").level == level


def test_usage_errors(capsys: Capture) -> None:
    fails(capsys, "No such command 'frob'", "frob")
    fails(capsys, "Missing argument 'MODEL'.*graphwright run --help", "run")
    fails(capsys, "No such option.*--frob", "run", DIGITS, "--frob")
    fails(capsys, "names no backend", "run", DIGITS, "--backend", ",")


def test_errors_as_json(capsys: Capture) -> None:
    assert main(["run", "nothing.onnx", "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["error"]["type"] == "ModelError"
    assert "nothing.onnx" in found["error"]["message"]


def test_faults_have_a_code_of_their_own(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("inner\x1b")

    monkeypatch.setattr(gw, "load", broken)
    assert main(["run", str(DIGITS)]) == 3
    err = capsys.readouterr().err
    assert "fault in graphwright" in err
    assert "\x1b" not in err
    monkeypatch.setenv("GRAPHWRIGHT_DEBUG", "1")
    assert main(["run", str(DIGITS)]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_help_starts_fast() -> None:
    script = (
        "import sys; from graphwright.cli import main; main(['--help']);"
        "print(*sorted({'numpy', 'onnx', 'rich'} & set(sys.modules)), 'loaded')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "loaded"
    times: list[float] = []
    for _ in range(5):
        start = time.perf_counter()
        process("--help")
        times.append(time.perf_counter() - start)
    assert min(times) < 0.3


def test_a_closed_pipe_is_no_error() -> None:
    script = f"{sys.executable} -m graphwright inspect --text {DIGITS} | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "graphwright.ir 1\n"
    assert done.stderr == ""
