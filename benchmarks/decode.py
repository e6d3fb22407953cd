"""Greedy decoding of a GPT-2-small-shaped model with a KV cache, beside PyTorch eager.

    decode.py [--tokens 128] [--rounds 3] [--layers 12] [--backend opencl]

Weights are random and seeded; both begin with the same token and feed back what they
find. The model is a NumPy function, traced: its weights are constants, the cache of
each layer is an argument of fixed length, and what is not filled yet is masked. Printed
are milliseconds a token (the least of the rounds, in turns), how many tokens agree, and
how many programs were built after the third token.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import graphwright as gw
import graphwright.numpy as gnp
from graphwright.backends.opencl.library import Session

WIDTH, HEADS, WORDS = 768, 12, 50257
DEPTH = WIDTH // HEADS

Weights = dict[str, NDArray[np.float32]]


def weights(layers: int, length: int) -> Weights:
    """Random ones, of GPT-2's shapes."""
    rng = np.random.default_rng(0)
    sizes: dict[str, tuple[int, ...]] = {"words": (WORDS, WIDTH)}
    sizes["places"] = length, WIDTH
    for i in range(layers):
        sizes[f"{i}.qkv"] = WIDTH, 3 * WIDTH
        sizes[f"{i}.out"] = WIDTH, WIDTH
        sizes[f"{i}.up"] = WIDTH, 4 * WIDTH
        sizes[f"{i}.down"] = 4 * WIDTH, WIDTH
    found = {name: rng.standard_normal(n, np.float32) for name, n in sizes.items()}
    return {name: 0.05 * w for name, w in found.items()}


def _norm(x: Any) -> Any:
    x = x - gnp.mean(x, axis=-1, keepdims=True)
    return x / gnp.sqrt(gnp.mean(x * x, axis=-1, keepdims=True) + 1e-5)


def _gelu(x: Any) -> Any:
    return 0.5 * x * (1 + gnp.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))


def model(w: Weights, layers: int, length: int) -> Callable[..., Any]:
    """One step: a token, its place, caches of keys and values by turns."""

    def step(token: Any, place: Any, *caches: Any) -> Any:
        x = gnp.take(w["words"], token, axis=0) + gnp.take(w["places"], place, axis=0)
        here = gnp.arange(length) == place
        seen = gnp.arange(length) <= place
        kept: list[Any] = []
        for i in range(layers):
            qkv = gnp.reshape(_norm(x) @ w[f"{i}.qkv"], (3, HEADS, 1, DEPTH))
            pair = caches[2 * i : 2 * i + 2]
            row = here[None, :, None]
            keys, values = (gnp.where(row, qkv[j + 1], pair[j]) for j in range(2))
            kept += [keys, values]
            score = qkv[0] @ gnp.matrix_transpose(keys) / DEPTH**0.5
            score = gnp.where(seen, score, -1e30)
            part = gnp.exp(score - gnp.max(score, axis=-1, keepdims=True))
            part = part / gnp.sum(part, axis=-1, keepdims=True)
            x = x + gnp.reshape(part @ values, (1, WIDTH)) @ w[f"{i}.out"]
            x = x + _gelu(_norm(x) @ w[f"{i}.up"]) @ w[f"{i}.down"]
        logits = _norm(x) @ w["words"].T
        return gnp.argmax(logits, axis=-1), *kept

    return step


def ours(w: Weights, layers: int, length: int, backend: str) -> Callable[[int], Any]:
    """A function from a number of tokens to these."""
    shape = HEADS, length, DEPTH
    specs = [gw.spec("int64", (1,)), gw.spec("int64", (1,))]
    specs += [gw.spec("float32", shape)] * (2 * layers)
    graph = gw.trace(model(w, layers, length), *specs)
    exe = gw.compile(graph, backend=backend, strict=True)

    def run(count: int) -> list[int]:
        token: Any = np.zeros(1, np.int64)
        caches: Any = [np.zeros(shape, np.float32)] * (2 * layers)
        found: list[int] = []
        for place in range(count):
            token, *caches = exe(token, np.array([place]), *caches)
            found.append(int(token[0]))
        return found

    return run


def theirs(w: Weights, layers: int) -> Callable[[int], Any]:
    """The same in PyTorch, op by op."""
    own = {name: torch.from_numpy(x) for name, x in w.items()}

    def run(count: int) -> list[int]:
        functional = torch.nn.functional
        token, found = torch.zeros(1, dtype=torch.long), list[int]()
        empty = torch.zeros(HEADS, 0, DEPTH)
        caches = [(empty, empty)] * layers
        for place in range(count):
            x = own["words"][token] + own["places"][place]
            for i in range(layers):
                normal = functional.layer_norm(x, (WIDTH,))
                q, k, v = (normal @ own[f"{i}.qkv"]).view(3, HEADS, 1, DEPTH)
                keys, values = (
                    torch.cat([old, new], 1)
                    for old, new in zip(caches[i], (k, v), strict=True)
                )
                caches[i] = keys, values
                y = functional.scaled_dot_product_attention(q, keys, values)
                x = x + y.reshape(1, WIDTH) @ own[f"{i}.out"]
                up = functional.layer_norm(x, (WIDTH,)) @ own[f"{i}.up"]
                x = x + functional.gelu(up, approximate="tanh") @ own[f"{i}.down"]
            token = (functional.layer_norm(x, (WIDTH,)) @ own["words"].T).argmax(-1)
            found.append(int(token))
        return found

    with torch.inference_mode():
        return torch.inference_mode()(run)


def _counted() -> list[str]:
    """A list to which each program is added that OpenCL makes from now on."""
    built, program = list[str](), Session.program

    def counted(session: Session, text: str) -> Any:
        built.append(text)
        return program(session, text)

    Session.program = counted  # type: ignore[method-assign, assignment]
    return built


def _timed(run: Callable[[int], Any], count: int) -> tuple[float, list[int]]:
    start = time.perf_counter()
    found = run(count)
    return 1e3 * (time.perf_counter() - start) / count, found


def main() -> None:
    """Reads the command line, measures, prints."""
    cli = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    cli.add_argument("--tokens", type=int, default=128)
    cli.add_argument("--rounds", type=int, default=3)
    cli.add_argument("--layers", type=int, default=12)
    cli.add_argument("--backend", default="opencl")
    given = cli.parse_args()
    torch.set_num_threads(2)
    w = weights(given.layers, given.tokens)
    first = ours(w, given.layers, given.tokens, given.backend)
    second = theirs(w, given.layers)
    first(3)
    second(3)
    built = _counted()
    times: list[list[float]] = [[], []]
    found: list[list[int]] = [[], []]
    for _ in range(given.rounds):
        for own, run, keep in zip(range(2), (first, second), times, strict=True):
            seconds, found[own] = _timed(run, given.tokens)
            keep.append(seconds)
            time.sleep(0.5)
    same = sum(a == b for a, b in zip(*found, strict=True))
    a, b = map(min, times)
    print(f"{given.backend} {a:.2f} ms a token, PyTorch {b:.2f}: {a / b:.2f}")
    print(f"{same} of {given.tokens} tokens agree")
    print(f"{len(built)} programs were made after the third token")


if __name__ == "__main__":
    main()
