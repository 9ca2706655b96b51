"""How far a distribution is from a log-density, by draws of it, and of a wider one."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any, TypeAlias, TypeGuard

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm
from jax.scipy.stats import t as student_t
from jaxtyping import Array, Float, PRNGKeyArray

from pushforward.bijections import Identity
from pushforward.distributions import AbstractDistribution, Estimate, MixtureOfFlows, Normal, Pushforward
from pushforward.inference.importance import smooth
from pushforward.inference.target import Target

TRUSTED = 0.7  # Pareto k̂ above which importance ratios have no usable mean (Vehtari et al. 2024)
CHECKED = 10_000  # draws of a diagnosis; any other number is drawn in pieces of as many, by the same program
FEW = 0.05  # of the mass, which may be missing in far tails
SHIFT = 0.1  # standard deviations by which a mean or a standard deviation may be off
EVEN = 5.0  # times the mean: the largest of ratios that are even
TAIL = 3.0  # degrees of freedom of the wider noise

WithNoise: TypeAlias = Pushforward | MixtureOfFlows


@dataclasses.dataclass(frozen=True)
class Wider:
    """Draws of a distribution m that reaches farther than q: half of q, half with one coordinate of its noise wider.

    Of a mixture of flows, m is the mixture of what is so of each flow.

    Arguments:
        log_ratios: log p − log m of each draw, shape (n,); -inf where p is zero.
        log_shares: log q − log m of each draw, shape (n,).
        values: of the draws, shape (n, numbers).
    """

    log_ratios: Float[np.ndarray, " n"]
    log_shares: Float[np.ndarray, " n"]
    values: Float[np.ndarray, "n m"]

    @cached_property
    def weights(self) -> Float[np.ndarray, " n"] | None:
        """Of the draws for p, which sum to 1; None where they cannot be relied on.

        k̂ has no scale: ratios that are even but for a little have a heavy tail of that little. So they are relied on
        also where none is many times the mean.
        """
        log_weights, k_hat = smooth(self.log_ratios)
        weights: Float[np.ndarray, " n"] = np.exp(log_weights)
        weights /= weights.sum()
        return weights if k_hat <= TRUSTED or weights.max() * len(weights) <= EVEN else None

    @cached_property
    def missed(self) -> float:
        """The share of p's mass that lies elsewhere under q, their total variation; 1 where it cannot be told."""
        return 1.0 if self.weights is None else float(0.5 * np.abs(self.weights - self._shares).sum())

    @property
    def few(self) -> bool:
        """Whether little is missed: little mass, and little of every mean and standard deviation."""
        if self.missed > FEW or self.weights is None:
            return False
        mean, sd = _moments(self.values, self.weights)
        of_mean, of_sd = (
            np.abs(q - p) / sd for q, p in zip(_moments(self.values, self._shares), (mean, sd), strict=True)
        )
        return bool((of_mean <= SHIFT).all() and (of_sd <= SHIFT).all())

    @property
    def _shares(self) -> Float[np.ndarray, " n"]:
        """Weights of the draws for q."""
        shares: Float[np.ndarray, " n"] = np.exp(self.log_shares)
        shares /= shares.sum()
        return shares


