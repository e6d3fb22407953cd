"""CUDA without a GPU: NumPy behind CuPy's borders, and what is said where it lacks."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fake_cupy import FakeArray, OutOfMemoryError, fake_cupy

import graphwright as gw
from graphwright.backends import registry
from graphwright.backends.cuda import library
from graphwright.backends.cuda.backend import CudaBackend
from graphwright.ir.dtype import bfloat16, float32
from graphwright.ir.op import OPS, Tier
from graphwright.ir.types import TensorType
from graphwright.testing import assert_agree, cases, inputs_for, random_graph

COMPUTED = [
    name
    for name, cls in OPS.items()
    if cls.tier in (Tier.PRIMITIVE, Tier.COMPOSITE)
    and cls.__module__.startswith("graphwright.ir")
]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_instances", {})
    library.cupy.cache_clear()
    yield
    library.cupy.cache_clear()


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> CudaBackend:
    """A backend on a GPU that is none."""
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy())
    monkeypatch.setattr(library, "has_driver", lambda: True)
    backend = registry.get_backend("cuda")
    assert isinstance(backend, CudaBackend)
    assert backend.unavailable() is None
    return backend


def hold(op: str, device: CudaBackend, most: int) -> None:
    """Agrees on a case of each kind, and on some of each dtype with plain operands."""
    met = Counter[tuple[str, str]]()
    for case in cases(op):
        _, kind, dtype, *_ = case.name.split("-")
        key = (kind, dtype if kind == "static" else "")
        met[key] += 1
        if met[key] <= (most if kind == "static" else 1):
            assert_agree(case.graph, case.inputs, backend=device, optimize=False)


@pytest.mark.parametrize("op", COMPUTED)
def test_ops_on_arrays_that_numpy_refuses(op: str, device: CudaBackend) -> None:
    hold(op, device, 1)


@pytest.mark.full
@pytest.mark.parametrize("op", COMPUTED)
def test_all_plain_operands_on_such_arrays(op: str, device: CudaBackend) -> None:
    hold(op, device, 1000)


@pytest.mark.parametrize("start", range(0, 60, 20))
def test_random_graphs(start: int, device: CudaBackend) -> None:
    for seed in range(start, start + 20):
        graph = random_graph(seed)
        assert_agree(graph, inputs_for(graph, seed), backend=device)


def doubled() -> gw.Graph:
    b = gw.Builder("double")
    x = b.input("x", TensorType(float32, (3,)))
    return b.finish([b.add(x, x)], ["y"])


def test_arrays_of_the_device_stay_there(device: CudaBackend) -> None:
    exe = gw.compile(doubled(), backend="cuda", strict=True)
    y = exe(FakeArray(np.arange(3, dtype=np.float32)))
    assert isinstance(y.array, FakeArray)
    assert y.backend == "cuda"
    assert y.__dlpack_device__() == (2, 0)
    np.testing.assert_array_equal(y.numpy(), [0, 2, 4])
    np.testing.assert_array_equal(exe(y).numpy(), [0, 4, 8])
    (host,) = exe.run(None, {"x": np.ones(3, np.float32)})
    assert isinstance(host, np.ndarray)


def test_arrays_of_the_device_have_the_dtype_asked_for(device: CudaBackend) -> None:
    exe = gw.compile(doubled(), backend="cuda")
    with pytest.raises(gw.FeedError, match="float64"):
        exe(FakeArray(np.arange(3.0)))


def test_a_result_is_no_input(device: CudaBackend) -> None:
    b = gw.Builder("same")
    x = b.input("x", TensorType(float32, (3,)))
    exe = gw.compile(b.finish([x, b.reshape(x, (3, 1))]), backend="cuda")
    given = FakeArray(np.zeros(3, np.float32))
    same, turned = exe(given)
    same.array[0] = 7.0
    assert given.held[0] == 0
    assert turned.array.held[0] == 0


def test_dtypes_that_cupy_lacks_stay_on_the_host(device: CudaBackend) -> None:
    b = gw.Builder("narrow")
    x = b.input("x", TensorType(float32, (3,)))
    graph = b.finish([b.cast(b.neg(b.cast(x, bfloat16)), float32)])
    report = gw.check(graph, backend="cuda")
    assert {f.outcome for f in report.findings} == {"falls back to numpy"}
    exe = gw.compile(graph, backend="cuda")
    np.testing.assert_array_equal(exe(np.ones(3, np.float32)).numpy(), [-1, -1, -1])
    assert {f.op for f in exe.fallbacks} == {f.op for f in report.findings}
    with pytest.raises(gw.UnsupportedOpError, match="strict=False"):
        gw.compile(graph, backend="cuda", strict=True)(np.ones(3, np.float32))


def test_traced_functions(device: CudaBackend) -> None:
    @gw.jit(backend="cuda")
    def f(x: Any, y: Any) -> Any:
        return np.tanh(x @ y) + 1

    x = np.ones((2, 2), np.float32)
    y = f(x, x)
    assert isinstance(y.array, FakeArray)
    np.testing.assert_allclose(f(y, x).numpy(), np.tanh(y.numpy() @ x) + 1, rtol=1e-6)


def test_memory_that_runs_out(
    device: CudaBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(self: Any, xp: Any, *_: Any) -> Any:
        raise OutOfMemoryError("Out of memory allocating 4,096 bytes")

    monkeypatch.setattr(OPS["add"], "compute", exhausted)
    exe = gw.compile(doubled(), backend="cuda")
    with pytest.raises(gw.DeviceMemoryError, match=r"4,096 bytes.*1,048,576 of"):
        exe(np.ones(3, np.float32))
    monkeypatch.undo()


def test_devices_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(devices=2))
    monkeypatch.setattr(library, "has_driver", lambda: True)
    second = registry.get_backend("cuda:1")
    assert (second.name, second.unavailable()) == ("cuda:1", None)
    assert second is registry.get_backend("cuda:1")
    assert registry.get_backend("cuda:0") is registry.get_backend("cuda")
    assert second.devices() == ["cuda:0", "cuda:1"]
    with pytest.raises(gw.BackendUnavailable, match=r"no GPU 2.*cuda:0, cuda:1"):
        gw.compile(doubled(), backend="cuda:2")
    with pytest.raises(gw.BackendUnavailable, match="have numbers, as in 'cuda:1'"):
        gw.compile(doubled(), backend="cuda:first")
    with pytest.raises(gw.BackendUnavailable, match="one device, number 0"):
        gw.compile(doubled(), backend="numpy:1")


# What is missing ----------------------------------------------------------------------


def complaint(backend: str = "cuda") -> str:
    with pytest.raises(gw.BackendUnavailable) as caught:
        gw.compile(doubled(), backend=backend)
    return str(caught.value)


def test_without_cupy_and_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "has_library", lambda: False)
    monkeypatch.setattr(library, "has_driver", lambda: False)
    text = complaint()
    assert 'CuPy is not installed: pip install "graphwright[cuda]"' in text
    assert "NVIDIA's driver" in text
    assert len(text) < 300


def test_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(0))
    monkeypatch.setattr(library, "has_driver", lambda: False)
    text = complaint()
    assert "driver" in text
    assert "pip install" not in text


def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(0))
    monkeypatch.setattr(library, "has_driver", lambda: True)
    assert "shows no GPU: check `nvidia-smi`" in complaint()


def test_with_an_old_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(0, driver=12040))
    monkeypatch.setattr(library, "has_driver", lambda: True)
    assert "knows CUDA 12.4, CuPy needs 13.0" in complaint()


def test_checking_and_importing_ask_no_device() -> None:
    script = (
        "import sys; sys.modules['cupy'] = None\n"
        "import graphwright as gw, numpy as np\n"
        "b = gw.Builder('g')\n"
        "from graphwright.ir.dtype import float32\n"
        "from graphwright.ir.types import TensorType\n"
        "x = b.input('x', TensorType(float32, (3,)))\n"
        "print(gw.check(b.finish([b.exp(x)]), backend='cuda').ok)\n"
        "print(gw.check(b.finish([b.exp(x)]), backend='cuda:3').ok)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert run.stdout.split() == ["True", "True"], run.stderr
