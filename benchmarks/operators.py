"""Single operators on OpenCL, beside ONNX Runtime.

    operators.py [--only RE] [--rounds N] [--seconds S]

A line is a model of one node: microseconds of both with two threads, the least of some
rounds in turns, by ratio. Before, results are compared. A ``*`` marks what falls back
to the host.
"""

import argparse
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import graphwright as gw

Array: TypeAlias = NDArray[Any]
Fields: TypeAlias = dict[str, Any]
_REST = 0.01
_HIDDEN = 128
_RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Case:
    """A node: its name, operator, inputs, constants behind them, attributes."""

    name: str
    op: str
    inputs: Sequence[Array]
    constants: Sequence[Any] = ()
    outputs: int = 1
    domain: str = ""
    fields: Fields = field(default_factory=dict)

    def model(self) -> bytes:
        """The model of this node alone."""
        kind = helper.np_dtype_to_tensor_dtype
        ends = [
            helper.make_tensor_value_info(f"x{i}", kind(x.dtype), x.shape)
            for i, x in enumerate(self.inputs)
        ]
        names = [f"x{i}" for i in range(len(ends))]
        weights = []
        for i, x in enumerate(self.constants):
            names.append("" if x is None else f"c{i}")
            if x is not None:
                weights.append(numpy_helper.from_array(np.asarray(x), f"c{i}"))
        results = [f"y{i}" for i in range(self.outputs)]
        made = helper.make_node(
            self.op, names, results, domain=self.domain, **self.fields
        )
        outputs = [helper.make_empty_tensor_value_info(y) for y in results]
        graph = helper.make_graph([made], "g", ends, outputs, weights)
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        return bytes(model.SerializeToString())


def _floats(*shape: int) -> Array:
    return _RNG.standard_normal(shape, np.float32)


def _below(most: int, *shape: int) -> Array:
    return _RNG.integers(0, most, shape)


