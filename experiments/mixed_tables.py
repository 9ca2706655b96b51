"""Tables as they are: held-out log-probability of rows beside models that have one, and clusters.

"densities": of each table a fifth of the rows is held out (adult has a file of them), and the mean log-probability of
its rows counts, in nats, in cells of one width a column, the same for every model: the step of what was recorded (a
year, a cent, a day); gaps are averaged over. "Independent" takes every column by itself: shares of levels and masses,
and else a mixture of eight logistics. "Latent classes" is a mixture by EM, within whose components columns are
independent: shares of levels and masses, and Gaussians of numbers or of their logarithms; its number of components,
1 to 45, is best on a tenth of the training rows. SDV's GaussianCopula tells no probability of a row with a category,
and each of these tables has some. Columns that follow exactly from others are known given them under every model, and
count nothing. Means over seeds, one of the two large tables; "least" is the smallest difference to the better of both.

"clusters": adjusted Rand index with the species of penguins and with the churn of telco's customers, which is left out,
for the right number of components; median and worst over seeds. k-prototypes (of kmodes) takes no gaps: numbers get
their mean and categories their most frequent level, and numbers are standardised; the Gaussian mixture has full
covariances on standardised numbers and one-hot columns, filled in alike.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from common import HERE, arguments, other_rows, timed, write_table
from mixed_data import LARGE, TABLES, others, read, table
from scipy.special import logsumexp, ndtr
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

import pushforward as pf
from pushforward.data.cells import DAY
from pushforward.data.fields import Fields, values_of
from pushforward.data.looking import STEPS
from pushforward.distributions.mixed import CODE, HIGH, LOW, WIDTH
from pushforward.estimators.mixed import log_density, middle

CLASSES = (1, 2, 3, 5, 8, 12, 20, 30, 45)
ROUNDS, ENOUGH = 100, 1e-3
NUMBERS = 0.9  # share of a column's cells that read as numbers, above which the rivals get it as one
CLUSTERS = {"penguins": ("species", 3, []), "telco-churn": ("Churn", 2, ["customerID"])}


def in_cells(fields: Fields, *tables: Any) -> Fields:
    """The same columns, numbers in cells of the step that they were recorded in; a hundredth where there is none."""
    made = []
    for field in fields.all:
        if field.is_number and not field.step and field.kind != "left out":
            values = np.concatenate([values_of(t.column(field.name), field) for t in tables])
            multiples = [values[~np.isnan(values)] / step for step in STEPS]
            fits = [np.abs(m - np.round(m)).max() < 1e-6 for m in multiples]
            field = dataclasses.replace(field, step=STEPS[fits.index(True)] if any(fits) else 0.01)
        made.append(field)
    return Fields(tuple(made))


def widths(fields: Fields, x: np.ndarray) -> np.ndarray:
    """Log-widths of the cells of numbers that rows have, which turn log-densities into log-probabilities, (n,)."""
    logs = [np.log(f.step / (DAY if f.kind == "date" else 1.0)) if f.is_number else 0.0 for f in fields.modelled]
    total: np.ndarray = np.where(np.isnan(x[:, :, CODE]), 0.0, np.array(logs)).sum(axis=1)
    return total


class LatentClasses:
    """A mixture of K components within which columns are independent, by EM; K = 1 is the independent model."""

    def __init__(self, fields: Fields, k: int, seed: int) -> None:
        self.fields, self.k, self.rng = fields, k, np.random.default_rng(seed)

    def fit(self, x: np.ndarray) -> LatentClasses:
        """Fit to encoded rows, from the parts of k-means on standardised numbers and zeros and ones."""
        self.steps = self._least_spread(x)
        known = np.nan_to_num(x)
        ones = [np.eye(f.n_codes)[known[:, j, CODE].astype(int)] for j, f in enumerate(self.fields.modelled)]
        seen = np.concatenate([np.clip(middle(known), -4, 4), *ones], axis=1)
        start = KMeans(self.k, n_init=3, random_state=int(self.rng.integers(2**31))).fit_predict(seen)
        r, best = np.eye(self.k)[start], -np.inf
        for _ in range(ROUNDS):
            self._maximise(x, r)
            joint = self._joint(x)
            total = logsumexp(joint, axis=1)
            r = np.exp(joint - total[:, None])
            if total.mean() < best + ENOUGH:
                break
            best = total.mean()
        return self

    def score(self, x: np.ndarray) -> float:
        """Mean log-probability of rows in their cells."""
        return float(logsumexp(self._joint(x), axis=1).mean())

    def _least_spread(self, x: np.ndarray) -> np.ndarray:
        """Half the width of a usual cell of each column, below which no component is."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            widths = np.where(np.abs(x[:, :, [LOW, HIGH]]).max(axis=2) < 1e3, x[:, :, WIDTH], np.nan)
            found: np.ndarray = np.nan_to_num(np.nanmedian(widths, axis=0), nan=1e-2) / 2 + 1e-3
        return found

    def _maximise(self, x: np.ndarray, r: np.ndarray) -> None:
        self.log_shares = np.log((r.sum(axis=0) + 1.0) / (len(r) + self.k))
        self.codes, self.places, self.spreads = [], [], []
        for j, field in enumerate(self.fields.modelled):
            code, at = x[:, j, CODE], middle(x[:, j])
            known = ~np.isnan(code)
            counts = r[known].T @ np.eye(field.n_codes)[code[known].astype(int)]
            counts = counts + counts.sum(axis=0) / counts.sum() + 1e-2
            self.codes.append(np.log(counts / counts.sum(axis=1, keepdims=True)))
            w = r * (np.nan_to_num(code, nan=1) == 0)[:, None]
            mass, v = w.sum(axis=0) + 1e-6, np.clip(np.nan_to_num(at), -30, 30)
            place = v @ w / mass
            spread = np.sqrt(((v[:, None] - place) ** 2 * w).sum(axis=0) / mass)
            self.places.append(place)
            self.spreads.append(np.maximum(spread, self.steps[j]))

    def _joint(self, x: np.ndarray) -> np.ndarray:
        joint = np.tile(self.log_shares, (len(x), 1))
        for j, field in enumerate(self.fields.modelled):
            code = np.nan_to_num(x[:, j, CODE], nan=-1).astype(int)
            said = self.codes[j][:, np.maximum(code, 0)].T
            if field.is_number:
                low, high = ((x[:, j, i, None] - self.places[j]) / self.spreads[j] for i in (LOW, HIGH))
                side = np.where(low > 0, -1.0, 1.0)  # differences where they are small
                inside = np.abs(ndtr(side * high) - ndtr(side * low))
                value = self.codes[j][:, 0] + np.log(np.maximum(np.nan_to_num(inside), 1e-300))
                said = np.where(code[:, None] > 0, np.logaddexp(said, value), value)
            joint += np.where(code[:, None] < 0, 0.0, said)
        return joint


