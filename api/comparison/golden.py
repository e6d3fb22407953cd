"""Golden runs: inputs, outputs, inner values in a .npz, for another day or machine."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import graphwright
from graphwright.comparison.alignment import Account, Fate
from graphwright.comparison.labels import Labelled
from graphwright.comparison.runners import Feeds, Outcome, Runner
from graphwright.comparison.samples import Sample
from graphwright.files import replacing
from graphwright.ir.dtype import DTYPES
from graphwright.ir.dtype import dtype as dtype_of
from graphwright.ir.errors import FeedError, ModelError

_FORM = 1


@dataclass(frozen=True)
class Golden:
    """What a file holds.

    Attributes:
        note: Which backend gave it, with which version.
        rows: Each sample and what it gave.
    """

    note: str
    rows: Sequence[tuple[Sample, Outcome]]


class GoldenRunner(Runner):
    """Gives what a golden run gave."""

    name = "golden"

    def __init__(self, saved: Golden) -> None:
        self.saved, self.note = saved, saved.note

    def run(self, feeds: Feeds) -> Outcome:
        for sample, outcome in self.saved.rows:
            if sample.feeds is feeds:
                return outcome
        raise FeedError("the golden run had other inputs")

    def accounts(self) -> dict[str, Account]:
        names = {n for _, outcome in self.saved.rows for n in outcome.values}
        return {n: Account(Fate.KEPT) for n in names}


def save_golden(
    path: "str | os.PathLike[str]",
    runner: Runner,
    samples: Sequence[Sample],
    original: Labelled,
) -> None:
    """Runs samples and writes inputs, outputs and inner values; whole or not at all.

    Raises:
        FeedError: If a value is no tensor of numbers.
        ModelError: If the file cannot be written.
    """
    arrays: dict[str, Any] = {}
    keys: list[list[str]] = []

    def put(kind: str, number: int, name: str, x: Any) -> None:
        if not isinstance(x, np.ndarray) or x.dtype == object:
            raise FeedError(f"{name!r} is no tensor of numbers: it cannot be saved")
        x = np.array(x, order="C")  # the next run may overwrite it
        dtype = dtype_of(x.dtype)
        plain = x if dtype.numpy.isbuiltin == 1 else x.view(f"u{x.itemsize}")
        arrays[f"a{len(keys)}"] = plain
        keys.append([kind, str(number), name, dtype.name])

    for number, sample in enumerate(samples):
        outcome = runner.run(sample.feeds)
        for name, x in sample.feeds.items():
            put("input", number, name, x)
        for name, x in zip(original.graph.output_names, outcome.outputs, strict=True):
            put("output", number, name, x)
        for name, x in outcome.values.items():
            put("value", number, name, np.asarray(x))
    about = {
        "form": _FORM,
        "graph": original.graph.name,
        "note": f"{runner.name}, graphwright {graphwright.__version__}",
        "samples": [s.name for s in samples],
        "keys": keys,
    }
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    with replacing(os.fspath(path)) as file:
        np.savez_compressed(file, about=text, **arrays)


def read_golden(path: "str | os.PathLike[str]", original: Labelled) -> Golden:
    """What ``save_golden`` wrote, for a graph with the same names.

    Raises:
        ModelError: If it is no such file, or of another graph.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(bytes(file["about"]))
            arrays = [file[f"a{i}"] for i in range(len(about["keys"]))]
    except FileNotFoundError:
        raise ModelError(f"there is no golden run {os.fspath(path)!r}") from None
    except Exception as error:  # a damaged archive fails in many ways
        raise ModelError(f"{os.fspath(path)!r} is no golden run: {error}") from None
    parts: dict[tuple[str, int], dict[str, Any]] = {}
    for (kind, number, name, dtype), x in zip(about["keys"], arrays, strict=True):
        want = DTYPES[dtype].numpy
        array = x if x.dtype == want else x.view(want)
        parts.setdefault((kind, int(number)), {})[name] = array
    graph = original.graph
    rows: list[tuple[Sample, Outcome]] = []
    for number, sample in enumerate(about["samples"]):
        feeds = parts.get(("input", number), {})
        outputs = parts.get(("output", number), {})
        if set(feeds) != set(graph.input_names) or set(outputs) != set(
            graph.output_names
        ):
            raise ModelError(
                f"{os.fspath(path)!r} is of {about['graph']!r}, whose inputs or outputs"
                f" are other ones than those of {graph.name!r}"
            )
        outcome = Outcome(
            [outputs[n] for n in graph.output_names], parts.get(("value", number), {})
        )
        rows.append((Sample(f"golden: {sample}", feeds), outcome))
    return Golden(str(about["note"]), rows)
