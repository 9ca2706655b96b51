"""What fitting a posterior gives: draws, bounds, and whether to trust them."""

from __future__ import annotations

import dataclasses
import warnings
from functools import cached_property
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pushforward.distributions import AbstractDistribution, Estimate
from pushforward.inference.importance import smooth
from pushforward.inference.target import Target

TRUSTED = 0.7  # Pareto k̂ above which importance ratios have no usable mean (Vehtari et al. 2024)
CHECKED = 10_000  # draws of a diagnosis; any other number is drawn in pieces of as many, by the same program
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class PosteriorWarning(UserWarning):
    """The posterior was fitted, but should not be trusted as it is."""


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """How far a distribution is from a target, by draws of it.

    Arguments:
        u: the draws as real vectors, shape (n, D).
        values: the same as the values of the target's support.
        log_ratios: log p − log q of each draw, shape (n,); -inf where p is zero.
    """

    u: Float[np.ndarray, "n d"]
    values: Any
    log_ratios: Float[np.ndarray, " n"]

    @cached_property
    def _smoothed(self) -> tuple[Float[np.ndarray, " n"], float]:
        return smooth(self.log_ratios)

    @property
    def k_hat(self) -> float:
        """Shape of the Pareto tail of the importance ratios (Vehtari et al. 2024)."""
        return self._smoothed[1]

    @property
    def weights(self) -> Float[np.ndarray, " n"]:
        """Smoothed importance weights of the draws, which sum to 1."""
        weights: Float[np.ndarray, " n"] = np.exp(self._smoothed[0])
        weights /= weights.sum()
        return weights

    @property
    def trusted(self) -> bool:
        """Whether k̂ is at most 0.7."""
        return bool(self.k_hat <= TRUSTED)

    @property
    def elbo(self) -> Estimate:
        """The mean of the log-ratios."""
        ratio = self.log_ratios
        with np.errstate(invalid="ignore"):
            return Estimate(float(ratio.mean()), float(ratio.std() / np.sqrt(len(ratio))))

    @property
    def log_evidence(self) -> Estimate:
        """The log of the mean ratio."""
        ratio = self.log_ratios
        if not np.isfinite(ratio.max()):
            return Estimate(float(ratio.max()), float("nan"))
        relative = np.exp(ratio - ratio.max())
        error = relative.std() / relative.mean() / np.sqrt(len(ratio))
        return Estimate(float(ratio.max() + np.log(relative.mean())), float(error))

    @property
    def gap(self) -> float:
        """An estimate of KL(q‖p): what the bound lacks of the evidence."""
        return float(self.log_evidence.value - self.elbo.value)


def diagnose(model: AbstractDistribution, target: Target, key: PRNGKeyArray) -> Diagnosis:
    """Draw from a distribution and weigh its draws by a target.

    Raises:
        ValueError: the log-density is +inf or NaN at a draw where it may not be.
    """
    u, values, *log_densities = _draws(model, target, key)
    log_p, log_q = (np.asarray(each, np.float64) for each in log_densities)
    if (log_p == np.inf).any():
        at = int(np.argmax(log_p == np.inf))
        raise ValueError(
            f"the log-density is +inf at {jax.tree.map(lambda leaf: np.asarray(leaf[at]).tolist(), values)}; a density "
            "has no such points: look for a log of zero with a minus sign, or a scale that reaches zero"
        )
    return Diagnosis(np.asarray(u, np.float64), values, np.where(np.isnan(log_p), -np.inf, log_p) - log_q)


@eqx.filter_jit
def _draws(model: AbstractDistribution, target: Target, key: PRNGKeyArray) -> tuple[Array, Any, Array, Array]:
    """CHECKED draws, as real vectors and as values, with both log-densities of the vector."""

    def one(key: PRNGKeyArray) -> tuple[Array, Any, Array, Array]:
        u, log_q = model.sample_and_log_weight(key)
        return u, target.support.constrain(u)[0], target(u), log_q

    return jax.vmap(one)(jax.random.split(key, CHECKED))


