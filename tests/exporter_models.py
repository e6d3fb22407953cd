"""The models that real exporters wrote, with inputs and outputs stored beside them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "data" / "exporters"
MODELS: list[dict[str, Any]] = json.loads((FOLDER / "manifest.json").read_text())[
    "models"
]


def stored(data: Any, prefix: str, names: list[str]) -> dict[str, Any]:
    """Arrays, or lists of dictionaries, under a prefix by the model's names."""
    found: dict[str, Any] = {}
    for name in names:
        key = f"{prefix}/{name}"
        if key in data:
            found[name] = data[key]
        elif f"{key}/length" in data:
            found[name] = [
                item(data, f"{key}/{i}") for i in range(int(data[f"{key}/length"]))
            ]
    return found


def item(data: Any, key: str) -> Any:
    """Element of a stored sequence: an array, or a dictionary."""
    if key in data:
        return data[key]
    keys, values = data[f"{key}/keys"].tolist(), data[f"{key}/values"].tolist()
    return dict(zip(keys, values, strict=True))


def feed(array: Any, declared: Any) -> Any:
    """A stored input as the model takes it."""
    if declared.numpy == np.dtype(object):
        return array.astype(object)
    if (
        array.dtype != declared.numpy
        and array.dtype.itemsize == declared.numpy.itemsize
    ):
        return array.view(declared.numpy)
    return array


def case_feeds(row: dict[str, Any], case: int, graph: Any) -> dict[str, Any]:
    """The stored inputs of a case, as the graph takes them."""
    types = dict(zip(graph.input_names, graph.input_types, strict=True))
    path = (FOLDER / row["file"]).with_suffix(".npz")
    with np.load(path, allow_pickle=False) as data:
        feeds = stored(data, f"case{case}/in", list(types))
    return {n: feed(x, types[n].dtype) for n, x in feeds.items()}
