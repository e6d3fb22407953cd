"""``InferenceSession`` means what ONNX Runtime's means."""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx_graphs import model_of

import graphwright as gw

DIGITS = Path(str(gw.__file__)).parent / "data" / "digits.onnx"
X = np.random.default_rng(0).random((3, 1, 32, 32), np.float32)

TWO = """g (float[n, 3] x, float[n, 3] y) => (float[n, 3] s, float[n, 3] p)
{ s = Add(x, y) p = Mul(x, y) }"""
TYPES = """g (float[n, 3] a, double[?, 2] b, int64 c, bool[2] d, string[n] e)
=> (float[n, 3] f, double[h, 2] g, int64 i, bool[2] j, string[n] k, float[m, n] t)
{ f = Relu(a) g = Identity(b) i = Identity(c) j = Not(d) k = Identity(e)
  u = Concat<axis=0>(a, a) t = Transpose(u) }"""


def theirs(model: Any, options: Any = None) -> Any:
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def args(nodes: Any) -> list[tuple[str, list[Any], str]]:
    return [(node.name, node.shape, node.type) for node in nodes]


@pytest.mark.parametrize("name", ["digits", "two", "types"])
def test_inputs_and_outputs_are_described_alike(name: str) -> None:
    model = {"digits": DIGITS, "two": model_of(TWO), "types": model_of(TYPES)}[name]
    ours, other = gw.InferenceSession(model), theirs(model)
    assert args(ours.get_inputs()) == args(other.get_inputs())
    for mine, their in zip(ours.get_outputs(), other.get_outputs(), strict=True):
        assert (mine.name, mine.type) == (their.name, their.type)
        for a, b in zip(mine.shape, their.shape, strict=True):
            assert a == b or a is None or isinstance(b, str)  # a name of no input's dim


def test_results_agree() -> None:
    ours, other = gw.InferenceSession(DIGITS), theirs(DIGITS)
    (want,) = other.run(None, {"image": X})
    for names in (None, [], ["probabilities"]):
        (found,) = ours.run(names, {"image": X})
        assert isinstance(found, np.ndarray)
        np.testing.assert_allclose(found, want, atol=1e-6)


def test_outputs_come_in_the_order_asked_for() -> None:
    session, other = gw.InferenceSession(model_of(TWO)), theirs(model_of(TWO))
    feeds = {"x": np.full((2, 3), 2, np.float32), "y": np.full((2, 3), 5, np.float32)}
    for names in (["p", "s"], ["s"], ["p", "p"]):
        found, want = session.run(names, feeds), other.run(names, feeds)
        assert [x.flat[0] for x in found] == [x.flat[0] for x in want]


@pytest.mark.parametrize(
    ("names", "feeds"),
    [
        (["digit"], {"image": X}),
        (None, {"picture": X}),
        (None, {"image": X, "more": X}),
        (None, {}),
        (None, {"image": X.astype(np.float64)}),
        (None, {"image": X[0]}),
        (None, {"image": X[:, :, :-1]}),
    ],
)
def test_what_they_refuse_is_refused(names: list[str] | None, feeds: Any) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - a different class each time
        theirs(DIGITS).run(names, feeds)
    for options in (gw.SessionOptions(), gw.SessionOptions(enable_profiling=True)):
        with pytest.raises(gw.FeedError):
            gw.InferenceSession(DIGITS, options).run(names, feeds)


def test_metadata() -> None:
    model = onnx.load(DIGITS)
    model.producer_name, model.producer_version = "maker", "1.2"
    model.doc_string, model.graph.doc_string = "of digits", "a graph"
    model.domain, model.model_version = "org.example", 7
    ours, want = (
        gw.InferenceSession(model).get_modelmeta(),
        theirs(model).get_modelmeta(),
    )
    for name in (
        "producer_name",
        "graph_name",
        "domain",
        "description",
        "graph_description",
        "version",
        "custom_metadata_map",
    ):
        assert getattr(ours, name) == getattr(want, name)


