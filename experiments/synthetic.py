"""Synthetic rows beside those of SDV's GaussianCopula, CTGAN and TVAE, and of one fit of ForestDiffusion.

Each method learns from the training rows with its defaults, on one core, and draws as many rows as there are. Adult has
files for training and testing of its own; of the other two a fifth of the rows is held out, the same for all. "Learned
label": gradient-boosted trees (scikit-learn's, with its defaults) learn the label from synthetic rows, and tell it of
real test rows: area under the ROC curve; from training rows themselves, it is what can be reached. "Told apart": the
area under the ROC curve of such trees that tell synthetic rows from training rows, five folds, nearer to 0.5 is better.
"Near-copies": the share of rows that lie as near to a training row as the nearest twentieth of these to another of
them; of held-out rows first. "Columns", "pairs": means of SDMetrics' likenesses, 1 the best. All but the label's are
what `pushforward.quality` tells. Means of seeds and their standard errors; seconds are of one core's work,
this package's with programs that were compiled before. SDV's GaussianCopula draws the same rows whatever the seed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import HERE, picture, write_table
from mixed_data import others
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from synthetic_tables import LABELS, SEEDS, files, generate, table

import pushforward as pf
from pushforward.report.detecting import MOST_CODES
from pushforward.report.sides import sides

OURS = "FlowDensity"
PEERS = ["GaussianCopula", "CTGAN", "TVAE"]
FOREST = "ForestDiffusion"  # of the smallest table, one seed: its fit takes two hours, those of larger ones days
FOREST_TABLE = "german-credit"
FIGURES = {
    "label": "learned label, AUROC",
    "detection": "told apart, AUROC",
    "near_copies": "near-copies",
    "columns_alike": "columns",
    "pairs_alike": "pairs",
}
COSTS = {"cpu_seconds": "seconds", "peak_mb": "MiB"}


def flow_density(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Rows of this package."""
    drawn: pd.DataFrame = pf.FlowDensity(random_state=seed).fit(train).sample(len(train))
    return drawn


def make_rows(folder: Path, tables: list[str], seeds: int) -> None:
    """All synthetic rows that are not there yet, one fit at a time."""
    python = others()
    for name in tables:
        generate({OURS: flow_density}, folder, [name], seeds)
        runs = [(PEERS, seeds), ([FOREST], 1)] if name == FOREST_TABLE else [(PEERS, seeds)]
        for methods, n in runs:
            words = [word for method in methods for word in ("--methods", method)]
            asked = ["--out", str(folder), "--tables", name, "--seeds", str(n), *words]
            subprocess.run([str(python), str(HERE / "synthetic_peers.py"), *asked], check=True)


def learned_label(name: str, rows: pd.DataFrame, seed: int) -> float:
    """How well trees that learned a table's label from some rows tell that of its test rows."""
    train, test = table(name)
    compared = sides({"training rows": _arrow(train), "rows": _arrow(rows), "test rows": _arrow(test)})
    label = compared.names.index(LABELS[name])
    numeric = np.delete(compared.numeric, label)
    cells = {who: np.delete(values, label, axis=1) for who, values in compared.values.items()}
    codes = {who: np.where(numeric, x, np.minimum(x, MOST_CODES - 1)) for who, x in cells.items()}
    y, truth = compared.values["rows"][:, label], compared.values["test rows"][:, label]
    known = np.isfinite(y)
    trees = HistGradientBoostingClassifier(categorical_features=~numeric, random_state=seed)
    trees.fit(codes["rows"][known], y[known])
    said = trees.predict_proba(codes["test rows"])
    return float(roc_auc_score(truth, said[:, list(trees.classes_).index(1.0)]))


def _arrow(rows: pd.DataFrame) -> Any:
    import pyarrow as pa

    return pa.Table.from_pandas(rows, preserve_index=False)


def judge(name: str, method: str, seed: int, folder: Path) -> tuple[dict[str, Any], pf.Quality]:
    """Figures of the rows of one fit."""
    train, test = table(name)
    made, costs = files(folder, name, method, seed)
    rows = pd.read_csv(made)
    found = pf.quality(train, rows, held_out=test, random_state=seed)
    figures = {key: value for key, value in found.to_dict().items() if isinstance(value, float)}
    run = {"method": method, "seed": seed, "label": learned_label(name, rows, seed), **figures}
    return run | json.loads(costs.read_text()), found


def judge_all(name: str, folder: Path, seeds: int) -> None:
    """The table of results of one table of data."""
    began, runs, pictures = time.monotonic(), [], []
    for method in [OURS, *PEERS, FOREST]:
        for seed in range(seeds):
            if not files(folder, name, method, seed)[1].exists():
                continue
            run, found = judge(name, method, seed, folder)
            runs.append(run)
            told = "  ".join(f"{key} {run[key]:.4f}" for key in FIGURES)
            print(f"  {name} {method} seed {seed}: {told}", flush=True)
            if method == OURS and seed == 0:
                pictures = [picture(found.plot(), f"synthetic-{name}")]
    reached = [learned_label(name, table(name)[0], seed) for seed in range(seeds)]
    seconds = round(sum(run["seconds"] for run in runs) + time.monotonic() - began, 1)
    made = {run["method"] for run in runs}
    notes = [f"Not made here: {', '.join(m for m in PEERS if m not in made)}."] if not set(PEERS) <= made else []
    if name == FOREST_TABLE and FOREST not in made:
        notes.append(f"Not made here: {FOREST}, a fit of which takes about two hours of one core.")
    head = ["rows of", *FIGURES.values(), *COSTS.values()]
    rows = lines(runs, reached)
    write_table(
        "synthetic", head, rows, seconds, seeds, pictures, settings=name, notes=notes, runs=runs, reached=reached
    )


def lines(runs: list[dict[str, Any]], reached: list[float]) -> list[list[Any]]:
    """Of training rows first, then of each method, what is shown."""
    held_out = mean_of([run["held_out_near_copies"] for run in runs if run["method"] == OURS])
    found = [["training rows", mean_of(reached), None, f"{held_out} of held-out rows", None, None, None, None]]
    for method in dict.fromkeys(run["method"] for run in runs):
        mine = [run for run in runs if run["method"] == method]
        says = "this package" if method == OURS else method
        says += "" if len(mine) == len(reached) else f" ({len(mine)} seed{'s' * (len(mine) > 1)})"
        costs = [round(float(np.mean([run[key] for run in mine]))) for key in COSTS]
        found.append([says, *(mean_of([run[key] for run in mine]) for key in FIGURES), *costs])
    return found


def mean_of(values: list[float]) -> str:
    """A mean and its standard error."""
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    return f"{np.mean(values):.3f}" + (f" ± {error:.3f}" if error else "")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rows", type=Path, default=HERE.parent / "build" / "synthetic", help="folder of synthetic rows"
    )
    parser.add_argument("--tables", choices=list(LABELS), action="append", help="default: all")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many, from 0 (default: {SEEDS})")
    parser.add_argument("--judge", action="store_true", help="make no rows, judge those that are there")
    asked = parser.parse_args()
    tables = asked.tables or list(LABELS)
    if not asked.judge:
        make_rows(asked.rows, tables, asked.seeds)
    for name in tables:
        judge_all(name, asked.rows, asked.seeds)


if __name__ == "__main__":
    main()
