"""One training: samples and parameters in, an XGBoost model and its quality on held-out rows out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import xgboost as xgb

from samples import Invalid, Samples, join

MODEL_BYTES_MAX = 32 * 2**20

# Rounds between two repairs of what quantile training does to monotone constraints (see `_fit`).
REPAIR_ROUNDS = 10


class Stopped(Exception):
    """The training was told to end, or took too long."""


@dataclass(frozen=True)
class Parameters:
    """The defaults are llm-d's. No quantiles: the mean."""

    quantiles: tuple[float, ...] = ()
    trees: int = 200
    depth: int = 6
    learning_rate: float = 0.05
    row_sample: float = 0.8
    column_sample: float = 0.8
    min_child_weight: float = 5
    gamma: float = 0.2
    l1: float = 0.01
    l2: float = 0.1
    bins: int = 256
    monotone: tuple[int, ...] = ()
    seed: int = 42
    hold_out: float = 0

    @property
    def outputs(self) -> int:
        return max(1, len(self.quantiles))


# Wire name to attribute, whole, smallest, largest.
_NUMBERS: dict[str, tuple[str, bool, float, float]] = {
    "trees": ("trees", True, 1, 2000),
    "depth": ("depth", True, 1, 12),
    "learningRate": ("learning_rate", False, 1e-4, 1),
    "rowSample": ("row_sample", False, 0.05, 1),
    "columnSample": ("column_sample", False, 0.05, 1),
    "minChildWeight": ("min_child_weight", False, 0, 1e9),
    "gamma": ("gamma", False, 0, 1e9),
    "l1": ("l1", False, 0, 1e9),
    "l2": ("l2", False, 0, 1e9),
    "bins": ("bins", True, 2, 1024),
    "seed": ("seed", True, 0, 2**31 - 1),
    "holdOut": ("hold_out", False, 0, 0.5),
}
assert {attribute for attribute, *_ in _NUMBERS.values()} | {"quantiles", "monotone"} == {
    f.name for f in fields(Parameters)
}


def parse_parameters(document: Any, types: tuple[str, ...]) -> Parameters:
    """The parameters a client asks for, checked; what it does not name has its default."""
    if not isinstance(document, dict):
        raise Invalid("parameters: must be an object")
    values: dict[str, Any] = {}
    for key, value in document.items():
        if key == "quantiles":
            values[key] = _quantiles(value)
        elif key == "monotone":
            values[key] = _monotone(value, types)
        elif key not in _NUMBERS:
            raise Invalid(f"parameters.{key}: is not known")
        else:
            attribute, whole, least, most = _NUMBERS[key]
            is_number = type(value) in (int, float) and least <= value <= most
            if not is_number or (whole and value != int(value)):
                kind = "a whole number" if whole else "a number"
                raise Invalid(f"parameters.{key}: must be {kind} from {least:g} to {most:g}")
            values[attribute] = int(value) if whole else float(value)
    return Parameters(**values)


def _quantiles(value: Any) -> tuple[float, ...]:
    is_list = isinstance(value, list) and len(value) <= 9 and all(type(item) is float for item in value)
    if not is_list or any(not 0 < item < 1 for item in value) or sorted(set(value)) != value:
        raise Invalid("parameters.quantiles: must be at most 9 numbers between 0 and 1, ascending")
    return tuple(value)


def _monotone(value: Any, types: tuple[str, ...]) -> tuple[int, ...]:
    if (
        not isinstance(value, list)
        or len(value) not in (0, len(types))
        or any(item not in (-1, 0, 1) for item in value)
    ):
        raise Invalid(f"parameters.monotone: must be empty or hold -1, 0 or 1 for each of the {len(types)} features")
    if any(sign != 0 and kind == "c" for sign, kind in zip(value, types)):
        raise Invalid("parameters.monotone: must be 0 for a feature of type c")
    return tuple(int(item) for item in value)


@dataclass(frozen=True)
class Trained:
    ubj: bytes
    json: bytes
    quantiles: tuple[float, ...]
    rows: int
    held_out: int
    # By metric, one number an output; None without held-out rows.
    quality: dict[str, list[float]] | None


