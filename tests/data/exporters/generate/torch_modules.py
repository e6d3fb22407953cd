"""The torch modules that both of torch's exporters write."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from common import Array, integers, random
from torch import Tensor, nn

Axes = Sequence[Mapping[int, str]]

BATCH: Axes = ({0: "batch"},)
BATCH_SEQUENCE: Axes = ({0: "batch", 1: "sequence"},)
IMAGE: Axes = ({0: "batch", 2: "height", 3: "width"},)


@dataclass(frozen=True)
class Entry:
    """A module, its cases (the first is the one exported) and its dynamic axes."""

    name: str
    build: Callable[[], nn.Module]
    cases: Sequence[tuple[Array, ...]]
    dynamic: Axes = ()
    rtol: float = 1e-4
    atol: float = 1e-5
    opset: int | None = None
    recheck: bool = True

    @property
    def tolerance(self) -> dict[str, Any]:
        """What the example is told of nearness."""
        return {"rtol": self.rtol, "atol": self.atol, "recheck": self.recheck}


def enliven(model: nn.Module) -> nn.Module:
    """Redraw the weights so that every layer and every bias shows in the output."""
    named = [*model.named_parameters(), *model.named_buffers()]
    with torch.no_grad():
        for name, weight in named:
            if name.endswith("running_var"):
                weight.uniform_(0.5, 2)
            elif isinstance(weight, nn.Parameter) and weight.ndim > 1:
                fan = weight[0].numel() if weight.shape[0] > 1 else weight.numel()
                weight.copy_(torch.randn(weight.shape) * 1.3 / max(fan, 2) ** 0.5)
            elif isinstance(weight, nn.Parameter) or name.endswith("running_mean"):
                weight.add_(torch.randn(weight.shape) * 0.3)
    return model.eval()


class Function(nn.Module):
    """A module around a plain function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        """Keep the function."""
        super().__init__()
        self.function = function

    def forward(self, *args: Tensor) -> Any:
        """Call it."""
        return self.function(*args)


class Recurrent(nn.Module):
    """A recurrent layer whose states are outputs too."""

    def __init__(self, layer: nn.Module) -> None:
        """Keep the layer."""
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Any:
        """Return the outputs and the final states."""
        y, state = self.layer(x)
        return (y, *state) if isinstance(state, tuple) else (y, state)


class Attention(nn.Module):
    """Self attention with an optional causal mask."""

    def __init__(self) -> None:
        """Sixteen wide, four heads."""
        super().__init__()
        self.layer = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs and mean weights."""
        size = x.shape[1]
        mask = torch.ones(size, size, dtype=torch.bool).triu(1)
        y, weights = self.layer(x, x, x, attn_mask=mask)
        return y, weights


class ConvNet(nn.Module):
    """Convolutions with batch norm, every pooling, and a residual."""

    def __init__(self) -> None:
        """Three channels in, five classes out."""
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()
        )
        self.second = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Return the classes' probabilities."""
        x = F.max_pool2d(self.first(x), 3, 2, 1, ceil_mode=True)
        x = x + F.hardswish(self.norm(self.second(x)))
        x = F.avg_pool2d(x, 2, 2, count_include_pad=False)
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1)).softmax(-1)


class Normed(nn.Module):
    """Group, instance, layer and local response norms of one tensor."""

    def __init__(self) -> None:
        """Eight channels of 6 by 6."""
        super().__init__()
        self.group = nn.GroupNorm(4, 8)
        self.instance = nn.InstanceNorm2d(8, affine=True)
        self.layer = nn.LayerNorm((6,))
        self.local = nn.LocalResponseNorm(3)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return each norm."""
        norms = (self.group, self.instance, self.layer, self.local)
        return tuple(norm(x) for norm in norms)


class Index(nn.Module):
    """Indexing, slicing and writes in place."""

    def forward(self, x: Tensor, i: Tensor) -> tuple[Tensor, ...]:
        """Return what NumPy's indexing would."""
        y = x.clone()
        y[:, 1:3] = 0.5
        y[i, 0] = -1.0
        z = torch.zeros_like(x).scatter_add(0, i[:, None].expand(-1, x.shape[1]), x)
        picked = x.gather(1, i[: x.shape[0], None])
        return x[i], x[:, ::2], x[..., -1], y, z, picked, x.index_select(1, i[:2])


class Sample(nn.Module):
    """Grid sampling, bilinear and nearest."""

    def forward(self, x: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
        """Return both."""
        smooth = F.grid_sample(x, grid, align_corners=False)
        near = F.grid_sample(x, grid, "nearest", "border", align_corners=True)
        return smooth, near


def mlp() -> nn.Module:
    """Three dense layers."""
    return nn.Sequential(
        nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 4)
    )


