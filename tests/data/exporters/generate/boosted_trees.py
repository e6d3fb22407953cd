"""XGBoost and LightGBM through ``onnxmltools``, CatBoost by itself."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import onnx
import onnxmltools
import xgboost
from common import Array, Example, Suite, random
from onnxmltools.convert.common.data_types import FloatTensorType

X = random(1, 80, 5)
REAL = X[:, 0] * 2 - X[:, 1] ** 2
BINARY = (X[:, 0] + X[:, 1] > 0).astype(np.int64)
CLASSES = np.digitize(X[:, 0] + 0.3 * X[:, 2], [-0.6, 0.6])
COUNTS = np.abs(X[:, 2] * 3).astype(np.int64)
NAMES = np.array(["low", "mid", "high"])[CLASSES]
RANKED = np.repeat(np.arange(8), 10)
SEED = 3

SMALL = {"n_estimators": 5, "max_depth": 3, "random_state": SEED}
LIGHT = {**SMALL, "min_child_samples": 4, "verbose": -1, "num_leaves": 6}
CAT = {
    "iterations": 5,
    "depth": 3,
    "random_seed": SEED,
    "verbose": False,
    "allow_writing_files": False,
}


def cases(missing: bool = False) -> list[tuple[Array]]:
    """Rows of several counts, with gaps if asked."""
    rows = [random(5, 4, 5), random(6, 1, 5), random(7, 3, 5)]
    if missing:
        rows[0][1, 0] = rows[0][2, 1] = rows[1][0, 2] = np.nan
    return [(r,) for r in rows]


def gaps() -> Array:
    """The training rows with values left out."""
    rows = X.copy()
    rows[::7, 0] = rows[::5, 1] = np.nan
    return rows


def converted(
    convert: Callable[..., onnx.ModelProto],
    model: Any,
    target: Array,
    missing: bool = False,
    fit: dict[str, Any] | None = None,
    **options: Any,
) -> Example:
    """Fit and convert."""
    model.fit(gaps() if missing else X, target, **(fit or {}))
    kinds = [("input", FloatTensorType([None, 5]))]
    found = convert(model, initial_types=kinds, **options)
    return Example(found, cases(missing), atol=1e-4)


def cat(model: Any, target: Array, missing: bool = False) -> Example:
    """Fit and save as CatBoost does."""
    model.fit(gaps() if missing else X, target)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        model.save_model(str(path), format="onnx")
        return Example(onnx.load(path), cases(missing), atol=1e-4)


XGBOOST: dict[str, tuple[Any, Array]] = {
    "regressor": (xgboost.XGBRegressor(**SMALL), REAL),
    "classifier": (xgboost.XGBClassifier(**SMALL), BINARY),
    "classifier_many": (xgboost.XGBClassifier(**SMALL), CLASSES),
    "poisson": (xgboost.XGBRegressor(**SMALL, objective="count:poisson"), COUNTS),
    "logistic": (xgboost.XGBRegressor(**SMALL, objective="reg:logistic"), BINARY),
    "forest": (xgboost.XGBRFRegressor(**SMALL), REAL),
}
LIGHTGBM: dict[str, tuple[Any, Array]] = {
    "regressor": (lightgbm.LGBMRegressor(**LIGHT), REAL),
    "classifier": (lightgbm.LGBMClassifier(**LIGHT), BINARY),
    "classifier_many": (lightgbm.LGBMClassifier(**LIGHT), CLASSES),
    "classifier_strings": (lightgbm.LGBMClassifier(**LIGHT), NAMES),
    "poisson": (lightgbm.LGBMRegressor(**LIGHT, objective="poisson"), COUNTS),
    "forest": (
        lightgbm.LGBMRegressor(
            **LIGHT, boosting_type="rf", bagging_freq=1, bagging_fraction=0.7
        ),
        REAL,
    ),
}
CATBOOST: dict[str, tuple[Any, Array]] = {
    "regressor": (catboost.CatBoostRegressor(**CAT), REAL),
    "classifier": (catboost.CatBoostClassifier(**CAT), BINARY),
    "classifier_many": (catboost.CatBoostClassifier(**CAT), CLASSES),
    "classifier_strings": (catboost.CatBoostClassifier(**CAT), NAMES),
    "poisson": (
        catboost.CatBoostRegressor(**CAT, loss_function="Poisson"),
        COUNTS,
    ),
}


def boosted() -> None:
    """Write XGBoost's models."""
    convert = onnxmltools.convert_xgboost
    suite = Suite("xgboost", ("xgboost", "onnxmltools", "onnx", "onnxruntime"))
    for name, (model, target) in XGBOOST.items():
        suite.add(name, partial(converted, convert, model, target))
    model = xgboost.XGBClassifier(**SMALL)
    suite.add("missing", partial(converted, convert, model, BINARY, missing=True))
    suite.close()


def light() -> None:
    """Write LightGBM's models."""
    convert = onnxmltools.convert_lightgbm
    suite = Suite("lightgbm", ("lightgbm", "onnxmltools", "onnx", "onnxruntime"))
    for name, (model, target) in LIGHTGBM.items():
        suite.add(name, partial(converted, convert, model, target))
    model = lightgbm.LGBMClassifier(**LIGHT)
    suite.add("missing", partial(converted, convert, model, BINARY, missing=True))
    plain = partial(converted, convert, model, CLASSES, zipmap=False)
    suite.add("no_zipmap", plain)
    ranker = lightgbm.LGBMRanker(**LIGHT)
    groups = {"group": np.bincount(RANKED)}
    suite.add("ranker", partial(converted, convert, ranker, COUNTS % 4, fit=groups))
    suite.close()


if __name__ == "__main__":
    boosted()
    light()
    suite = Suite("catboost", ("catboost", "onnx", "onnxruntime"))
    for name, (model, target) in CATBOOST.items():
        suite.add(name, partial(cat, model, target))
    missing = catboost.CatBoostClassifier(**CAT)
    suite.add("missing", partial(cat, missing, BINARY, missing=True))
    suite.close()
