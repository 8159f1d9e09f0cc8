"""The trainer service: takes samples of latency over HTTP, trains XGBoost models of them, gives out the files."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from dataclasses import dataclass

from server import Server
from store import Store
from training import Parameters

# Settings of llm-d's trainer that mean nothing here: one model a target, kept in memory.
IGNORED = (
    "LATENCY_MIN_SAMPLES_FOR_RETRAIN_FRESH",
    "LATENCY_MAX_TEST_DATA_SIZE",
    "LATENCY_ENSEMBLE_MODE",
    "LATENCY_MIN_SAMPLES_FOR_ENSEMBLE_SPLIT",
)


class BadSetting(ValueError):
    """A variable of the environment that cannot be used."""


@dataclass(frozen=True)
class Config:
    host: str
    port: int
    token: str
    memory_bytes: int
    source_seconds: float
    training_seconds: float
    interval_seconds: float
    rows_min: int
    bucket_rows: int
    # Of trainings that nobody gave parameters.
    parameters: Parameters
    # Keyword arguments of `llmd.samples_of`.
    columns: dict[str, bool]


def read_config(env: dict[str, str]) -> Config:
    """Raises BadSetting that names the variable, what it holds and what was expected."""

    def number(name: str, default: float, least: float, most: float, whole: bool = True):
        text = env.get(name, "")
        try:
            value = (int if whole else float)(text) if text else default
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            kind = "a whole number" if whole else "a number"
            raise BadSetting(f"{name}={text!r}: must be {kind} from {least:g} to {most:g}")
        return value

    def choice(name: str, default: str, *others: str) -> str:
        value = env.get(name, "").lower() or default
        if value not in (default, *others):
            raise BadSetting(f"{name}={env[name]!r}: must be {' or '.join((default, *others))}")
        return value

    def switch(name: str, default: bool) -> bool:
        return choice(name, str(default).lower(), str(not default).lower()) == "true"

    choice("LATENCY_MODEL_TYPE", "xgboost")
    objective = choice("LATENCY_OBJECTIVE_TYPE", "quantile", "mean")
    quantile = number("LATENCY_QUANTILE_ALPHA", 0.9, 0.001, 0.999, whole=False)
    return Config(
        host=env.get("TRAINER_HOST") or "127.0.0.1",
        port=number("TRAINER_PORT", 8100, 0, 65535),
        token=env.get("TRAINER_TOKEN", ""),
        memory_bytes=number("TRAINER_MEMORY_MIB", 512, 1, 65536) * 2**20,
        source_seconds=number("TRAINER_SOURCE_MAX_AGE_SEC", 3600, 1, 31_536_000),
        training_seconds=number("TRAINER_TRAINING_MAX_SEC", 300, 0.01, 86_400, whole=False),
        interval_seconds=number("LATENCY_RETRAINING_INTERVAL_SEC", 1800, 1, 31_536_000),
        rows_min=number("LATENCY_MIN_SAMPLES_FOR_RETRAIN", 1000, 1, 1_000_000),
        bucket_rows=number("LATENCY_MAX_TRAINING_DATA_SIZE_PER_BUCKET", 500, 1, 5000),
        parameters=Parameters(
            quantiles=(quantile,) if objective == "quantile" else (),
            hold_out=number("LATENCY_TEST_TRAIN_RATIO", 0.1, 0, 0.5, whole=False),
        ),
        columns={
            "in_flight": switch("LATENCY_ENABLE_TOKEN_IN_FLIGHT_FEATURES", True),
            "encoder": switch("LATENCY_ENABLE_ENCODER_FEATURES", True),
            "zero_tokens": switch("LATENCY_TPOT_ZERO_TOKEN_COUNT", True),
            "weigh_prefixes": switch("LATENCY_SAMPLE_WEIGHTING_FOR_PREFIX_CACHE", False),
        },
    )


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    log = logging.getLogger("trainer")
    try:
        config = read_config(dict(os.environ))
    except BadSetting as error:
        log.error("%s", error)
        return 2
    unused = [
        name for name in os.environ if name in IGNORED or (name.startswith("LATENCY_") and name.endswith("_PATH"))
    ]
    if unused:
        log.warning("not used here: %s", ", ".join(sorted(unused)))
    store = Store(config)
    try:
        server = Server(config, store)
    except OSError as error:
        log.error("cannot listen on %s:%d: %s", config.host, config.port, error)
        return 1
    # `shutdown` waits for the loop that the handler interrupts, so it needs a thread of its own.
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: threading.Thread(target=server.shutdown).start())
    store.start()
    log.info("listening on http://%s:%d", config.host, server.server_port)
    server.serve_forever()
    server.server_close()
    store.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