def _moments(
    values: Float[np.ndarray, "n m"], weights: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Weighted means and standard deviations."""
    seen = weights > 0  # others may be infinite
    values, weights = values[seen], weights[seen]
    mean = weights @ values
    return mean, np.sqrt(weights @ (values - mean) ** 2)


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """How far a distribution is from a target, by draws of it.

    Arguments:
        u: the draws as real vectors, shape (n, D).
        values: the same as the values of the target's support.
        log_ratios: log p − log q of each draw, shape (n,); -inf where p is zero.
        wider: where k̂ is large, draws that reach farther, if there is a way to them.
    """

    u: Float[np.ndarray, "n d"]
    values: Any
    log_ratios: Float[np.ndarray, " n"]
    wider: Wider | None = None

    def named(self) -> dict[str, np.ndarray]:
        """The values of the draws by name; those without are x."""
        return self.values if isinstance(self.values, dict) else {"x": self.values}

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
        """Whether k̂ is at most 0.7, or wider draws show that what is missed are far tails that hardly count.

        A density that is positive at a bound has heavier tails, on the scale without bounds, than a flow of normal
        noise: the ratios there have no mean, however little mass there is.
        """
        return bool(self.k_hat <= TRUSTED) or (self.wider is not None and self.wider.few)

    @property
    def sound(self) -> bool:
        """Whether it is trusted, and all draws fall where p is positive."""
        return self.trusted and bool(np.isfinite(self.log_ratios).all())

    @property
    def elbo(self) -> Estimate:
        """The mean of the log-ratios."""
        ratio = self.log_ratios
        with np.errstate(invalid="ignore"):
            return Estimate(float(ratio.mean()), float(ratio.std() / np.sqrt(len(ratio))))

    @property
    def log_evidence(self) -> Estimate:
        """The log of the mean ratio; of wider draws where they are relied on."""
        ratio = self.log_ratios if self.wider is None or self.wider.weights is None else self.wider.log_ratios
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
    result = Diagnosis(np.asarray(u, np.float64), jax.tree.map(np.asarray, values), _log_ratios(values, *log_densities))
    if result.trusted or not _has_normal_noise(model):
        return result
    _, values, log_p, log_m, log_shares = _wider_draws(model, target, key)
    numbers = np.concatenate([np.reshape(leaf, (CHECKED, -1)) for leaf in jax.tree.leaves(values)], axis=1)
    wider = Wider(_log_ratios(values, log_p, log_m), np.asarray(log_shares, np.float64), numbers)
    return dataclasses.replace(result, wider=wider)


def _log_ratios(values: Any, log_p: Array, log_q: Array) -> Float[np.ndarray, " n"]:
    heights = np.asarray(log_p, np.float64)
    if (heights == np.inf).any():
        at = int(np.argmax(heights == np.inf))
        raise ValueError(
            f"the log-density is +inf at {jax.tree.map(lambda leaf: np.asarray(leaf[at]).tolist(), values)}; a density "
            "has no such points: look for a log of zero with a minus sign, or a scale that reaches zero"
        )
    ratios: Float[np.ndarray, " n"] = np.where(np.isnan(heights), -np.inf, heights) - np.asarray(log_q)
    return ratios


def _has_normal_noise(model: AbstractDistribution) -> TypeGuard[WithNoise]:
    """Whether draws are an exact map of standard normal noise, or one of several such maps."""
    if isinstance(model, MixtureOfFlows):
        return isinstance(model.shared, Identity) and all(map(_has_normal_noise, model.groups))
    if not isinstance(model, Pushforward) or model.inexactness or not isinstance(model.base, Normal):
        return False
    return not np.asarray(model.base.loc).any() and not np.asarray(model.base.log_scale).any()


@eqx.filter_jit
def _draws(model: AbstractDistribution, target: Target, key: PRNGKeyArray) -> tuple[Array, Any, Array, Array]:
    """CHECKED draws, as real vectors and as values, with both log-densities of the vector."""

    def one(key: PRNGKeyArray) -> tuple[Array, Any, Array, Array]:
        u, log_q = model.sample_and_log_weight(key)
        return u, target.support.constrain(u)[0], target(u), log_q

    return jax.vmap(one)(jax.random.split(key, CHECKED))


@eqx.filter_jit
def _wider_draws(model: WithNoise, target: Target, key: PRNGKeyArray) -> tuple[Array, Any, Array, Array, Array]:
    """CHECKED draws of what `Wider` describes: vectors, values, log p, log m and log q − log m."""

    def one(key: PRNGKeyArray, i: Array) -> tuple[Array, Any, Array, Array, Array]:
        if isinstance(model, MixtureOfFlows):
            u, log_q, log_shares = _wider_mixture_draw(model, key, i)
        else:
            u, log_q, log_shares = _wider_draw(model, key, i)
        return u, target.support.constrain(u)[0], target(u), log_q - log_shares, log_shares

    return jax.vmap(one)(jax.random.split(key, CHECKED), jnp.arange(CHECKED))


def _wider_draw(flow: Pushforward, key: PRNGKeyArray, i: Array) -> tuple[Array, Array, Array]:
    """The i-th draw of a flow of such noise, log q, and log q − log m.

    q at a draw is the density of its noise over the map's determinant, and so is every distribution of other noise;
    hence log m takes no inverse.
    """
    z = _wider_noise(flow.shape[0], key, i)
    u, log_det = flow.bijection.forward_and_log_weight(z, None)
    return u, norm.logpdf(z).sum() - log_det, -_log_widening(z)


def _wider_mixture_draw(mixture: MixtureOfFlows, key: PRNGKeyArray, i: Array) -> tuple[Array, Array, Array]:
    """The i-th draw of a mixture of flows, each of such noise, log q, and log q − log m.

    Any component may reach a draw of another, so it takes the inverses of all.
    """
    for_component, for_noise = jax.random.split(key)
    z = _wider_noise(mixture.shape[0], for_noise, i)
    chosen = jnp.asarray(mixture.places)[jax.random.categorical(for_component, mixture.log_weights)]
    u = jnp.concatenate(
        [eqx.filter_vmap(lambda flow: flow.bijection.forward_and_log_weight(z, None)[0])(g) for g in mixture.groups]
    )[chosen]

    def at_draw(flow: Pushforward) -> tuple[Array, Array]:
        z, log_det = flow.bijection.inverse_and_log_weight(u, None)
        return norm.logpdf(z).sum() + log_det, _log_widening(z)

    each = [eqx.filter_vmap(at_draw)(group) for group in mixture.groups]
    log_qs, widenings = (jnp.concatenate(parts)[jnp.asarray(mixture.places)] for parts in zip(*each, strict=True))
    log_q = logsumexp(mixture.log_weights + log_qs)
    return u, log_q, log_q - logsumexp(mixture.log_weights + log_qs + widenings)


def _wider_noise(size: int, key: PRNGKeyArray, i: Array) -> Array:
    """Standard normal noise of the i-th draw, where i is odd with one coordinate wider, each in turn."""
    for_normal, for_wide = jax.random.split(key)
    z = jax.random.normal(for_normal, (size,), jnp.result_type(float))
    wide = (jnp.arange(size) == i // 2 % size) & (i % 2 == 1)
    return jnp.where(wide, jax.random.t(for_wide, TAIL, (size,), z.dtype), z)


def _log_widening(z: Array) -> Array:
    """The log-density of such noise over that of standard normal noise."""
    log_odds = logsumexp(student_t.logpdf(z, TAIL) - norm.logpdf(z)) - jnp.log(len(z))
    return jnp.logaddexp(0.0, log_odds) - jnp.log(2.0)