def train(parts: list[Samples], p: Parameters, stopped: Callable[[], bool]) -> Trained:
    """
    Trains on every part but its newest rows, which are held out by the share `p.hold_out` and judge the model.
    Raises Stopped soon after `stopped()` is true.
    """
    held = [int(part.rows * p.hold_out) for part in parts]
    fit_on = [part.take(slice(0, part.rows - count)) for part, count in zip(parts, held)]
    judge_by = [part.take(slice(part.rows - count, part.rows)) for part, count in zip(parts, held) if count > 0]
    samples = join(fit_on)
    booster = _fit(samples, p, stopped)
    tail = join(judge_by) if judge_by else None
    quality = _quality(booster, tail, p) if tail else None
    booster.set_attr(rows=str(samples.rows), seed=str(p.seed))
    if quality:
        booster.set_attr(**{name: ",".join(f"{value:.6g}" for value in values) for name, values in quality.items()})
    ubj, text = (bytes(booster.save_raw(form)) for form in ("ubj", "json"))
    model = Trained(ubj, text, p.quantiles, samples.rows, sum(held), quality)
    if max(len(ubj), len(text)) > MODEL_BYTES_MAX:
        raise Invalid(f"the model would be larger than {MODEL_BYTES_MAX} bytes: ask for fewer or smaller trees")
    return model


def matrix(samples: Samples, margins: np.ndarray | None = None) -> xgb.DMatrix:
    """The rows as XGBoost takes them; `margins` is rows x outputs."""
    data = xgb.DMatrix(
        samples.x,
        label=samples.labels,
        weight=samples.weights,
        feature_names=list(samples.names),
        feature_types=list(samples.types),
        enable_categorical=True,
    )
    if margins is not None:
        data.set_base_margin(margins)
    return data


def margins_of(samples: Samples, outputs: int) -> np.ndarray | None:
    """The base margin of each row for each output: the same for all."""
    return None if samples.margins is None else np.repeat(samples.margins[:, None], outputs, axis=1)


def _fit(samples: Samples, p: Parameters, stopped: Callable[[], bool]) -> xgb.Booster:
    """
    XGBoost 3.2 sets the leaves of quantile trees anew from the residuals once a tree has grown, and does not heed
    monotone constraints then. So such trees are trained ten rounds at a time, repaired, and the next ten begin at what
    the repaired ones predict: they make up for what the repair cost.
    """
    repair = bool(p.quantiles) and any(p.monotone)
    base = _base_score(samples, p)
    start = margins_of(samples, p.outputs)
    margins = np.tile(np.float32(base), (samples.rows, 1)) if start is None else start
    data = matrix(samples)
    documents: list[dict[str, Any]] = []
    rounds = REPAIR_ROUNDS if repair else p.trees
    for begin in range(0, p.trees, rounds):
        data.set_base_margin(margins)
        settings = {**_settings(p, base), "seed": p.seed + begin}
        booster = xgb.train(settings, data, min(rounds, p.trees - begin), callbacks=[_Stop(stopped)])
        if stopped():
            raise Stopped
        if not repair:
            return booster
        document = json.loads(booster.save_raw("json"))
        for tree in document["learner"]["gradient_booster"]["model"]["trees"]:
            make_monotone(tree, p.monotone)
        documents.append(document)
        margins = _load(document).predict(data, output_margin=True).reshape(samples.rows, p.outputs)
    return _load(_chain(documents, p.outputs))


def _settings(p: Parameters, base: list[float]) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "objective": "reg:quantileerror" if p.quantiles else "reg:squarederror",
        "tree_method": "hist",
        "max_depth": p.depth,
        "learning_rate": p.learning_rate,
        "subsample": p.row_sample,
        "colsample_bytree": p.column_sample,
        "min_child_weight": p.min_child_weight,
        "gamma": p.gamma,
        "reg_alpha": p.l1,
        "reg_lambda": p.l2,
        "max_bin": p.bins,
        "base_score": base if p.quantiles else base[0],
        "verbosity": 0,
    }
    if p.quantiles:
        settings["quantile_alpha"] = list(p.quantiles)
    if any(p.monotone):
        settings["monotone_constraints"] = p.monotone
    return settings


