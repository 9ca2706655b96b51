"""Three kinds of table that a default may be the worse one on: few rows, far tails, and a table of customers.

"few-rows": rows of one Gaussian whose columns follow from half as many common causes and noise, and the same rows over
the root of a χ² of 5 degrees of freedom divided by them, which is a Student t. Mean log-density of 4,000 fresh rows, in
nats, of `FlowDensity` by its defaults, beside one Gaussian whose covariance is shrunk by Ledoit and Wolf's rule or by
Chen's (OAS), of standardised columns.

"tails": one column of 5,000 rows, 97 % of N(0, 1) and the others of N(0, s²). Beside a Gaussian mixture of two, fitted
to the same rows: mean log-density of 20,000 fresh rows, and the share of as many draws that lie in ±2, where a share of
0.926 of the rows lies, and little of those of s alone.

"customers": 5,000 rows of three segments: age in years; income, lognormal, in whole units; visits, a count with more
zeros than it has by itself; a share of purchases online with exact 0 and 1; days since the last one. The adjusted Rand
index of `FlowMixture(3)` and of `FlowMixture("auto")`, and how many it finds, beside a Gaussian mixture of three and
k-means, both by the best of ten starts, on standardised columns as they are and with the logarithm of income; and that
of the segment that is likeliest given all that the generator knows, which nothing can do better than but by chance.

Medians over the seeds, each with rows of its own.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from common import arguments, timed, write_table
from scipy import stats
from sklearn.cluster import KMeans
from sklearn.covariance import OAS, LedoitWolf
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from pushforward import FlowDensity, FlowMixture

Table = tuple[list[str], list[list[Any]]]
SHAPES = ((25, 10), (100, 20))
FRESH = 4000
FREEDOM = 5
FAR = (1e2, 1e4, 5e5)
N_TAILS, FRESH_TAILS, NEAR = 5000, 20_000, 2.0
N_CUSTOMERS = 5000
SHARES = (0.5, 0.3, 0.2)
# of the three segments: mean and deviation of age; of log-income; share of zeros and mean of visits; share of 0, of 1,
# and both parameters of a beta; mean of days
AGE = ((31, 7), (44, 9), (64, 9))
INCOME = ((10.2, 0.35), (11.0, 0.4), (10.4, 0.5))
VISITS = ((0.5, 4), (0.15, 9), (0.3, 5))
ONLINE = ((0.05, 0.3, 5, 2), (0.1, 0.1, 4, 4), (0.5, 0.02, 2, 5))
DAYS = (70, 25, 140)


def correlated(n: int, dim: int, seed: int, heavy: bool) -> np.ndarray:
    """Rows of one Gaussian, or Student t, the same for every seed."""
    rng, loadings = np.random.default_rng(seed), np.random.default_rng(dim).normal(size=(dim // 2, dim))
    rows = rng.normal(size=(n, dim // 2)) @ loadings / np.sqrt(dim // 2) + 0.5 * rng.normal(size=(n, dim))
    return rows / np.sqrt(rng.chisquare(FREEDOM, (n, 1)) / FREEDOM) if heavy else rows


def few_rows(n: int, dim: int, heavy: bool, seed: int) -> dict[str, float]:
    """Held-out log-densities of few rows."""
    rows = correlated(n + FRESH, dim, seed, heavy)
    train, test = rows[:n], rows[n:]
    scaler = StandardScaler().fit(train)
    z, held_out = scaler.transform(train), scaler.transform(test)
    found = {}
    for name, rule in (("Ledoit–Wolf", LedoitWolf()), ("OAS", OAS())):
        fit = rule.fit(z)
        normal = stats.multivariate_normal(fit.location_, fit.covariance_)
        found[name] = float(normal.logpdf(held_out).mean() - np.log(scaler.scale_).sum())
    density = FlowDensity(random_state=seed).fit(train)
    found["this"] = density.score(test)
    return found | {"difference": found["this"] - max(found["Ledoit–Wolf"], found["OAS"])}


def tails(far: float, seed: int) -> dict[str, float]:
    """Held-out log-densities of a column with far tails, and the shares of draws in the bulk."""
    rng = np.random.default_rng(seed)
    n = N_TAILS + FRESH_TAILS
    rows = (rng.normal(size=n) * np.where(rng.random(n) < 0.03, far, 1.0))[:, None]
    train, test = rows[:N_TAILS], rows[N_TAILS:]
    rival = GaussianMixture(2, random_state=seed, n_init=5).fit(train)
    density = FlowDensity(random_state=seed).fit(train)
    draws, theirs = density.sample(FRESH_TAILS, random_state=seed), rival.sample(FRESH_TAILS)[0]
    found = {"this": density.score(test), "mixture": float(rival.score(test))}
    bulk = {name: float((np.abs(x) < NEAR).mean()) for name, x in (("rows", test), ("draws", draws), ("its", theirs))}
    return found | {"difference": found["this"] - found["mixture"]} | bulk


def customers(seed: int, n: int = N_CUSTOMERS) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n, 5) and segments (n,)."""
    rng = np.random.default_rng(seed)
    segment = rng.choice(3, size=n, p=SHARES)
    age, income, visits, online, days = (np.array(a)[segment] for a in (AGE, INCOME, VISITS, ONLINE, DAYS))
    u = rng.random(n)
    share = np.where(u < online[:, 0], 0, np.where(u > 1 - online[:, 1], 1, rng.beta(online[:, 2], online[:, 3])))
    columns = [
        np.round(rng.normal(age[:, 0], age[:, 1])).clip(18, 95),
        np.round(rng.lognormal(income[:, 0], income[:, 1])),
        np.where(rng.random(n) < visits[:, 0], 0, rng.poisson(visits[:, 1])),
        share,
        np.floor(rng.exponential(days)),
    ]
    return np.stack(columns, axis=1).astype(float), segment


