"""Model files of real XGBoost versions, and what each version makes of rows that are hard to get right.

Run once for each version, in an environment that has xgboost, numpy, scipy and, for 3.2.0 and 3.4.1, pandas 2.2.3; then
with 1.7.6 for the two oldest, which add the intercept after the trees (1.0, and DART of both) where all others begin with
it:

    python generate.py
    python generate.py 1.0.2 1.3.3

The first writes into a folder named after the version:

    NAME.json, NAME.ubj   what `save_model` writes (UBJSON from 1.6 on); NAME.bin what it wrote otherwise before 3.1
    cases.json            the rows, and for each model the margins and outputs this version gives

The second replaces margins and outputs in the folders named by what this version gives for the same files.

Made with Python 3.8 and numpy 1.19.5 (1.0.2, 1.3.3), 3.11 and 1.26.4 (1.7.6), 3.12 and 1.26.4 (2.1.4), 3.12 and 2.2.6
(3.0.5, 3.3.0, 3.4.1), 3.11 and 2.4.6 (3.2.0), of the packages `xgboost` and, from 2.1.4 on, `xgboost-cpu`.

Numbers of rows and results are bit patterns of float32 in hexadecimal, eight digits each. Rows have five features. Every
model sees the common rows (by chance, NaN in each column, infinities, zeros of both signs) and rows of its own: each
threshold met exactly and just missed, and codes of categories seen, unseen, negative, fractional and too large.
"""
import json
import os
import pickle
import re
import sys
import warnings

import numpy as np
import xgboost as xgb

warnings.filterwarnings("ignore")
version = tuple(int(part) for part in xgb.__version__.split(".")[:3])
folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), xgb.__version__)
os.makedirs(folder, exist_ok=True)

FEATURES = 5
chance = np.random.RandomState(7)
X = chance.rand(300, FEATURES).astype(np.float32)
X[:, 3] = np.floor(X[:, 3] * 50)
X[chance.rand(300, FEATURES) < 0.08] = np.nan
filled = np.nan_to_num(X, nan=0.3)
y = (filled[:, 0] * 3 + (filled[:, 1] > 0.5) * filled[:, 2] * 5 + filled[:, 3] * 0.1 + chance.rand(300) * 0.3 + 0.1).astype(np.float32)
# Category codes in column 3 (three) and column 4 (eight).
C = X.copy()
C[:, 3] = chance.randint(0, 3, 300)
C[:, 4] = chance.randint(0, 8, 300)
yc = (y + (C[:, 3] == 1) * 4 + np.isin(C[:, 4], [1, 4, 6]) * 3).astype(np.float32)
C[chance.rand(300) < 0.1, 4] = np.nan


def common_rows():
    rows = [list(row) for row in chance.rand(6, FEATURES).astype(np.float32)]
    for column in range(FEATURES):
        row = chance.rand(FEATURES).astype(np.float32)
        row[column] = np.nan
        rows.append(list(row))
    rows.append([np.nan] * FEATURES)
    rows.append([0.0] * FEATURES)
    rows.append([-0.0] * FEATURES)
    rows.append([np.inf] * FEATURES)
    rows.append([-np.inf] * FEATURES)
    rows.append([np.inf, -np.inf, 0.5, -0.0, np.nan])
    return np.array(rows, dtype=np.float32)


rows_of_all = common_rows()


def hexes(values):
    return np.ascontiguousarray(values, dtype=">f4").tobytes().hex()


def threshold_rows(model):
    """Rows that meet the thresholds of the first trees exactly, and miss them by one step."""
    rows = []
    for tree in trees_of(model)[:4]:
        kinds = tree.get("split_type") or [0] * len(tree["left_children"])
        for node, left in enumerate(tree["left_children"]):
            if left == -1 or kinds[node] == 1 or tree["split_indices"][node] >= FEATURES:
                continue
            threshold = np.float32(tree["split_conditions"][node])
            for value in (threshold, np.nextafter(threshold, np.float32(-np.inf), dtype=np.float32)):
                row = chance.rand(FEATURES).astype(np.float32)
                row[tree["split_indices"][node]] = value
                rows.append(row)
    return rows[:16]


def trees_of(model):
    booster = model["learner"]["gradient_booster"]
    return booster.get("gbtree", booster)["model"].get("trees", [])