def _ints(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


def _rows() -> Iterator[Case]:
    """What goes along rows: softmax, norms, reductions, order."""
    for shape in ((2364, 197), (1536, 128), (4096, 32), (256, 1000), (20000, 10)):
        yield Case(f"softmax {shape}", "Softmax", [_floats(*shape)])
    yield Case("logsoftmax 128", "LogSoftmax", [_floats(1024, 128)])
    for n, width in ((197, 768), (1024, 128), (4096, 32)):
        norm = [_floats(n, width), *_floats(2, width)]
        yield Case(f"layernorm {width}", "LayerNormalization", norm)
    image = _floats(1, 64, 56, 56)
    yield Case("instancenorm", "InstanceNormalization", [image, *_floats(2, 64)])
    yield Case(
        "groupnorm",
        "GroupNormalization",
        [image, *_floats(2, 64)],
        fields={"num_groups": 8},
    )
    for op in ("ReduceSum", "ReduceMax", "ReduceMean"):
        sizes: Sequence[tuple[str, tuple[int, ...], int]] = (
            ("last", (256, 1024), 1),
            ("short", (16384, 16), 1),
            ("first", (1024, 256), 0),
            ("middle", (16, 128, 128), 1),
        )
        for name, size, axis in sizes:
            yield Case(f"{op} {name}", op, [_floats(*size)], [_ints(axis)])
    yield Case("ReduceMean hw", "ReduceMean", [_floats(1, 512, 28, 28)], [_ints(2, 3)])
    for axis in (0, 1):
        fields = {"axis": axis}
        yield Case(f"argmax {axis}", "ArgMax", [_floats(512, 512)], fields=fields)
    for rows, n, k in ((64, 1000, 5), (16, 10000, 50), (1, 1000, 5), (1, 100000, 100)):
        given = [_floats(rows, n)]
        yield Case(f"topk {rows}x{n} {k}", "TopK", given, [_ints(k)], outputs=2)
    for axis, given in enumerate(([_floats(1024, 512)], [_floats(512, 1024)])):
        yield Case(f"cumsum {axis}", "CumSum", given, [np.array(axis)])


def _elements() -> Iterator[Case]:
    """What goes by elements."""
    x = _floats(256, 1024)
    for op in ("Tanh", "Erf", "Sigmoid", "Exp", "Sin", "Relu", "HardSwish", "Floor"):
        yield Case(op.lower(), op, [x])
    for op in ("Log", "Sqrt", "Reciprocal"):
        yield Case(op.lower(), op, [np.abs(x)])
    wide = _floats(197, 3072)
    for kind in ("none", "tanh"):
        yield Case(f"gelu {kind}", "Gelu", [wide], fields={"approximate": kind})
    yield Case(
        "biasgelu", "BiasGelu", [wide, _floats(3072)], (), 1, "com.microsoft", {}
    )
    yield Case("pow", "Pow", [np.abs(x), _floats(256, 1024)])
    yield Case("add", "Add", [x, _floats(256, 1024)])
    yield Case("add channels", "Add", [_floats(1, 64, 56, 56), _floats(64, 1, 1)])
    yield Case("where", "Where", [x > 0, x, _floats(256, 1024)])
    yield Case("cast", "Cast", [x], fields={"to": TensorProto.INT32})
    yield Case("clip", "Clip", [x], [np.float32(-1), np.float32(1)])


def _movement() -> Iterator[Case]:
    """What moves elements."""
    fields: Fields
    for shape, perm in (
        ((12, 197, 64), (1, 0, 2)),
        ((1024, 512), (1, 0)),
        ((1, 64, 56, 56), (0, 2, 3, 1)),
        ((1, 56, 56, 64), (0, 3, 1, 2)),
        ((8, 128, 12, 64), (0, 2, 3, 1)),
    ):
        fields = {"perm": list(perm)}
        yield Case(
            f"transpose {perm} {shape}", "Transpose", [_floats(*shape)], fields=fields
        )
    image = _floats(1, 64, 56, 56)
    for axis in (1, 3):
        fields = {"axis": axis}
        yield Case(f"concat {axis}", "Concat", [image, image + 1], fields=fields)
    for axis, shape in ((1, (1, 64, 56, 56)), (2, (1, 197, 2304))):
        fields = {"axis": axis, "num_outputs": 3 if axis == 2 else 2}
        yield Case(
            f"split {axis}",
            "Split",
            [_floats(*shape)],
            outputs=fields["num_outputs"],
            fields=fields,
        )
    for step in (1, 2):
        cut = [_ints(0, 0), _ints(50, 56), _ints(2, 3), _ints(step, step)]
        yield Case(f"slice /{step}", "Slice", [image], cut)
    yield Case("pad", "Pad", [image], [_ints(0, 0, 1, 1, 0, 0, 1, 1)])
    yield Case(
        "pad reflect",
        "Pad",
        [image],
        [_ints(0, 0, 2, 2, 0, 0, 2, 2)],
        fields={"mode": "reflect"},
    )
    yield Case("tile", "Tile", [_floats(64, 256)], [_ints(4, 4)])
    yield Case("expand", "Expand", [_floats(64, 1, 256)], [_ints(64, 32, 256)])
    yield Case("depthtospace", "DepthToSpace", [image], fields={"blocksize": 2})
    yield Case("gather rows", "Gather", [_floats(30000, 128), _below(30000, 512)])
    yield Case(
        "gather columns",
        "Gather",
        [_floats(512, 1024), _below(1024, 256)],
        fields={"axis": 1},
    )
    square = _below(512, 512, 512)
    yield Case(
        "gatherelements",
        "GatherElements",
        [_floats(512, 512), square],
        fields={"axis": 1},
    )
    yield Case("gathernd", "GatherND", [_floats(100, 100, 16), _below(100, 2000, 2)])
    yield Case(
        "scatterelements",
        "ScatterElements",
        [_floats(512, 512), np.argsort(square, 1), _floats(512, 512)],
        fields={"axis": 1},
    )
    at = _RNG.permutation(1000)[:300].reshape(300, 1)
    yield Case("scatternd", "ScatterND", [_floats(1000, 64), at, _floats(300, 64)])
    yield Case(
        "scatternd add",
        "ScatterND",
        [_floats(1000, 64), _below(1000, 300, 1), _floats(300, 64)],
        fields={"reduction": "add"},
    )
    yield Case(
        "onehot",
        "OneHot",
        [_below(100, 1000)],
        [np.array(100), np.array([0, 1], np.float32)],
    )
    yield Case("nonzero", "NonZero", [(_floats(256, 256) > 1).astype(np.float32)])
    yield Case(
        "compress",
        "Compress",
        [_floats(512, 128), _RNG.random(512) > 0.5],
        fields={"axis": 0},
    )
    yield Case("trilu", "Trilu", [_floats(512, 512)])


def _images() -> Iterator[Case]:
    """Windows of images."""
    fields: Fields
    x = _floats(1, 64, 112, 112)
    for op in ("MaxPool", "AveragePool"):
        for k, s in ((3, 1), (3, 2), (2, 2)):
            pads = [k // 2 if k == 3 else 0] * 4
            fields = {"kernel_shape": [k, k], "strides": [s, s], "pads": pads}
            yield Case(f"{op} {k}/{s}", op, [x], fields=fields)
    yield Case("globalpool", "GlobalAveragePool", [_floats(1, 512, 28, 28)])
    for mode in ("linear", "nearest", "cubic"):
        scales = np.array([1, 1, 2, 2], np.float32)
        yield Case(
            f"resize {mode}",
            "Resize",
            [_floats(1, 32, 56, 56)],
            [None, scales],
            fields={"mode": mode},
        )
    grid = _RNG.random((1, 64, 64, 2), np.float32) * 2 - 1
    yield Case("gridsample", "GridSample", [_floats(1, 16, 64, 64), grid])
    ends = np.sort(_RNG.random((100, 2, 2), np.float32), axis=1).reshape(100, 4) * 50
    yield Case(
        "roialign",
        "RoiAlign",
        [_floats(1, 64, 50, 50), ends],
        [np.zeros(100, np.int64)],
        fields={"output_height": 7, "output_width": 7, "sampling_ratio": 2},
    )
    yield Case("lrn", "LRN", [_floats(1, 64, 56, 56)], fields={"size": 5})
    for name, shape, w, fields in (
        ("1d", (1, 64, 1000), (64, 64, 3), {"pads": [1, 1]}),
        ("1d depthwise", (1, 256, 1000), (256, 1, 5), {"pads": [2, 2], "group": 256}),
        ("3d", (1, 16, 16, 28, 28), (32, 16, 3, 3, 3), {"pads": [1] * 6}),
        (
            "3d depthwise",
            (1, 32, 16, 28, 28),
            (32, 1, 3, 3, 3),
            {"pads": [1] * 6, "group": 32},
        ),
        (
            "dilated",
            (1, 64, 56, 56),
            (64, 64, 3, 3),
            {"pads": [2] * 4, "dilations": [2, 2]},
        ),
        ("groups", (1, 128, 28, 28), (128, 4, 3, 3), {"pads": [1] * 4, "group": 32}),
    ):
        weights = _floats(*w)
        yield Case(f"conv {name}", "Conv", [_floats(*shape)], [weights], fields=fields)
    for k, s in ((2, 2), (4, 2), (3, 1), (3, 2), (5, 2)):
        even = (k - s) % 2
        fields = {"strides": [s, s], "pads": [(k - s + even) // 2] * 4}
        fields["output_padding"] = [even, even]
        yield Case(
            f"convtranspose {k}/{s}",
            "ConvTranspose",
            [_floats(1, 64, 28, 28)],
            [_floats(64, 32, k, k)],
            fields=fields,
        )


def _layers() -> Iterator[Case]:
    """Recurrent layers, products, quantised ones."""
    h = _HIDDEN
    for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        for steps, batch in ((64, 1), (16, 32)):
            weights = [
                _floats(1, gates * h, h) / 10,
                _floats(1, gates * h, h) / 10,
                _floats(1, 2 * gates * h) / 10,
            ]
            yield Case(
                f"{op.lower()} {steps}x{batch}",
                op,
                [_floats(steps, batch, h)],
                weights,
                3 if op == "LSTM" else 2,
                fields={"hidden_size": h},
            )
    yield Case(
        "einsum bij,bjk",
        "Einsum",
        [_floats(8, 64, 64), _floats(8, 64, 64)],
        fields={"equation": "bij,bjk->bik"},
    )
    yield Case(
        "einsum bhqd,bhkd",
        "Einsum",
        [_floats(1, 12, 128, 64), _floats(1, 12, 128, 64)],
        fields={"equation": "bhqd,bhkd->bhqk"},
    )
    yield Case("matmul 1", "MatMul", [_floats(1, 1024)], [_floats(1024, 1024)])
    yield Case(
        "gemm",
        "Gemm",
        [_floats(128, 256)],
        [_floats(512, 256), _floats(512)],
        fields={"transB": 1},
    )
    x = _floats(256, 1024)
    scale, zero = np.float32(0.02), np.uint8(128)
    yield Case("quantizelinear", "QuantizeLinear", [x], [scale, zero])
    b = _RNG.integers(0, 256, (256, 1024)).astype(np.uint8)
    yield Case("dequantizelinear", "DequantizeLinear", [b], [scale, zero])
    yield Case("dynamicquantize", "DynamicQuantizeLinear", [x], outputs=3)
    w = _RNG.integers(-128, 128, (1024, 256)).astype(np.int8)
    given = [scale, zero, w, np.float32(0.01), np.int8(0), np.float32(2), zero]
    yield Case("qlinearmatmul", "QLinearMatMul", [b], given)
    given = [w, np.float32(0.01), np.int8(0)]
    microsoft = "com.microsoft"
    yield Case(
        "dynamicquantizematmul", "DynamicQuantizeMatMul", [x], given, 1, microsoft
    )


def cases() -> Iterator[Case]:
    """All of them."""
    for family in (_rows, _elements, _movement, _images, _layers):
        yield from family()


def _compared(case: Case, own: Any, theirs: Sequence[Any]) -> None:
    """Raises where results differ by more than rounding."""
    mine = own if isinstance(own, tuple | list) else [own]
    for x, y in zip(mine, theirs, strict=True):
        close = np.allclose(np.asarray(x), y, rtol=1e-3, atol=1e-3)
        if y.dtype.kind == "u":  # rounded another way
            close = bool((np.abs(np.asarray(x, int) - y) <= 1).all())
        if not close:
            raise AssertionError(case.name)


def measured(case: Case, rounds: int, seconds: float) -> tuple[float, float, bool]:
    """Seconds of ours and of ONNX Runtime's, and whether ours runs on the host."""
    model = case.model()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 2, 4
    peer = onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"]
    )
    feeds = {f"x{i}": x for i, x in enumerate(case.inputs)}
    exe = gw.compile(model, backend="opencl")
    _compared(case, exe(*case.inputs), peer.run(None, feeds))
    runs: Sequence[Callable[[], Any]]
    runs = [lambda: exe(*case.inputs), lambda: peer.run(None, feeds)]
    least = [float("inf")] * 2
    for _ in range(rounds):
        for i, run in enumerate(runs):
            time.sleep(_REST)
            run()
            end = time.perf_counter() + seconds
            while (begin := time.perf_counter()) < end:
                run()
                least[i] = min(least[i], time.perf_counter() - begin)
    return least[0], least[1], bool(exe.fallbacks)


def main() -> None:
    """Prints a line for each case, worst last."""
    cli = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    cli.add_argument("--only", default="")
    cli.add_argument("--rounds", type=int, default=5)
    cli.add_argument("--seconds", type=float, default=0.01)
    given = cli.parse_args()
    lines = []
    for case in cases():
        if not re.search(given.only, case.name):
            continue
        own, peer, host = measured(case, given.rounds, given.seconds)
        cells = f"{1e6 * own:10.1f} {1e6 * peer:10.1f} us {own / peer:6.2f}"
        lines.append((own / peer, f"{cells}{' *' if host else '  '} {case.name}"))
    print(*(line for _, line in sorted(lines)), sep="\n")
    ratios = [ratio for ratio, _ in lines]
    print(f"geometric mean {np.exp(np.log(ratios).mean()):.2f} over {len(ratios)}")


if __name__ == "__main__":
    main()