def likeliest(x: np.ndarray) -> np.ndarray:
    """The segment of the largest probability, given how `customers` draws."""
    age, income, visits, share, days = x.T
    log_p = np.empty((len(x), 3))
    for k in range(3):
        normal = stats.norm(*AGE[k])
        low, high = np.where(age <= 18, -np.inf, age - 0.5), np.where(age >= 95, np.inf, age + 0.5)
        zeros, rate = VISITS[k]
        none, all_of_it, *shape = ONLINE[k]
        inside = (1 - none - all_of_it) * stats.beta(*shape).pdf(share)
        terms = [
            normal.cdf(high) - normal.cdf(low),
            stats.norm(*INCOME[k]).pdf(np.log(income)),
            zeros * (visits == 0) + (1 - zeros) * stats.poisson(rate).pmf(visits),
            np.where(share == 0, none, np.where(share == 1, all_of_it, inside)),
            np.exp(-days / DAYS[k]) * -np.expm1(-1 / DAYS[k]),
        ]
        log_p[:, k] = np.log(SHARES[k]) + sum(np.log(np.maximum(term, 1e-300)) for term in terms)
    return log_p.argmax(axis=1)


def segments(seed: int) -> dict[str, float]:
    """Adjusted Rand indices of the customers' segments."""
    x, segment = customers(seed)
    logged = x.copy()
    logged[:, 1] = np.log(x[:, 1])
    found: dict[str, float] = {"likeliest": adjusted_rand_score(segment, likeliest(x))}
    for how, rows in (("raw", x), ("logged", logged)):
        z = StandardScaler().fit_transform(rows)
        for name, rival in (
            ("mixture", GaussianMixture(3, n_init=10, random_state=seed)),
            ("k-means", KMeans(3, n_init=10, random_state=seed)),
        ):
            found[f"{name}, {how}"] = adjusted_rand_score(segment, rival.fit_predict(z))
    for name, k in (("this", 3), ("auto", "auto")):
        began = time.monotonic()
        mixture = FlowMixture(k, random_state=seed).fit(x)
        found[f"{name}, seconds"] = time.monotonic() - began
        found[name] = adjusted_rand_score(segment, mixture.labels_)
        found[f"{name}, found"] = float(mixture.n_components_)
    return found


def over(seeds: int, one: Callable[[int], dict[str, float]]) -> dict[str, list[float]]:
    """What one seed after the other gives."""
    found: dict[str, list[float]] = {}
    for seed, row in timed(seeds):
        row |= one(seed)
        for key, value in row.items():
            found.setdefault(key, []).append(value)
    return found


def middles(found: dict[str, list[float]], keys: Sequence[str], digits: int = 3) -> list[str]:
    """Medians over seeds."""
    return [f"{np.median(found[key]):.{digits}f}" for key in keys]


def few_rows_table(seeds: int) -> Table:
    """The table of "few-rows"."""
    head = ["rows", "of", "default", "Ledoit–Wolf", "OAS", "default − best", "least"]
    rows = []
    for n, dim in SHAPES:
        for heavy in (False, True):
            print(f"{n} × {dim}, {'Student t' if heavy else 'Gaussian'}", flush=True)
            found = over(seeds, partial(few_rows, n, dim, heavy))
            values = middles(found, ("this", "Ledoit–Wolf", "OAS", "difference"))
            rows.append(
                [f"{n} × {dim}", "Student t" if heavy else "Gaussian", *values, f"{min(found['difference']):.3f}"]
            )
    return head, rows


def tails_table(seeds: int) -> Table:
    """The table of "tails"."""
    keys = ("this", "mixture", "difference", "rows", "draws", "its")
    head = ["s", "default", "two Gaussians", "default − these", "rows in ±2", "draws in ±2", "theirs", "least"]
    rows = []
    for far in FAR:
        print(f"s = {far:g}", flush=True)
        found = over(seeds, partial(tails, far))
        rows.append([f"{far:g}", *middles(found, keys), f"{min(found['difference']):.3f}"])
    return head, rows


def customers_table(seeds: int) -> Table:
    """The table of "customers"."""
    found = over(seeds, segments)
    names = {
        "this": "`FlowMixture(3)`",
        "auto": '`FlowMixture("auto")`',
        "mixture, raw": "Gaussian mixture",
        "mixture, logged": "Gaussian mixture, logarithm of income",
        "k-means, raw": "k-means",
        "k-means, logged": "k-means, logarithm of income",
        "likeliest": "likeliest segment, as drawn",
    }
    rows = []
    for key, name in names.items():
        ours = key in ("this", "auto")
        parts = ", ".join(f"{value:.0f}" for value in found[f"{key}, found"]) if ours else "3"
        seconds = f"{np.median(found[f'{key}, seconds']):.0f}" if ours else ""
        rows.append([name, *middles(found, [key]), f"{min(found[key]):.3f}", parts, seconds])
    return ["", "adjusted Rand index", "least", "parts", "s"], rows


TABLES = {"few-rows": few_rows_table, "tails": tails_table, "customers": customers_table}


def main() -> None:
    """Run it."""
    asked = arguments(__doc__ or "", ["few-rows", "tails", "customers"], seeds=5)
    warnings.simplefilter("ignore")
    for settings in asked.settings:
        began = time.monotonic()
        head, rows = TABLES[settings](asked.seeds)
        write_table("cases", head, rows, round(time.monotonic() - began), asked.seeds, settings=settings)


if __name__ == "__main__":
    main()