def category_rows():
    rows = []
    for column, codes in ((3, [0, 1, 2, 3]), (4, [0, 1, 2, 3, 4, 5, 6, 7, 8, 40])):
        for code in codes + [-1, -0.5, 1.5, 16777214, 16777216, 3e9, np.nan]:
            row = chance.rand(FEATURES).astype(np.float32)
            row[3], row[4] = chance.randint(0, 3), chance.randint(0, 8)
            row[column] = code
            rows.append(row)
    return rows


def margins_of(booster, rows, outputs=False, **matrix):
    """By a matrix; by the other way where a row is infinite, which a matrix refuses from 1.4 on."""
    finite = ~np.isinf(rows).any(axis=1)
    if version < (1, 4) or finite.all():
        if version < (1, 4) and "base_margin" in matrix:
            matrix["base_margin"] = matrix["base_margin"].flatten()
        return booster.predict(xgb.DMatrix(rows, **matrix), output_margin=not outputs)
    extra = {}
    if "base_margin" in matrix:
        extra["base_margin"] = matrix["base_margin"]
        matrix = dict(matrix, base_margin=matrix["base_margin"][finite])
    result = booster.inplace_predict(rows, predict_type="value" if outputs else "margin", **extra)
    again = booster.predict(xgb.DMatrix(rows[finite], **matrix), output_margin=not outputs)
    assert np.array_equal(result[finite], again, equal_nan=True)
    return result


def json_of(text):
    """1.0 writes infinities as C does."""
    return json.loads(re.sub(r"(?<=[\[,])(-?)inf(?=[,\]])", r"\1Infinity", text))


cases = []
# Their files look like those of their neighbours, DART and the newest objectives apart.
FEWER = [(3, 0, 5), (3, 3, 0)]
IN_BOTH_FORMS = ["squarederror", "quantiles", "dart", "partition", "dictionary", "deleted", "expectile"]


def save(booster, name):
    """Writes the files of a model; gives their names and the parsed JSON."""
    files = [name + ".json"] + ([name + ".ubj"] if version >= (1, 6) and name in IN_BOTH_FORMS else [])
    for file in files:
        booster.save_model(os.path.join(folder, file))
    model = json_of(open(os.path.join(folder, files[0])).read())
    return files, model


def model(name, params, data=None, label=None, rounds=3, matrix=None, base=False, extra_rows=(), since=(1, 0), transform=None):
    if version < since or version in FEWER and name not in IN_BOTH_FORMS:
        return None
    data, label, matrix = X if data is None else data, y if label is None else label, matrix or {}
    params = dict({"max_depth": 3, "eta": 0.4, "seed": 3, "nthread": 1, "verbosity": 0, "tree_method": "hist"}, **params)
    train = xgb.DMatrix(data, label, **matrix)
    booster = xgb.train(params, train, rounds)
    files, document = save(booster, name)
    own = np.array(threshold_rows(document) + list(extra_rows), dtype=np.float32).reshape(-1, FEATURES)
    # The way that takes infinities rounded DART otherwise before 3.3.
    all_rows = rows_of_all[:0] if name == "dart" else rows_of_all
    if name == "dart":
        own = np.concatenate([rows_of_all[~np.isinf(rows_of_all).any(axis=1)], own])
    rows = np.concatenate([all_rows, own])
    predict_matrix = {k: v for k, v in matrix.items() if k in ("feature_types", "enable_categorical")}
    margins = margins_of(booster, rows, **predict_matrix)
    case = {
        "name": name,
        "files": files,
        "commonRows": len(all_rows) > 0,
        "rows": hexes(own),
        "margins": hexes(margins),
        "outputs": hexes(margins_of(booster, rows, outputs=True, **predict_matrix)),
    }
    if base:
        margin = np.linspace(-2, 2, margins.size).astype(np.float32).reshape(margins.shape)
        case["baseMargin"] = hexes(margin)
        case["marginsFromBase"] = hexes(margins_of(booster, rows, base_margin=margin, **predict_matrix))
    cases.append(case)
    return document


def refused(name, kind, params, data=None, label=None, since=(1, 0), below=(9, 0), rounds=1):
    """A model whose file a reader must refuse."""
    if not since <= version < below:
        return
    params = dict({"max_depth": 2, "seed": 3, "nthread": 1, "verbosity": 0, "tree_method": "hist"}, **params)
    booster = xgb.train(params, xgb.DMatrix(X if data is None else data, y if label is None else label), rounds)
    files, _ = save(booster, name)
    cases.append({"name": name, "files": files, "refused": kind})