def independent(fields: Fields, x: np.ndarray, test: np.ndarray) -> float:
    """Mean log-probability under columns by themselves: as of one class, numbers by a mixture of logistics each."""
    total = np.zeros(len(test))
    one = LatentClasses(fields, 1, 0)
    one.steps = one._least_spread(x)
    one._maximise(x, np.ones((len(x), 1)))
    for j, field in enumerate(fields.modelled):
        code = np.nan_to_num(test[:, j, CODE], nan=-1).astype(int)
        said = one.codes[j][0, np.maximum(code, 0)]
        if field.is_number:
            value = one.codes[j][0, 0] + logistics(x[x[:, j, CODE] == 0, j], test[:, j])
            said = np.where(code > 0, np.logaddexp(said, value), value)
        total += np.where(code < 0, 0.0, said)
    return float(total.mean())


def logistics(x: np.ndarray, test: np.ndarray, modes: int = 8) -> np.ndarray:
    """Log-probability of cells, shape (n,), under a mixture of logistics fitted by L-BFGS to other cells."""
    from scipy.optimize import minimize

    if not len(x):
        return np.full(len(test), -700.0)

    def logs(theta: Any, cells: Any) -> Any:
        weight, place, scale = theta.reshape(3, modes)
        unit = 1e-3 + jax.nn.softplus(scale)
        low, high = ((cells[:, i, None] - place) / unit for i in (LOW, HIGH))
        inside = jax.nn.log_sigmoid(high) + jax.nn.log_sigmoid(-low) + jax.numpy.log(-jax.numpy.expm1(low - high))
        return jax.nn.logsumexp(jax.nn.log_softmax(weight) + inside, axis=1)

    with jax.enable_x64(True):
        cells = jax.numpy.asarray(x[:5000], jax.numpy.float64)
        loss = jax.jit(jax.value_and_grad(lambda theta: -logs(theta, cells).mean()))
        at = np.clip(middle(x), -8, 8)
        start = np.concatenate([np.zeros(modes), np.quantile(at, (np.arange(modes) + 0.5) / modes), np.zeros(modes)])
        best = minimize(lambda t: [np.asarray(a, float) for a in loss(t)], start, jac=True, method="L-BFGS-B").x
        whole = np.nan_to_num(test, nan=0.0)
        whole[:, HIGH] = np.where(whole[:, HIGH] > whole[:, LOW], whole[:, HIGH], whole[:, LOW] + 1.0)  # gaps count not
        return np.asarray(logs(jax.numpy.asarray(best), jax.numpy.asarray(whole)))


def latent_classes(fields: Fields, x: np.ndarray, test: np.ndarray, seed: int) -> tuple[float, int]:
    """The held-out figure of the number of classes that is best on a tenth of the rows, and that number."""
    n, best = len(x) // 10, (-np.inf, 1)
    worse = 0
    for k in CLASSES:
        if k > len(x) // 5 or worse == 2:
            break
        score = LatentClasses(fields, k, seed).fit(x[n:]).score(x[:n])
        worse = 0 if score > best[0] else worse + 1
        best = max(best, (score, k))
    return LatentClasses(fields, best[1], seed).fit(x).score(test), best[1]


