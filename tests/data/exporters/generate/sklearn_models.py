"""scikit-learn's estimators through ``skl2onnx``."""

from functools import partial
from typing import Any

import numpy as np
from common import Array, Example, Suite, random
from skl2onnx import to_onnx
from skl2onnx.common import _container
from skl2onnx.common.data_types import (
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn import (
    cluster,
    compose,
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_extraction,
    gaussian_process,
    impute,
    linear_model,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)

make_node = _container.make_node


def whole(op: str, inputs: Any, outputs: Any, **attributes: Any) -> Any:
    """``make_node`` with integers for booleans, which newer protobufs refuse."""
    for key, value in attributes.items():
        if isinstance(value, list) and {type(v) for v in value} & {bool, np.bool_}:
            attributes[key] = [int(v) for v in value]
    return make_node(op, inputs, outputs, **attributes)


_container.make_node = whole

X = random(1, 60, 5)
REAL = X[:, 0] * 2 - X[:, 1] ** 2 + random(2, 60)
BINARY = (X[:, 0] + X[:, 1] > 0).astype(np.int64)
CLASSES = np.digitize(X[:, 0] + 0.3 * X[:, 2], [-0.6, 0.6])
NAMES = np.array(["low", "mid", "high"])[CLASSES]
MANY = np.stack([BINARY, X[:, 3] > 0], 1).astype(np.int64)
SEED = 3

ROWS = [random(5, 4, 5), random(6, 1, 5), random(7, 9, 5)]


def fitted(model: Any, target: Array | None = None, **options: Any) -> Example:
    """Fit and export; ``options`` are the model's for the converter."""
    cases = options.pop("cases", [(rows,) for rows in ROWS])
    train = options.pop("train", X)
    rtol = options.pop("rtol", 1e-4)
    opset = options.pop("opset", None)
    model.fit(train, target)
    kept = {id(model): options} if options else None
    onx = to_onnx(model, train[:1], options=kept, target_opset=opset)
    return Example(onx, cases, rtol, atol=rtol)


CLASSIFIERS: dict[str, tuple[Any, Array]] = {
    "logistic_binary": (linear_model.LogisticRegression(), BINARY),
    "logistic_strings": (linear_model.LogisticRegression(), NAMES),
    "sgd": (linear_model.SGDClassifier(random_state=SEED), CLASSES),
    "linear_svc": (svm.LinearSVC(), CLASSES),
    "svc": (svm.SVC(), CLASSES),
    "svc_poly": (svm.SVC(kernel="poly"), BINARY),
    "decision_tree": (
        tree.DecisionTreeClassifier(max_depth=4, random_state=SEED),
        CLASSES,
    ),
    "random_forest": (
        ensemble.RandomForestClassifier(6, max_depth=4, random_state=SEED),
        NAMES,
    ),
    "extra_trees_multilabel": (
        ensemble.ExtraTreesClassifier(4, max_depth=3, random_state=SEED),
        MANY,
    ),
    "gradient_boosting": (
        ensemble.GradientBoostingClassifier(n_estimators=5, random_state=SEED),
        CLASSES,
    ),
    "hist_gradient_boosting": (
        ensemble.HistGradientBoostingClassifier(max_iter=4, min_samples_leaf=5),
        BINARY,
    ),
    "ada_boost": (ensemble.AdaBoostClassifier(n_estimators=3), CLASSES),
    "voting": (
        ensemble.VotingClassifier(
            [
                ("a", linear_model.LogisticRegression()),
                ("b", tree.DecisionTreeClassifier(max_depth=2, random_state=SEED)),
            ],
            voting="soft",
            flatten_transform=False,
        ),
        CLASSES,
    ),
    "knn": (neighbors.KNeighborsClassifier(3), CLASSES),
    "mlp": (
        neural_network.MLPClassifier(
            hidden_layer_sizes=(8,), max_iter=60, random_state=SEED
        ),
        CLASSES,
    ),
    "gaussian_nb": (naive_bayes.GaussianNB(), CLASSES),
    "discriminant": (discriminant_analysis.LinearDiscriminantAnalysis(), CLASSES),
}

PLAIN = ("linear_svc", "random_forest", "sgd")

REGRESSORS: dict[str, Any] = {
    "linear_regression": linear_model.LinearRegression(),
    "poisson": linear_model.TweedieRegressor(power=0),
    "svr": svm.SVR(),
    "random_forest_regressor": ensemble.RandomForestRegressor(
        5, max_depth=4, random_state=SEED
    ),
    "gradient_boosting_regressor": ensemble.GradientBoostingRegressor(
        n_estimators=6, random_state=SEED
    ),
    "hist_gradient_boosting_regressor": ensemble.HistGradientBoostingRegressor(
        max_iter=5, min_samples_leaf=5
    ),
    "knn_regressor": neighbors.KNeighborsRegressor(4, weights="distance"),
    "mlp_regressor": neural_network.MLPRegressor(
        hidden_layer_sizes=(8, 4),
        activation="tanh",
        max_iter=60,
        random_state=SEED,
    ),
    "gaussian_process": gaussian_process.GaussianProcessRegressor(
        gaussian_process.kernels.RBF(2.0), alpha=0.1
    ),
}

TRANSFORMERS: dict[str, Any] = {
    "kmeans": cluster.KMeans(3, n_init=1, random_state=SEED),
    "pca": decomposition.PCA(2, whiten=True),
    "truncated_svd": decomposition.TruncatedSVD(2, random_state=SEED),
    "isolation_forest": ensemble.IsolationForest(n_estimators=4, random_state=SEED),
    "outlier_factor": neighbors.LocalOutlierFactor(4, novelty=True),
    "one_class_svm": svm.OneClassSVM(),
    "scalers": pipeline.make_pipeline(
        preprocessing.StandardScaler(),
        preprocessing.MinMaxScaler(),
        preprocessing.RobustScaler(),
        preprocessing.MaxAbsScaler(),
        preprocessing.Normalizer(),
    ),
    "binned": pipeline.make_pipeline(
        preprocessing.PolynomialFeatures(2),
        preprocessing.KBinsDiscretizer(3, encode="ordinal"),
    ),
    "power": preprocessing.PowerTransformer(),
    "binarizer": preprocessing.Binarizer(threshold=0.2),
}


def missing() -> Example:
    """Gaps filled with the mean, and where they were."""
    train = X.copy()
    train[::7, 1] = np.nan
    rows = ROWS[0].copy()
    rows[1, 1] = rows[2, 4] = np.nan
    model = pipeline.make_pipeline(
        impute.SimpleImputer(), linear_model.LinearRegression()
    ).fit(train, REAL)
    return Example(to_onnx(model, train[:1]), [(rows,), (ROWS[1],)])


def columns() -> Example:
    """A table of numbers, strings and integers into a classifier."""
    colours = np.array(["red", "green", "blue"], dtype=object)
    table = columns_of(60, 1)
    prepared = compose.ColumnTransformer(
        [
            ("num", preprocessing.StandardScaler(), [0, 1]),
            ("cat", preprocessing.OneHotEncoder(handle_unknown="ignore"), [2]),
            (
                "ord",
                preprocessing.OrdinalEncoder(
                    handle_unknown="use_encoded_value", unknown_value=-1
                ),
                [3],
            ),
        ]
    )
    model = pipeline.make_pipeline(prepared, linear_model.LogisticRegression())
    frame = as_objects(table)
    model.fit(frame, BINARY)
    kinds = [
        ("a", FloatTensorType([None, 1])),
        ("b", FloatTensorType([None, 1])),
        ("colour", StringTensorType([None, 1])),
        ("level", Int64TensorType([None, 1])),
    ]
    onx = to_onnx(model, initial_types=kinds)
    assert set(table["colour"].ravel()) <= set(colours)
    return Example(onx, [columns_of(4, 2), columns_of(1, 3)])


def columns_of(rows: int, seed: int) -> dict[str, Array]:
    """A table's columns."""
    rng = np.random.default_rng(seed)
    return {
        "a": rng.normal(size=(rows, 1)).astype(np.float32),
        "b": rng.normal(size=(rows, 1)).astype(np.float32),
        "colour": rng.choice(["red", "green", "blue"], (rows, 1)).astype(object),
        "level": rng.integers(1, 4, (rows, 1)),
    }


def as_objects(table: dict[str, Array]) -> Array:
    """The columns side by side."""
    return np.concatenate([c.astype(object) for c in table.values()], 1)


TEXTS = np.array(
    [["the cat sat"], ["a dog ran far"], ["the dog and the cat"], ["birds fly far"]]
)


def text(model: Any) -> Example:
    """A vectorizer of words."""
    model.fit(TEXTS[:, 0])
    onx = to_onnx(model, initial_types=[("text", StringTensorType([None, 1]))])
    unseen = np.array([["the far bird sat"]], dtype=object)
    return Example(onx, [(TEXTS.astype(object),), (unseen,)])


def labels() -> Example:
    """Strings to numbers."""
    model = preprocessing.LabelEncoder().fit(NAMES)
    onx = to_onnx(model, initial_types=[("label", StringTensorType([None]))])
    return Example(onx, [(NAMES[:5].astype(object),), (NAMES[:1].astype(object),)])


def one_hot() -> Example:
    """Two columns of strings to one-hot."""
    table = np.array([["x", "p"], ["y", "q"], ["x", "r"]])
    model = preprocessing.OneHotEncoder(handle_unknown="ignore").fit(table)
    onx = to_onnx(model, initial_types=[("table", StringTensorType([None, 2]))])
    new = np.array([["y", "other"]], dtype=object)
    return Example(onx, [(table.astype(object),), (new,)])


def hashed() -> Example:
    """Hashed words."""
    model = feature_extraction.FeatureHasher(8, input_type="string", dtype=np.float32)
    onx = to_onnx(model, initial_types=[("text", StringTensorType([None, 1]))])
    return Example(onx, [(TEXTS.astype(object),), (TEXTS[:1].astype(object),)])


if __name__ == "__main__":
    packages = ("skl2onnx", "scikit-learn", "onnx", "onnxruntime")
    suite = Suite("skl2onnx", packages)
    for name, (model, target) in CLASSIFIERS.items():
        zipmap = {} if name in PLAIN else {"zipmap": False}
        suite.add(name, partial(fitted, model, target, **zipmap))
    for name, model in REGRESSORS.items():
        suite.add(name, partial(fitted, model, REAL, rtol=1e-3))
    for name, model in TRANSFORMERS.items():
        trees = {"opset": {"": 18, "ai.onnx.ml": 3}} if "forest" in name else {}
        suite.add(name, partial(fitted, model, **trees))
    logistic = linear_model.LogisticRegression
    for kind in (True, "columns"):
        name = "zipmap_columns" if kind == "columns" else "zipmap"
        suite.add(name, partial(fitted, logistic(), CLASSES, zipmap=kind))
    suite.add("zipmap_strings", partial(fitted, logistic(), NAMES, zipmap=True))
    suite.add("opset9", partial(fitted, logistic(), CLASSES, opset=9))
    double = [(rows.astype(np.float64),) for rows in ROWS]
    suite.add(
        "double",
        partial(
            fitted,
            linear_model.Ridge(),
            REAL,
            train=X.astype(np.float64),
            cases=double,
        ),
    )
    suite.add("imputer", missing)
    suite.add("columns", columns)
    suite.add("tfidf", partial(text, feature_extraction.text.TfidfVectorizer()))
    suite.add("counts", partial(text, feature_extraction.text.CountVectorizer()))
    suite.add("label_encoder", labels)
    suite.add("one_hot", one_hot)
    suite.add("hasher", hashed)
    suite.close()
