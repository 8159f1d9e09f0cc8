"""The page that Prometheus reads. Series are bounded: at most 8 sets, 2 targets and 9 quantiles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from store import Store

Series = Iterable[tuple[dict[str, Any], float]]


def page(store: Store) -> str:
    slots = store.slots()

    def each(value: Any) -> Series:
        return [({"set": name, "target": target}, value(slot)) for (name, target), slot in slots.items()]

    def models(value: Any) -> Series:
        return [(labels, value(model)) for labels, model in each(lambda slot: slot.model) if model]

    def quality(metric: str) -> Series:
        return [
            ({**labels, **({"quantile": trained.quantiles[index]} if trained.quantiles else {})}, value)
            for labels, trained in models(lambda model: model.trained)
            for index, value in enumerate((trained.quality or {}).get(metric, ()))
        ]

    families: list[tuple[str, str, str, Series]] = [
        ("samples", "gauge", "Samples kept for training.", each(lambda slot: slot.rows)),
        ("samples_bytes", "gauge", "Memory that the samples take.", each(lambda slot: slot.nbytes)),
        (
            "trainings_total",
            "counter",
            "Trainings that ended.",
            [({"target": target, "result": result}, count) for (target, result), count in store.outcomes().items()],
        ),
        ("training_seconds", "gauge", "What the newest model took to train.", models(lambda model: model.seconds)),
        ("model_generation", "gauge", "Training that the newest model is of.", models(lambda model: model.generation)),
        (
            "model_timestamp_seconds",
            "gauge",
            "When the newest model was trained, Unix time.",
            models(lambda model: model.at),
        ),
        ("held_out_pinball", "gauge", "Pinball loss on the held-out samples, by quantile.", quality("pinball")),
        (
            "held_out_coverage",
            "gauge",
            "Share of held-out labels at or under the prediction, by quantile.",
            quality("coverage"),
        ),
        ("held_out_mae", "gauge", "Mean absolute error on the held-out samples.", quality("mae")),
        ("held_out_rmse", "gauge", "Root mean squared error on the held-out samples.", quality("rmse")),
    ]
    return "".join(_family(*family) for family in families)


def _family(name: str, kind: str, help_text: str, series: Series) -> str:
    name = f"warmpath_trainer_{name}"
    lines = [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
    for labels, value in series:
        # Label values are names of sets and the like, in which nothing needs to be escaped.
        pairs = ",".join(f'{key}="{text}"' for key, text in labels.items())
        lines.append(f"{name}{{{pairs}}} {value:.10g}")
    return "\n".join(lines) + "\n"
