"""What fitting a posterior gives: draws, bounds, and whether to trust them."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pushforward.distributions import AbstractDistribution
from pushforward.inference.importance import smooth
from pushforward.inference.support import Support

TRUSTED = 0.7  # Pareto k̂ above which importance ratios have no usable mean (Vehtari et al. 2024)
CHECKED = 10_000  # draws that k̂ and the bounds are estimated on


class PosteriorWarning(UserWarning):
    """The posterior was fitted, but should not be trusted as it is."""


class Estimate(NamedTuple):
    """A number and its standard error."""

    value: float
    standard_error: float


@dataclasses.dataclass(frozen=True)
class FlowPosterior:
    """A posterior as a flow on real vectors, mapped to the values of the log-density.

    Arguments:
        flow: distribution of the real vector.
        support: the map from it to values.
        log_density: of the real vector, up to a constant, the map's log-determinant included.
        history: the course of training, one dict an epoch.
        seconds: wall time of the fit, compilation included.
        key: of the draws that diagnose it.
    """

    flow: AbstractDistribution
    support: Support
    log_density: Callable[[Array], Array]
    history: list[dict[str, Any]]
    seconds: float
    key: PRNGKeyArray

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Any:
        """Independent draws of the flow, as values of the log-density's kind, leading axes `sample_shape`."""
        u = self.flow.sample(key, (int(np.prod(sample_shape)),))
        return self._values(u, sample_shape)

    def log_prob(self, values: Any) -> Array:
        """Log-density of the flow at one value, on the scale of the values; -inf outside the support.

        Raises:
            ValueError: the support was given by a function without a way back.
        """
        if self.support.unconstrain is None:
            raise ValueError("the support is a function without its inverse; give a bijection to have log_prob")
        u = self.support.unconstrain(values)
        return self.flow.log_prob(u) - self.support.constrain(u)[1]

    def importance_sample(self, key: PRNGKeyArray, n: int, n_proposed: int = CHECKED) -> Any:
        """Draws of the flow resampled by their smoothed importance ratios, which take most of its error out.

        Arguments:
            key: a JAX random key.
            n: how many, with replacement.
            n_proposed: draws of the flow to choose from.
        """
        draw_key, choose_key = jax.random.split(key)
        u, log_ratio = self._ratios(draw_key, n_proposed)
        smoothed, _ = smooth(log_ratio)
        chosen = jax.random.choice(choose_key, n_proposed, (n,), p=jnp.asarray(np.exp(smoothed)))
        return self._values(u[chosen], (n,))

    @cached_property
    def log_ratios(self) -> Float[np.ndarray, " n"]:
        """log p − log q of the draws that diagnose the fit."""
        return np.asarray(self._ratios(self.key, CHECKED)[1])

    @cached_property
    def k_hat(self) -> float:
        """Shape of the Pareto tail of the importance ratios: below 0.5 good, above 0.7 not to be trusted."""
        return smooth(self.log_ratios)[1]

    @property
    def elbo(self) -> Estimate:
        """The evidence lower bound: below the log of the normalising constant by KL(q‖p)."""
        ratio = self.log_ratios
        return Estimate(float(ratio.mean()), float(ratio.std() / np.sqrt(len(ratio))))

    @property
    def log_evidence(self) -> Estimate:
        """The importance-weighted bound on the log of the normalising constant (Burda et al. 2016)."""
        ratio = self.log_ratios
        relative = np.exp(ratio - ratio.max())
        error = relative.std() / relative.mean() / np.sqrt(len(ratio))
        return Estimate(float(ratio.max() + np.log(relative.mean())), float(error))

    def check(self) -> None:
        """Warn in plain words where the fit should not be trusted."""
        if not self.k_hat <= TRUSTED:
            warnings.warn(
                f"Pareto k̂ is {self.k_hat:.2f}, above {TRUSTED}: the flow misses parts of the posterior where much of "
                "its mass may lie. Means and intervals may be off; fit with a larger effort=, another flow=, or a "
                "parameterisation without funnels, and compare with MCMC",
                PosteriorWarning,
                stacklevel=3,
            )

    def _ratios(self, key: PRNGKeyArray, n: int) -> tuple[Array, Array]:
        u, log_q = self.flow.sample_and_log_prob(key, (n,))
        log_p = _evaluate(self.log_density, u)
        return u, jnp.where(jnp.isnan(log_p), -jnp.inf, log_p) - log_q

    def _values(self, u: Float[Array, "n d"], sample_shape: tuple[int, ...]) -> Any:
        values = eqx.filter_jit(jax.vmap(lambda row: self.support.constrain(row)[0]))(u)
        return jax.tree.map(lambda leaf: leaf.reshape(*sample_shape, *leaf.shape[1:]), values)


@eqx.filter_jit
def _evaluate(log_density: Callable[[Array], Array], u: Float[Array, "n d"]) -> Float[Array, " n"]:
    return jax.vmap(log_density)(u)
