"""Train the LeNet-5-style network that ships with graphwright, in plain NumPy.

scikit-learn's 8x8 handwritten digits are enlarged to LeNet's 32x32 and kept as bytes,
so that the network learns from just what a PNG holds: bytes / 255. Writes `digits.onnx`
and, from the images held back from training, one PNG of each digit.

    python examples/train_digits.py [folder]
"""

import json
import sys
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

Array: TypeAlias = NDArray[np.float32]
Labels: TypeAlias = NDArray[np.int64]
Params: TypeAlias = dict[str, Array]

NETWORK = """
<ir_version: 8, opset_import: ["": 18]>
digits (float[batch, 1, 32, 32] image) => (float[batch, 10] probabilities) {
    c1 = Conv <kernel_shape = [5, 5]> (image, conv1_weight, conv1_bias)
    r1 = Relu (c1)
    p1 = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r1)
    c2 = Conv <kernel_shape = [5, 5]> (p1, conv2_weight, conv2_bias)
    r2 = Relu (c2)
    p2 = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r2)
    flat = Flatten (p2)
    f1 = Gemm <transB = 1> (flat, fc1_weight, fc1_bias)
    r3 = Relu (f1)
    f2 = Gemm <transB = 1> (r3, fc2_weight, fc2_bias)
    r4 = Relu (f2)
    logits = Gemm <transB = 1> (r4, fc3_weight, fc3_bias)
    probabilities = Softmax <axis = 1> (logits)
}
"""
CONVS = {"conv1": (6, 1, 5, 5), "conv2": (16, 6, 5, 5)}
DENSE = {"fc1": (120, 400), "fc2": (84, 120), "fc3": (10, 84)}


def enlarge(digit: NDArray[np.float64]) -> NDArray[np.uint8]:
    """An 8x8 digit of grey levels 0 to 16 as 32x32 bytes."""
    small = Image.fromarray(np.round(digit * 255 / 16).astype(np.uint8))
    return np.asarray(small.resize((32, 32), Image.Resampling.BICUBIC))


def windows(x: Array) -> Array:
    """All 5x5 windows of NCHW images: [N, C, H - 4, W - 4, 5, 5]."""
    return sliding_window_view(x, (5, 5), axis=(2, 3))


def conv(x: Array, weight: Array) -> Array:
    """Valid 5x5 convolution."""
    y = np.tensordot(windows(x), weight, ([1, 4, 5], [1, 2, 3]))
    return y.transpose(0, 3, 1, 2)


def pool(x: Array) -> Array:
    """The maximum of each 2x2 square."""
    rows = np.maximum(x[:, :, ::2], x[:, :, 1::2])
    return np.maximum(rows[..., ::2], rows[..., 1::2])


def forward(p: Params, x: Array) -> list[Array]:
    """What every layer puts out, the input first and the logits last."""
    values = [x]
    for name in CONVS:
        bias = p[f"{name}_bias"][:, None, None]
        values.append(np.maximum(conv(values[-1], p[f"{name}_weight"]) + bias, 0))
        values.append(pool(values[-1]))
    values.append(values[-1].reshape(len(x), -1))
    for name in DENSE:
        y = values[-1] @ p[f"{name}_weight"].T + p[f"{name}_bias"]
        values.append(y if name == "fc3" else np.maximum(y, 0))
    return values


def gradients(p: Params, x: Array, labels: Labels) -> Params:
    """Of the summed cross-entropy, by the chain rule from the logits back."""
    image, conv1, pool1, conv2, pool2, flat, fc1, fc2, logits = forward(p, x)
    odds = np.exp(logits - logits.max(1, keepdims=True))
    d = odds / odds.sum(1, keepdims=True)
    d[np.arange(len(x)), labels] -= 1
    grads = {}
    for name, source in (("fc3", fc2), ("fc2", fc1), ("fc1", flat)):
        grads[f"{name}_weight"], grads[f"{name}_bias"] = d.T @ source, d.sum(0)
        d = (d @ p[f"{name}_weight"]) * (source > 0)
    d = d.reshape(pool2.shape)
    for name, source, full in (("conv2", pool1, conv2), ("conv1", image, conv1)):
        peaks = full == pool(full).repeat(2, axis=2).repeat(2, axis=3)
        d = d.repeat(2, axis=2).repeat(2, axis=3) * peaks * (full > 0)
        axes = [0, 2, 3]
        grads[f"{name}_weight"] = np.tensordot(d, windows(source), (axes, axes))
        grads[f"{name}_bias"] = d.sum((0, 2, 3))
        if name == "conv2":
            mirrored = p["conv2_weight"][:, :, ::-1, ::-1].swapaxes(0, 1)
            d = conv(np.pad(d, ((0, 0), (0, 0), (4, 4), (4, 4))), mirrored)
    return grads


def train(x: Array, labels: Labels, epochs: int = 25, batch: int = 32) -> Params:
    """He's initial weights; Adam, a cosine schedule, images shifted at random."""
    rng = np.random.default_rng(0)
    params: Params = {}
    for name, shape in {**CONVS, **DENSE}.items():
        spread = np.sqrt(2 / np.prod(shape[1:]))
        params[f"{name}_weight"] = rng.normal(0, spread, shape).astype(np.float32)
        params[f"{name}_bias"] = np.zeros(shape[0], np.float32)
    mean = {name: np.zeros_like(value) for name, value in params.items()}
    square = {name: np.zeros_like(value) for name, value in params.items()}
    padded = np.pad(x, ((0, 0), (0, 0), (3, 3), (3, 3)))
    steps = epochs * (len(x) // batch)
    for step in range(1, steps + 1):
        chosen = rng.choice(len(x), batch, replace=False)
        row, column = rng.integers(0, 7, 2)
        moved = padded[chosen, :, row : row + 32, column : column + 32]
        rate = np.float32(1e-3 * (1 + np.cos(np.pi * step / steps)))
        for name, g in gradients(params, moved, labels[chosen]).items():
            mean[name] += 0.1 * (g - mean[name])
            square[name] += 0.001 * (g * g - square[name])
            scale = np.sqrt(square[name] / (1 - 0.999**step)) * (1 - 0.9**step)
            params[name] -= rate * mean[name] / (scale + 1e-8)
    return params


def main(folder: Path) -> None:
    """Train, measure on what was held back, write the model and its samples."""
    digits = load_digits()
    pixels = np.stack([enlarge(image) for image in digits.images])
    x, test, labels, truth = train_test_split(
        pixels, digits.target, test_size=0.25, stratify=digits.target, random_state=0
    )
    with threadpool_limits(1):  # matrices too small to share
        params = train(x[:, None].astype(np.float32) / 255, labels)
    logits = forward(params, test[:, None].astype(np.float32) / 255)[-1]
    right = logits.argmax(1) == truth
    print(f"{right.mean():.2%} of {len(test)} test images")
    if right.mean() < 0.985:
        sys.exit("fewer than 98.5 %: nothing written")
    model = onnx.parser.parse_model(NETWORK)
    for name, value in params.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    model.metadata_props.add(key="labels", value=json.dumps(list("0123456789")))
    onnx.checker.check_model(model, full_check=True)
    (folder / "digits").mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "digits.onnx")
    for digit in range(10):
        first = np.flatnonzero((truth == digit) & right)[0]
        Image.fromarray(test[first]).save(folder / "digits" / f"{digit}.png")


if __name__ == "__main__":
    shipped = Path(__file__).resolve().parent.parent / "api" / "data"
    main(Path(sys.argv[1]) if sys.argv[1:] else shipped)
