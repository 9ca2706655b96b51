"""Probabilistic forecasts of series, beside seasonal naive, state-space models and a Gaussian autoregression.

ETTh1 are seven readings of a power transformer, every hour: 8,640 hours train, 2,880 validate, 2,880 test, all in
standard deviations of the training hours (Zhou et al. 2021); every method is fitted to the first two parts, and ours
stops by their last tenth. From each of 100 common origins, even over the test
hours, come forecasts of 96 hours of all seven. The sunspots are monthly means since 1749, on the scale of their square
roots; the last fifth tests, from an origin every four months, 36 months ahead.

Every method gives 100 draws of each future, from the same past: seasonal naive, the last day (of the sunspots, the last
value) and errors that this rule made while training, drawn as whole stretches; a Gaussian autoregression, of each
channel its own, with the lags of ours, by least squares; state-space models of statsmodels (a local level with a
daily season of four waves, or with a damped cycle), one a channel, by maximum likelihood on the last 2,880 steps before
the test ones, then run up to each origin. They need `pip install statsmodels`, and are left out without.

The CRPS is the mean over origins, steps and channels, of ETTh1 in training standard deviations, of the sunspots in
sunspots; intervals are from the 5 % to the 95 % quantile of draws.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from common import arguments, data_folder, picture, write_table
from numpy.typing import NDArray

import pushforward as pf
from pushforward.data.clocks import learn_clock, read_stamps
from pushforward.plots.marks import COLOURS, figure_of, tidy

DRAWS = 100
FloatArray = NDArray[np.float64]
HEAD = ["data", "method", "horizon", "CRPS", "90 % interval covers", "seconds"]


@dataclass(frozen=True)
class Task:
    """A series to forecast.

    Arguments:
        name: of the data.
        x: on the scale of models, shape (T, C).
        calendar: what is known ahead, shape (T, K), or None.
        end: steps that are there to fit.
        origins: first steps of forecasts.
        horizons: steps ahead that are told of; the last is the longest.
        season: of the naive rule.
        lags: of the linear forecasts.
        ours: parameters of our model.
        restore: from the scale of models to the one that is judged.
        unit: of the CRPS.
    """

    name: str
    x: FloatArray
    calendar: FloatArray | None
    end: int
    origins: NDArray[np.int64]
    horizons: tuple[int, ...]
    season: int
    lags: tuple[int, ...]
    ours: dict[str, Any]
    restore: Callable[[FloatArray], FloatArray]
    unit: str

    @property
    def longest(self) -> int:
        return self.horizons[-1]

    def futures(self, x: FloatArray) -> FloatArray:
        """What follows each origin, shape (origins, H, C)."""
        return np.stack([x[origin : origin + self.longest] for origin in self.origins])


def etth1() -> Task:
    """Seven readings of a transformer, hourly."""
    table = pf.data.open_source(str(data_folder() / "series" / "ETTh1.csv.gz")).read()
    names = [name for name in table.column_names if name != "date"]
    x = np.stack([np.asarray(table.column(name)) for name in names], axis=1)
    train, end = 8640, 8640 + 2880
    x = (x - x[:train].mean(0)) / x[:train].std(0)
    stamps, form = read_stamps(table.column("date"), "date", "ETTh1")
    calendar = learn_clock([stamps[:end]], "date", form, "ETTh1").calendar(stamps)
    origins = np.linspace(end, end + 2880 - 96, 100).astype(int)
    lags = (*range(1, 27), *(24 * k + i for k in range(2, 8) for i in (-1, 0, 1)))
    ours = {"lags": lags, "places": "least squares", "channels": 16, "n_layers": 6}
    return Task("ETTh1", x, calendar, end, origins, (24, 96), 24, lags, ours, lambda z: z, "deviations")


def sunspots() -> Task:
    """Monthly means of sunspot numbers, as roots."""
    table = pf.data.open_source(str(data_folder() / "series" / "monthly-sunspots.csv")).read()
    roots = np.sqrt(np.asarray(table.column("Sunspots"), dtype=float))[:, None]
    end = int(0.8 * len(roots))
    shift, scale = roots[:end].mean(), roots[:end].std()
    origins = np.arange(end, len(roots) - 36 + 1, 4)
    lags = (*range(1, 13), *range(18, 150, 6))  # a cycle takes some eleven years
    ours = {"lags": lags, "places": "least squares", "channels": 8, "n_layers": 6}
    restore = lambda z: np.maximum(z * scale + shift, 0) ** 2  # noqa: E731
    return Task("sunspots", (roots - shift) / scale, None, end, origins, (12, 36), 1, lags, ours, restore, "sunspots")


def naive(task: Task, seed: int) -> FloatArray:
    """The last season again, and errors that this made before, drawn as whole stretches."""
    repeats = -(-task.longest // task.season)

    def rule(origin: int) -> FloatArray:
        return np.tile(task.x[origin - task.season : origin], (repeats, 1))[: task.longest]

    before = np.arange(task.season, task.end - task.longest)
    chosen = np.random.default_rng(seed).choice(before, (DRAWS, len(task.origins)))
    errors = np.stack([[task.x[o : o + task.longest] - rule(o) for o in row] for row in chosen])
    return np.stack([rule(origin) for origin in task.origins]) + errors


def autoregression(task: Task, seed: int) -> FloatArray:
    """Each channel from its own past, linearly, with Gaussian errors that channels share as they did before."""
    longest, lags, x = max(task.lags), np.array(task.lags), task.x
    rows = np.arange(longest, task.end)
    past = np.stack([x[rows - lag] for lag in lags], axis=-1)
    gram = np.einsum("ncl,ncm->clm", past, past) + 1e-2 * np.eye(len(lags))
    weights = np.linalg.solve(gram, np.einsum("ncl,nc->cl", past, x[rows])[..., None])[..., 0]
    errors = x[rows] - np.einsum("ncl,cl->nc", past, weights)
    root = np.linalg.cholesky(np.atleast_2d(np.cov(errors.T)))
    rng, n = np.random.default_rng(seed), len(task.origins)
    known = np.stack([x[origin - longest : origin] for origin in task.origins])
    drawn = np.concatenate([np.tile(known, (DRAWS, 1, 1, 1)), np.empty((DRAWS, n, task.longest, x.shape[1]))], axis=2)
    for k in range(longest, longest + task.longest):
        mean = np.einsum("snlc,cl->snc", drawn[:, :, k - lags], weights)
        drawn[:, :, k] = mean + rng.normal(size=mean.shape) @ root.T
    return drawn[:, :, longest:]


def state_space(task: Task, seed: int) -> FloatArray:
    """An unobserved-components model of each channel; draws of each step from its Gaussian."""
    from statsmodels.tsa.statespace.structural import UnobservedComponents

    rng, drawn = np.random.default_rng(seed), []
    parts: dict[str, Any] = {"level": "llevel"}
    if task.season > 1:
        parts["freq_seasonal"] = [{"period": task.season, "harmonics": 4}]
    else:
        parts |= {"cycle": True, "stochastic_cycle": True, "damped_cycle": True, "cycle_period_bounds": (96, 168)}
    first = max(0, task.end - 2880)
    for channel in range(task.x.shape[1]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of convergence, of which the table tells by its figures
            fit = UnobservedComponents(task.x[first : task.end, channel], **parts).fit(disp=False, maxiter=200)
        whole = fit.append(task.x[task.end :, channel])
        each = [whole.get_prediction(o - first, o - first + task.longest - 1, dynamic=0) for o in task.origins]
        mean, deviation = (np.stack([f(p) for p in each]) for f in (lambda p: p.predicted_mean, lambda p: p.se_mean))
        drawn.append(mean + deviation * rng.normal(size=(DRAWS, *mean.shape)))
    return np.stack(drawn, axis=-1)


def ours(task: Task, seed: int, epochs: int | None) -> tuple[FloatArray, pf.SeriesDensity]:
    """Our model, fitted to all before the test steps, the last of which say when to stop."""
    model = pf.SeriesDensity(**task.ours, max_epochs=epochs, random_state=seed, verbose=1)
    known = None if task.calendar is None else [task.calendar[: task.end]]
    model.fit([task.x[: task.end]], condition=known)
    past = np.stack([task.x[origin - model.context_ : origin] for origin in task.origins])
    ahead = None
    if task.calendar is not None:
        ahead = np.stack([task.calendar[o - model.context_ : o + task.longest] for o in task.origins])
    return model.forecast(past, task.longest, DRAWS, condition=ahead, random_state=seed), model


def crps(draws: FloatArray, y: FloatArray) -> FloatArray:
    """Of each value, from draws along the first axis: E|X − y| − E|X − X'|/2."""
    ordered, n = np.sort(draws, axis=0), len(draws)
    weights = (2 * np.arange(1, n + 1) - n - 1).reshape(-1, *[1] * y.ndim)
    result: FloatArray = np.abs(draws - y).mean(0) - (weights * ordered).sum(0) / (n * (n - 1))
    return result