@dataclasses.dataclass(frozen=True)
class FlowPosterior:
    """A posterior as a flow on real vectors, mapped to the values of the log-density.

    Arguments:
        flow: distribution of the real vector.
        target: the log-density of the real vector, with the map to values in `target.support`.
        diagnosis: 10,000 draws, weighed by the log-density.
        history: the course of training, one dict an epoch; empty where the Gaussian start was enough.
        seconds: wall time of the fit, compilation included.
    """

    flow: AbstractDistribution
    target: Target
    diagnosis: Diagnosis
    history: list[dict[str, Any]]
    seconds: float

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Any:
        """Independent draws of the flow, as values of the log-density's kind, leading axes `sample_shape`."""
        n = int(np.prod(sample_shape))
        with self.target.precision():
            keys = jax.random.split(key, max(1, -(-n // CHECKED)))
            parts = [_draws(self.flow, self.target, key)[1] for key in keys]
        return jax.tree.map(lambda *leaves: _shaped(np.concatenate(leaves)[:n], sample_shape), *parts)

    def log_prob(self, values: Any) -> Array:
        """Log-density of the flow at values, on their scale, leading axes batch axes; -inf outside the support.

        Raises:
            ValueError: the support was given by a function without a way back, or values have other names.
        """
        if self.target.support.unconstrain is None:
            raise ValueError("the support is a function without its inverse; give a bijection to have log_prob")
        with self.target.precision():
            events = [leaf.ndim - 1 for leaf in jax.tree.leaves(self.diagnosis.values)]
            values = jax.tree.map(jnp.asarray, values)
            names, expected = (str(jax.tree.structure(v)) for v in (values, self.diagnosis.values))
            if names != expected:
                raise ValueError(f"values are {names}; expected {expected}, as draws are")
            first = jax.tree.leaves(values)[0]
            batch = first.shape[: first.ndim - events[0]]
            flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[len(batch) :]), values)
            result = np.asarray(_log_probs(self.flow, self.target, flat)).reshape(batch)
        return jnp.asarray(result)

    def importance_sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draws of the flow resampled by their smoothed importance ratios, which takes most of its error out.

        They are chosen, with replacement, among the 10,000 of the diagnosis.
        """
        chosen = np.asarray(jax.random.choice(key, CHECKED, sample_shape, p=jnp.asarray(self.diagnosis.weights)))
        return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[chosen]), self.diagnosis.values)

    @property
    def k_hat(self) -> float:
        """Shape of the Pareto tail of the importance ratios: below 0.5 good, above 0.7 not to be trusted."""
        return self.diagnosis.k_hat

    @property
    def elbo(self) -> Estimate:
        """The evidence lower bound: below the log of the normalising constant by KL(q‖p)."""
        return self.diagnosis.elbo

    @property
    def log_evidence(self) -> Estimate:
        """The importance-weighted bound on the log of the normalising constant (Burda et al. 2016)."""
        return self.diagnosis.log_evidence

    def mean(self) -> Any:
        """The mean of every value, by 10,000 draws of the flow."""
        return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64).mean(axis=0), self.diagnosis.values)

    def sd(self) -> Any:
        """The standard deviation of every value, by 10,000 draws of the flow."""
        return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64).std(axis=0), self.diagnosis.values)

    def quantile(self, q: Any) -> Any:
        """Quantiles of every value, by 10,000 draws of the flow; q, in [0, 1], gives the first axes."""
        return jax.tree.map(lambda leaf: np.quantile(np.asarray(leaf, np.float64), q, axis=0), self.diagnosis.values)

    def summary(self) -> str:
        """A table of means, standard deviations and quantiles, with the diagnosis below it."""
        named = self.diagnosis.values if isinstance(self.diagnosis.values, dict) else {"x": self.diagnosis.values}
        lines = [f"{'':20}{'mean':>11}{'sd':>11}" + "".join(f"{f'{q:.0%}':>11}" for q in QUANTILES)]
        for name, leaf in named.items():
            draws = np.asarray(leaf, np.float64)
            for at in np.ndindex(draws.shape[1:]):
                x = draws[(slice(None), *at)]
                numbers = [x.mean(), x.std(), *np.quantile(x, QUANTILES)]
                label = name + (f"[{','.join(map(str, at))}]" if at else "")
                lines.append(f"{label:20}" + "".join(f"{number:>11.4g}" for number in numbers))
        verdict = "trusted" if self.diagnosis.trusted else "not to be trusted"
        lines.append(
            f"Pareto k̂ {self.k_hat:.2f}: {verdict} · ELBO {self.elbo.value:.3f} ± {self.elbo.standard_error:.3f}, "
            f"log evidence at least {self.log_evidence.value:.3f} ± {self.log_evidence.standard_error:.3f} nats"
        )
        return "\n".join(lines)

    def to_arviz(self) -> Any:
        """The draws of the diagnosis as ArviZ's InferenceData, their log-ratios as `sample_stats`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # announcements of its next version
            from arviz import from_dict
        values = self.diagnosis.values if isinstance(self.diagnosis.values, dict) else {"x": self.diagnosis.values}
        return from_dict(
            posterior={name: np.asarray(leaf)[None] for name, leaf in values.items()},
            sample_stats={"log_ratio": self.diagnosis.log_ratios[None]},
        )

    def check(self) -> None:
        """Warn in plain words where the fit should not be trusted."""
        nowhere = np.mean(self.diagnosis.log_ratios == -np.inf)
        if nowhere:
            warnings.warn(
                f"{nowhere:.2%} of the draws fall where the log-density is -inf or NaN, so the ELBO is -inf; say by "
                "support= where it lives, or draw with importance_sample",
                PosteriorWarning,
                stacklevel=3,
            )
        if not self.diagnosis.trusted:
            warnings.warn(
                f"Pareto k̂ is {self.k_hat:.2f}, above {TRUSTED}: the flow misses parts of the posterior where much of "
                "its mass may lie. Means and intervals may be off; fit with a larger effort=, another flow=, or a "
                "parameterisation without funnels, and compare with MCMC",
                PosteriorWarning,
                stacklevel=3,
            )


@eqx.filter_jit
def _log_probs(flow: AbstractDistribution, target: Target, values: Any) -> Array:
    def one(value: Any) -> Array:
        u = target.support.unconstrain(value)  # type: ignore[misc]
        back, log_det = target.support.constrain(u)
        # some ways back, as that of a simplex, take values from outside without a word
        close = float(np.finfo(u.dtype).eps) ** 0.4
        same = [
            (jnp.abs(a - b) <= close * (1 + jnp.abs(a))).all()
            for a, b in zip(jax.tree.leaves(value), jax.tree.leaves(back), strict=True)
        ]
        result = flow.log_weight(u, None) - log_det
        inside = jnp.isfinite(u).all() & jnp.stack(same).all() & ~jnp.isnan(result)
        return jnp.where(inside, result, -jnp.inf)

    return jax.vmap(one)(values)


def _shaped(leaf: np.ndarray, sample_shape: tuple[int, ...]) -> Array:
    return jnp.asarray(leaf.reshape(*sample_shape, *leaf.shape[1:]))
