"""Run an ONNX model on pictures, and see which ops its time goes to.

python examples/read_digits.py [digit.png ...]
"""

import json
import sys
from importlib.resources import files

import numpy as np
from PIL import Image

import graphwright as gw

DATA = files("graphwright") / "data"


def main(*paths: str) -> None:
    """Read each picture with the network that ships with graphwright."""
    graph = gw.load(DATA / "digits.onnx")
    labels = json.loads(graph.metadata["labels"])
    exe = gw.compile(graph, backend="numpy")

    for path in paths or (str(DATA / "digits" / "7.png"),):
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L").resize((32, 32)), np.float32) / 255
        (odds,) = exe.run(None, {"image": pixels[None, None]})
        best = int(odds[0].argmax())
        print(f"{path}: {labels[best]}, {odds[0, best]:.1%} sure")

    steps = exe.profile([np.zeros((8, 1, 32, 32), np.float32)])
    for step in sorted(steps, key=lambda step: -step.seconds)[:3]:
        print(f"{1e3 * step.seconds:6.2f} ms  {step.op:<8} of {step.source}")


if __name__ == "__main__":
    main(*sys.argv[1:])