def encoder() -> nn.Module:
    """One transformer encoder layer."""
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu")
    return nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)


def decoder() -> nn.Module:
    """One transformer decoder layer."""
    return nn.TransformerDecoderLayer(16, 2, 32, batch_first=True, norm_first=True)


def activations(x: Tensor) -> tuple[Tensor, ...]:
    """Every usual activation."""
    functions = (
        F.elu, F.selu, F.celu, F.gelu, F.silu, F.mish, F.softplus, F.softsign,
        F.hardtanh, F.hardsigmoid, F.leaky_relu, F.logsigmoid, F.relu6, F.tanhshrink,
        F.hardshrink, F.softshrink,
    )  # fmt: skip
    tanh = F.gelu(x, approximate="tanh")
    return (*(f(x) for f in functions), tanh, F.glu(x), F.log_softmax(x, 1))


def resize(mode: str, align: bool | None = None) -> Callable[[], nn.Module]:
    """Interpolation up by a factor and down to a size."""

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        up = F.interpolate(x, scale_factor=2.0, mode=mode, align_corners=align)
        return up, F.interpolate(x, size=(3, 5), mode=mode, align_corners=align)

    return lambda: Function(both)


def einsum(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Contractions, a trace and an outer product."""
    return (
        torch.einsum("bij,bjk->bik", x, y),
        torch.einsum("bij,bkj->bik", x, x),
        torch.einsum("bii->b", x),
        torch.einsum("bij->bji", y),
        torch.einsum("bij,bkl->bikjl", x, y),
    )


def order(x: Tensor) -> tuple[Tensor, ...]:
    """Sorting, ranking, searching and running sums."""
    values, indices = torch.sort(x, dim=1, descending=True)
    top, where = torch.topk(x, 3, dim=-1)
    low = torch.topk(x, 2, dim=-1, largest=False).values
    return values, indices, top, where, low, x.argmax(1), x.argmin(0), x.cumsum(1)


def masked(x: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
    """Selections by a mask."""
    filled = x.masked_fill(mask, -1e9).softmax(-1)
    chosen = torch.where(mask, x, -x)
    return filled, chosen, x.tril(), x.triu(1), x.clamp(-0.5, 0.5), mask.any(1)


def reductions(x: Tensor) -> tuple[Tensor, ...]:
    """Sums, means, spreads, norms and extremes."""
    return (
        x.sum((1, 2)), x.mean(-1, keepdim=True), x.prod(1), x.amax(0), x.amin((0, 2)),
        x.std(1), x.var(2, unbiased=False), x.norm(dim=1), x.logsumexp(2),
        x.abs().sum(), x.norm(p=1, dim=2),
    )  # fmt: skip


def layout(x: Tensor) -> tuple[Tensor, ...]:
    """Views and copies that move elements."""
    return (
        F.pixel_shuffle(x, 2), F.pixel_unshuffle(x, 2), x.permute(0, 2, 3, 1),
        x.flatten(2), x.unsqueeze(1).squeeze(1), x.repeat(1, 2, 1, 1), x.flip(2),
        x.roll(1, 3), torch.cat(x.chunk(2, 1)[::-1], 1), torch.stack((x, -x), 1),
        F.pad(x, (1, 2, 0, 1)), F.pad(x, (1, 1, 2, 2), mode="reflect"),
        F.pad(x, (1, 0, 0, 1), mode="replicate"), x[0].expand(2, -1, -1, -1),
    )  # fmt: skip


def arithmetic(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Pointwise functions of floats."""
    return (
        x / y, x ** 2, y.abs() ** 0.5, x.fmod(y), x.remainder(y), x.floor(), x.round(),
        x.ceil(), x.sign(), x.exp(), y.abs().log(), x.sin(), x.cos(), x.tanh(), x.erf(),
        x.sigmoid(), y.abs().rsqrt(), torch.maximum(x, y), torch.lerp(x, y, 0.3),
        torch.floor_divide(x, y), x.atan(), y.abs().log1p(),
    )  # fmt: skip


def trigonometry(x: Tensor) -> tuple[Tensor, ...]:
    """Angles, hyperbolic functions, and tests of finiteness."""
    y = x.clamp(-0.9, 0.9)
    return (
        y.asin(), y.acos(), x.sinh(), x.cosh(), x.asinh(), x.tan(),
        (x.abs() + 1).acosh(), (x / 0).isinf(), (x * 0 / 0).isnan(), x.reciprocal(),
        F.threshold(x, 0.1, 0.0), F.normalize(x, p=1, dim=1),
    )  # fmt: skip


def scattered(x: Tensor, i: Tensor) -> tuple[Tensor, ...]:
    """Writes to places given by numbers, replaced and combined."""
    return (
        x.scatter(0, i, x * 2), x.scatter_reduce(0, i, x, "amax"),
        x.scatter_reduce(0, i, x, "prod"), x.index_put((i[:, 0],), x, accumulate=True),
    )  # fmt: skip


def logic(i: Tensor, j: Tensor) -> tuple[Tensor, ...]:
    """Integers and booleans."""
    return (
        i + j, i * j, i // (j + 1), i % (j + 1), i << 2, i >> 1, i == j, i < j,
        (i > j) & (j != 3), ~(i >= j), (i > 4) ^ (j > 4), i.float() / 2,
    )  # fmt: skip


def windows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Every window of an image, by ``unfold``."""
    return F.unfold(x, 3, padding=1), x.unfold(2, 3, 2)


def norm(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Distances and normalised vectors."""
    return F.normalize(x, dim=1), F.cosine_similarity(x, y), F.pairwise_distance(x, y)


def causal(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Scaled dot product attention, plain and causal."""
    plain = F.scaled_dot_product_attention(q, k, v)
    return plain, F.scaled_dot_product_attention(q, k, v, is_causal=True)


def rotary(x: Tensor) -> Tensor:
    """Rotary position embedding of heads."""
    size = x.shape[-1] // 2
    speed = 1.0 / (10000.0 ** (torch.arange(size) / size))
    angle = torch.arange(x.shape[-2])[:, None] * speed
    cos, sin = angle.cos(), angle.sin()
    left, right = x[..., :size], x[..., size:]
    return torch.cat((left * cos - right * sin, right * cos + left * sin), -1)


def seq(seed: int, batch: int, length: int, width: int = 16) -> tuple[Array]:
    """One case of a batch of sequences."""
    return (random(seed, batch, length, width),)


def image(seed: int, *shape: int) -> tuple[Array]:
    """One case of a batch of images."""
    return (random(seed, *shape),)


def pairs(*shapes: tuple[tuple[int, ...], ...]) -> list[tuple[Array, ...]]:
    """A case of random arrays for each tuple of shapes."""
    return [
        tuple(random(10 * i + j, *s) for j, s in enumerate(case))
        for i, case in enumerate(shapes)
    ]


SEQUENCES = [seq(1, 2, 5), seq(2, 1, 9), seq(3, 3, 1)]
EQUAL = [seq(1, 2, 5), seq(2, 2, 5)]
IMAGES = [image(1, 2, 3, 16, 16), image(2, 1, 3, 16, 16)]
SIZES = [image(1, 2, 3, 6, 7), image(2, 1, 3, 9, 5)]
TWO: Axes = ({0: "batch"}, {0: "batch"})


def recurrent(layer: Callable[..., nn.Module], **options: Any) -> Any:
    """A two layer recurrent module, eight wide."""
    return lambda: Recurrent(layer(16, 8, 2, batch_first=True, **options))


def of(function: Callable[..., Any]) -> Callable[[], nn.Module]:
    """A builder of a function's module."""
    return lambda: Function(function)


MODULES = [
    Entry("mlp", mlp, pairs(((2, 8),), ((1, 8),), ((7, 8),)), BATCH),
    Entry("mlp_static", mlp, pairs(((2, 8),), ((2, 8),))),
    Entry("mlp_opset", mlp, pairs(((2, 8),), ((1, 8),)), BATCH, opset=18),
    Entry("cnn", ConvNet, IMAGES, BATCH),
    Entry("cnn_static", ConvNet, [image(1, 1, 3, 16, 16), image(2, 1, 3, 16, 16)]),
    Entry("cnn_sizes", ConvNet, [IMAGES[0], image(2, 1, 3, 12, 20)], IMAGE),
    Entry("norms", Normed, [image(1, 2, 8, 6, 6), image(2, 1, 8, 6, 6)], BATCH),
    Entry("lstm", recurrent(nn.LSTM), EQUAL),
    Entry("lstm_bidirectional", recurrent(nn.LSTM, bidirectional=True), EQUAL),
    Entry("gru", recurrent(nn.GRU, bidirectional=True), EQUAL),
    Entry("rnn", recurrent(nn.RNN, nonlinearity="relu"), EQUAL),
    Entry(
        "attention_scaled",
        of(causal),
        pairs(((2, 2, 4, 8),) * 3, ((1, 2, 6, 8),) * 3),
        ({0: "batch", 2: "sequence"},) * 3,
    ),
    Entry(
        "rotary",
        of(rotary),
        pairs(((2, 2, 4, 8),), ((1, 2, 7, 8),)),
        ({0: "batch", 2: "sequence"},),
    ),
    Entry(
        "embedding_bag",
        lambda: nn.EmbeddingBag(20, 8, mode="mean"),
        [(integers(1, 20, 2, 5),), (integers(2, 20, 2, 5),)],
    ),
    Entry(
        "embedding",
        lambda: nn.Sequential(nn.Embedding(20, 8), nn.Linear(8, 3)),
        [(integers(1, 20, 2, 5),), (integers(2, 20, 1, 3),)],
        BATCH_SEQUENCE,
    ),
    Entry("einsum", of(einsum), pairs(((2, 3, 3), (2, 3, 4)), ((2, 3, 3), (2, 3, 4)))),
    Entry(
        "index",
        Index,
        [
            (random(1, 4, 5), integers(2, 4, 4)),
            (random(3, 4, 5), integers(4, 4, 4)),
        ],
    ),
    Entry("activations", of(activations), pairs(((2, 6),), ((1, 6),)), BATCH),
    Entry("bilinear", resize("bilinear", False), SIZES, IMAGE),
    Entry("bilinear_aligned", resize("bilinear", True), SIZES[:1] * 2),
    Entry("bicubic", resize("bicubic", False), SIZES, IMAGE),
    Entry("nearest", resize("nearest"), SIZES, IMAGE),
    Entry(
        "grid_sample",
        Sample,
        pairs(((2, 3, 6, 7), (2, 4, 5, 2)), ((1, 3, 6, 7), (1, 4, 5, 2))),
        TWO,
    ),
    Entry("layout", of(layout), [image(1, 2, 4, 4, 6), image(2, 2, 4, 4, 6)]),
    Entry(
        "conv_transpose",
        lambda: nn.Sequential(
            nn.ConvTranspose2d(3, 4, 3, 2, 1, output_padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(4, 2, 2, groups=2, dilation=2),
        ),
        SIZES,
        IMAGE,
    ),
    Entry(
        "conv1d",
        lambda: nn.Sequential(nn.Conv1d(3, 4, 3, 2), nn.GELU(), nn.MaxPool1d(2)),
        pairs(((2, 3, 12),), ((1, 3, 20),)),
        ({0: "batch", 2: "length"},),
    ),
    Entry(
        "conv3d",
        lambda: nn.Sequential(nn.Conv3d(2, 4, 2), nn.PReLU(4), nn.AvgPool3d(2)),
        pairs(((2, 2, 5, 5, 5),), ((1, 2, 5, 5, 5),)),
        BATCH,
    ),
    Entry("order", of(order), pairs(((4, 6),), ((4, 6),))),
    Entry(
        "masked",
        of(masked),
        [
            (random(1, 4, 6), integers(2, 2, 4, 6, dtype="bool")),
            (random(3, 2, 6), integers(4, 2, 2, 6, dtype="bool")),
        ],
        TWO,
    ),
    Entry("trigonometry", of(trigonometry), pairs(((3, 4),), ((3, 4),))),
    Entry(
        "scattered",
        of(scattered),
        [(random(i, 4, 3), integers(i, 4, 4, 3)) for i in (1, 2)],
    ),
    Entry("reductions", of(reductions), pairs(((2, 3, 4),), ((5, 3, 4),)), BATCH),
    Entry("arithmetic", of(arithmetic), pairs(((3, 4),) * 2, ((1, 4),) * 2), TWO),
    Entry(
        "logic",
        of(logic),
        [(integers(1, 9, 3, 4), integers(2, 9, 3, 4)) for _ in range(2)],
    ),
    Entry("windows", of(windows), [image(1, 2, 3, 6, 6), image(2, 2, 3, 6, 6)]),
    Entry("distances", of(norm), pairs(((4, 8),) * 2, ((4, 8),) * 2)),
    Entry(
        "double",
        lambda: mlp().double(),
        [(random(1, 2, 8, dtype="float64"),), (random(2, 1, 8, dtype="float64"),)],
        BATCH,
    ),
    Entry(
        "half",
        lambda: mlp().half(),
        [(random(1, 2, 8, dtype="float16"),), (random(2, 1, 8, dtype="float16"),)],
        BATCH,
        rtol=1e-2,
        atol=5e-3,
    ),
]