def old_formats():
    booster = xgb.train({"max_depth": 1, "verbosity": 0, "nthread": 1}, xgb.DMatrix(X, y), 1)
    if version < (3, 1):
        booster.save_model(os.path.join(folder, "old.deprecated"))
        os.rename(os.path.join(folder, "old.deprecated"), os.path.join(folder, "old.bin"))
        cases.append({"name": "old", "files": ["old.bin"], "refused": "old-binary"})
    with open(os.path.join(folder, "pickled.pkl"), "wb") as out:
        pickle.dump(booster, out)
    cases.append({"name": "pickled", "files": ["pickled.pkl"], "refused": "pickle"})


def dictionary():
    """Category names in the file: strings, integers, and plain columns between them."""
    import pandas as pd

    frame = pd.DataFrame({
        "waiting": X[:, 0], "kv": X[:, 1],
        "bucket": pd.Categorical(C[:, 3].astype(int), categories=[0, 1, 2, 3]),
        "plain": X[:, 2],
        "pod": pd.Categorical(np.array(["", "prefill", "decode", "both"])[chance.randint(0, 4, 300)], categories=["", "prefill", "decode", "both"]),
    })
    label = (yc + (frame["pod"] == "prefill") * 5).astype(np.float32)
    params = {"max_depth": 3, "eta": 0.4, "nthread": 1, "verbosity": 0, "tree_method": "hist", "max_cat_to_onehot": 1}
    booster = xgb.train(params, xgb.DMatrix(frame, label, enable_categorical=True), 3)
    files, document = save(booster, "dictionary")
    rows = np.array([[0.1 * i, 0.5, i % 4, 0.02 * i, i % 4] for i in range(20)], dtype=np.float32)
    columns = {name: rows[:, at] for at, name in enumerate(frame.columns)}
    again = pd.DataFrame({
        **columns,
        "bucket": pd.Categorical.from_codes(rows[:, 2].astype(int), dtype=frame["bucket"].dtype),
        "pod": pd.Categorical.from_codes(rows[:, 4].astype(int), dtype=frame["pod"].dtype),
    })
    margins = booster.predict(xgb.DMatrix(again, enable_categorical=True), output_margin=True)
    cases.append({
        "name": "dictionary", "files": files, "commonRows": False, "rows": hexes(rows), "margins": hexes(margins),
        "outputs": hexes(margins), "categoryNames": {"2": [0, 1, 2, 3], "4": ["", "prefill", "decode", "both"]},
        "featureNames": list(frame.columns),
    })


