"""Four energies that flows have to fit from draws alone (Rezende & Mohamed 2015, table 1 and figure 3).

p(z) ∝ exp(−U(z)) on |z₁| ≤ 4, where every family ends with the map of z₁ onto that interval. Each is fitted from four
starts side by side by KL(q‖p), with p annealed from its 0.01th power over the first half, and the start with the least
loss is kept: 5,000 steps of Adam on 256 draws. The table has KL(q‖p) = E_q[log q + U] + log Z on 200,000 fresh draws, ±
their standard error; log Z is a grid integral. Numbers behind the families are layers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from common import arguments, picture, write_table
from jaxtyping import Array
from scipy.special import logsumexp

from pushforward import flows
from pushforward.bijections import Bounded
from pushforward.distributions import Pushforward
from pushforward.objectives import ReverseKL
from pushforward.plots.marks import figure_of
from pushforward.training import Fit, Settings, Steps, train

END, HEIGHT = 4.0, 8.0  # of |z₁|, and beyond which |z₂| holds nothing
STARTS, STEPS_PER_EPOCH, EPOCHS, DRAWS = 4, 100, 50, 256
PIXELS = 120
FRESH, BATCHES = 50_000, 4


def wave(z: Array) -> Array:
    """w₁."""
    return jnp.sin(2 * jnp.pi * z[0] / 4)


def ring(z: Array) -> Array:
    """U₁: two halves of a ring."""
    radius = jnp.sqrt((z**2).sum() + 1e-12)
    sides = jnp.logaddexp(-0.5 * ((z[0] - 2) / 0.6) ** 2, -0.5 * ((z[0] + 2) / 0.6) ** 2)
    return 0.5 * ((radius - 2) / 0.4) ** 2 - sides


def sinus(z: Array) -> Array:
    """U₂: a wave."""
    return 0.5 * ((z[1] - wave(z)) / 0.4) ** 2


def bump(z: Array) -> Array:
    """U₃: a wave that splits and joins."""
    other = z[1] - wave(z) + 3 * jnp.exp(-0.5 * ((z[0] - 1) / 0.6) ** 2)
    return -jnp.logaddexp(-0.5 * ((z[1] - wave(z)) / 0.35) ** 2, -0.5 * (other / 0.35) ** 2)


def fork(z: Array) -> Array:
    """U₄: a wave that splits."""
    other = z[1] - wave(z) + 3 * jax.nn.sigmoid((z[0] - 1) / 0.3)
    return -jnp.logaddexp(-0.5 * ((z[1] - wave(z)) / 0.4) ** 2, -0.5 * (other / 0.35) ** 2)


ENERGIES: dict[str, Callable[[Array], Array]] = {"U1": ring, "U2": sinus, "U3": bump, "U4": fork}


class LogDensity(eqx.Module):
    """−U of the energy with that number, which is read at run time: one program serves all four."""

    which: Array

    def __call__(self, z: Array) -> Array:
        found: Array = -jax.lax.switch(self.which, tuple(ENERGIES.values()), z)
        return found


SMALL: dict[str, Any] = {"hidden_sizes": (24, 24)}
FAMILIES: dict[str, Callable[..., Pushforward]] = {
    "planar, 2": partial(flows.planar, n_layers=2),
    "planar, 8": partial(flows.planar, n_layers=8),
    "planar, 32": partial(flows.planar, n_layers=32),
    "radial, 32": partial(flows.radial, n_layers=32),
    "Sylvester, 32": partial(flows.sylvester, n_layers=32),
    "IAF, 8": partial(flows.iaf, n_layers=8, **SMALL),
    "NICE, 8": partial(flows.nice, n_layers=8, **SMALL),
    "RealNVP, 8": partial(flows.real_nvp, n_layers=8, **SMALL),
    "spline coupling, 4": partial(flows.spline_coupling, n_layers=4, n_bins=8, interval=8.0, **SMALL),
}


def log_normaliser(log_density: LogDensity, n: int = 600) -> float:
    """log ∫ exp(−U) over the strip: Gauss–Legendre in z₁, whose ends cut the density, and a fine sum in z₂."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    heights = np.linspace(-HEIGHT, HEIGHT, 2 * n)
    grid = np.stack(np.meshgrid(END * nodes, heights, indexing="ij"), -1)
    with jax.enable_x64(True):
        values = np.asarray(eqx.filter_jit(lambda p, z: jax.vmap(jax.vmap(p))(z))(log_density, jnp.asarray(grid)))
    area = np.log(END * weights)[:, None] + np.log(heights[1] - heights[0])
    return float(logsumexp(values + area))


