"""Convolutions and products on OpenCL, beside the arithmetic peak of the device.

    opencl_kernels.py [--only RE] [--runs N] [--cpu]

Each line is a layer: the algorithm that was chosen, milliseconds, GFLOP/s by the
operations of the direct algorithm, and the share of the peak, which is measured first:
multiply-adds in registers. Winograd's algorithms may exceed it. Weights are in cache
after the first run, if they fit. ``--cpu`` takes processor time over all cores instead
of the clock: for machines with other work. Products by a constant are compiled and
called as users do, beside NumPy's, by the clock only; those of at most 256 cubed as 50,
each of the one before, which are waited for once.
"""

import argparse
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

import graphwright as gw
from graphwright.backends.arena import empty
from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.kernels.choose import convolution, division
from graphwright.backends.codegen.kernels.finish import Affine
from graphwright.backends.codegen.kernels.launch import Launch, Library, Local
from graphwright.backends.codegen.kernels.shape import ConvShape
from graphwright.backends.codegen.kernels.text import arguments, block, named
from graphwright.backends.opencl.library import pyopencl, session
from graphwright.backends.opencl.programs import Programs

_SUMS = 12
_STEPS = 1 << 20
_SMALL = 256
"""Sizes of products that are queued, to be waited for once."""
_QUEUED = 50
_REST = 0.2
"""Seconds in which threads of what ran before fall asleep: OpenBLAS's wait awake for
about 0.1 s. After 0.05 s a product of 1,024 ran at 224 GFLOP/s, after 0.2 at 312."""
_FLOAT = np.dtype(np.float32)

Layer = tuple[int, int, int, int, int, int]
LAYERS: Mapping[str, Layer] = {  # size, channels, filters, kernel, stride, groups
    "first 7x7/2": (224, 3, 64, 7, 2, 1),
    "3x3 56x64": (56, 64, 64, 3, 1, 1),
    "3x3 28x128": (28, 128, 128, 3, 1, 1),
    "3x3 14x256": (14, 256, 256, 3, 1, 1),
    "3x3 7x512": (7, 512, 512, 3, 1, 1),
    "3x3 224x64": (224, 64, 64, 3, 1, 1),
    "3x3 112x128": (112, 128, 128, 3, 1, 1),
    "3x3 56x256": (56, 256, 256, 3, 1, 1),
    "3x3 28x512": (28, 512, 512, 3, 1, 1),
    "3x3/2 56x128": (56, 128, 128, 3, 2, 1),
    "1x1 56x64-256": (56, 64, 256, 1, 1, 1),
    "1x1 56x256-64": (56, 256, 64, 1, 1, 1),
    "1x1 28x512-128": (28, 512, 128, 1, 1, 1),
    "1x1 14x256-1024": (14, 256, 1024, 1, 1, 1),
    "1x1 7x2048-512": (7, 2048, 512, 1, 1, 1),
    "1x1 112x16-96": (112, 16, 96, 1, 1, 1),
    "depthwise 112x32": (112, 32, 32, 3, 1, 32),
    "depthwise 14x384": (14, 384, 384, 3, 1, 384),
    "groups 28x136": (28, 136, 136, 1, 1, 4),
}
PRODUCTS = [
    *((n, n, n) for n in (64, 128, 256, 512, 1024, 2048)),
    *((rows, 4096, 4096) for rows in (1, 4, 16)),
]


