"""Outputs of a run: summaries, labels, files."""

import json
import math
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import click
import numpy as np

from graphwright.display import stacked, styled, table
from graphwright.ir.dtype import dtype as dtype_of
from graphwright.ir.graph import Graph

TOP = 5
SHOWN_ROWS = 16
SHOWN_ELEMENTS = 4


def labels_of(graph: Graph) -> list[str]:
    """The model's labels: the JSON list of strings ``labels`` of its metadata."""
    try:
        found = json.loads(graph.metadata.get("labels", ""))
    except ValueError:
        return []
    return list(map(str, found)) if isinstance(found, list) else []  # pyright: ignore


def summary(name: str, value: Any) -> dict[str, Any]:
    """An array's name, dtype, shape, least, mean and greatest value, first elements.

    What is no array has its kind instead. Numbers that JSON lacks become strings.
    """
    if not isinstance(value, np.ndarray):
        kind = "none" if value is None else type(value).__name__
        size = len(value) if hasattr(value, "__len__") else None
        return {"name": name, "kind": kind, "length": size}
    flat: Any = value.reshape(-1)
    row: dict[str, Any] = {
        "name": name,
        "dtype": "string" if value.dtype == object else dtype_of(value.dtype).name,
        "shape": list(value.shape),
        **dict.fromkeys(("min", "mean", "max")),
        "first": [_plain(x) for x in flat[:SHOWN_ELEMENTS].tolist()],
    }
    if flat.size and value.dtype != object and flat.dtype.kind != "c":
        wide = flat.astype(np.float64)
        with np.errstate(all="ignore"):
            for key in ("min", "mean", "max"):
                row[key] = _plain(float(getattr(np, key)(wide)))
    return row


def _plain(x: Any) -> Any:
    if isinstance(x, float):
        return x if math.isfinite(x) else str(x)
    return x if isinstance(x, bool | int | str) else str(x)


def ranking(scores: Any, labels: Sequence[str]) -> list[list[dict[str, Any]]]:
    """For each row of scores, the labels of its ``TOP`` greatest, greatest first."""
    rows: list[list[dict[str, Any]]] = []
    for row in np.asarray(scores, np.float64):
        best = np.argsort(-row, kind="stable")[:TOP]
        rows.append(
            [
                {"label": labels[i], "index": int(i), "value": _plain(float(row[i]))}
                for i in best
            ]
        )
    return rows


def is_labelled(value: Any, labels: Sequence[str]) -> bool:
    """Whether an output has one score for each label in each row."""
    return (
        bool(labels)
        and isinstance(value, np.ndarray)
        and value.ndim == 2
        and value.shape[1] == len(labels)
        and value.dtype != object
        and value.dtype.kind not in "cb"
    )


def are_probabilities(scores: Any) -> bool:
    """Whether rows are nonnegative and add up to 1, as softmax leaves them."""
    wide = np.asarray(scores, np.float64)
    return bool(
        wide.size and wide.min() >= 0 and np.allclose(wide.sum(1), 1, atol=1e-2)
    )


# For people -------------------------------------------------------------------------


def labelled(
    name: str, scores: Any, labels: Sequence[str], items: Sequence[str]
) -> Any:
    """What an output says in the model's labels: one table, or a line an item."""
    odds = are_probabilities(scores)
    word = "probability" if odds else "score"
    rows = ranking(scores[:SHOWN_ROWS], labels)
    if len(scores) == 1:
        return _one(rows[0], word, items[0], odds)
    lines = [
        (item, row[0]["label"], _score(row[0], odds), _others(row[1:], odds))
        for item, row in zip(items, rows, strict=False)
    ]
    more = (
        f" (the first {SHOWN_ROWS} of {len(scores)})" if len(scores) > len(rows) else ""
    )
    return table(f"{name}{more}", ("item", "label", word, "then"), lines, right=(2,))


