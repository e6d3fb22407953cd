"""``graphwright run``."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

import graphwright as gw
from graphwright.backends.tuning import Mode
from graphwright.cli.common import (
    backend_option,
    common_options,
    dim_option,
    inputs_option,
    model_argument,
    show,
    start_logging,
    tuning_options,
    working,
)
from graphwright.cli.feeds import read_feeds
from graphwright.cli.results import (
    is_labelled,
    labelled,
    labels_of,
    overview,
    ranking,
    save,
    summary,
)
from graphwright.display import seconds_text, stacked, styled
from graphwright.feeds import random_feeds
from graphwright.ir.errors import FeedError


class _Clock:
    """Seconds of each stage, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def note(self, stage: str) -> None:
        """Ends a stage."""
        now = time.perf_counter()
        self.seconds[stage], self._last = now - self._last, now


@click.command("run")
@model_argument
@inputs_option
@click.option(
    "--random", is_flag=True, help="Random values for inputs that have no file."
)
@click.option("--seed", default=0, show_default=True, help="Seed of --random.")
@dim_option
@backend_option
@click.option("--strict", is_flag=True, help="Make falling back to numpy an error.")
@tuning_options
@click.option("--output", metavar="FILE", help="A .npz to write the outputs to.")
@common_options
def command(
    model: str,
    inputs: Sequence[str],
    random: bool,
    seed: int,
    dims: Mapping[str, int],
    backends: Sequence[str],
    strict: bool,
    tune: Mode,
    tuning: str | None,
    output: str | None,
    as_json: bool,
) -> None:
    """Run MODEL on files or random inputs and show its outputs.

    A PNG is brought to the channels that the input declares, and to its height and
    width where they are known; floats are divided by 255.
    """
    start_logging()
    load, compile_ = gw.load, gw.compile  # imported now, so that no stage's time has it
    clock = _Clock()
    with working(f"Running {model}"):
        graph = load(model, dims=dims)
        clock.note("load")
        feeds, files = read_feeds(graph, inputs)
        if random:
            feeds = random_feeds(graph, feeds, seed)
        _check_all_given(graph, feeds)
        clock.note("read")
        options: dict[str, Any] = {"tune": tune, "tuning": tuning}
        exe = compile_(graph, backend=backends, strict=strict, **options)
        clock.note("compile")
        found = dict(zip(graph.output_names, exe.run(None, feeds), strict=True))
        clock.note("run")
    if output:
        save(output, found)
    rows = _summaries(graph, found)
    data = {
        "model": model,
        "graph": graph.name,
        "backend": exe.options.backend.name,
        "seconds": clock.seconds,
        "inputs": [summary(name, feeds[name]) for name in graph.input_names],
        "outputs": rows,
        "fallbacks": list(map(str, exe.fallbacks)),
        "output_file": output,
    }
    show(as_json, data, _answer(data, found, graph, files))


def _check_all_given(graph: gw.Graph, feeds: Mapping[str, Any]) -> None:
    for name, type_ in zip(graph.input_names, graph.input_types, strict=True):
        if name not in feeds:
            raise FeedError(
                f"input {name!r}, {type_}, is missing: give it with --input"
                f" {name}=FILE.npy, or all that are missing with --random"
            )


def _summaries(graph: gw.Graph, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    labels = labels_of(graph)
    rows: list[dict[str, Any]] = []
    for name, value in found.items():
        row = summary(name, value)
        if is_labelled(value, labels):
            row["labels"] = ranking(value, labels)
        rows.append(row)
    return rows


def _answer(
    data: Mapping[str, Any],
    found: Mapping[str, Any],
    graph: gw.Graph,
    files: Mapping[str, Sequence[str]],
) -> Any:
    """What people see: labels, summaries of the rest, and where time went."""
    labels = labels_of(graph)
    parts: list[Any] = []
    rest: list[Mapping[str, Any]] = []
    for row in data["outputs"]:
        value = found[row["name"]]
        if "labels" in row and len(value):
            items = _items(len(value), files)
            parts.append(labelled(row["name"], value, labels, items))
        else:
            rest.append(row)
    if rest:
        parts.append(overview(rest))
    times = ", ".join(f"{k} {seconds_text(s)}" for k, s in data["seconds"].items())
    words = f"{data['graph']} on {data['backend']}: {times}"
    parts.append(styled(words, "dim"))
    if data["output_file"]:
        parts.append(styled(f"outputs written to {data['output_file']}", "dim"))
    return stacked(*parts)


def _items(count: int, files: Mapping[str, Sequence[str]]) -> list[str]:
    """Names of a batch's elements: the PNGs that gave them, else their numbers."""
    for paths in files.values():
        if len(paths) == count and paths[0].lower().endswith(".png"):
            return [Path(path).name for path in paths]
    return [f"item {i}" for i in range(count)]
