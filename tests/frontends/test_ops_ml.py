"""ai.onnx.ml against ONNX Runtime; what differs on purpose is stated."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx_graphs import run, run_ort

from graphwright.ir.errors import ModelError, ShapeError

ML = "ai.onnx.ml"
RNG = np.random.default_rng(0)
TRANSFORMS = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO")


def f32(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


def floats(*shape: int) -> list[float]:
    found: list[float] = f32(*shape).ravel().tolist()
    return found


def words(*items: str) -> Any:
    return np.array(items, object)


def model(
    op_type: str, inputs: list[Any], opset: int = 3, outputs: int = 1, **attributes: Any
) -> tuple[Any, dict[str, Any]]:
    """A model of one node of ai.onnx.ml, and its feeds."""
    helper = onnx.helper
    feeds = {f"x{i}": np.asarray(x) for i, x in enumerate(inputs)}
    ends = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op_type, list(feeds), ends, domain=ML, **attributes)
    infos = [
        helper.make_tensor_value_info(
            n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape
        )
        for n, x in feeds.items()
    ]
    graph = helper.make_graph(
        [node], "g", infos, [onnx.ValueInfoProto(name=n) for n in ends]
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(ML, opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9), feeds


def ours(op_type: str, inputs: list[Any], **how: Any) -> list[Any]:
    return run(*model(op_type, inputs, **how))


def same(op_type: str, inputs: list[Any], **how: Any) -> list[Any]:
    proto, feeds = model(op_type, inputs, **how)
    found = run(proto, feeds)
    for got, want in zip(found, run_ort(proto, feeds), strict=True):
        if isinstance(want, list):
            assert got == want
            continue
        assert got.dtype == want.dtype
        assert got.shape == want.shape
        if want.dtype == object:
            assert got.tolist() == want.tolist()
        else:
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    return found


# Encoders -----------------------------------------------------------------------------


def test_label_encoder() -> None:
    x, n = words("a", "b", "z"), np.array([1, 2])
    same("LabelEncoder", [x], opset=1, classes_strings=["a", "b"])
    same("LabelEncoder", [n], opset=1, classes_strings=["a", "b"])
    same(
        "LabelEncoder",
        [x],
        opset=2,
        keys_strings=["a", "b"],
        values_int64s=[3, 4],
        default_int64=9,
    )
    same("LabelEncoder", [n], opset=2, keys_int64s=[1], values_floats=[2.5])
    same("LabelEncoder", [n], opset=2, keys_int64s=[1], values_strings=["one"])
    with pytest.raises(ModelError, match="1 keys and 2 values"):
        ours("LabelEncoder", [n], opset=2, keys_int64s=[1], values_floats=[2.5, 1.0])


def test_label_encoder_finds_nan() -> None:
    x = np.array([1, np.nan, 5], np.float32)
    keys = {"keys_floats": [1.0, float("nan")], "values_strings": ["one", "nan"]}
    assert ours("LabelEncoder", [x], opset=4, **keys)[0].tolist() == [
        "one",
        "nan",
        "_Unused",
    ]


def test_category_mapper() -> None:
    table = {"cats_strings": ["a", "b"], "cats_int64s": [7, 8]}
    same("CategoryMapper", [words("a", "b", "z")], default_int64=-5, **table)
    same("CategoryMapper", [np.array([7, 9])], **table)


def test_one_hot() -> None:
    same("OneHotEncoder", [np.array([[1, 2], [3, 9]])], cats_int64s=[1, 2, 3])
    same("OneHotEncoder", [f32(3) * 3], cats_int64s=[1, 2, 3])
    same("OneHotEncoder", [words("a", "q").reshape(2, 1)], cats_strings=["a", "b"])
    with pytest.raises(ShapeError, match="is no key"):
        ours("OneHotEncoder", [np.array([1, 9])], cats_int64s=[1], zeros=0)


def test_features() -> None:
    for x, at in ((f32(3, 5), [0, 3]), (f32(5), [0, 3]), (f32(2, 3, 5), [[1, 4]])):
        same("ArrayFeatureExtractor", [x, np.array(at)])
    same("FeatureVectorizer", [f32(3, 2), f32(3, 4)], inputdimensions=[2, 4])
    same("FeatureVectorizer", [f32(3, 2), f32(3, 4)], inputdimensions=[3, 2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_numbers(dtype: Any) -> None:
    x = (f32(4, 3) * 3).astype(dtype)
    (bits,) = ours("Binarizer", [x], threshold=0.5)
    assert bits.dtype == dtype
    np.testing.assert_array_equal(bits, x > 0.5)
    same("Scaler", [x], offset=floats(3), scale=floats(3))
    same("Scaler", [x], offset=[1.5], scale=[0.5])
    for norm in ("MAX", "L1", "L2"):
        same("Normalizer", [x], norm=norm)
    same("Normalizer", [np.zeros((2, 3), dtype)], norm="L2")


def test_imputer() -> None:
    x = np.array([[1, np.nan], [np.nan, 3]], np.float32)
    same(
        "Imputer",
        [x],
        imputed_value_floats=[5.0, 6.0],
        replaced_value_float=float("nan"),
    )
    same("Imputer", [np.array([[1, 0], [0, 3]])], imputed_value_int64s=[5])


def test_maps() -> None:
    labels = {"classlabels_strings": ["a", "b"]}
    (rows,) = same("ZipMap", [np.array([[0.5, 1], [2, 4]], np.float32)], **labels)
    assert rows == [{"a": 0.5, "b": 1.0}, {"a": 2.0, "b": 4.0}]


def map_model(op_type: str, key: int, value: int, **attributes: Any) -> Any:
    helper = onnx.helper
    type_ = helper.make_map_type_proto(key, helper.make_tensor_type_proto(value, []))
    node = helper.make_node(op_type, ["x"], ["y"], domain=ML, **attributes)
    info = helper.make_value_info("x", type_)
    graph = helper.make_graph([node], "g", [info], [onnx.ValueInfoProto(name="y")])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(ML, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


@pytest.mark.parametrize(
    ("op_type", "x", "attributes", "want"),
    [
        (
            "DictVectorizer",
            {"b": 2, "z": 9},
            {"string_vocabulary": ["a", "b"]},
            [[0, 2]],
        ),
        ("CastMap", {3: 1.5, 1: 2.0}, {}, [[2.0, 1.5]]),
        ("CastMap", {3: 1.5, 1: 2.0}, {"cast_to": "TO_INT64"}, [[2, 1]]),
        (
            "CastMap",
            {3: 1.5},
            {"map_form": "SPARSE", "max_map": 5},
            [[0, 0, 0, 1.5, 0]],
        ),
        ("CastMap", {1: "2.5"}, {"cast_to": "TO_FLOAT"}, [[2.5]]),
        ("CastMap", {1: 2.5}, {"cast_to": "TO_STRING"}, [["2.5"]]),
    ],
)
def test_maps_to_rows(op_type: str, x: Any, attributes: Any, want: Any) -> None:
    types = onnx.TensorProto
    key = types.STRING if isinstance(next(iter(x)), str) else types.INT64
    first = next(iter(x.values()))
    kinds = {str: types.STRING, int: types.INT64, float: types.FLOAT}
    proto = map_model(op_type, key, kinds[type(first)], **attributes)
    assert run(proto, {"x": x})[0].tolist() == want


# Linear models and support vectors ----------------------------------------------------


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_linear(transform: str, count: int) -> None:
    x, how = f32(4, 3), {"post_transform": transform, "intercepts": floats(count)}
    how["coefficients"] = floats(count * 3)
    same("LinearRegressor", [x], targets=count, **how)
    labels = [f"c{i}" for i in range(max(2, count))]
    same("LinearClassifier", [x], outputs=2, classlabels_strings=labels, **how)
    numbers = list(range(5, 5 + max(2, count)))
    same("LinearClassifier", [x], outputs=2, classlabels_ints=numbers, **how)


@pytest.mark.parametrize("kernel", ["LINEAR", "POLY", "RBF", "SIGMOID"])
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_support_vectors(kernel: str, classes: int) -> None:
    x, pairs = f32(6, 3), classes * (classes - 1) // 2
    shape = {"kernel_type": kernel, "kernel_params": [0.5, 0.3, 2.0]}
    own = [2, 1, 3, 1][:classes]
    machine = {
        "coefficients": floats(classes - 1, sum(own)),
        "support_vectors": floats(sum(own), 3),
        "vectors_per_class": own,
        "rho": floats(pairs),
        "classlabels_ints": list(range(classes)),
        **shape,
    }
    for transform in TRANSFORMS:
        same("SVMClassifier", [x], outputs=2, post_transform=transform, **machine)
    chances = {"prob_a": (-np.abs(f32(pairs))).tolist(), "prob_b": floats(pairs)}
    same("SVMClassifier", [x], outputs=2, **machine, **chances)
    line = {
        "coefficients": floats(4),
        "support_vectors": floats(4, 3),
        "rho": floats(1),
    }
    for one_class in (0, 1):
        same("SVMRegressor", [x], n_supports=4, one_class=one_class, **line, **shape)


# Trees --------------------------------------------------------------------------------


def forest(trees: int, features: int, modes: list[str]) -> tuple[dict[str, Any], Any]:
    """Random trees as attributes, and their leaves as (tree, node)."""
    rows: list[tuple[Any, ...]] = []

    def grow(tree: int, depth: int, count: list[int]) -> int:
        me = count[0]
        count[0] += 1
        if depth == 0 or RNG.random() < 0.2:
            rows.append((tree, me, 0, "LEAF", 0.0, 0, 0, 0))
            return me
        yes, no = grow(tree, depth - 1, count), grow(tree, depth - 1, count)
        feature, mode = int(RNG.integers(features)), str(RNG.choice(modes))
        value, lost = float(np.round(RNG.normal(), 1)), int(RNG.integers(2))
        rows.append((tree, me, feature, mode, value, yes, no, lost))
        return me

    for tree in range(trees):
        grow(tree, 4, [0])
    rows.sort()
    names = ["treeids", "nodeids", "featureids", "modes", "values", "truenodeids"]
    names += ["falsenodeids", "missing_value_tracks_true"]
    columns = zip(*rows, strict=True)
    attributes = {f"nodes_{n}": list(v) for n, v in zip(names, columns, strict=True)}
    return attributes, [(r[0], r[1]) for r in rows if r[3] == "LEAF"]


def entries(stem: str, leaves: Any, ids: Any, positive: bool = False) -> dict[str, Any]:
    rows = [(t, n, i, float(RNG.normal())) for t, n in leaves for i in ids]
    rows = [(t, n, i, abs(w) if positive else w) for t, n, i, w in rows]
    names = ["treeids", "nodeids", "ids", "weights"]
    return {
        f"{stem}_{n}": list(v)
        for n, v in zip(names, zip(*rows, strict=True), strict=True)
    }


ALL_MODES = [f"BRANCH_{m}" for m in ("LEQ", "LT", "GTE", "GT", "EQ", "NEQ")]


def rows_of(features: int, missing: bool) -> Any:
    x = np.round(f32(9, features), 1)
    if missing:
        x[RNG.random(x.shape) < 0.2] = np.nan
    return x


@pytest.mark.parametrize("modes", [["BRANCH_LEQ"], ALL_MODES])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE", "MIN", "MAX"])
def test_tree_regressor(modes: list[str], missing: bool, aggregate: str) -> None:
    x = rows_of(4, missing)
    for targets in (1, 3):
        nodes, leaves = forest(3, 4, modes)
        how = {
            **nodes,
            **entries("target", leaves, range(targets)),
            "n_targets": targets,
        }
        how["aggregate_function"] = aggregate
        same("TreeEnsembleRegressor", [x], **how)
        same(
            "TreeEnsembleRegressor",
            [x.astype(np.float64)],
            base_values=floats(targets),
            **how,
        )


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("positive", [False, True])
def test_tree_classifier(transform: str, positive: bool) -> None:
    x = rows_of(4, True)
    nodes, leaves = forest(3, 4, ALL_MODES)
    how = {**nodes, "post_transform": transform, "outputs": 2}
    one = entries("class", leaves, [0], positive)
    for base in ({}, {"base_values": [0.25]}):
        same(
            "TreeEnsembleClassifier",
            [x],
            classlabels_int64s=[0, 1],
            **base,
            **one,
            **how,
        )
    many = entries("class", leaves, range(3), positive)
    labels = {"classlabels_strings": ["a", "b", "c"]}
    for base in ({}, {"base_values": floats(3)}):
        same("TreeEnsembleClassifier", [x], **base, **many, **labels, **how)


def test_two_classes_that_leaves_speak_of_both_are_compared() -> None:
    nodes = stump()
    leaves = {
        "class_treeids": [0] * 4,
        "class_nodeids": [1, 1, 2, 2],
        "class_ids": [0, 1, 0, 1],
    }
    how = {**nodes, **leaves, "class_weights": [0.7, 0.3, 0.2, 0.8]}
    x = np.array([[-1], [1]], np.float32)
    label, scores = ours(
        "TreeEnsembleClassifier",
        [x],
        outputs=2,
        classlabels_strings=["no", "yes"],
        **how,
    )
    assert label.tolist() == ["no", "yes"]
    np.testing.assert_allclose(scores, [[0.7, 0.3], [0.2, 0.8]])


def stump(**changes: Any) -> dict[str, Any]:
    """A root and two leaves."""
    nodes: dict[str, Any] = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_values": [0.0, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
    }
    return nodes | changes


ONE = {
    "target_treeids": [0],
    "target_nodeids": [1],
    "target_ids": [0],
    "target_weights": [1.0],
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes_truenodeids": [0, 0, 0]}, "circle"),
        ({"nodes_modes": ["BRANCH_LEQ", "BRANCH_LT", "LEAF"]}, "circle"),
        ({"nodes_truenodeids": [7, 0, 0]}, "a node that it lacks"),
        ({"nodes_nodeids": [0, 1, 1]}, "two nodes of one number"),
        ({"nodes_modes": ["BRANCH_X", "LEAF", "LEAF"]}, "no mode 'BRANCH_X'"),
        ({"nodes_featureids": [5, 0, 0]}, "feature 5 of 1"),
        ({"nodes_featureids": [-1, 0, 0]}, "feature -1"),
        ({"nodes_values": [0.0]}, "has 1 elements, not 3"),
        ({"target_ids": [4]}, "target 4 of 1"),
        ({"target_nodeids": [9]}, "a node that it lacks"),
        ({"base_values": [1.0, 2.0]}, "2 base values for 1"),
    ],
)
def test_broken_trees(changes: dict[str, Any], message: str) -> None:
    how = {**stump(), **ONE, **changes}
    with pytest.raises(ModelError, match=message):
        ours("TreeEnsembleRegressor", [f32(2, 1)], **how)


def test_a_tree_of_one_leaf_and_no_rows() -> None:
    leaf = {k: v[:1] for k, v in stump(nodes_modes=["LEAF"]).items()}
    how = {**leaf, **ONE, "target_nodeids": [0]}
    assert ours("TreeEnsembleRegressor", [f32(3, 1)], **how)[0].tolist() == [[1]] * 3
    assert ours("TreeEnsembleRegressor", [f32(0, 1)], **how)[0].shape == (0, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_membership(dtype: Any) -> None:
    def tensor(values: list[float], kind: Any = dtype) -> Any:
        return onnx.numpy_helper.from_array(np.array(values, kind))

    how = {
        "tree_roots": [0],
        "nodes_modes": tensor([6, 6], np.uint8),
        "nodes_featureids": [0, 0],
        "nodes_splits": tensor([0, 0]),
        "nodes_truenodeids": [0, 1],
        "nodes_trueleafs": [1, 1],
        "nodes_falsenodeids": [1, 2],
        "nodes_falseleafs": [0, 1],
        "membership_values": tensor([1, 3, 5, np.nan, 2]),
        "leaf_targetids": [0, 0, 0],
        "leaf_weights": tensor([10, 20, 30]),
    }
    x = np.array([[1], [2], [3], [4], [5], [np.nan]], dtype)
    (y,) = ours("TreeEnsemble", [x], opset=5, **how)
    assert y.dtype == dtype
    assert y.ravel().tolist() == [10, 20, 10, 30, 10, 30]
    how["membership_values"] = tensor([1])
    with pytest.raises(ModelError, match="1 sets of members for 2"):
        ours("TreeEnsemble", [x], opset=5, **how)