def test_providers() -> None:
    assert gw.InferenceSession(DIGITS).get_providers() == ["numpy"]
    names = ["abacus", ("CPUExecutionProvider", {"threads": 1})]
    session = gw.InferenceSession(DIGITS, providers=names)
    assert session.get_providers() == ["numpy"]
    assert session.get_provider_options() == {"numpy": {}}
    with pytest.raises(gw.BackendUnavailable):
        gw.InferenceSession(DIGITS, providers=["abacus"])


# --- options --------------------------------------------------------------------------


def test_a_free_dimension_is_fixed() -> None:
    options, their_options = gw.SessionOptions(), ort.SessionOptions()
    for each in (options, their_options):
        each.add_free_dimension_override_by_name("batch", 3)
        each.add_free_dimension_override_by_name("nothing", 3)
    ours, other = gw.InferenceSession(DIGITS, options), theirs(DIGITS, their_options)
    assert args(ours.get_inputs()) == args(other.get_inputs())
    assert args(ours.get_outputs()) == args(other.get_outputs())
    (found,), (want,) = (s.run(None, {"image": X}) for s in (ours, other))
    np.testing.assert_allclose(found, want, atol=1e-6)
    with pytest.raises(gw.FeedError, match="size 2 on axis 0"):
        ours.run(None, {"image": X[:2]})
    model = onnx.load(DIGITS)
    gw.InferenceSession(model, options)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


@pytest.mark.parametrize(
    "level", [*gw.GraphOptimizationLevel, 0, ort.GraphOptimizationLevel.ORT_DISABLE_ALL]
)
def test_optimisation_levels(level: Any) -> None:
    options = gw.SessionOptions(graph_optimization_level=level)
    session = gw.InferenceSession(DIGITS, options)
    (found,) = session.run(None, {"image": X})
    np.testing.assert_allclose(
        found, theirs(DIGITS).run(None, {"image": X})[0], atol=1e-6
    )
    graph = gw.load(DIGITS)
    lowered = session._executable.program.graph
    assert (len(lowered.nodes) == len(graph.nodes)) == (int(level) == 0)


def test_threads_belong_to_a_session() -> None:
    before = gw.get_num_threads()
    seen: list[int] = []
    session = gw.InferenceSession(DIGITS, gw.SessionOptions(intra_op_num_threads=3))
    with session._executable.observe(lambda _: seen.append(gw.get_num_threads())):
        session.run(None, {"image": X})
    assert set(seen) == {3}
    assert gw.get_num_threads() == before


def test_a_profile_is_a_chrome_trace(tmp_path: Path) -> None:
    prefix = str(tmp_path / "profile")
    options = gw.SessionOptions(enable_profiling=True, profile_file_prefix=prefix)
    session = gw.InferenceSession(DIGITS, options)
    plain = gw.InferenceSession(DIGITS).run(None, {"image": X})
    for _ in range(2):
        found = session.run(None, {"image": X})
        np.testing.assert_array_equal(found[0], plain[0])
    path = Path(session.end_profiling())
    assert path.name.startswith("profile_")
    events = json.loads(path.read_text(encoding="utf-8"))
    assert {event["ph"] for event in events} == {"X"}
    assert {"conv", "softmax"} & {event["args"]["op_name"] for event in events}
    starts = [event["ts"] for event in events]
    assert starts == sorted(starts)
    assert gw.InferenceSession(DIGITS).end_profiling() == ""
    broken = gw.SessionOptions(enable_profiling=True, profile_file_prefix="/none/x")
    with pytest.raises(gw.ModelError, match="cannot write"):
        gw.InferenceSession(DIGITS, broken).end_profiling()


# --- bindings and values --------------------------------------------------------------


@pytest.mark.parametrize("ours", [True, False])
def test_binding_arrays(ours: bool) -> None:
    session = gw.InferenceSession(DIGITS) if ours else theirs(DIGITS)
    (want,) = session.run(None, {"image": X})
    binding = session.io_binding()
    binding.bind_cpu_input("image", X)
    binding.bind_output("probabilities")
    session.run_with_iobinding(binding)
    np.testing.assert_array_equal(binding.copy_outputs_to_cpu()[0], want)
    np.testing.assert_array_equal(binding.get_outputs()[0].numpy(), want)
    binding.clear_binding_outputs()
    binding.clear_binding_inputs()
    with pytest.raises(Exception):  # noqa: B017, PT011 - a different class each
        session.run_with_iobinding(binding)


