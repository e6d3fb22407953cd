"""Inputs of a run, read from files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphwright.cli.images import pictures
from graphwright.feeds import Feeds
from graphwright.ir.errors import FeedError
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType, Type


def read_feeds(
    graph: Graph, words: Sequence[str]
) -> tuple[Feeds, dict[str, list[str]]]:
    """Inputs that files give, and the names of the files by input.

    A word is ``name=file``, or ``file`` alone where there is one input; a .npz alone
    gives each array to the input of its name.

    Raises:
        FeedError: If an input is unknown, or a file cannot be read or does not fit.
    """
    types = dict(zip(graph.input_names, graph.input_types, strict=True))
    feeds: Feeds = {}
    files: dict[str, list[str]] = {}
    for word in words:
        name, path = _split(word, list(types))
        if name:
            files.setdefault(name, []).append(path)
            continue
        for key, array in _archive(path).items():
            _known(key, types)
            feeds[key] = array
    for name, paths in files.items():
        if name in feeds:
            raise FeedError(f"input {name!r} is given twice")
        feeds[name] = _read(paths, types[name], name)
    return feeds, files


def _split(word: str, names: Sequence[str]) -> tuple[str, str]:
    """Input and file of a word; no input for a .npz that gives several."""
    for name in sorted(names, key=len, reverse=True):
        if word.startswith(f"{name}="):
            return name, word[len(name) + 1 :]
    name, equals, path = word.rpartition("=")
    if equals and not Path(word).exists():
        _known(name, names)
        return name, path
    if len(names) == 1:
        return names[0], word
    if word.lower().endswith(".npz"):
        return "", word
    raise FeedError(f"{word!r} names no input: write name=file; {_listed(names)}")


def _known(name: str, names: "Sequence[str] | Mapping[str, Any]") -> None:
    if name not in names:
        raise FeedError(f"no input is called {name!r}; {_listed(list(names))}")


def _listed(names: Sequence[str]) -> str:
    return f"the inputs are {', '.join(map(repr, names)) or 'none'}"


def _read(paths: Sequence[str], type_: Type, name: str) -> Any:
    if not isinstance(type_, TensorType):
        raise FeedError(
            f"input {name!r} is {type_}, which no file holds: run from Python"
        )
    if all(path.lower().endswith(".png") for path in paths):
        return pictures(paths, type_, name)
    if len(paths) > 1:
        raise FeedError(f"input {name!r} is given twice")
    return _typed(_array(paths[0], name), type_)


def _array(path: str, name: str) -> Any:
    """The array of a .npy, or of a .npz by the input's name or ``file.npz:key``."""
    file, _, key = path.rpartition(":")
    if not file.lower().endswith(".npz"):
        file, key = path, ""
    if file.lower().endswith(".npz"):
        arrays = _archive(file)
        if not key and len(arrays) == 1:
            return next(iter(arrays.values()))
        if (key or name) not in arrays:
            held = ", ".join(arrays)
            raise FeedError(f"{file!r} holds no {key or name!r}; it holds {held}")
        return arrays[key or name]
    if not file.lower().endswith(".npy"):
        raise FeedError(
            f"cannot read {path!r} for input {name!r}: give .npy, .npz or .png"
        )
    return _load(file)


def _archive(path: str) -> dict[str, Any]:
    found = _load(path)
    if not isinstance(found, dict):
        raise FeedError(f"{path!r} is no .npz archive")
    return found


def _load(path: str) -> Any:
    """An array, or the arrays of an archive; nothing is unpickled."""
    try:
        with open(path, "rb") as file:
            found = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return found
            return {key: found[key] for key in found.files}
    except FileNotFoundError:
        raise FeedError(f"cannot read {path!r}: there is no such file") from None
    except Exception as error:  # a damaged archive fails in many ways
        said = str(error)
        if "pickle" in said:
            said = "no .npy or .npz of numbers, and objects are never unpickled"
        raise FeedError(f"cannot read {path!r}: {said}") from None


def _typed(array: Any, type_: TensorType) -> Any:
    """Elements of a dtype that NumPy's files do not know, from their bytes."""
    want = type_.dtype.numpy
    if array.dtype.kind == "V" and array.dtype.itemsize == want.itemsize:
        return array.view(want)
    return array