def _base_score(samples: Samples, p: Parameters) -> list[float]:
    """Where a prediction begins that is given no base margin: 0 where rows have their own."""
    if samples.margins is not None:
        return [0.0] * p.outputs
    if p.quantiles:
        return [float(value) for value in np.quantile(samples.labels, p.quantiles)]
    return [float(np.average(samples.labels, weights=samples.weights))]


class _Stop(xgb.callback.TrainingCallback):
    def __init__(self, stopped: Callable[[], bool]):
        super().__init__()
        self._stopped = stopped

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        return self._stopped()


def make_monotone(tree: dict[str, Any], signs: tuple[int, ...]) -> None:
    """
    Brings the leaves of a tree of a model file into the order that `signs` asks for (1: must not fall with the feature,
    -1: must not rise). As XGBoost does while it grows a tree: the middle between the means of the two sides of a
    constrained split keeps them apart.
    """
    left, right, leaf = tree["left_children"], tree["right_children"], tree["split_conditions"]
    cover, feature = tree["sum_hessian"], tree["split_indices"]
    means = [0.0] * len(left)

    def mean(node: int) -> float:
        if left[node] < 0:
            means[node] = leaf[node]
        else:
            a, b = mean(left[node]), mean(right[node])
            share = cover[left[node]] / max(cover[left[node]] + cover[right[node]], 1e-30)
            means[node] = a * share + b * (1 - share)
        return means[node]

    def clip(node: int, low: float, high: float) -> None:
        if left[node] < 0:
            leaf[node] = float(np.float32(min(max(leaf[node], low), high)))
            return
        sign = signs[feature[node]]
        if sign == 0:
            clip(left[node], low, high)
            clip(right[node], low, high)
            return
        a, b = (min(max(means[child], low), high) for child in (left[node], right[node]))
        middle = (a + b) / 2
        below, above = (left[node], right[node]) if sign > 0 else (right[node], left[node])
        clip(below, low, middle)
        clip(above, middle, high)

    mean(0)
    clip(0, -math.inf, math.inf)


def _chain(documents: list[dict[str, Any]], outputs: int) -> dict[str, Any]:
    """One model of the trees of several that were trained one after the other."""
    model = documents[0]["learner"]["gradient_booster"]["model"]
    trees = [tree for document in documents for tree in document["learner"]["gradient_booster"]["model"]["trees"]]
    for index, tree in enumerate(trees):
        tree["id"] = index
    model["trees"] = trees
    model["tree_info"] = [index % outputs for index in range(len(trees))]
    model["iteration_indptr"] = list(range(0, len(trees) + 1, outputs))
    model["gbtree_model_param"]["num_trees"] = str(len(trees))
    return documents[0]


def _load(document: dict[str, Any]) -> xgb.Booster:
    return xgb.Booster(model_file=bytearray(json.dumps(document).encode()))


def dump(model: bytes) -> list[Any]:
    """XGBoost's own readable form of each tree; says neither the objective nor the base score."""
    return [json.loads(tree) for tree in xgb.Booster(model_file=bytearray(model)).get_dump(dump_format="json")]


def _quality(booster: xgb.Booster, tail: Samples, p: Parameters) -> dict[str, list[float]]:
    predicted = booster.predict(matrix(tail, margins_of(tail, p.outputs))).reshape(tail.rows, p.outputs)
    error = tail.labels[:, None] - predicted
    if not p.quantiles:
        return {"mae": [float(np.abs(error).mean())], "rmse": [float(np.sqrt(np.square(error).mean()))]}
    alpha = np.array(p.quantiles)
    return {
        "pinball": np.maximum(alpha * error, (alpha - 1) * error).mean(axis=0).tolist(),
        "coverage": (error <= 0).mean(axis=0).tolist(),
    }