def compare(name: str, seeds: int) -> list[Any]:
    """A row of the table of densities."""
    found: dict[str, list[float]] = {}
    for seed, row in timed(1 if name in LARGE else seeds):
        train, test = table(name, seed)
        began = time.monotonic()
        fitted = pf.FlowDensity(random_state=seed).fit(train)
        row["fit"] = time.monotonic() - began
        fields = in_cells(fitted.columns_, train, test)
        x, held_out = fields.encode(train).x, fields.encode(test)
        log_widths = widths(fields, held_out.x)
        extra = held_out.log_extra.sum(axis=1) + log_widths  # what is left for unseen levels
        row["density"] = float((log_density(fields, fitted.model_, fitted.filler_, held_out) + log_widths).mean())
        row["independent"] = float(extra.mean()) + independent(fields, x, held_out.x)
        score, row["classes"] = latent_classes(fields, x, held_out.x, seed)
        row["latent classes"] = float(extra.mean()) + score
        row["difference"] = row["density"] - max(row["independent"], row["latent classes"])
        for key, value in row.items():
            found.setdefault(key, []).append(value)
    means = [f"{np.mean(found[key]):.2f}" for key in ("density", "independent", "latent classes", "difference")]
    return [
        name,
        f"{len(train)} × {train.num_columns}",
        *means,
        f"{min(found['difference']):.2f}",
        int(np.median(found["classes"])),
        round(float(np.median(found["fit"]))),
    ]


def densities(seeds: int, tables: list[str]) -> None:
    """Held-out rows of tables."""
    began = time.monotonic()
    head = ["table", "rows", "density", "independent", "latent classes", "difference", "least", "classes", "s"]
    for name in tables:
        print(f"densities: {name}", flush=True)
        rows = [*other_rows("mixed_tables", "densities", [name]), compare(name, seeds)]
        rows.sort(key=lambda row: TABLES.index(row[0]))
        write_table("mixed_tables", head, rows, round(time.monotonic() - began), seeds, settings="densities")


def filled(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """A table without gaps, its numbers standardised, and the names of its numbers, those that are texts too."""
    read_as = {name: pd.to_numeric(frame[name], errors="coerce") for name in frame}
    numbers = [name for name, column in read_as.items() if column.notna().mean() > NUMBERS]
    made = frame.copy()
    for name in frame:
        if name in numbers:
            column = read_as[name].astype(float)
            made[name] = ((column - column.mean()) / column.std()).fillna(0.0)
        else:
            made[name] = frame[name].fillna(frame[name].mode()[0]).astype(str)
    return made, numbers


def prototypes(made: pd.DataFrame, numbers: list[str], k: int, seeds: int) -> list[list[int]]:
    """Clusters by k-prototypes, of every seed, in the peers' environment."""
    python = others()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.csv"
        made.to_csv(file, index=False)
        asked = [str(python), str(HERE / "prototypes_peer.py"), str(file), str(k), str(seeds), *numbers]
        said = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    clusters: list[list[int]] = json.loads(said)
    return clusters


def clusters(seeds: int) -> None:
    """Species of penguins, and customers who leave."""
    began, rows = time.monotonic(), []
    for name, (label, k, dropped) in CLUSTERS.items():
        frame = read(name).to_pandas()
        frame, truth = frame.drop(columns=[label, *dropped]), frame[label]
        made, numbers = filled(frame)
        ones = pd.get_dummies(made).to_numpy(float)
        found: dict[str, list[float]] = {"this": [], "Gaussian mixture": [], "seconds": []}
        for seed, row in timed(seeds):
            start = time.monotonic()
            row["this"] = adjusted_rand_score(truth, pf.FlowMixture(k, random_state=seed).fit(frame).labels_)
            row["seconds"] = time.monotonic() - start
            rival = GaussianMixture(k, reg_covar=1e-3, n_init=5, random_state=seed).fit_predict(ones)
            row["Gaussian mixture"] = adjusted_rand_score(truth, rival)
            for key in found:
                found[key].append(row[key])
        others = prototypes(made, numbers, k, seeds)
        found["k-prototypes"] = [adjusted_rand_score(truth, part) for part in others]
        for who in ("this", "k-prototypes", "Gaussian mixture"):
            cost = round(float(np.median(found["seconds"]))) if who == "this" else None
            rows.append([name, who, f"{np.median(found[who]):.3f}", f"{min(found[who]):.3f}", cost])
    head = ["table", "model", "ARI, median", "ARI, worst", "s"]
    write_table("mixed_tables", head, rows, round(time.monotonic() - began), seeds, settings="clusters")


def main() -> None:
    """Run it."""
    asked = arguments(__doc__ or "", ["densities", "clusters"], seeds=3, tables=TABLES)
    warnings.simplefilter("ignore")
    for settings in asked.settings:
        densities(asked.seeds, asked.tables) if settings == "densities" else clusters(max(asked.seeds, 5))


if __name__ == "__main__":
    main()