class Bench:
    """Kernels on the first device, their operands random."""

    def __init__(self, runs: int, cpu: bool) -> None:
        self.session = session(0)
        self.runs = runs
        self.clock: Callable[[], float]
        self.clock = time.process_time if cpu else time.perf_counter
        device = self.session.device
        self.cores = int(device.max_compute_units)
        self.machine = Cpu(self.cores, device.local_mem_size, lanes=self.session.lanes)
        self.programs = Programs(self.session)
        self.share = self.cores if cpu else 1

    def seconds(
        self, library: Library, arrays: Mapping[str, Any], weights: Any = None
    ) -> float:
        """Of all launches of a library; the least of some runs."""
        return self.least(self.queued(library, arrays, weights))

    def queued(
        self, library: Library, arrays: Mapping[str, Any], weights: Any = None
    ) -> Callable[[], None]:
        """What enqueues all launches of a library, and waits once."""
        cl, queue = pyopencl(), self.session.queue
        makes = {**library.constants, **library.indices}
        packed = {name: make(weights) for name, make in makes.items()}
        scratch = {n: empty((size,), _FLOAT) for n, size in library.scratch.items()}
        held = {**packed, **scratch, **arrays}
        buffers = {name: self.session.buffer(array) for name, array in held.items()}
        self.programs.build([(x.kernel, x.source) for x in library.launches])

        def argument(found: Any) -> Any:
            if isinstance(found, Local):
                return cl.LocalMemory(4 * found.floats)
            return buffers[found] if isinstance(found, str) else np.int32(found)

        calls: list[tuple[Any, tuple[int, ...]]] = []
        for launch in library.launches:
            kernel = self.programs.kernel(launch.kernel)
            kernel.set_args(*map(argument, launch.arguments))
            calls.append((kernel, launch.items))

        def run(held: object = (held, buffers)) -> None:
            for kernel, items in calls:
                cl.enqueue_nd_range_kernel(queue, kernel, items, (1,) * len(items))
            queue.finish()

        return run

    def least(self, run: Callable[[], object], runs: int = 0) -> float:
        """Seconds of the fastest of some runs."""
        run()
        found = float("inf")
        for _ in range(runs or self.runs):
            start = self.clock()
            run()
            found = min(found, self.clock() - start)
        return found / self.share

    def peak(self) -> float:
        """Operations a second of multiply-adds in registers, on all cores."""
        sums, lanes = range(_SUMS), self.machine.lanes
        total = " + ".join(f"s{i}" for i in sums)
        body = [
            "float g = x[ITEM(0)];",
            *(f"vec s{i} = SPLAT(g + {i});" for i in sums),
            *block(
                "for (int k = 0; k < steps; k++)",
                [f"s{i} = s{i} * SPLAT(0.999f) + SPLAT(g);" for i in sums],
            ),
            f"STORE(out + {lanes} * ITEM(0), {total})",
        ]
        head = OPENCL.kernel.format(
            name="NAME", group="1, 1, 1", arguments=arguments(("x",), ("steps",), "out")
        )
        kernel = named("peak", "\n".join(block(head, body)) + "\n")
        launch = Launch(*kernel, ("x", "out", _STEPS), (self.cores,))
        size = lanes * self.cores
        known = {n: np.ones(size, np.float32) for n in ("x", "out")}
        work = 2 * _SUMS * lanes * _STEPS * self.cores
        return work / self.seconds(Library((launch,)), known)

    def convolutions(self, only: str) -> Iterator[tuple[str, str, float, int]]:
        """Name, kernel, seconds and operations of each layer."""
        rng = np.random.default_rng(0)
        for name, (size, channels, filters, kernel, stride, groups) in LAYERS.items():
            if not re.search(only, name):
                continue
            shape = ConvShape(
                *(1, (size, size), channels, filters, (kernel, kernel)),
                strides=(stride, stride),
                pads=((kernel // 2, kernel // 2),) * 2,
                groups=groups,
            )
            known = {
                "x": rng.standard_normal((size * size, channels), np.float32),
                "bias": rng.standard_normal(filters, np.float32),
                "out": empty((shape.rows * filters,), _FLOAT),
            }
            taps = (filters, shape.depth, kernel, kernel)
            w = rng.standard_normal(taps, np.float32)
            finish = Affine(bias=True, low=0.0)
            cut = division(shape, self.machine)
            library = convolution(shape, finish, self.machine, OPENCL, cut)
            kinds = "+".join(x.kernel.rsplit("_", 1)[0] for x in library.launches)
            yield name, kinds, self.seconds(library, known, w), shape.flops

    def product(self, rows: int, depth: int, columns: int) -> tuple[float, float]:
        """Seconds of a product here and of NumPy's, in turns; small ones are queued."""
        rng = np.random.default_rng(0)
        x = rng.standard_normal((rows, depth), np.float32)
        w = rng.standard_normal((depth, columns), np.float32) / np.float32(depth**0.5)
        times = _QUEUED if max(rows, depth, columns) <= _SMALL else 1
        spare = [np.empty((rows, columns), np.float32) for _ in range(2)]

        def queued(x: Any) -> Any:
            for _ in range(times):
                x = x @ w
            return x

        def other() -> Any:
            last: Any = x
            for i in range(times):
                last = np.matmul(last, w, out=spare[i % 2])
            return last

        graph = gw.trace(queued, gw.spec("float32", x.shape))
        executable = gw.compile(graph, backend="opencl", strict=True)

        def run() -> object:
            return executable(x)

        own = theirs = float("inf")
        for _ in range(self.runs):
            own = min(own, self.rested(run))
            theirs = min(theirs, self.rested(other))
        wanted = other()
        assert np.abs(np.asarray(executable(x)) - wanted).max() <= 1e-5 * wanted.max()
        return own / times, theirs / times

    def rested(self, run: Callable[[], object]) -> float:
        """Seconds of a run when threads of what ran before sleep."""
        time.sleep(_REST)
        return self.least(run, 3)


def main() -> None:
    """Prints the tables."""
    cli = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    cli.add_argument("--only", default="")
    cli.add_argument("--runs", type=int, default=10)
    cli.add_argument("--cpu", action="store_true")
    args = cli.parse_args()
    bench = Bench(args.runs, args.cpu)
    peak = bench.peak()
    print(f"{bench.session.device.name}: peak {peak / 1e9:.0f} GFLOP/s")
    for name, kinds, seconds, flops in bench.convolutions(args.only):
        speed = flops / seconds
        print(
            f"{name:18} {1e3 * seconds:8.3f} ms {speed / 1e9:6.0f} GFLOP/s "
            f"{speed / peak:5.2f} of peak  {kinds}",
            flush=True,
        )
    for sizes in PRODUCTS:
        name = "x".join(map(str, sizes))
        if args.cpu or not re.search(args.only, f"product {name}"):
            continue
        own, theirs = bench.product(*sizes)
        work = 2 * sizes[0] * sizes[1] * sizes[2]
        print(
            f"product {name:14} {work / own / 1e9:6.0f} GFLOP/s, "
            f"NumPy {work / theirs / 1e9:6.0f}: {theirs / own:5.2f} of its speed",
            flush=True,
        )


if __name__ == "__main__":
    main()
