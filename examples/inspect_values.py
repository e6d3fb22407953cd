"""Read the values inside a model while it runs, and tell which original ones they are.

python examples/inspect_values.py
"""

from importlib.resources import files
from typing import Any

import numpy as np
from PIL import Image

import graphwright as gw
from graphwright.backends.observe import Reading

DATA = files("graphwright") / "data"
SHADES = " .:-=+*#%@"


def values_of(exe: gw.Executable, feed: Any) -> dict[str, Any]:
    """Every value of a run that equals one of the model's, by its name there."""
    found: dict[str, Any] = {}

    def note(reading: Reading) -> None:
        for origin in reading.origins:
            if origin.view == "identity":
                found[origin.value] = reading.array

    with exe.observe(note):
        exe(feed)
    return found


def main() -> None:
    """Compare the model as written with what the passes made of it."""
    graph = gw.load(DATA / "digits.onnx")
    with Image.open(str(DATA / "digits" / "3.png")) as image:
        pixels = np.asarray(image, np.float32)[None, None] / 255
    plain = values_of(gw.compile(graph, backend="numpy", optimize=False), pixels)
    fast = values_of(gw.compile(graph, backend="numpy"), pixels)
    for name in plain:
        error = np.abs(plain[name] - fast[name]).max() if name in fast else "not kept"
        print(f"{name:<14} {plain[name].shape!s:<16} {error}")

    picture = plain["p1"][0, 0]
    for row in 9 * picture / picture.max():
        print("".join(SHADES[int(v)] for v in row))


if __name__ == "__main__":
    main()
