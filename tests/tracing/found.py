"""Programs that once differed from NumPy: the arguments, and the least statements."""

from typing import Any, TypeAlias

Case: TypeAlias = tuple[list[tuple[str, tuple[int, ...]]], list[str]]

_A: Any = ("float64", (4,))
_M: Any = ("float64", (3, 4))
_T: Any = ("float64", (2, 1, 3))

FOUND: list[Case] = [
    (
        [("int8", (1,))],
        ["v0 = np.add(a0, a0, out=np.zeros(np.broadcast(a0, a0).shape))"],
    ),
    ([("int64", ())], ["v0 = np.logical_or.reduce(a0, axis=0)"]),
    ([("int64", ())], ["v0 = np.cumsum(a0, axis=0)", "v1 = np.repeat(a0, 2, axis=0)"]),
    ([("int64", (4,))], ["a0.real[...] = 3", "v0 = np.rint(a0)"]),
    ([("complex128", (3, 4))], ["a0.real[...] = 3", "a0.imag[1] += 2"]),
    ([("int64", (3,))], ["v0 = a0[-2]", "v1 = np.argwhere(v0)"]),
    (
        [_A],
        ["v0 = np.signbit(np.einsum('i,j', a0, a0 > 0))", "v1 = np.einsum('i', a0)"],
    ),
    (
        [_A],
        [
            "v0 = np.zeros((4,), dtype='uint8')",
            "v0[v0 != 1] = v0[v0 != 1] * 2",
            "v1 = v0 - 2",
            "v2 = v0 ^ v1",
            "v3 = np.append(v1, v2)",
        ],
    ),
    ([_A], ["a0[0] = -0.0", "v0 = 1 / np.einsum('i,i->i', a0, a0 + 3)"]),
    ([("complex64", (3,))], ["v0 = np.abs(np.reciprocal(a0 * [0, 1, 2]))"]),
    ([("bool", (3, 1))], ["v0 = np.rint(a0)", "v1 = np.reciprocal(a0)"]),
    ([("bool", (3, 1))], ["v0 = np.square(a0)", "v1 = np.conj(a0)", "v2 = a0.conj()"]),
    ([_A], ["v0 = a0[1]", "v1 = np.roll(v0, 1)", "v2 = v1.T", "v2[()] = 7"]),
    ([_A], ["v0 = np.mean(a0)", "v1 = np.asarray(v0)", "v1[()] -= 2"]),
    ([("float64", (3, 1))], ["v0 = np.zeros((1, 1))", "np.exp(v0, out=a0)"]),
    ([("uint8", (2, 3))], ["v0 = a0.astype('float16')", "v1 = np.logaddexp(v0, a0)"]),
    ([("uint8", (3,))], ["v0 = np.tril(a0)"]),
    ([_T], ["v0 = np.logical_or.accumulate(a0, axis=1)"]),
    ([_T], ["v0 = np.subtract.reduce(a0, axis=1)", "a0.reshape(-1)[0] = 3"]),
    ([_T], ["v0 = np.multiply.reduceat(a0, [0, 1], axis=2)", "v0.reshape(-1)[0] = 1"]),
    ([_T], ["v0 = a0[:0:2]", "v1 = np.subtract.reduce(v0, axis=2)"]),
    ([_A], ["v0 = a0 * 0", "v0 += 0", "v1 = 1 / v0"]),
    ([_M], ["a0[a0 > 0] = 1.0 / a0[a0 > 0] - a0[a0 > 0] ** 2"]),
    ([_M], ["v0 = a0.T", "v0[v0 > -1] = v0[v0 > -1] * 0", "v1 = a0 * a0"]),
    ([_T], ["a0[1:, :, 1:][a0[1:, :, 1:] > 0] *= 2", "v1 = a0 * a0"]),
    ([_A], ["v0 = np.pad(a0, 0, 'edge')", "v0[0] = 7"]),
    ([("float32", ())], ["v0 = a0.max(axis=None, keepdims=True)", "v0.fill(1)"]),
    (
        [("int32", (3, 4))],
        [
            "v4 = np.transpose(a0)",
            "v6 = a0[0:4, :1]",
            "v4[-4:-3, -3:2:-2] |= 2",
            "v6 -= v6",
            "for row in v4: row *= 2",
            "v4[2:-3:-1, [2, 2]] //= 2",
        ],
    ),
    ([("uint8", ())], ["v0 = np.pad(a0, 1, 'edge')", "v0[()] = 7"]),
    ([_M], ["v0 = a0 > 0", "v0[1:] = False", "a0[v0] = np.exp(a0[v0]) * 2"]),
    ([_M, _M], ["a0[:, 2] = a0[:, 0] * a1[:, 1]", "a0[:, 3] -= a0[:, 2] * a0[:, 0]"]),
    ([_M], ["v0 = a0[:, :0] @ a0[:0, 1]", "a0[:0] = 3", "a0[0] += v0[0]"]),
    ([_A], ["v0 = a0[:0]", "v1 = np.subtract.accumulate(v0)"]),
    ([("bool", (4, 3))], ["v0 = np.rot90(a0)", "np.subtract.at(v0, [0, 0], 1)"]),
    ([("bool", (4, 3))], ["a0[:4] = a0[:4] - 1j", "v0 = np.kron(a0, a0)"]),
    ([("bool", (4, 3))], ["v0 = np.logaddexp(a0, 1)", "v1 = a0**2"]),
    ([("int8", (4,)), ("uint8", (4,))], ["v0 = np.arctan2(a0, a1)"]),
    ([_A], ["v0 = np.zeros((0,))", "np.putmask(a0, a0 > 1, v0)"]),
    (
        [("bool", (4,))],
        [
            "v0 = np.argwhere(np.matmul(a0, a0))",
            "v1 = np.all(v0, axis=-2)",
            "v0[v1 == 3] = 2",
        ],
    ),
    ([_A], ["v0 = a0[a0 > 9]", "np.putmask(a0, a0 > 1, v0)"]),
    ([_A], ["v0 = np.zeros((1, 1))", "np.copyto(a0, v0, where=a0 > 1)"]),
    ([_A], ["v0 = a0[1]", "v1 = np.argsort(v0, axis=0, kind='stable')"]),
    ([("int8", (1, 4))], ["v0 = a0[np.array([False])]", "v1 = np.median(v0)"]),
    ([("float32", ())], ["v0 = np.flip(a0)", "v0 -= 0"]),
    ([("int64", (1,))], ["v0 = np.squeeze(a0[0])", "v0 -= 1j", "v1 = v0.imag"]),
    ([("float64", ())], ["v0 = np.log1p(a0 + a0)", "v0.flat[0] = 3"]),
    (
        [("int32", ())],
        ["v0 = np.cumprod(a0)", "v1 = np.subtract.reduce(v0)", "v1 += 1"],
    ),
    ([("uint8", (2, 1, 3))], ["v0 = np.where(a0 > -1, a0, -1)"]),
    ([_M], ["v0 = a0[[2, -3]]", "v1 = a0[..., [[0], [-1]]]", "np.put(a0, [0, -1], 2)"]),
    ([_M], ["np.add.at(a0, [0, 0, -1], 1)", "v0 = np.minimum.reduceat(a0, [0, 1])"]),
    ([_A], ["v0 = a0[a0 > 0]", "v1 = np.outer(v0, v0)", "v1.reshape(-1)[0] = 2"]),
    ([_A], ["v0 = a0[a0 > -9]", "v1 = v0.reshape((2, -1))", "for row in v1: row *= 2"]),
    ([_A], ["v0 = a0[a0 > 0]", "v1 = np.minimum.reduceat(v0, [0, 1], axis=-1)"]),
    (
        [_T],
        [
            "v0 = a0.T[1, :-2, np.array([False, True])]",
            "v1 = v0.reshape(-1)",
            "v1[v1 > 2] += -1",
        ],
    ),
    ([_M], ["v0 = np.split(a0, 2, axis=1)[1]", "v0 += 1", "v1 = a0.diagonal()"]),
    ([_M], ["v0 = a0.diagonal(1)", "a0[0, 1] = 9", "v1 = np.diag(a0)", "a0[1, 1] = 8"]),
    ([_A], ["v0 = a0[0]", "v1 = v0.view()", "v2 = bumped(v1)"]),
    ([_A], ["v0 = np.pad(a0[0], 1)", "v1 = np.ascontiguousarray(v0)", "v1 += 1"]),
    ([("int32", (1, 4))], ["v0 = a0[..., -1:0]", "v0 **= -1"]),
    ([("uint8", (3,))], ["v0 = np.select([a0 > 1], [a0], -1)"]),
    ([("complex64", (3,))], ["v0 = np.log1p(a0)", "v0 **= 0.5"]),
    ([_A], ["a0[:2] = [-np.inf, -0.0]", "v0 = 1 / a0**0.5"]),
    ([_M], ["v0 = a0[[0, 1], None, :0]", "a0[[2, 1], 1:0] = v0"]),
    ([("int8", ())], ["v0 = np.flip(a0)", "v0 *= np.ones(5)"]),
    (
        [_A],
        [
            "v0 = np.array([[1, 2, 3], [0, -1, 2]], dtype='int8')",
            "v0[1:3:-1, 2] = -1.5",
            "v1 = np.subtract.reduceat(v0, [0, 1], axis=-1)",
            "v2 = 0 // v1",
        ],
    ),
    ([_M], ["v0 = np.ascontiguousarray(a0.T)", "v0 += 1", "a0.flat[::5] = [1, 2]"]),
]
