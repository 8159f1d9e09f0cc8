"""Samples as llm-d's router sends them, one at a time: their ranges, their buckets and the columns made of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from samples import Invalid, Samples

# Name, whether whole, largest value, whether it must be there. Their order is the order of a kept row.
FIELDS: tuple[tuple[str, bool, float, bool], ...] = (
    ("kv_cache_percentage", False, 1, True),
    ("input_token_length", True, 1e12, True),
    ("num_request_waiting", True, 1e12, True),
    ("num_request_running", True, 1e12, True),
    ("num_tokens_generated", True, 1e12, True),
    ("prefix_cache_score", False, 1, True),
    ("prefill_tokens_in_flight", True, 1e12, False),
    ("decode_tokens_in_flight", True, 1e12, False),
    ("encoder_matched_size", True, 1e12, False),
    ("encoder_input_size", True, 1e12, False),
    ("actual_ttft_ms", False, 1e12, True),
    ("actual_tpot_ms", False, 1e12, True),
)
AT = {name: index for index, (name, *_) in enumerate(FIELDS)}
POD_TYPES = ("", "prefill", "decode")
POD_AT = len(FIELDS)
SEQUENCE_AT = POD_AT + 1
ROW = SEQUENCE_AT + 1

ENTRIES_MAX = 20_000
FAULTS_MAX = 20
QUEUES, CACHES, PREFIXES = 5, 20, 4


def parse_entries(document: dict[str, Any]) -> np.ndarray:
    """The rows of a bulk of samples; Invalid with all faults found (at most 20) if there is one."""
    entries = document.get("entries")
    if not isinstance(entries, list):
        raise Invalid([_fault(["entries"], "a list of samples is required")])
    if len(entries) > ENTRIES_MAX:
        raise Invalid([_fault(["entries"], f"at most {ENTRIES_MAX} samples may come at once")])
    rows = np.zeros((len(entries), ROW))
    faults: list[dict[str, Any]] = []
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            faults.append(_fault(["entries", index], "must be an object"))
        else:
            for at, (name, whole, most, required) in enumerate(FIELDS):
                message = _check(entry.get(name), whole, most, required)
                if message:
                    faults.append(_fault(["entries", index, name], message))
                else:
                    rows[index, at] = entry.get(name) or 0
            pod = entry.get("pod_type")
            if pod is not None and not isinstance(pod, str):
                faults.append(_fault(["entries", index, "pod_type"], "must be a string"))
            rows[index, POD_AT] = POD_TYPES.index(pod or "") if (pod or "") in POD_TYPES else np.nan
        if len(faults) >= FAULTS_MAX:
            break
    if faults:
        raise Invalid(faults[:FAULTS_MAX])
    return rows


def _check(value: Any, whole: bool, most: float, required: bool) -> str | None:
    if value is None:
        return "is required" if required else None
    if type(value) not in (int, float):
        return "must be a number"
    if whole and value != value // 1:
        return "must be a whole number"
    return None if 0 <= value <= most else f"must be from 0 to {most:g}"


def _fault(where: list[Any], message: str) -> dict[str, Any]:
    return {"type": "value_error", "loc": ["body", *where], "msg": message}


class Buckets:
    """The newest samples of one target for each combination of queue, KV cache and prefix: 400 rings."""

    def __init__(self, label: str, ring_rows: int):
        self._label_at = AT[label]
        self._ring_rows = ring_rows
        self._rings: dict[int, np.ndarray] = {}
        self._added: dict[int, int] = {}

    def add(self, rows: np.ndarray) -> int:
        """Keeps the rows whose label was observed; gives back how many."""
        rows = rows[rows[:, self._label_at] > 0]
        for key, row in zip(_keys(rows), rows):
            added = self._added.get(key, 0)
            ring = self._rings.get(key)
            if ring is None:
                ring = self._rings[key] = np.empty((self._ring_rows, ROW))
            ring[added % self._ring_rows] = row
            self._added[key] = added + 1
        return len(rows)

    def counts(self) -> dict[str, int]:
        """Samples by bucket, for the buckets that hold any."""
        return {
            f"queue_{key // (CACHES * PREFIXES)}_cache_{key // PREFIXES % CACHES}_prefix_{key % PREFIXES}": count
            for key, count in sorted((key, min(added, self._ring_rows)) for key, added in self._added.items())
        }

    @property
    def rows(self) -> int:
        return sum(min(added, self._ring_rows) for added in self._added.values())

    @property
    def nbytes(self) -> int:
        return sum(ring.nbytes for ring in self._rings.values())

    def all(self) -> np.ndarray:
        """Every row in the order of arrival."""
        parts = [ring[: min(self._added[key], self._ring_rows)] for key, ring in self._rings.items()]
        rows = np.concatenate(parts) if parts else np.empty((0, ROW))
        return rows[np.argsort(rows[:, SEQUENCE_AT], kind="stable")]

    def clear(self) -> None:
        self._rings.clear()
        self._added.clear()


def _keys(rows: np.ndarray) -> list[int]:
    queue = np.searchsorted([0, 2, 5, 10], rows[:, AT["num_request_waiting"]])
    cache = np.minimum(CACHES - 1, rows[:, AT["kv_cache_percentage"]] * CACHES // 1)
    prefix = _quarters(rows)
    return ((queue * CACHES + cache) * PREFIXES + prefix).astype(int).tolist()


def _quarters(rows: np.ndarray) -> np.ndarray:
    return np.minimum(PREFIXES - 1, rows[:, AT["prefix_cache_score"]] * PREFIXES // 1)


def columns_of(
    target: str, rows: np.ndarray, in_flight: bool, encoder: bool, zero_tokens: bool
) -> dict[str, tuple[str, np.ndarray]]:
    """llm-d's columns of a target in llm-d's order: name to type and values."""

    def raw(name: str) -> np.ndarray:
        return rows[:, AT[name]]

    columns = {"is_queued": ("int", (raw("num_request_waiting") > 0).astype(float))}
    columns["kv_cache_percentage"] = ("float", raw("kv_cache_percentage"))
    for name in ("input_token_length", "num_request_waiting", "num_request_running"):
        columns[name] = ("int", raw(name))
    if in_flight:
        for name in ("prefill_tokens_in_flight", "decode_tokens_in_flight"):
            columns[name] = ("int", raw(name))
    if target == "tpot":
        generated = raw("num_tokens_generated")
        columns["num_tokens_generated"] = ("int", np.zeros_like(generated) if zero_tokens else generated)
    else:
        if encoder:
            for name in ("encoder_matched_size", "encoder_input_size"):
                columns[name] = ("int", raw(name))
        columns["prefix_cache_score"] = ("float", raw("prefix_cache_score"))
        columns["effective_input_tokens"] = ("float", (1 - raw("prefix_cache_score")) * raw("input_token_length"))
        columns["prefill_score_bucket"] = ("c", _quarters(rows))
    columns["pod_type_cat"] = ("c", rows[:, POD_AT])
    return columns


def samples_of(
    target: str,
    rows: np.ndarray,
    *,
    in_flight: bool = True,
    encoder: bool = True,
    zero_tokens: bool = True,
    weigh_prefixes: bool = False,
) -> Samples:
    """What llm-d's model of a target is trained on; labels are milliseconds, without a base margin."""
    columns = columns_of(target, rows, in_flight, encoder, zero_tokens)
    types, values = zip(*columns.values())
    weights = _prefix_weights(rows) if weigh_prefixes and target == "ttft" else None
    labels = rows[:, AT[f"actual_{target}_ms"]].astype(np.float32)
    return Samples(tuple(columns), types, np.column_stack(values).astype(np.float32), labels, None, weights)


def _prefix_weights(rows: np.ndarray) -> np.ndarray:
    """Weights that let each quarter of the prefix score count alike, 1 in the mean."""
    quarters = _quarters(rows).astype(int)
    counts = np.bincount(quarters, minlength=PREFIXES)
    weights = len(rows) / (np.count_nonzero(counts) * (counts[quarters] + 1))
    return (weights / weights.mean()).astype(np.float32)