def rows_of(task: Task, method: str, draws: FloatArray, seconds: float) -> list[list[Any]]:
    """CRPS and coverage at each horizon."""
    judged, y = task.restore(draws), task.restore(task.futures(task.x))
    low, high = np.quantile(judged, (0.05, 0.95), axis=0)
    inside, score, rows = (y >= low) & (y <= high), crps(judged, y), []
    for horizon in task.horizons:
        of = score[:, :horizon].mean(), inside[:, :horizon].mean()
        rows.append([task.name, method, horizon, round(float(of[0]), 4), round(float(of[1]), 3), round(seconds, 1)])
        print("  ".join(map(str, rows[-1])), flush=True)
    return rows


def drawing(task: Task, shown: dict[str, FloatArray]) -> str:
    """Forecasts of one origin in the middle, beside what came; the channel is the last."""
    which, figure = len(task.origins) // 2, figure_of(9.0, 5.6)
    origin, past = int(task.origins[which]), 2 * task.longest
    axes = figure.subplots(len(shown), 1, sharex=True, sharey=True)
    truth = task.restore(task.x[origin - past : origin + task.longest])[:, -1]
    for ax, (method, draws) in zip(axes, shown.items(), strict=True):
        judged, steps = task.restore(draws[:, which])[..., -1], np.arange(task.longest)
        for level, alpha in ((0.05, 0.2), (0.25, 0.35)):
            low, high = np.quantile(judged, (level, 1 - level), axis=0)
            ax.fill_between(steps, low, high, color=COLOURS[0], alpha=alpha, linewidth=0)
        ax.plot(steps, np.median(judged, axis=0), color=COLOURS[0], linewidth=1.2)
        ax.plot(np.arange(-past, task.longest), truth, color="black", linewidth=0.8)
        ax.set_title(f"{task.name}: {method}", loc="left", fontsize=9)
        tidy(ax)
    axes[-1].set_xlabel("steps from the origin; half and nine tenths of all draws")
    figure.tight_layout()
    return picture(figure, f"series-{task.name.lower()}")


