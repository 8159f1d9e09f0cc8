"""What is answered to a request once its body is read: this service's own pages and those of llm-d's trainer."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import xgboost

import llmd
from metrics import page as metrics_page
from samples import TARGETS, Invalid, name_of, parse_binary, parse_document, parse_object, target_of
from store import LLMD_SET, Model, Slot, Store
from training import dump

BINARY_TYPE = "application/vnd.warmpath.samples"
MODEL_TYPES = {"ubj": "application/ubjson", "json": "application/json"}


@dataclass
class Request:
    path: str
    query: dict[str, str]
    headers: Any
    body: bytes

    @property
    def is_binary(self) -> bool:
        return self.headers.get_content_type() == BINARY_TYPE

    def document(self) -> dict[str, Any]:
        return parse_object(self.body) if self.body else {}


@dataclass
class Answer:
    status: int
    body: bytes = b""
    type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any, status: int = 200, **headers: str) -> Answer:
        return cls(status, json.dumps(value).encode(), headers=headers)

    @classmethod
    def fault(cls, status: int, detail: Any, **headers: str) -> Answer:
        return cls.of({"detail": detail}, status, **headers)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


class Pages:
    """The pages by method and path."""

    # Answered without a token: probes and scrapes.
    OPEN = ("/healthz", "/readyz", "/metrics")

    def __init__(self, config: Any, store: Store):
        self._config = config
        self._store = store
        target = f"({'|'.join(TARGETS)})"
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Answer]]] = [
            (method, re.compile(pattern), page)
            for method, pattern, page in (
                ("GET", "/healthz", lambda _: Answer.of({"status": "ok"})),
                # Samples are welcome before there is a model.
                ("GET", "/readyz", lambda _: Answer.of({"status": "ready"})),
                ("GET", "/metrics", self._metrics),
                ("POST", "/v1/samples", self._samples),
                ("POST", "/v1/train", self._train),
                ("GET", f"/v1/models/{target}", self._model),
                ("GET", "/v1/status", self._status),
                ("POST", "/add_training_data_bulk", self._add_entries),
                ("POST", "/flush", self._flush),
                ("GET", "/data/status", self._data_status),
                ("GET", "/models/list", self._list),
                ("GET", "/model/download/info", self._download_info),
                ("GET", f"/model/{target}/info", self._info),
                ("GET", f"/model/{target}/download", self._download),
                ("GET", f"/model/{target}/xgb/json", self._dump),
            )
        ]

    def answer(self, method: str, request: Request) -> Answer:
        allowed = []
        for route_method, pattern, page in self._routes:
            match = pattern.fullmatch(request.path)
            if match and route_method == method:
                return page(request, *match.groups())
            if match:
                allowed.append(route_method)
        if allowed:
            return Answer.fault(405, "another method is wanted", Allow=", ".join(allowed))
        return Answer.fault(404, "there is no such page")

    def _samples(self, request: Request) -> Answer:
        upload = (parse_binary if request.is_binary else parse_document)(request.body)
        return Answer.of({"set": upload.set, "target": upload.target, "rows": self._store.put(upload)}, 202)

    def _train(self, request: Request) -> Answer:
        document = request.document()
        set_name, target = name_of(document, "set", "default"), target_of(document)
        generation = self._store.request(set_name, target, document.get("parameters"))
        return Answer.of({"set": set_name, "target": target, "generation": generation}, 202)

    def _model(self, request: Request, target: str) -> Answer:
        form = request.query.get("format", "ubj")
        if form not in MODEL_TYPES:
            raise Invalid("format: must be ubj or json")
        wanted = request.query.get("generation", "0")
        if not re.fullmatch("[0-9]{1,15}", wanted):
            raise Invalid("generation: must be a whole number")
        slot = self._store.model(request.query.get("set", "default"), target)
        if slot is None or int(wanted) > slot.generation:
            return Answer.fault(404, "there is no such set, or no such training")
        if slot.model and slot.model.generation >= int(wanted):
            return _model_answer(slot.model, form, request)
        if int(wanted) == 0:
            return Answer.fault(404, "there is no model yet")
        if slot.failure and slot.failure[0] >= int(wanted):
            return Answer.fault(500, f"the training failed: {slot.failure[1]}")
        return Answer.of({"status": "pending"}, 202, **{"Retry-After": "1"})

    def _status(self, _: Request) -> Answer:
        sets = [
            {
                "set": set_name,
                "target": target,
                "samples": slot.rows,
                "sources": {name: samples.rows for name, (samples, _) in slot.sources.items()},
                "generation": slot.generation,
                "training": "running" if slot.running else "waiting" if slot.waiting else "idle",
                "model": _model_status(slot.model) if slot.model else None,
                "failure": {"generation": slot.failure[0], "reason": slot.failure[1]} if slot.failure else None,
            }
            for (set_name, target), slot in self._store.slots().items()
        ]
        return Answer.of({"xgboost": xgboost.__version__, "sets": sets})

    def _metrics(self, _: Request) -> Answer:
        return Answer(200, metrics_page(self._store).encode(), "text/plain; version=0.0.4; charset=utf-8")

    # llm-d's pages.

    def _add_entries(self, request: Request) -> Answer:
        rows = llmd.parse_entries(request.document())
        self._store.add_entries(rows)
        return Answer.of({"message": f"Accepted {len(rows)} training samples."}, 202)

    def _flush(self, request: Request) -> Answer:
        document = request.document()
        # Held-out samples are the newest of all: there is no store of their own, and no history of metrics.
        flush = document.get("flush_training_data", True) is True
        counts = self._store.flush_entries() if flush else dict.fromkeys(TARGETS, 0)
        return Answer.of(
            {
                "success": True,
                "flushed_at": _time(time.time()),
                "reason": document.get("reason"),
                **{f"{target}_training_samples_flushed": count for target, count in counts.items()},
                **{f"{target}_test_samples_flushed": 0 for target in TARGETS},
                "metrics_cleared": False,
                "message": f"Flushed {sum(counts.values())} training samples.",
            }
        )

    def _data_status(self, _: Request) -> Answer:
        slots = self._llmd_slots()
        rows = {f"{target}_samples": slot.rows for target, slot in slots.items()}
        trained = [slot.model.at for slot in slots.values() if slot.model]
        return Answer.of(
            {
                "training_data": {**rows, "total_samples": sum(rows.values())},
                "test_data": {"ttft_samples": 0, "tpot_samples": 0, "total_samples": 0},
                "buckets": self._store.bucket_counts(),
                "model_ready": len(trained) == len(TARGETS),
                "last_retrain": _time(max(trained)) if trained else None,
            }
        )

    def _llmd_slots(self) -> dict[str, Slot]:
        return {target: slot for target in TARGETS if (slot := self._store.model(LLMD_SET, target))}

    def _llmd_model(self, target: str) -> Model:
        model = self._llmd_slots()[target].model
        if model is None:
            raise Invalid("there is no model yet", 404)
        return model

    def _described(self) -> dict[str, Any]:
        quantiles = self._config.parameters.quantiles
        return {
            "model_type": "xgboost",
            "objective_type": "quantile" if quantiles else "mean",
            "quantile": quantiles[0] if quantiles else None,
        }

    def _list(self, _: Request) -> Answer:
        models = {}
        for target, slot in self._llmd_slots().items():
            model = slot.model
            models[target] = {
                "exists": model is not None,
                "size_bytes": len(model.trained.ubj) if model else 0,
                "last_modified": _time(model.at) if model else None,
                "evaluation_metrics": model.trained.quality if model else None,
            }
        return Answer.of({"models": models, **self._described(), "server_time": _time(time.time())})

    def _download_info(self, _: Request) -> Answer:
        slots = self._llmd_slots()
        return Answer.of(
            {
                **self._described(),
                "available_endpoints": {
                    "trees": {f"{target}_trees": f"/model/{target}/xgb/json" for target in TARGETS}
                },
                "model_status": {f"{target}_model_ready": slots[target].model is not None for target in TARGETS},
                "evaluation_info": {target: slot.model.trained.quality for target, slot in slots.items() if slot.model},
            }
        )

    def _info(self, _: Request, target: str) -> Answer:
        model = self._llmd_model(target)
        return Answer.of(
            {
                "model_name": target,
                "path": f"{target}.ubj",
                "size_bytes": len(model.trained.ubj),
                "last_modified": _time(model.at),
                "exists": True,
                "model_type": "xgboost",
                "quantile": self._described()["quantile"],
            }
        )

    def _download(self, request: Request, target: str) -> Answer:
        form = request.query.get("format", "ubj")
        if form not in MODEL_TYPES:
            raise Invalid("format: must be ubj or json")
        answer = _model_answer(self._llmd_model(target), form, request)
        answer.headers["Content-Disposition"] = f'attachment; filename="{target}.{form}"'
        return answer

    def _dump(self, _: Request, target: str) -> Answer:
        return Answer.of(dump(self._llmd_model(target).trained.ubj))


def _model_answer(model: Model, form: str, request: Request) -> Answer:
    etag = model.etags[form]
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")]
    headers = {"ETag": etag, "Cache-Control": "no-cache", "X-Generation": str(model.generation)}
    if etag in known or "*" in known:
        return Answer(304, headers=headers)
    return Answer(200, model.body(form), MODEL_TYPES[form], headers)


def _model_status(model: Model) -> dict[str, Any]:
    trained = model.trained
    return {
        "generation": model.generation,
        "trainedAt": _time(model.at),
        "seconds": round(model.seconds, 3),
        "samples": trained.rows,
        "heldOut": trained.held_out,
        "quality": trained.quality,
        "bytes": {"ubj": len(trained.ubj), "json": len(trained.json)},
    }
