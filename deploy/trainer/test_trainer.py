"""Tests with the real XGBoost: `python3 -m unittest test_trainer` in this folder."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import threading
import time
import unittest
from typing import Any

# Threads that wait for each other by spinning take ten times as long where others want the cores as well.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import xgboost as xgb

import llmd
import pages
import server
from samples import Invalid, Samples, join, parse_binary, parse_document
from server import Server
from store import SETS_MAX, Store
from trainer import BadSetting, read_config
from training import Parameters, Stopped, margins_of, matrix, parse_parameters, train

NAMES = ("tokens", "running", "noise", "role")
TYPES = ("float", "int", "float", "c")
QUANTILES = (0.5, 0.9, 0.99)


def made(rows: int, seed: int = 1, margins: bool = True) -> Samples:
    """Samples whose label grows with tokens and running, above a margin that knows a part of it."""
    rng = np.random.default_rng(seed)
    x = np.column_stack(
        [rng.gamma(2, 1, rows), rng.integers(0, 20, rows), rng.normal(0, 1, rows), rng.integers(0, 3, rows)]
    )
    x[::17, 2] = np.nan
    margin = 0.3 * x[:, 0]
    labels = margin + 0.5 * np.log1p(x[:, 1]) + 0.2 * x[:, 3] + rng.normal(0, 0.2, rows)
    weights = rng.uniform(0.5, 2, rows)
    parts = [part.astype(np.float32) for part in (x, labels, margin, weights)]
    return Samples(NAMES, TYPES, parts[0], parts[1], parts[2] if margins else None, parts[3] if margins else None)


def frame(samples: Samples, **header: Any) -> bytes:
    fields = {"target": "ttft", "featureNames": NAMES, "featureTypes": TYPES, "rows": samples.rows, **header}
    parts = [*samples.x.T, samples.labels, samples.margins, samples.weights]
    return json.dumps(fields).encode() + b"\n" + b"".join(part.astype("<f4").tobytes() for part in parts)


def never() -> bool:
    return False


class Training(unittest.TestCase):
    def test_the_file_with_the_base_margin_predicts_what_training_assumed(self) -> None:
        samples = made(1500)
        for parameters in (
            Parameters(trees=40, learning_rate=0.2),
            Parameters(quantiles=QUANTILES, trees=40, learning_rate=0.2),
            Parameters(quantiles=QUANTILES, trees=35, learning_rate=0.2, monotone=(1, 1, 0, 0)),
        ):
            model = train([samples], parameters, never)
            margins = margins_of(samples, parameters.outputs)
            loaded = [xgb.Booster(model_file=bytearray(body)) for body in (model.ubj, model.json)]
            predicted = [booster.predict(matrix(samples, margins)) for booster in loaded]
            np.testing.assert_array_equal(predicted[0], predicted[1])
            predicted[0] = predicted[0].reshape(samples.rows, parameters.outputs)
            # A margin is added to the trees' sum as it is, also where it was 0 in training.
            bare = loaded[0].predict(matrix(samples, margins * 0)).reshape(samples.rows, parameters.outputs)
            np.testing.assert_allclose(predicted[0], bare + margins, atol=1e-5)
            if parameters.quantiles:
                coverage = (samples.labels[:, None] <= predicted[0]).mean(axis=0)
                np.testing.assert_allclose(coverage, QUANTILES, atol=0.06)
            else:
                self.assertLess(float(np.abs(samples.labels - predicted[0][:, 0]).mean()), 0.25)
            self.assertEqual(loaded[0].feature_names, list(NAMES))
            self.assertEqual(loaded[0].feature_types, list(TYPES))
            self.assertEqual(loaded[0].num_boosted_rounds(), parameters.trees)

    def test_quantile_trees_keep_monotone_constraints_and_lose_no_accuracy(self) -> None:
        samples, tail = made(4000), made(2000, seed=2)
        losses = []
        for monotone in ((), (1, 1, 0, 0), (0, -1, 0, 0)):
            parameters = Parameters(quantiles=QUANTILES, trees=40, learning_rate=0.2, monotone=monotone)
            model = train([samples], parameters, never)
            booster = xgb.Booster(model_file=bytearray(model.ubj))
            error = tail.labels[:, None] - booster.predict(matrix(tail, margins_of(tail, 3)))
            alpha = np.array(QUANTILES)
            losses.append(float(np.maximum(alpha * error, (alpha - 1) * error).mean()))
            for feature, sign in enumerate(monotone):
                rows = np.repeat(tail.x[:100], 40, axis=0)
                rows[:, feature] = np.tile(np.linspace(0, 20, 40), 100)
                swept = Samples(NAMES, TYPES, rows, np.zeros(4000, np.float32), None, None)
                steps = np.diff(booster.predict(matrix(swept, np.zeros((4000, 3)))).reshape(100, 40, 3), axis=1)
                if sign:
                    self.assertGreaterEqual(float((steps * sign).min()), -1e-5)
        self.assertLess(losses[1], losses[0] * 1.02)
        self.assertGreater(losses[2], losses[0] * 1.02)

    def test_without_margins_a_prediction_begins_at_the_labels(self) -> None:
        samples = made(1000, margins=False)
        for parameters in (
            Parameters(trees=20, learning_rate=0.2),
            Parameters(quantiles=(0.9,), trees=20, learning_rate=0.2),
        ):
            booster = xgb.Booster(model_file=bytearray(train([samples], parameters, never).ubj))
            base = json.loads(booster.save_config())["learner"]["learner_model_param"]["base_score"]
            wanted = np.quantile(samples.labels, 0.9) if parameters.quantiles else samples.labels.mean()
            self.assertAlmostEqual(json.loads(base)[0], float(wanted), places=4)
            self.assertLess(float(np.abs(booster.predict(matrix(samples)) - samples.labels).mean()), 0.5)

    def test_the_newest_rows_of_each_part_are_held_out(self) -> None:
        parts = [made(800), made(400, seed=2)]
        model = train(parts, Parameters(quantiles=QUANTILES, trees=20, hold_out=0.25), never)
        self.assertEqual((model.rows, model.held_out), (900, 300))
        alone = train(
            [join([parts[0].take(slice(0, 600)), parts[1].take(slice(0, 300))])],
            Parameters(quantiles=QUANTILES, trees=20),
            never,
        )
        self.assertEqual(alone.quality, None)
        tail = join([parts[0].take(slice(600, 800)), parts[1].take(slice(300, 400))])
        error = tail.labels[:, None] - xgb.Booster(model_file=bytearray(alone.ubj)).predict(
            matrix(tail, margins_of(tail, 3))
        )
        np.testing.assert_allclose(model.quality["coverage"], (error <= 0).mean(axis=0))

    def test_a_training_ends_when_told(self) -> None:
        calls = []

        def after_three() -> bool:
            calls.append(1)
            return len(calls) > 3

        with self.assertRaises(Stopped):
            train([made(200)], Parameters(trees=2000), after_three)
        self.assertEqual(len(calls), 5)

    def test_equal_samples_and_seeds_give_equal_files(self) -> None:
        parameters = Parameters(quantiles=QUANTILES, trees=25, monotone=(1, 0, 0, 0))
        one, two = (train([made(500)], parameters, never) for _ in range(2))
        self.assertEqual(one.ubj, two.ubj)
        self.assertNotEqual(
            one.ubj,
            train([made(500)], Parameters(quantiles=QUANTILES, trees=25, monotone=(1, 0, 0, 0), seed=7), never).ubj,
        )

    def test_parameters_out_of_range_are_refused_by_name(self) -> None:
        for key, value in (
            ("trees", 0),
            ("trees", 10**400),
            ("trees", 1.5),
            ("depth", 13),
            ("learningRate", "x"),
            ("rowSample", True),
            ("quantiles", [0.9, 0.5]),
            ("quantiles", [1.0]),
            ("monotone", [1, 0, 0]),
            ("monotone", [0, 0, 0, 1]),
            ("holdOut", 0.6),
            ("treees", 5),
        ):
            with self.subTest(key=key, value=value), self.assertRaisesRegex(Invalid, f"parameters.{key}: "):
                parse_parameters({key: value}, TYPES)
        parsed = parse_parameters({"quantiles": [0.5, 0.9], "monotone": [1, 0, -1, 0], "trees": 7}, TYPES)
        self.assertEqual(parsed, Parameters(quantiles=(0.5, 0.9), monotone=(1, 0, -1, 0), trees=7))


class Parsing(unittest.TestCase):
    def test_both_forms_of_samples_mean_the_same(self) -> None:
        samples = made(50)
        document = {
            "set": "a.b-c",
            "source": "r1",
            "target": "tpot",
            "featureNames": NAMES,
            "featureTypes": TYPES,
            "columns": [[None if np.isnan(v) else float(v) for v in column] for column in samples.x.T],
            **{key: getattr(samples, key).tolist() for key in ("labels", "margins", "weights")},
        }
        uploads = [
            parse_document(json.dumps(document).encode()),
            parse_binary(frame(samples, set="a.b-c", source="r1", target="tpot")),
        ]
        for upload in uploads:
            self.assertEqual((upload.set, upload.source, upload.target), ("a.b-c", "r1", "tpot"))
            for key in ("x", "labels", "margins", "weights"):
                np.testing.assert_array_equal(getattr(upload.samples, key), getattr(samples, key))
            self.assertEqual(upload.samples.schema, samples.schema)

    def test_samples_that_cannot_be_used_are_refused(self) -> None:
        good = {"target": "ttft", "featureNames": ["a"], "featureTypes": ["float"], "columns": [[1]], "labels": [1]}
        parse_document(json.dumps(good).encode())
        for change, message in (
            ({"target": "x"}, "target"),
            ({"set": "a b"}, "set"),
            ({"featureNames": []}, "featureNames"),
            ({"featureNames": ["a["]}, "featureNames"),
            ({"featureTypes": ["double"]}, "featureTypes"),
            ({"columns": [[1, 2]]}, r"columns\[0\]"),
            ({"columns": [["1"]]}, r"columns\[0\]"),
            ({"columns": [[10**400]]}, r"columns\[0\]"),
            ({"featureTypes": ["c"], "columns": [[1e6]]}, r"columns\[0\]"),
            ({"labels": [None]}, "labels"),
            ({"labels": []}, "labels"),
            ({"weights": [-1]}, "weights"),
            ({"weights": [0]}, "weights"),
            ({"margins": [1, 2]}, "margins"),
        ):
            with self.subTest(change=change), self.assertRaisesRegex(Invalid, message):
                parse_document(json.dumps({**good, **change}).encode())
        for body in (b"", b"[]", b"{", b"[" * 100_000, json.dumps(good).replace("[1]", "[NaN]").encode(), b"\xff\xfe"):
            with self.subTest(body=body[:9]), self.assertRaises(Invalid):
                parse_document(body)
        infinite = json.dumps(good).replace('"columns": [[1]]', '"columns": [[1e999]]').encode()
        with self.assertRaisesRegex(Invalid, "infinite"):
            parse_document(infinite)
        whole = frame(made(10))
        for body in (whole[:-1], whole + b"\0", whole.replace(b'"rows": 10', b'"rows": 11'), b'{"rows": 1}'):
            with self.assertRaises(Invalid):
                parse_binary(body)


def entry(**values: Any) -> dict[str, Any]:
    fields = {name: 0 for name, *_ in llmd.FIELDS}
    return {**fields, "actual_ttft_ms": 143, "pod_type": "", "timestamp": "2026-08-21T10:00:00Z", **values}


class LlmD(unittest.TestCase):
    def test_entries_out_of_range_are_all_named(self) -> None:
        bad = {
            "kv_cache_percentage": 1.01,
            "prefix_cache_score": -0.1,
            "input_token_length": 1.5,
            "num_request_waiting": -1,
            "num_request_running": "5",
            "num_tokens_generated": None,
            "actual_ttft_ms": float("inf"),
            "pod_type": 5,
        }
        with self.assertRaises(Invalid) as caught:
            llmd.parse_entries({"entries": [entry(), entry(**bad)]})
        self.assertEqual({fault["loc"][-1] for fault in caught.exception.detail}, set(bad))
        self.assertTrue(all(fault["loc"][:3] == ["body", "entries", 1] for fault in caught.exception.detail))
        with self.assertRaises(Invalid) as caught:
            llmd.parse_entries({"entries": [7] * 1000})
        self.assertEqual(len(caught.exception.detail), llmd.FAULTS_MAX)
        for document in ({}, {"entries": {}}):
            with self.assertRaises(Invalid):
                llmd.parse_entries(document)
        self.assertEqual(len(llmd.parse_entries({"entries": [{**entry(), "more": 1, "input_token_length": 5.0}]})), 1)

    def test_columns_are_those_of_llm_d_in_their_order(self) -> None:
        values = {
            "num_request_waiting": 2,
            "prefix_cache_score": 0.75,
            "input_token_length": 812,
            "num_tokens_generated": 9,
        }
        rows = llmd.parse_entries(
            {"entries": [entry(**values, pod_type=pod) for pod in ("", "prefill", "decode", "other")]}
        )
        ttft = llmd.samples_of("ttft", rows)
        self.assertEqual(
            " ".join(ttft.names),
            "is_queued kv_cache_percentage input_token_length num_request_waiting num_request_running "
            "prefill_tokens_in_flight decode_tokens_in_flight encoder_matched_size encoder_input_size "
            "prefix_cache_score effective_input_tokens prefill_score_bucket pod_type_cat",
        )
        self.assertEqual(ttft.types[-3:], ("float", "c", "c"))
        np.testing.assert_array_equal(ttft.x[1], np.array([1, 0, 812, 2, 0, 0, 0, 0, 0, 0.75, 203, 3, 1], np.float32))
        np.testing.assert_array_equal(ttft.x[:, -1], np.array([0, 1, 2, np.nan], np.float32))
        tpot = llmd.samples_of("tpot", rows, zero_tokens=False)
        self.assertEqual(" ".join(tpot.names[-3:]), "decode_tokens_in_flight num_tokens_generated pod_type_cat")
        self.assertEqual((len(tpot.names), tpot.x[0, 7]), (9, 9))
        self.assertEqual(llmd.samples_of("tpot", rows).x[0, 7], 0)
        self.assertEqual(len(llmd.samples_of("ttft", rows, in_flight=False, encoder=False).names), 9)

    def test_a_bucket_keeps_its_newest_samples(self) -> None:
        buckets = llmd.Buckets("actual_ttft_ms", 3)
        rows = llmd.parse_entries(
            {
                "entries": [
                    *(entry(input_token_length=index) for index in range(10)),
                    entry(num_request_waiting=11, kv_cache_percentage=1, prefix_cache_score=1),
                    entry(actual_ttft_ms=0),
                ],
            }
        )
        rows[:, llmd.SEQUENCE_AT] = np.arange(len(rows))
        self.assertEqual(buckets.add(rows), 11)
        self.assertEqual(buckets.counts(), {"queue_0_cache_0_prefix_0": 3, "queue_4_cache_19_prefix_3": 1})
        self.assertEqual(buckets.all()[:, llmd.AT["input_token_length"]].tolist(), [7, 8, 9, 0])
        self.assertEqual(buckets.rows, 4)

    def test_queues_fall_into_five_buckets(self) -> None:
        buckets = llmd.Buckets("actual_ttft_ms", 9)
        waiting = (0, 1, 2, 3, 5, 6, 10, 11, 500)
        buckets.add(llmd.parse_entries({"entries": [entry(num_request_waiting=count) for count in waiting]}))
        self.assertEqual(list(buckets.counts().values()), [1, 2, 2, 2, 2])

    def test_prefix_weights_let_rare_quarters_count(self) -> None:
        rows = llmd.parse_entries({"entries": [entry()] * 9 + [entry(prefix_cache_score=0.9)]})
        weights = llmd.samples_of("ttft", rows, weigh_prefixes=True).weights
        self.assertAlmostEqual(float(weights.mean()), 1, places=6)
        self.assertAlmostEqual(float(weights[9] / weights[0]), 10 / 2, places=5)


class Settings(unittest.TestCase):
    def test_defaults_and_values(self) -> None:
        config = read_config({})
        self.assertEqual((config.parameters.quantiles, config.rows_min, config.interval_seconds), ((0.9,), 1000, 1800))
        config = read_config(
            {
                "LATENCY_OBJECTIVE_TYPE": "mean",
                "LATENCY_RETRAINING_INTERVAL_SEC": "1",
                "LATENCY_ENABLE_ENCODER_FEATURES": "False",
            }
        )
        self.assertEqual((config.parameters.quantiles, config.interval_seconds), ((), 1))
        self.assertEqual(config.columns["encoder"], False)

    def test_a_bad_value_is_named(self) -> None:
        for name, value in (
            ("LATENCY_MODEL_TYPE", "lightgbm"),
            ("LATENCY_OBJECTIVE_TYPE", "median"),
            ("LATENCY_QUANTILE_ALPHA", "90"),
            ("LATENCY_QUANTILE_ALPHA", "nan"),
            ("LATENCY_MIN_SAMPLES_FOR_RETRAIN", "many"),
            ("LATENCY_TPOT_ZERO_TOKEN_COUNT", "maybe"),
            ("TRAINER_PORT", "-1"),
        ):
            with self.subTest(name=name), self.assertRaisesRegex(BadSetting, f"{name}={value!r}: must be"):
                read_config({name: value})


class Keeping(unittest.TestCase):
    def test_samples_of_a_router_that_fell_silent_are_left_out(self) -> None:
        at = [0.0]
        store = Store(read_config({"TRAINER_SOURCE_MAX_AGE_SEC": "100"}), lambda: at[0])
        for at[0], source in ((0, "a"), (50, "b"), (100, "c"), (101, "c")):
            store.put(parse_binary(frame(made(10), source=source)))
            store.request("default", "ttft", {})
        self.assertEqual(list(store.slots()["default", "ttft"].sources), ["b", "c"])
        # All fell silent: what there is still counts.
        at[0] = 10_000
        self.assertEqual(store.request("default", "ttft", {}), 1)
        self.assertEqual(store.slots()["default", "ttft"].rows, 20)


class Service(unittest.TestCase):
    """The pages, over a real connection."""

    environment: dict[str, str] = {}

    def setUp(self) -> None:
        self.config = read_config({"TRAINER_PORT": "0", **self.environment})
        self.store = Store(self.config)
        self.server = Server(self.config, self.store)
        self.store.start()
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        self.connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=30)
        self.addCleanup(self.stop)

    def stop(self) -> None:
        self.connection.close()
        self.server.shutdown()
        self.server.server_close()
        self.store.stop()

    def ask(self, method: str, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        """The parsed answer, or the whole response where it is not JSON."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        if isinstance(body, bytes) and "Content-Type" not in headers:
            headers["Content-Type"] = "application/json"
        self.connection.request(method, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
        response = self.connection.getresponse()
        content = response.read()
        self.assertEqual(response.status, status, content[:300])
        if response.headers.get("Content-Type") == "application/json" and path.find("format=json") < 0:
            return json.loads(content)
        response.content = content
        return response

    def upload(self, samples: Samples, status: int = 202, **header: Any) -> Any:
        return self.ask("POST", "/v1/samples", frame(samples, **header), status, **{"Content-Type": pages.BINARY_TYPE})

    def wait_for(self, path: str) -> Any:
        for _ in range(500):
            self.connection.request("GET", path)
            response = self.connection.getresponse()
            response.content = response.read()
            if response.status != 202:
                return response
            time.sleep(0.02)
        self.fail("no model came")


class OwnPages(Service):
    def test_samples_are_trained_on_and_the_model_is_given_once(self) -> None:
        self.assertEqual(self.upload(made(600), set="s", source="a")["rows"], 600)
        self.assertEqual(self.upload(made(500), set="s", source="a")["rows"], 500)
        self.assertEqual(self.upload(made(300, seed=2), set="s", source="b")["rows"], 800)
        self.ask("GET", "/v1/models/ttft?set=s", status=404)
        parameters = {"quantiles": [0.5, 0.9], "trees": 20, "monotone": [1, 1, 0, 0]}
        asked = self.ask("POST", "/v1/train", {"set": "s", "target": "ttft", "parameters": parameters}, 202)
        self.assertEqual(asked["generation"], 1)
        response = self.wait_for("/v1/models/ttft?set=s&generation=1")
        self.assertEqual((response.status, response.headers["Content-Type"]), (200, "application/ubjson"))
        self.assertEqual(response.content[:2], b"{L")
        wanted = train([made(500), made(300, seed=2)], parse_parameters(parameters, TYPES), never)
        self.assertEqual(response.content, wanted.ubj)
        etag = response.headers["ETag"]
        self.assertRegex(etag, '^"[0-9a-f]{32}"$')
        again = self.ask("GET", "/v1/models/ttft?set=s", status=304, If_None_Match=f'"x", {etag}')
        self.assertEqual((again.content, again.headers["ETag"]), (b"", etag))
        text = self.ask("GET", "/v1/models/ttft?set=s&format=json", If_None_Match=etag)
        self.assertEqual(json.loads(text.content)["learner"]["feature_names"], list(NAMES))
        status = self.ask("GET", "/v1/status")
        row = next(row for row in status["sets"] if row["set"] == "s")
        self.assertEqual(
            (row["sources"], row["model"]["samples"], row["training"]), ({"a": 500, "b": 300}, 800, "idle")
        )
        # Nothing changed: the same file, under a generation of its own.
        self.ask("POST", "/v1/train", {"set": "s", "target": "ttft"}, 202)
        self.assertEqual(self.wait_for("/v1/models/ttft?set=s&generation=2").headers["ETag"], etag)

    def test_what_cannot_be_answered_is_refused(self) -> None:
        self.upload(made(50), set="s")
        self.ask("POST", "/v1/train", {"target": "ttft"}, 409)
        self.ask("POST", "/v1/train", {"target": "e2e"}, 422)
        self.ask("POST", "/v1/train", {"set": "s", "target": "ttft", "parameters": {"trees": 0}}, 422)
        self.ask("GET", "/v1/models/ttft?set=s&format=pickle", status=422)
        self.ask("GET", "/v1/models/ttft?set=s&generation=-1", status=422)
        self.ask("GET", "/v1/models/e2e", status=404)
        self.ask("GET", "/v1/train", status=405)
        other = Samples(
            NAMES, ("float",) * 4, *(getattr(made(50), key) for key in ("x", "labels", "margins", "weights"))
        )
        self.assertIn(
            "other features", self.upload(other, 409, set="s", source="b", featureTypes=other.types)["detail"]
        )
        self.upload(other, set="s", featureTypes=other.types)
        self.upload(made(50), 422, set="llm-d")

    def test_bodies_are_bounded_before_they_are_read(self) -> None:
        for lines, status in (
            (f"Content-Length: {server.JSON_BYTES_MAX + 1}", 413),
            (f"Content-Type: {pages.BINARY_TYPE}\r\nContent-Length: {server.BINARY_BYTES_MAX + 1}", 413),
            ("Transfer-Encoding: chunked", 411),
            ("Content-Length: 1\r\nContent-Length: 2", 400),
            ("Content-Length: -1", 400),
        ):
            with self.subTest(lines=lines), socket.create_connection(("127.0.0.1", self.server.server_port)) as raw:
                raw.settimeout(10)
                raw.sendall(f"POST /v1/samples HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n".encode())
                answer = b"".join(iter(lambda: raw.recv(4096), b""))
                self.assertEqual(int(answer.split()[1]), status)

    def test_sets_are_bounded(self) -> None:
        for index in range(SETS_MAX + 3):
            self.upload(made(10), set=f"s{index}")
        names = {name for name, _ in self.store.slots()}
        self.assertEqual(names, {"llm-d", *(f"s{index}" for index in range(4, SETS_MAX + 3))})

    def test_metrics_have_help_and_type_and_numbers(self) -> None:
        self.upload(made(400))
        self.ask(
            "POST",
            "/v1/train",
            {"target": "ttft", "parameters": {"quantiles": [0.5, 0.9], "trees": 5, "holdOut": 0.2}},
            202,
        )
        self.wait_for("/v1/models/ttft?generation=1")
        lines = self.ask("GET", "/metrics").content.decode().splitlines()
        families = {line.split()[2] for line in lines if line.startswith("# TYPE ")}
        self.assertEqual(families, {line.split()[2] for line in lines if line.startswith("# HELP ")})
        for line in (line for line in lines if not line.startswith("#")):
            self.assertRegex(line, r'^[a-z_]+\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\} -?[0-9.e+-]+$')
            self.assertIn(re.split(r"\{", line)[0], families)
        self.assertIn('warmpath_trainer_samples{set="default",target="ttft"} 400', lines)
        self.assertIn('warmpath_trainer_trainings_total{target="ttft",result="done"} 1', lines)
        self.assertTrue(
            any(
                line.startswith('warmpath_trainer_held_out_coverage{set="default",target="ttft",quantile="0.9"}')
                for line in lines
            )
        )


class Bounded(Service):
    environment = {"TRAINER_TRAINING_MAX_SEC": "0.05", "TRAINER_MEMORY_MIB": "1"}

    def test_a_training_that_fails_says_why_to_those_who_wait_for_it(self) -> None:
        self.upload(made(100))
        self.ask("POST", "/v1/train", {"target": "ttft", "parameters": {"trees": 2000, "quantiles": [0.5, 0.9]}}, 202)
        failed = self.wait_for("/v1/models/ttft?generation=1")
        self.assertEqual(failed.status, 500)
        self.assertIn("the training was stopped", json.loads(failed.content)["detail"])
        self.ask("GET", "/v1/models/ttft?generation=2", status=404)
        row = next(row for row in self.ask("GET", "/v1/status")["sets"] if row["set"] == "default")
        self.assertEqual((row["failure"]["generation"], row["model"], row["training"]), (1, None, "idle"))

    def test_the_oldest_samples_make_room(self) -> None:
        for source in "abc":
            self.upload(made(15_000), source=source)
        slot = self.store.slots()["default", "ttft"]
        self.assertEqual(list(slot.sources), ["b", "c"])
        self.assertLessEqual(slot.nbytes, 2**20)
        self.assertIn("may be kept", self.upload(made(40_000), 413)["detail"])


class LlmDPages(Service):
    environment = {
        "LATENCY_RETRAINING_INTERVAL_SEC": "1",
        "LATENCY_MIN_SAMPLES_FOR_RETRAIN": "200",
        "LATENCY_TEST_TRAIN_RATIO": "0.2",
    }

    def test_a_feed_is_trained_on_by_itself_and_given_out_as_a_file(self) -> None:
        rng = np.random.default_rng(3)
        entries = [
            entry(
                input_token_length=int(tokens),
                kv_cache_percentage=float(kv),
                num_request_waiting=int(waiting),
                actual_ttft_ms=float(20 + 0.1 * tokens + 30 * waiting),
                actual_tpot_ms=float(10 + 20 * kv),
            )
            for tokens, kv, waiting in zip(rng.integers(10, 4000, 300), rng.uniform(0, 1, 300), rng.integers(0, 9, 300))
        ]
        self.assertEqual(
            self.ask("GET", "/model/download/info")["model_status"],
            {"ttft_model_ready": False, "tpot_model_ready": False},
        )
        self.ask("GET", "/model/ttft/download", status=404)
        accepted = self.ask("POST", "/add_training_data_bulk", {"entries": entries}, 202)
        self.assertEqual(accepted, {"message": "Accepted 300 training samples."})
        refused = self.ask("POST", "/add_training_data_bulk", {"entries": [entry(kv_cache_percentage=42)]}, 422)
        self.assertEqual(refused["detail"][0]["loc"], ["body", "entries", 0, "kv_cache_percentage"])
        for _ in range(500):
            status = self.ask("GET", "/data/status")
            if status["model_ready"]:
                break
            time.sleep(0.02)
        self.assertEqual(status["training_data"], {"ttft_samples": 300, "tpot_samples": 300, "total_samples": 600})
        self.assertEqual(sum(status["buckets"]["ttft"].values()), 300)
        info = self.ask("GET", "/model/ttft/info")
        download = self.ask("GET", "/model/ttft/download")
        self.assertEqual((info["size_bytes"], info["quantile"]), (len(download.content), 0.9))
        self.assertIn('filename="ttft.ubj"', download.headers["Content-Disposition"])
        self.ask("GET", "/model/ttft/download", status=304, If_None_Match=download.headers["ETag"])
        booster = xgb.Booster(model_file=bytearray(download.content))
        self.assertEqual(booster.num_features(), 13)
        rows = llmd.parse_entries({"entries": entries})
        predicted = booster.predict(matrix(llmd.samples_of("ttft", rows)))
        self.assertLess(float(np.abs(predicted - [sample["actual_ttft_ms"] for sample in entries]).mean()), 60)
        self.assertEqual(len(self.ask("GET", "/model/tpot/xgb/json")), 200)
        listed = self.ask("GET", "/models/list")["models"]["tpot"]
        self.assertEqual((listed["exists"], list(listed["evaluation_metrics"])), (True, ["pinball", "coverage"]))
        self.ask("GET", "/model/ttft_gated/info", status=404)
        kept = self.ask("POST", "/flush", {"flush_training_data": False})
        self.assertEqual(kept["ttft_training_samples_flushed"], 0)
        flushed = self.ask("POST", "/flush")
        self.assertEqual((flushed["ttft_training_samples_flushed"], flushed["success"]), (300, True))
        self.assertEqual(self.ask("GET", "/data/status")["training_data"]["total_samples"], 0)


class Locked(Service):
    environment = {"TRAINER_TOKEN": "secret"}

    def test_a_token_is_wanted_of_all_but_probes_and_scrapes(self) -> None:
        for path in ("/healthz", "/readyz", "/metrics"):
            self.ask("GET", path)
        for token in ("", "Bearer other", "Basic secret"):
            self.connection.close()
            self.ask("GET", "/v1/status", status=401, Authorization=token)
        self.connection.close()
        self.ask("GET", "/v1/status", Authorization="Bearer secret")


if __name__ == "__main__":
    unittest.main()
