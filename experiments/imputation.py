"""Cells that are hidden and filled in, beside scikit-learn's imputers.

Of each table (of large ones 2,000 rows at random; without columns that follow exactly from others) a fifth of the known
cells is hidden: "random", each with the same probability; "depending", with twice that where the next column is in the
upper half of its values, and never elsewhere. `FlowDensity` with defaults, KNNImputer, IterativeImputer
(`sample_posterior=True`) and the mean are fitted to what is left, and fill it in: 20 draws of those that draw. All but
ours see numbers standardised and categories as zeros and ones, of which the largest is the level that is filled in
(the iterative imputer, of more than 100 of these columns, 50 at a time, as it draws them by correlation); ours sees the
table as it is.

"error": of numbers, the root of the mean squared error of the means of draws, in standard deviations of the column;
"CRPS", the same unit, of the draws; "accuracy" of the most frequent level of the draws of categories; "log-probability"
of the hidden level, with the shares of levels among the draws, to which one draw is added that is spread evenly.
Means over columns, and then over seeds, one of those tables that have more than 2,000 rows; dates are numbers. `+`
where ours is the best of all.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from common import arguments, other_rows, timed, write_table
from mixed_data import TABLES, read
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

import pushforward as pf
from pushforward.data import learn_fields
from pushforward.data.fields import Fields, values_of

SMALL = ("penguins", "titanic", "german-credit", "horse-colic")
SHARE, DRAWS, MOST_ROWS = 0.2, 20, 2000
MOST_COLUMNS, NEAREST = 100, 50  # beyond, the iterative imputer, which would take hours, sees so many at a time
WAYS = {"random": "cells hidden at random", "depending": "cells hidden depending on others"}
FIGURES = {"error": False, "CRPS": False, "accuracy": True, "log-probability": True}  # whether higher is better


def cells(table: Any, field: Any) -> np.ndarray:
    """Values of a column: floats with NaN for gaps, or objects with None."""
    values = values_of(table.column(field.name), field)
    if field.is_number:
        return np.asarray(values, dtype=float)
    levels = np.empty(len(values), dtype=object)
    levels[:] = list(values)
    return levels


def hidden_cells(columns: list[np.ndarray], way: str, rng: np.random.Generator) -> np.ndarray:
    """Which known cells are hidden, shape (n, D)."""
    known = np.stack([np.array([v is not None and v == v for v in c]) for c in columns], axis=1)
    drawn = rng.random(known.shape)
    if way == "random":
        return known & (drawn < SHARE)
    likely = np.zeros(known.shape)
    for j in range(len(columns)):
        other = columns[(j + 1) % len(columns)]
        order = np.argsort(np.argsort([str(v) if other.dtype == object else v for v in other], kind="stable"))
        likely[:, j] = 2 * SHARE * (order >= len(order) / 2)
    return known & (drawn < likely)


class OneHot:
    """Columns as numbers in standard units, and zeros and ones of levels; NaN where there are gaps."""

    def __init__(self, fields: Fields, columns: list[np.ndarray]) -> None:
        self.fields, self.columns = fields, columns
        self.centre = [np.nanmean(c) if f.is_number else 0.0 for f, c in zip(fields.modelled, columns, strict=True)]
        self.scale = [
            np.nanstd(c) or 1.0 if f.is_number else 1.0 for f, c in zip(fields.modelled, columns, strict=True)
        ]

    def matrix(self) -> np.ndarray:
        """Shape (n, E)."""
        parts = []
        for field, column, centre, scale in zip(
            self.fields.modelled, self.columns, self.centre, self.scale, strict=True
        ):
            if field.is_number:
                parts.append(((column - centre) / scale)[:, None])
            else:
                ones = np.array([[float(v == level) for level in field.levels] for v in column])
                ones[[v is None for v in column]] = np.nan
                parts.append(ones)
        return np.concatenate(parts, axis=1)

    def values(self, matrix: np.ndarray) -> list[np.ndarray]:
        """Columns of a matrix without gaps."""
        found, at = [], 0
        for field, centre, scale in zip(self.fields.modelled, self.centre, self.scale, strict=True):
            if field.is_number:
                found.append(matrix[:, at] * scale + centre)
                at += 1
            else:
                levels = np.array(field.levels, dtype=object)
                found.append(levels[matrix[:, at : at + len(levels)].argmax(axis=1)])
                at += len(levels)
        return found


def draws_of(method: str, table: Any, fields: Fields, columns: list[np.ndarray], seed: int) -> list[list[np.ndarray]]:
    """Draws of all columns, filled in."""
    if method == "this":
        fitted = pf.FlowDensity(random_state=seed).fit(table)
        made = fitted.impute(table, n_samples=DRAWS)
        return [[cells(t, f) for f in fields.modelled] for t in made]
    coded = OneHot(fields, columns)
    matrix = coded.matrix()
    if method == "iterative":
        nearest = NEAREST if matrix.shape[1] > MOST_COLUMNS else None
        imputer = IterativeImputer(sample_posterior=True, n_nearest_features=nearest, random_state=seed).fit(matrix)
        return [coded.values(imputer.transform(matrix)) for _ in range(DRAWS)]
    imputer = KNNImputer() if method == "neighbours" else SimpleImputer()
    return [coded.values(imputer.fit_transform(matrix))]


def judge(fields: Fields, truth: list[np.ndarray], hidden: np.ndarray, draws: list[list[np.ndarray]]) -> dict[str, Any]:
    """Figures of draws, means over columns."""
    found: dict[str, list[float]] = {name: [] for name in FIGURES}
    for j, field in enumerate(fields.modelled):
        here = hidden[:, j]
        if not here.any():
            continue
        true, made = truth[j][here], np.stack([draw[j][here] for draw in draws])
        if field.is_number:
            scale = np.nanstd(truth[j]) or 1.0
            made, true = made.astype(float) / scale, true.astype(float) / scale
            found["error"].append(float(np.sqrt(((made.mean(axis=0) - true) ** 2).mean())))
            spread = np.abs(made[:, None] - made[None]).sum(axis=(0, 1)) / max(len(made) * (len(made) - 1), 1)
            found["CRPS"].append(float((np.abs(made - true).mean(axis=0) - spread / 2).mean()))
        else:
            levels = np.array(field.levels, dtype=object)
            counts = (made[:, :, None] == levels).sum(axis=0)
            place = np.array([np.flatnonzero(levels == v)[0] if v in field.levels else -1 for v in true])
            known = place >= 0
            shares = (counts + 1 / len(levels)) / (len(made) + 1)
            found["accuracy"].append(float((counts.argmax(axis=1) == place).mean()))
            found["log-probability"].append(float(np.log(shares[known, place[known]]).mean()))
    return {name: float(np.mean(values)) if values else float("nan") for name, values in found.items()}


def compare(name: str, way: str, seeds: int) -> list[list[Any]]:
    """Rows of the table of results: one of each method."""
    methods = ("this", "iterative", "neighbours", "mean")
    found: dict[str, list[dict[str, float]]] = {method: [] for method in methods}
    for seed, row in timed(seeds if name in SMALL else 1):
        rng = np.random.default_rng(seed)
        whole = read("adult-train" if name == "adult" else name)
        whole = whole.take(rng.permutation(len(whole))[:MOST_ROWS])
        whole = whole.select(learn_fields(whole).names)
        fields = learn_fields(whole)
        truth = [cells(whole, f) for f in fields.modelled]
        hidden = hidden_cells(truth, way, rng)
        left, columns = whole, []
        for j, field in enumerate(fields.modelled):
            left = with_gaps(left, field.name, hidden[:, j])
            columns.append(cells(left, field))
        for method in methods:
            began = time.monotonic()
            draws = draws_of(method, left, fields, columns, seed)
            figures = judge(fields, truth, hidden, draws) | {"s": time.monotonic() - began}
            found[method].append(figures)
            row[method] = " ".join(f"{value:.3f}" for value in figures.values())
    means = {m: {key: np.mean([run[key] for run in found[m]]) for key in (*FIGURES, "s")} for m in methods}
    rows = []
    for method in methods:
        line: list[Any] = [name, method]
        for figure, higher in FIGURES.items():
            values = [means[m][figure] for m in methods]
            best = method == "this" and values[0] == (max if higher else min)(values)
            line.append("" if np.isnan(values[0]) else f"{means[method][figure]:.3f}{' +' if best else ''}")
        rows.append([*line, f"{means[method]['s']:.1f}"])
    return rows


def with_gaps(table: Any, name: str, gaps: np.ndarray) -> Any:
    """A table with more gaps in one column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table.column(name)
    left = pc.if_else(pa.array(gaps), pa.scalar(None, column.type), column)
    return table.set_column(table.column_names.index(name), name, left)


def main() -> None:
    """Run it."""
    asked = arguments(__doc__ or "", list(WAYS), seeds=3, tables=TABLES)
    warnings.simplefilter("ignore")
    for way in asked.settings:
        began = time.monotonic()
        for name in asked.tables:
            print(f"{way}: {name}", flush=True)
            rows = other_rows("imputation", way, [name]) + compare(name, way, asked.seeds)
            rows.sort(key=lambda row: TABLES.index(row[0]))
            head = ["table", "method", *FIGURES, "s"]
            write_table("imputation", head, rows, round(time.monotonic() - began), asked.seeds, settings=way)


if __name__ == "__main__":
    main()