def _one(row: Sequence[Mapping[str, Any]], word: str, item: str, odds: bool) -> Any:
    best = row[0]
    head = f"{item}: {best['label']}  ({word} {_score(best, odds)})"
    lines: list[tuple[Any, ...]] = []
    for entry in row:
        bar = styled("█" * round(24 * entry["value"]), "green") if odds else ""
        lines.append((entry["label"], _score(entry, odds), bar))
    parts = [styled(head, "bold green")]
    if not odds:
        parts.append(
            styled("Scores as the model gives them, no softmax applied.", "dim")
        )
    return stacked(*parts, table("", ("label", word, ""), lines, right=(1,)))


def _score(entry: Mapping[str, Any], odds: bool) -> str:
    value = entry["value"]
    if isinstance(value, str):
        return value
    return f"{value:.1%}" if odds else f"{value:.4g}"


def _others(row: Sequence[Mapping[str, Any]], odds: bool) -> str:
    return ", ".join(f"{entry['label']} {_score(entry, odds)}" for entry in row[:2])


def overview(rows: Sequence[Mapping[str, Any]]) -> Any:
    """A table of summaries."""
    lines = [
        (
            row["name"],
            _kind(row),
            *(_number(row.get(k)) for k in ("min", "mean", "max")),
            _first(row),
        )
        for row in rows
    ]
    columns = ("output", "type", "min", "mean", "max", "first values")
    return table("", columns, lines, right=(2, 3, 4))


def _kind(row: Mapping[str, Any]) -> str:
    if "kind" in row:
        return f"{row['kind']} of {row['length']}" if row["length"] else row["kind"]
    return f"{row['dtype']}{row['shape']}"


def _number(x: Any) -> str:
    return f"{x:.4g}" if isinstance(x, float) else str("" if x is None else x)


def _first(row: Mapping[str, Any]) -> str:
    words = ", ".join(map(_number, row.get("first", ())))
    size = math.prod(row.get("shape", ()))
    return f"{words}, …" if size > SHOWN_ELEMENTS else words


# Files ------------------------------------------------------------------------------


def save(path: str, outputs: Mapping[str, Any]) -> None:
    """Writes outputs to a .npz by name, or the only one to a .npy; whole or not at all.

    Elements that NumPy's files do not know are widened: bfloat16, float8 and float4 to
    float32, integers below 8 bits to int8 or uint8. A list's items are ``name.0``, ...

    Raises:
        UsageError: If the file cannot be written or cannot hold the outputs.
    """
    arrays = _flat(outputs)
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in (".npz", ".npy") or (suffix == ".npy" and len(arrays) != 1):
        raise click.UsageError(
            f"--output {path!r}: write .npz, or .npy for one output."
        )
    try:
        folder = os.path.dirname(os.path.abspath(path))
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            try:
                _write(file, arrays, archive=suffix == ".npz")
                file.close()
                os.replace(file.name, path)
            except BaseException:
                file.close()
                os.unlink(file.name)
                raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise click.UsageError(f"cannot write {path!r}: {reason}.") from None


def _write(file: Any, arrays: Mapping[str, Any], *, archive: bool) -> None:
    if not archive:
        (array,) = arrays.values()
        np.lib.format.write_array(file, array, allow_pickle=False)
        return
    with zipfile.ZipFile(file, "w") as target:
        for name, array in arrays.items():
            with target.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _flat(outputs: Mapping[str, Any]) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for name, value in outputs.items():
        if isinstance(value, list):
            items: list[Any] = value
            arrays.update((f"{name}.{i}", _saved(x, name)) for i, x in enumerate(items))
        elif value is not None:
            arrays[name] = _saved(value, name)
    return arrays


def _saved(value: Any, name: str) -> Any:
    if not isinstance(value, np.ndarray):
        kind = type(value).__name__
        raise click.UsageError(
            f"output {name!r} is a {kind}, which --output cannot hold."
        )
    if value.dtype == object:
        return value.astype(str)
    dtype = dtype_of(value.dtype)
    if dtype.numpy.isbuiltin == 1:
        return value
    if dtype.is_float:
        return value.astype(np.float32)
    return value.astype(np.int8 if dtype.kind == "i" else np.uint8)
