"""Samples as routers send them: one target's rows as columns of float32, with labels, base margins and weights."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

TARGETS = ("ttft", "tpot")
FEATURE_TYPES = ("float", "q", "int", "i", "c")
ROWS_MAX = 500_000
FEATURES_MAX = 64
CATEGORIES_MAX = 1024

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Invalid(ValueError):
    """A request that cannot be used. `detail` is what its sender is told: a text, or a list of faults."""

    def __init__(self, detail: Any, status: int = 422):
        super().__init__(str(detail))
        self.detail = detail
        self.status = status


@dataclass(frozen=True)
class Samples:
    """Rows of one target in the order of time."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    x: np.ndarray  # rows x features, float32, NaN where a value is missing
    labels: np.ndarray
    margins: np.ndarray | None
    weights: np.ndarray | None

    @property
    def rows(self) -> int:
        return len(self.labels)

    @property
    def schema(self) -> tuple[Any, ...]:
        """What samples must agree in to be trained on together."""
        return self.names, self.types, self.margins is None, self.weights is None

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in (self.x, self.labels, self.margins, self.weights) if part is not None)

    def take(self, rows: slice) -> Samples:
        def cut(part: np.ndarray | None) -> np.ndarray | None:
            return None if part is None else part[rows]

        return Samples(self.names, self.types, self.x[rows], self.labels[rows], cut(self.margins), cut(self.weights))


def join(parts: list[Samples]) -> Samples:
    """All rows of samples of one schema."""
    if len(parts) == 1:
        return parts[0]

    def cat(name: str) -> np.ndarray | None:
        arrays = [getattr(part, name) for part in parts]
        return None if arrays[0] is None else np.concatenate(arrays)

    first = parts[0]
    return Samples(first.names, first.types, cat("x"), cat("labels"), cat("margins"), cat("weights"))


@dataclass(frozen=True)
class Upload:
    """What one router knows of one target; replaces what it sent before."""

    set: str
    source: str
    target: str
    samples: Samples


def parse_json(body: bytes) -> Any:
    """JSON as the standard has it: no NaN, no Infinity."""

    def refuse(token: str) -> None:
        raise Invalid(f"{token} is not JSON")

    try:
        return json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        if isinstance(error, Invalid):
            raise
        raise Invalid(f"the body must be JSON: {error}") from None


def parse_object(body: bytes) -> dict[str, Any]:
    value = parse_json(body)
    if not isinstance(value, dict):
        raise Invalid("the body must be a JSON object")
    return value


def name_of(document: dict[str, Any], key: str, default: str) -> str:
    value = document.get(key, default)
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise Invalid(f"{key}: must be 1 to 64 of letters, digits, '.', '_' and '-'")
    return value


def target_of(document: dict[str, Any]) -> str:
    if document.get("target") not in TARGETS:
        raise Invalid("target: must be ttft or tpot")
    return document["target"]


def parse_binary(body: bytes) -> Upload:
    """
    One line of JSON with `set`, `source`, `target`, `featureNames`, `featureTypes` and `rows`, then float32
    little-endian: each column, the labels, the base margins, the weights.
    """
    end = body.find(b"\n")
    if end < 0:
        raise Invalid("the body must begin with a line of JSON")
    header = parse_object(body[:end])
    names, types = _features(header)
    rows = header.get("rows")
    if type(rows) is not int or not 1 <= rows <= ROWS_MAX:
        raise Invalid(f"rows: must be a whole number from 1 to {ROWS_MAX}")
    expected = 4 * rows * (len(names) + 3)
    if len(body) - end - 1 != expected:
        raise Invalid(f"{expected} bytes must follow the first line, found {len(body) - end - 1}")
    values = np.frombuffer(body, "<f4", offset=end + 1).reshape(len(names) + 3, rows)
    return _upload(header, names, types, values[:-3], *values[-3:])


def parse_document(body: bytes) -> Upload:
    """The same as one JSON object: `columns`, `labels`, maybe `margins` and `weights`; null is a missing value."""
    document = parse_object(body)
    names, types = _features(document)
    labels = _floats(document.get("labels"), "labels")
    if not 1 <= len(labels) <= ROWS_MAX:
        raise Invalid(f"labels: must have 1 to {ROWS_MAX} values")
    columns = document.get("columns")
    if not isinstance(columns, list) or len(columns) != len(names):
        raise Invalid(f"columns: must have one list for each of the {len(names)} features")
    arrays = [_floats(column, f"columns[{index}]") for index, column in enumerate(columns)]
    margins, weights = (
        None if document.get(key) is None else _floats(document[key], key) for key in ("margins", "weights")
    )
    for key, part in [
        *((f"columns[{i}]", array) for i, array in enumerate(arrays)),
        ("margins", margins),
        ("weights", weights),
    ]:
        if part is not None and len(part) != len(labels):
            raise Invalid(f"{key}: must have {len(labels)} values, as labels has")
    return _upload(document, names, types, np.stack(arrays), labels, margins, weights)


def _floats(values: Any, key: str) -> np.ndarray:
    if not isinstance(values, list):
        raise Invalid(f"{key}: must be a list of numbers")
    if any(value is not None and type(value) not in (int, float) for value in values):
        raise Invalid(f"{key}: must be a list of numbers")
    try:
        return np.array(values, np.float64).astype(np.float32)
    except OverflowError:
        raise Invalid(f"{key}: a number is too large") from None


def _features(header: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    names, types = header.get("featureNames"), header.get("featureTypes")
    if not isinstance(names, list) or not 1 <= len(names) <= FEATURES_MAX:
        raise Invalid(f"featureNames: must be a list of 1 to {FEATURES_MAX} names")
    if not all(isinstance(name, str) and NAME.fullmatch(name) for name in names):
        raise Invalid("featureNames: a name must be 1 to 64 of letters, digits, '.', '_' and '-'")
    if len(set(names)) != len(names):
        raise Invalid("featureNames: must not repeat a name")
    if not isinstance(types, list) or len(types) != len(names) or any(kind not in FEATURE_TYPES for kind in types):
        raise Invalid(f"featureTypes: must have one of {', '.join(FEATURE_TYPES)} for each feature")
    return tuple(names), tuple(types)


def _upload(header: dict[str, Any], names, types, columns, labels, margins, weights) -> Upload:
    x = np.ascontiguousarray(columns.T, np.float32)
    if np.isinf(x).any():
        raise Invalid("columns: must not hold an infinite value")
    for key, part in (("labels", labels), ("margins", margins), ("weights", weights)):
        if part is not None and not np.isfinite(part).all():
            raise Invalid(f"{key}: must be finite numbers")
    if weights is not None and (weights.min() < 0 or weights.max() == 0):
        raise Invalid("weights: must not be negative, nor all of them 0")
    for index, kind in enumerate(types):
        codes = x[~np.isnan(x[:, index]), index]
        if kind == "c" and not np.isin(codes, np.arange(CATEGORIES_MAX)).all():
            raise Invalid(f"columns[{index}]: codes of categories must be whole numbers from 0 to {CATEGORIES_MAX - 1}")
    parts = [None if part is None else np.array(part, np.float32) for part in (labels, margins, weights)]
    samples = Samples(names, types, x, *parts)
    return Upload(name_of(header, "set", "default"), name_of(header, "source", "default"), target_of(header), samples)
