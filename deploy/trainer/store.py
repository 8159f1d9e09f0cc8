"""What is kept: the samples of each set, the newest model of each, and the one thread that trains."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import llmd
from samples import TARGETS, Invalid, Samples, Upload
from training import Parameters, Stopped, Trained, parse_parameters, train

LLMD_SET = "llm-d"
SETS_MAX = 8
SOURCES_MAX = 64

log = logging.getLogger("trainer")


@dataclass(frozen=True)
class Model:
    generation: int
    trained: Trained
    etags: dict[str, str]
    at: float
    seconds: float

    def body(self, form: str) -> bytes:
        return self.trained.ubj if form == "ubj" else self.trained.json


@dataclass
class Slot:
    """One target of one set."""

    # Newest last. llm-d's set has buckets instead.
    sources: OrderedDict[str, tuple[Samples, float]] = field(default_factory=OrderedDict)
    buckets: llmd.Buckets | None = None
    # What it was last asked to be trained with; None: the defaults of the environment.
    parameters: Parameters | None = None
    waiting: bool = False
    running: bool = False
    # Samples came since the last training.
    fresh: bool = False
    # Trainings asked for so far; the last of them may still be waiting.
    generation: int = 0
    model: Model | None = None
    failure: tuple[int, str] | None = None

    @property
    def rows(self) -> int:
        own = self.buckets.rows if self.buckets else 0
        return own + sum(samples.rows for samples, _ in self.sources.values())

    @property
    def nbytes(self) -> int:
        own = self.buckets.nbytes if self.buckets else 0
        return own + sum(samples.nbytes for samples, _ in self.sources.values())


Key = tuple[str, str]


class Store:
    """Every method may be called from any thread."""

    def __init__(self, config: Any, now: Callable[[], float] = time.monotonic):
        self._config = config
        self._now = now
        self._changed = threading.Condition()
        # Sets least recently used first.
        self._slots: OrderedDict[Key, Slot] = OrderedDict()
        self._sequence = 0
        self._stopping = False
        self._outcomes = {(target, result): 0 for target in TARGETS for result in ("done", "failed")}
        for target in TARGETS:
            buckets = llmd.Buckets(f"actual_{target}_ms", config.bucket_rows)
            self._slots[LLMD_SET, target] = Slot(buckets=buckets, parameters=config.parameters)
        self._thread = threading.Thread(target=self._work, name="training", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout=10)

    # Samples

    def put(self, upload: Upload) -> int:
        """Takes the place of what the source sent before; gives back the rows that the set has of the target now."""
        if upload.set == LLMD_SET:
            raise Invalid(f"set: {LLMD_SET} is kept for the samples of llm-d's routers")
        if upload.samples.nbytes > self._config.memory_bytes:
            raise Invalid(f"the samples take more than the {self._config.memory_bytes} bytes that may be kept", 413)
        with self._changed:
            slot = self._slot(upload.set, upload.target)
            others = [samples for name, (samples, _) in slot.sources.items() if name != upload.source]
            if any(samples.schema != upload.samples.schema for samples in others):
                raise Invalid(
                    f"set {upload.set} has other features, margins or weights: send them to a set of their own", 409
                )
            slot.sources.pop(upload.source, None)
            slot.sources[upload.source] = upload.samples, self._now()
            slot.fresh = True
            while len(slot.sources) > SOURCES_MAX:
                slot.sources.popitem(last=False)
            self._bound_memory(kept=upload.samples)
            return slot.rows

    def add_entries(self, rows: np.ndarray) -> None:
        """Samples of llm-d's routers."""
        with self._changed:
            rows[:, llmd.SEQUENCE_AT] = np.arange(self._sequence, self._sequence + len(rows))
            self._sequence += len(rows)
            for target in TARGETS:
                slot = self._slots[LLMD_SET, target]
                slot.fresh |= slot.buckets.add(rows) > 0

    def flush_entries(self) -> dict[str, int]:
        with self._changed:
            slots = {target: self._slots[LLMD_SET, target] for target in TARGETS}
            counts = {target: slot.rows for target, slot in slots.items()}
            for slot in slots.values():
                slot.buckets.clear()
                slot.fresh = False
            return counts

    # Models

    def request(self, set_name: str, target: str, parameters: Any) -> int:
        """Asks for a training; gives back the generation that the model will have. Requests that wait become one."""
        with self._changed:
            slot = self._slots.get((set_name, target))
            if slot is None or slot.rows == 0:
                raise Invalid(f"set {set_name} has no samples of {target}", 409)
            if parameters is not None:
                slot.parameters = parse_parameters(parameters, self._collect(slot, target)[0].types)
            return self._ask(slot)

    def model(self, set_name: str, target: str) -> Slot | None:
        """A copy of what is known of a model."""
        with self._changed:
            slot = self._slots.get((set_name, target))
            return replace(slot) if slot else None

    def slots(self) -> dict[Key, Slot]:
        """Copies of all, for pages that show them."""
        with self._changed:
            return {key: replace(slot, sources=OrderedDict(slot.sources)) for key, slot in self._slots.items()}

    def bucket_counts(self) -> dict[str, dict[str, int]]:
        with self._changed:
            return {target: self._slots[LLMD_SET, target].buckets.counts() for target in TARGETS}

    def outcomes(self) -> dict[Key, int]:
        with self._changed:
            return dict(self._outcomes)

    # The rest holds the lock, the training thread excepted.

    def _slot(self, set_name: str, target: str) -> Slot:
        names = list(dict.fromkeys(name for name, _ in self._slots))
        if set_name not in names and len(names) >= SETS_MAX:
            oldest = next(name for name in names if name != LLMD_SET)
            for other in TARGETS:
                self._slots.pop((oldest, other), None)
        for other in TARGETS:
            slot = self._slots.pop((set_name, other), None)
            if slot or other == target:
                self._slots[set_name, other] = slot or Slot()
        return self._slots[set_name, target]

    def _bound_memory(self, kept: Samples) -> None:
        while sum(slot.nbytes for slot in self._slots.values()) > self._config.memory_bytes:
            held = [
                (at, slot, name)
                for slot in self._slots.values()
                for name, (samples, at) in slot.sources.items()
                if samples is not kept
            ]
            if not held:
                return
            _, slot, name = min(held, key=lambda entry: entry[0])
            del slot.sources[name]

    def _collect(self, slot: Slot, target: str) -> list[Samples]:
        """What to train on now: one part a source. Those that have been silent for too long are dropped."""
        if slot.rows == 0:
            raise Invalid("the samples are gone")
        if slot.buckets:
            return [llmd.samples_of(target, slot.buckets.all(), **self._config.columns)]
        newest = max(at for _, at in slot.sources.values())
        for name in [name for name, (_, at) in slot.sources.items() if newest - at > self._config.source_seconds]:
            del slot.sources[name]
        return [samples for samples, _ in slot.sources.values()]

    def _ask(self, slot: Slot) -> int:
        if not slot.waiting:
            slot.waiting = True
            slot.generation += 1
            self._changed.notify_all()
        return slot.generation

    def _next(self) -> tuple[Key, Slot] | None:
        return next(((key, slot) for key, slot in self._slots.items() if slot.waiting), None)

    def _work(self) -> None:
        due = time.monotonic() + self._config.interval_seconds
        while True:
            with self._changed:
                while not self._stopping and not self._next():
                    wait = due - time.monotonic()
                    if wait > 0:
                        self._changed.wait(wait)
                        continue
                    due = time.monotonic() + self._config.interval_seconds
                    for slot in self._slots.values():
                        if slot.fresh and slot.rows >= self._config.rows_min:
                            self._ask(slot)
                if self._stopping:
                    return
                key, slot = self._next()
                slot.waiting, slot.fresh, slot.running = False, False, True
                generation, parameters = slot.generation, slot.parameters or self._config.parameters
            self._train(key, slot, generation, parameters)

    def _train(self, key: Key, slot: Slot, generation: int, parameters: Parameters) -> None:
        begin = time.monotonic()
        model, reason = None, ""

        def stopped() -> bool:
            return self._stopping or time.monotonic() - begin > self._config.training_seconds

        try:
            with self._changed:
                parts = self._collect(slot, key[1])
            trained = train(parts, parameters, stopped)
            etags = {
                form: f'"{hashlib.sha256(body).hexdigest()[:32]}"'
                for form, body in (("ubj", trained.ubj), ("json", trained.json))
            }
            model = Model(generation, trained, etags, time.time(), time.monotonic() - begin)
            log.info("%s of %s trained on %d samples in %.1f s", key[1], key[0], trained.rows, model.seconds)
        except Stopped:
            reason = f"the training was stopped after {time.monotonic() - begin:.0f} s"
        except Exception as error:  # XGBoost's errors are of many kinds; none may end the thread.
            reason = str(error).strip().split("\n")[0][:300] or type(error).__name__
        if reason:
            log.warning("%s of %s could not be trained: %s", key[1], key[0], reason)
        with self._changed:
            slot.running = False
            self._outcomes[key[1], "done" if model else "failed"] += 1
            if model:
                slot.model = model
            else:
                slot.failure = generation, reason