@pytest.mark.parametrize("ours", [True, False])
def test_binding_memory(ours: bool) -> None:
    session = gw.InferenceSession(DIGITS) if ours else theirs(DIGITS)
    (want,) = session.run(None, {"image": X})
    target = np.zeros((3, 10), np.float32)
    binding = session.io_binding()
    binding.bind_input("image", "cpu", 0, np.float32, list(X.shape), X.ctypes.data)
    binding.bind_output(
        "probabilities", "cpu", 0, np.float32, list(target.shape), target.ctypes.data
    )
    session.run_with_iobinding(binding)
    np.testing.assert_array_equal(target, want)


@pytest.mark.parametrize("ours", [True, False])
def test_binding_values(ours: bool) -> None:
    session: Any = gw.InferenceSession(DIGITS) if ours else theirs(DIGITS)
    kind: Any = gw.OrtValue if ours else ort.OrtValue
    x = kind.ortvalue_from_numpy(X.copy())
    y = kind.ortvalue_from_shape_and_type([3, 10], np.float32)
    binding = session.io_binding()
    binding.bind_ortvalue_input("image", x)
    binding.bind_ortvalue_output("probabilities", y)
    for each in (X, X[::-1].copy()):
        x.update_inplace(each)
        session.run_with_iobinding(binding)
        (want,) = session.run(None, {"image": each})
        np.testing.assert_array_equal(y.numpy(), want)


def test_values_describe_themselves_alike() -> None:
    for array in (
        X,
        np.zeros((2, 0), np.int64),
        np.ones((), bool),
        np.ones(2, np.float64),
    ):
        mine = gw.OrtValue.ortvalue_from_numpy(array)
        their = ort.OrtValue.ortvalue_from_numpy(array)
        for name in ("shape", "data_type", "device_name", "is_tensor", "has_value"):
            assert getattr(mine, name)() == getattr(their, name)(), name
        np.testing.assert_array_equal(mine.numpy(), array, strict=True)
    session = gw.InferenceSession(DIGITS)
    value = gw.OrtValue.ortvalue_from_numpy(X)
    assert value.data_ptr() == X.ctypes.data
    np.testing.assert_array_equal(
        session.run(None, {"image": value})[0], session.run(None, {"image": X})[0]
    )


def test_values_in_values_out() -> None:
    for session, kind in (
        (gw.InferenceSession(DIGITS), gw.OrtValue),
        (theirs(DIGITS), ort.OrtValue),
    ):
        value: Any = kind.ortvalue_from_numpy(X)
        (found,) = session.run_with_ort_values(None, {"image": value})
        (want,) = session.run(None, {"image": X})
        np.testing.assert_array_equal(found.numpy(), want)


def test_bindings_that_do_not_fit() -> None:
    session = gw.InferenceSession(DIGITS)
    binding = session.io_binding()
    binding.bind_cpu_input("image", X)
    small = gw.OrtValue.ortvalue_from_shape_and_type([2, 10], np.float32)
    binding.bind_ortvalue_output("probabilities", small)
    with pytest.raises(gw.FeedError, match=r"float32\[2, 10\], got float32\[3, 10\]"):
        session.run_with_iobinding(binding)
    with pytest.raises(gw.FeedError, match=r"'digit'.*'probabilities'"):
        binding.bind_output("digit")
    with pytest.raises(gw.FeedError, match="device 'cpu'"):
        binding.bind_output("probabilities", "cuda")
    with pytest.raises(gw.FeedError, match="holds"):
        small.update_inplace(np.zeros((2, 10)))


def test_many_threads_share_a_session() -> None:
    session = gw.InferenceSession(DIGITS)
    feeds = [X[: 1 + i % 3] * np.float32(1 + i) for i in range(8)]
    want = [session.run(None, {"image": x})[0] for x in feeds]
    found: list[Any] = [None] * len(feeds)

    def work(i: int) -> None:
        found[i] = session.run(None, {"image": feeds[i]})[0]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(feeds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, b in zip(found, want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
