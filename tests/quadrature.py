"""Densities checked by quadrature: that they integrate to one, and that samples follow them."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.stats

from tests.keys import cheap_key

N_SAMPLES = 4000
FALSE_ALARMS = 1e-4  # how often a test of samples fails where nothing is wrong; seeds are fixed, so it does or does not


@eqx.filter_jit
def _draws(model: Any, key: Any, condition: Any) -> Any:
    return model.sample_and_log_prob(key, (N_SAMPLES,), condition)


@eqx.filter_jit
def _log_prob(model: Any, x: Any, condition: Any) -> Any:
    return model.log_prob(x, condition)


def panels(values: Any, support: tuple[float, float], n: int) -> Any:
    """Edges of panels on one axis, narrow where draws are and reaching far beyond them, within the support."""
    core = np.unique(np.quantile(values, np.linspace(0.001, 0.999, n)))
    tails = (core[-1] - core[0]) * np.geomspace(0.02, 5, n // 3)
    every = np.concatenate([core[0] - tails[::-1], core, core[-1] + tails])
    return np.unique(np.clip(every, *support))


def gauss(edges: Any) -> tuple[Any, Any]:
    """Places and weights of the Gauss–Legendre rule with two points in each panel, which needs no values at edges."""
    middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    places = (middle[:, None] + half[:, None] * np.array([-1, 1]) / 3**0.5).ravel()
    return places, np.repeat(half, 2)


def check_density(model: Any, condition: Any = None, support: tuple[float, float] = (-np.inf, np.inf)) -> None:
    """Assert that the density of one or two numbers integrates to one and that samples follow it.

    Arguments:
        model: a distribution whose event has one or two numbers.
        condition: of one event, or None.
        support: ends of the support, the same for every number.
    """
    samples, log_p = _draws(model, cheap_key(0), condition)
    size = int(np.prod(model.shape))
    x = np.asarray(samples, float).reshape(N_SAMPLES, size)
    for n in {1: (600,), 2: (40, 150)}[size]:  # more panels where bins of a spline are narrow
        edges = [panels(column, support, n) for column in x.T]
        mass, found = _masses(model, condition, samples, edges)
        if abs(mass.sum() - 1) < 0.01:
            break
    assert abs(mass.sum() - 1) < 0.01, mass.sum()
    # a few draws may sit where rounding in float32 shows
    assert np.quantile(np.abs(found - log_p) / (1 + np.abs(log_p)), 0.999) < 5e-3

    # two samples of each number and of their sum: the model's own, and one drawn from the density on the grid
    rng = np.random.default_rng(1)
    cells = rng.choice(mass.size, N_SAMPLES, p=mass.ravel() / mass.sum())
    where = np.unravel_index(cells, mass.shape)
    # a cell is the half of a panel around one of its two places
    drawn = np.stack([_spread(e, i, rng) for e, i in zip(edges, where, strict=True)], 1)
    for direction in np.eye(size).tolist() + ([[1.0, 1.0], [1.0, -1.0]] if size == 2 else []):
        scale = direction / np.maximum(x.std(0), 1e-12)
        p = scipy.stats.ks_2samp(x @ scale, drawn @ scale).pvalue
        assert p > FALSE_ALARMS, (direction, p)


def _masses(model: Any, condition: Any, samples: Any, edges: list[Any]) -> tuple[Any, Any]:
    """Mass of each cell, one axis for each number, and the log-densities of the samples."""
    places, weights = zip(*map(gauss, edges), strict=True)
    grid = np.stack(np.meshgrid(*places, indexing="ij"), -1).reshape(-1, *model.shape)
    found = _log_prob(model, jnp.concatenate([samples, jnp.asarray(grid, samples.dtype)]), condition)
    found = np.asarray(found, float)
    mass = np.exp(found[len(samples) :]).reshape([len(axis) for axis in places])
    for i, weight in enumerate(weights):
        mass = mass * weight.reshape([-1 if j == i else 1 for j in range(len(weights))])
    return mass, found[: len(samples)]


def _spread(edges: Any, index: Any, rng: Any) -> Any:
    """Points drawn evenly within halves of panels."""
    halves = np.sort(np.concatenate([edges, (edges[1:] + edges[:-1]) / 2]))
    return halves[index] + rng.random(len(index)) * (halves[index + 1] - halves[index])