def generate():
    categorical = {"feature_types": ["q", "q", "q", "c", "c"], "enable_categorical": True}
    classes = np.clip((y / 2).astype(int), 0, 2).astype(np.float32)
    binary = (y > np.median(y)).astype(np.float32)
    both = np.stack([y, yc], axis=1)
    steps = np.repeat(np.float32(2) ** np.arange(-12, 13), 12).astype(np.float32)
    stairs = X.copy()
    stairs[:, 0] = steps

    model("squarederror", {"objective": "reg:squarederror"}, rounds=5, base=True)
    model("base_score", {"objective": "reg:squarederror", "base_score": 1.25}, rounds=2)
    model("exact", {"objective": "reg:squarederror", "tree_method": "exact", "base_score": 0.7}, rounds=2)
    pruned = model("deleted", {"objective": "reg:squarederror", "tree_method": "exact", "updater": "grow_colmaker,prune", "gamma": 12.0, "base_score": 0.0}, rounds=3)
    if version >= (1, 3):
        assert any(int(tree["tree_param"]["num_deleted"]) > 0 for tree in trees_of(pruned))
    model("forest", {"objective": "reg:squarederror", "num_parallel_tree": 3, "subsample": 0.7}, rounds=2)
    model("deep", {"objective": "reg:squarederror", "max_depth": 0, "grow_policy": "lossguide", "max_leaves": 24, "eta": 1.0, "min_child_weight": 0, "lambda": 0.1, "base_score": 0.0}, stairs, steps, rounds=2)
    model("dart", {"booster": "dart", "objective": "reg:squarederror", "rate_drop": 0.5, "one_drop": 1}, rounds=4)
    model("squaredlogerror", {"objective": "reg:squaredlogerror"})
    model("pseudohuber", {"objective": "reg:pseudohubererror", "min_child_weight": 0, "base_score": 5}, since=(1, 3))
    model("absoluteerror", {"objective": "reg:absoluteerror"}, since=(1, 7))
    model("quantile", {"objective": "reg:quantileerror", "quantile_alpha": 0.9}, since=(2, 0))
    model("quantiles", {"objective": "reg:quantileerror", "quantile_alpha": [0.5, 0.9, 0.99]}, rounds=2, since=(2, 0), base=True)
    model("gamma", {"objective": "reg:gamma"}, base=True)
    model("tweedie", {"objective": "reg:tweedie", "tweedie_variance_power": 1.3})
    model("poisson", {"objective": "count:poisson"})
    model("cox", {"objective": "survival:cox"})
    model("logistic", {"objective": "reg:logistic", "base_score": 0.3}, label=binary)
    model("binary", {"objective": "binary:logistic"}, label=binary)
    # 1.0 takes this base score for a probability, all others for a margin.
    model("logitraw", {"objective": "binary:logitraw", "base_score": 0.4}, label=binary, since=(1, 3))
    model("hinge", {"objective": "binary:hinge"}, label=binary)
    model("softprob", {"objective": "multi:softprob", "num_class": 3}, label=classes, rounds=2, base=True)
    model("softmax", {"objective": "multi:softmax", "num_class": 3}, label=classes, rounds=1)
    model("expectile", {"objective": "reg:expectileerror", "expectile_alpha": 0.8}, since=(3, 3))
    model("onehot", {"max_cat_to_onehot": 10}, C, yc, matrix=categorical, extra_rows=category_rows(), since=(1, 7))
    model("partition", {"max_cat_to_onehot": 1}, C, yc, matrix=categorical, extra_rows=category_rows(), rounds=4, since=(1, 7))
    if version in ((3, 2, 0), (3, 4, 1)):
        dictionary()
    refused("gblinear", "unsupported", {"booster": "gblinear", "tree_method": "auto"})
    refused("vectors", "unsupported", {"multi_strategy": "multi_output_tree"}, label=both, since=(2, 0))
    refused("expectiles", "unsupported", {"objective": "reg:expectileerror", "expectile_alpha": [0.5, 0.9]}, since=(3, 3))
    old_formats()


def write(of):
    with open(os.path.join(folder, "cases.json"), "w") as out:
        lines = ",\n".join(json.dumps(case) for case in cases)
        out.write('{"xgboost":%s,"features":%d,"rows":"%s","cases":[\n%s\n]}\n' % (json.dumps(of), FEATURES, hexes(rows_of_all), lines))


def unhex(text):
    return np.frombuffer(bytes.fromhex(text), dtype=">f4").astype(np.float32)


def again(name):
    """Margins and outputs of another version's models."""
    global folder
    folder = os.path.join(os.path.dirname(folder), name)
    document = json.load(open(os.path.join(folder, "cases.json")))
    for case in document["cases"]:
        # 1.7 does not read deleted nodes of 1.0; the base score is 0 there, so that the order does not matter.
        if "refused" not in case and (name, case["name"]) != ("1.0.2", "deleted"):
            booster = xgb.Booster(model_file=os.path.join(folder, case["files"][0]))
            rows = unhex((document["rows"] if case["commonRows"] else "") + case["rows"]).reshape(-1, FEATURES)
            replace(case, "margins", margins_of(booster, rows))
            replace(case, "outputs", margins_of(booster, rows, outputs=True))
            if "baseMargin" in case:
                base = unhex(case["baseMargin"]).reshape(len(rows), -1)
                replace(case, "marginsFromBase", margins_of(booster, rows, base_margin=base))
        cases.append(case)
    return document["xgboost"]


def replace(case, key, found):
    assert np.allclose(unhex(case[key]), found.flatten(), rtol=1e-5, atol=1e-6, equal_nan=True), (case["name"], key)
    case[key] = hexes(found)


if len(sys.argv) == 1:
    generate()
    write(xgb.__version__)
for name in sys.argv[1:]:
    cases.clear()
    write(again(name))