TASKS = {"ETTh1": etth1, "sunspots": sunspots}


def main() -> None:
    chosen = arguments(__doc__ or "", ["default"], 1, tables=list(TASKS))
    began, rows, pictures = time.monotonic(), [], []
    methods: dict[str, Callable[[Task, int], FloatArray]] = {
        "seasonal naive": naive,
        "Gaussian autoregression": autoregression,
    }
    if find_spec("statsmodels"):
        methods["state space"] = state_space
    else:
        print("statsmodels is not installed, so there are no state-space models: pip install statsmodels")
    for name in chosen.tables:
        task, shown = TASKS[name](), {}
        for method, function in methods.items():
            tick = time.monotonic()
            shown[method] = function(task, 0)
            rows += rows_of(task, method, shown[method], time.monotonic() - tick)
        tick = time.monotonic()
        shown["pushforward"], model = ours(task, 0, chosen.epochs)
        rows += rows_of(task, "pushforward", shown["pushforward"], time.monotonic() - tick)
        print(f"best epoch {model.best_epoch_} of {model.n_iter_}: {model.history_[model.best_epoch_ - 1]}")
        if chosen.epochs is None:
            pictures.append(drawing(task, {k: shown[k] for k in ("Gaussian autoregression", "pushforward")}))
    if chosen.epochs is None:
        write_table("series", HEAD, rows, round(time.monotonic() - began, 1), pictures=pictures)


if __name__ == "__main__":
    main()