def starts(family: Callable[..., Pushforward]) -> Pushforward:
    """Several draws of a family, side by side, each with z₁ in its interval."""
    ends = jnp.array([END, jnp.inf])

    def one(key: Array) -> Pushforward:
        return family(key, 2).then(Bounded(-ends, ends))

    found: Pushforward = eqx.filter_jit(eqx.filter_vmap(one))(jax.random.split(jax.random.key(0), STARTS))
    return found


def fitted(flow: Pushforward, log_density: LogDensity, epochs: int) -> Fit[Pushforward]:
    """The best of several starts."""
    loss = ReverseKL(log_density, DRAWS, path=False, anneal_epochs=jnp.asarray(epochs / 2))
    settings = Settings(epochs, batch_size=1, learning_rate=5e-3, schedule="cosine", clip_norm=10.0, averaging=0.99)
    rows = Steps(STEPS_PER_EPOCH)
    return train(flow, loss, rows, key=jax.random.key(1), settings=settings, n_restarts=STARTS)


@eqx.filter_jit
def gaps(flow: Pushforward, log_density: LogDensity, key: Array) -> Array:
    """log q + U of fresh draws."""
    z, log_q = jax.vmap(flow._sample_and_log_prob)(jax.random.split(key, FRESH))
    return log_q - jax.vmap(log_density)(z)


def divergence(flow: Pushforward, log_density: LogDensity, log_z: float) -> tuple[float, float]:
    """KL(q‖p) and its standard error."""
    found = [np.asarray(gaps(flow, log_density, key), float) for key in jax.random.split(jax.random.key(2), BATCHES)]
    values = np.concatenate(found) + log_z
    return float(values.mean()), float(values.std() / len(values) ** 0.5)


def density(log_density: Callable[[Array], Array]) -> np.ndarray:
    """Its values on a grid over the picture."""
    along = jnp.linspace(-END, END, PIXELS + 2)[1:-1]
    grid = jnp.stack(jnp.meshgrid(along, along), -1).reshape(-1, 2)
    values = np.asarray(eqx.filter_jit(lambda p, z: jax.vmap(p)(z))(log_density, grid)).reshape(PIXELS, PIXELS)
    return np.exp(values)


def draw(pictures: dict[str, list[np.ndarray]]) -> str:
    """Targets and fits, one energy a row and one scale of colours in it."""
    figure = figure_of(1.3 * len(pictures), 1.35 * len(ENERGIES) + 0.2)
    axes = figure.subplots(len(ENERGIES), len(pictures))
    for column, (name, images) in enumerate(pictures.items()):
        for row, image in enumerate(images):
            axis = axes[row, column]
            largest = pictures["p"][row].max()
            axis.imshow(image, origin="lower", vmin=0, vmax=largest, extent=(-END, END, -END, END))
            axis.set(xticks=[], yticks=[])
            if row == 0:
                axis.set_title(name, fontsize=8)
            if column == 0:
                axis.set_ylabel(list(ENERGIES)[row], fontsize=8)
    return picture(figure, "energies")


def main() -> None:
    """Run it."""
    asked = arguments(__doc__ or "", list(FAMILIES), seeds=1)
    began = time.monotonic()
    targets = [LogDensity(jnp.asarray(i)) for i in range(len(ENERGIES))]
    log_z = [log_normaliser(target) for target in targets]
    rows: list[list[Any]] = []
    pictures = {"p": [density(p) * np.exp(-constant) for p, constant in zip(targets, log_z, strict=True)]}
    for name in asked.settings:
        tick = time.monotonic()
        row, drawn = [name], starts(FAMILIES[name])
        pictures[name] = []
        for target, constant in zip(targets, log_z, strict=True):
            flow = fitted(drawn, target, asked.epochs or EPOCHS).model
            row.append("{:.4f} ± {:.4f}".format(*divergence(flow, target, constant)))
            pictures[name].append(density(flow._log_prob))
        rows.append([*row, time.monotonic() - tick])
        print("  ".join(f"{v:.1f} s" if isinstance(v, float) else v for v in rows[-1]), flush=True)
    if asked.epochs is None and len(rows) == len(FAMILIES):
        head = ["KL(q‖p), nats", *ENERGIES, "seconds"]
        write_table("energies", head, rows, time.monotonic() - began, pictures=[draw(pictures)])


if __name__ == "__main__":
    main()
