"""What XGBoost learns from `latency.bin`: losses on the rows it has not seen, for the cases of `cases.json`.

Made with Python 3.11, xgboost 3.2.0, numpy 2.3. Run in this folder: `python generate.py`; writes `figures.json`. A loss is the mean over
five seeds; `spread` is the standard deviation among them, in parts of the mean. Rows i with i % 5 == 4 are the test rows. `generate.ts` says how `latency.bin` is made, `training_cases.ts` how a case
changes the data.
"""
import json
import sys
import time

import numpy as np
import xgboost as xgb

seeds = [42, 1, 2, 3, 4]
params = {
    "max_depth": 6, "learning_rate": 0.05, "subsample": 0.8, "colsample_bytree": 0.8, "min_child_weight": 5, "gamma": 0.2,
    "reg_alpha": 0.01, "reg_lambda": 0.1, "max_bin": 256, "tree_method": "hist", "nthread": 1,
}
trees = 200

raw = np.fromfile("latency.bin", dtype="<u4", count=2)
rows, columns = int(raw[0]), int(raw[1])
values = np.fromfile("latency.bin", dtype="<f4", offset=8).reshape(columns + 1, rows)
labels = values[columns]
test = np.arange(rows) % 5 == 4


def table(case):
    x = values[:columns].T.copy()
    if case.get("missing"):
        for c in (1, 5, 9, 10):
            hashed = (np.arange(rows, dtype=np.uint64) * 13 + c) * 2654435761 % 2**32
            x[hashed >> 24 < 26, c] = np.nan
    return x


def matrix(case, part):
    x = table(case)
    weights = (1 + np.arange(rows) % 3).astype(np.float32) if case.get("weighted") else None
    margins = (0.2 * values[10]).astype(np.float32) if case.get("margins") else None
    types = ["c" if case.get("categorical") and i >= 11 else "q" for i in range(columns)]
    return xgb.DMatrix(
        x[part], labels[part], weight=None if weights is None else weights[part], feature_types=types,
        base_margin=None if margins is None else margins[part], enable_categorical=True,
    ), None if weights is None else weights[part]


def figures(case, seed):
    train, _ = matrix(case, ~test)
    held, weights = matrix(case, test)
    own = dict(params, seed=seed)
    if case["objective"] == "quantile":
        own.update(objective="reg:quantileerror", quantile_alpha=case["quantiles"])
    else:
        own.update(objective="reg:squarederror")
    if case.get("monotone"):
        own["monotone_constraints"] = tuple(1 if i in (3, 4, 5, 10) else 0 for i in range(columns))
    start = time.time()
    model = xgb.train(own, train, trees)
    print(case["name"], f"{time.time() - start:.2f} s", file=sys.stderr)
    predicted = model.predict(held).reshape(test.sum(), -1)
    y = labels[test].astype(np.float64)
    if case["objective"] != "quantile":
        return {"rmse": [float(np.sqrt(np.average((predicted[:, 0] - y) ** 2, weights=weights)))]}
    losses, covered = [], []
    for k, q in enumerate(case["quantiles"]):
        rest = y - predicted[:, k]
        losses.append(float(np.average(np.maximum(q * rest, (q - 1) * rest), weights=weights)))
        covered.append(float(np.average(rest <= 0, weights=weights)))
    return {"pinball": losses, "coverage": covered}


out = []
for case in json.load(open("cases.json")):
    runs = [figures(case, seed) for seed in seeds]
    entry = {"name": case["name"]}
    for key in runs[0]:
        entry[key] = [round(float(np.mean([run[key][k] for run in runs])), 5) for k in range(len(runs[0][key]))]
    loss = "rmse" if "rmse" in runs[0] else "pinball"
    entry["spread"] = [
        round(float(np.std([run[loss][k] for run in runs]) / np.mean([run[loss][k] for run in runs])), 5)
        for k in range(len(runs[0][loss]))
    ]
    out.append(entry)
json.dump({"xgboost": xgb.__version__, "cases": out}, open("figures.json", "w"), indent=1)
