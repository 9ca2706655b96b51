"""What fitting a posterior gives: draws, bounds, and whether to trust them."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pushforward.checks import check_key
from pushforward.distributions import AbstractDistribution, Estimate
from pushforward.inference.diagnosis import CHECKED, TRUSTED, Diagnosis, Wider
from pushforward.inference.precision import double_precision
from pushforward.inference.summary import Summary
from pushforward.inference.support import Support, as_support


class PosteriorWarning(UserWarning):
    """The posterior was fitted, but should not be trusted as it is."""


@dataclasses.dataclass(frozen=True)
class FlowPosterior:
    """A posterior as a flow on real vectors, mapped to the values of the log-density.

    It does not hold the log-density, so that it can be pickled, and saved where its support is described in words,
    sizes or maps, whatever function it was fitted to.

    Arguments:
        flow: distribution of the real vector.
        support: the map from real vectors to values.
        double: whether all of it is in double precision.
        diagnosis: 10,000 draws, weighed by the log-density.
        history: the course of training, one dict an epoch; empty where the Gaussian start was enough.
        seconds: wall time of the fit, compilation included.
    """

    flow: AbstractDistribution
    support: Support
    double: bool
    diagnosis: Diagnosis
    history: list[dict[str, Any]]
    seconds: float

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Any:
        """Independent draws of the flow, as values of the log-density's kind, leading axes `sample_shape`."""
        n = int(np.prod(sample_shape))
        with double_precision(self.double):
            keys = jax.random.split(check_key(key), max(1, -(-n // CHECKED)))
            parts = [_values(self.flow, self.support, key) for key in keys]
        return jax.tree.map(lambda *leaves: _shaped(np.concatenate(leaves)[:n], sample_shape), *parts)

    def log_prob(self, values: Any) -> Array:
        """Log-density of the flow at values, on their scale, leading axes batch axes; -inf outside the support.

        Raises:
            ValueError: the support was given by a function without a way back, or values have other names.
        """
        if self.support.unconstrain is None:
            raise ValueError("the support is a function without its inverse; give a bijection to have log_prob")
        with double_precision(self.double):
            events = [leaf.ndim - 1 for leaf in jax.tree.leaves(self.diagnosis.values)]
            values = jax.tree.map(jnp.asarray, values)
            names, expected = (str(jax.tree.structure(v)) for v in (values, self.diagnosis.values))
            if names != expected:
                raise ValueError(f"values are {names}; expected {expected}, as draws are")
            first = jax.tree.leaves(values)[0]
            batch = first.shape[: first.ndim - events[0]]
            flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[len(batch) :]), values)
            result = np.asarray(_log_probs(self.flow, self.support, flat)).reshape(batch)
        return jnp.asarray(result)

    def importance_sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draws of the flow resampled by their smoothed importance ratios, which takes most of its error out.

        They are chosen, with replacement, among the 10,000 of the diagnosis.
        """
        chosen = np.asarray(
            jax.random.choice(check_key(key), CHECKED, sample_shape, p=jnp.asarray(self.diagnosis.weights))
        )
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

    def summary(self) -> Summary:
        """A table of means, standard deviations and quantiles, with the diagnosis below it.

        It prints as text, and shows as a table in a notebook; `summary().rows` holds its numbers.
        """
        return Summary.of(self.diagnosis.named(), self.verdict())

    def verdict(self) -> str:
        """The diagnosis in one line."""
        d = self.diagnosis
        judged = "trusted" if d.trusted else "not to be trusted"
        if d.wider is not None and d.trusted:
            judged = f"from far tails alone, {d.wider.missed:.1%} of the mass missed: {judged}"
        return (
            f"Pareto k̂ {d.k_hat:.2f}: {judged} · ELBO {d.elbo.value:.3f} ± {d.elbo.standard_error:.3f}, "
            f"log evidence at least {d.log_evidence.value:.3f} ± {d.log_evidence.standard_error:.3f} nats"
        )

    def __repr__(self) -> str:
        shapes = {name: leaf.shape[1:] for name, leaf in self.diagnosis.named().items()}
        sizes = ", ".join(f"{name} {shape}" if shape else name for name, shape in shapes.items())
        return f"FlowPosterior of {sizes}, fitted in {self.seconds:.1f} s\n{self.verdict()}"

    def to_arviz(self) -> Any:
        """The draws of the diagnosis as ArviZ's InferenceData, their log-ratios as `sample_stats`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # announcements of its next version
            from arviz import from_dict
        return from_dict(
            posterior={name: leaf[None] for name, leaf in self.diagnosis.named().items()},
            sample_stats={"log_ratio": self.diagnosis.log_ratios[None]},
        )

    def to_state(self) -> dict[str, Any]:
        """Everything, for a model file.

        Raises:
            TypeError: the support is a function.
        """
        d = self.diagnosis
        return {
            "flow": _as_numpy(self.flow),
            "support": self.support.written(),
            "double": self.double,
            "diagnosis": {"u": d.u, "values": d.values, "log_ratios": d.log_ratios},
            "wider": None if d.wider is None else dataclasses.asdict(d.wider),
            "history": self.history,
            "seconds": self.seconds,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> FlowPosterior:
        """The inverse of `to_state`."""
        wider = None if state["wider"] is None else Wider(**state["wider"])
        support, diagnosis = as_support(state["support"]), Diagnosis(**state["diagnosis"], wider=wider)
        return _restored(state["flow"], support, state["double"], diagnosis, state["history"], state["seconds"])

    def __reduce__(self) -> Any:
        # JAX would take its own arrays back in the precision that holds where they are unpickled
        return _restored, (
            *(_as_numpy(self.flow), self.support, self.double),
            *(self.diagnosis, self.history, self.seconds),
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
def _log_probs(flow: AbstractDistribution, support: Support, values: Any) -> Array:
    def one(value: Any) -> Array:
        u = support.unconstrain(value)  # type: ignore[misc]
        back, log_det = support.constrain(u)
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


@eqx.filter_jit
def _values(flow: AbstractDistribution, support: Support, key: PRNGKeyArray) -> Any:
    """CHECKED draws as values."""

    def one(key: PRNGKeyArray) -> Any:
        return support.constrain(flow.sample_and_log_weight(key)[0])[0]

    return jax.vmap(one)(jax.random.split(key, CHECKED))


def _as_numpy(flow: AbstractDistribution) -> AbstractDistribution:
    """The flow with arrays of NumPy, which keep their precision in files."""
    result: AbstractDistribution = jax.tree.map(np.asarray, flow)
    return result


def _restored(flow: AbstractDistribution, support: Support, double: bool, *others: Any) -> FlowPosterior:
    with double_precision(double):
        return FlowPosterior(jax.tree.map(jnp.asarray, flow), support, double, *others)


def _shaped(leaf: np.ndarray, sample_shape: tuple[int, ...]) -> Array:
    return jnp.asarray(leaf.reshape(*sample_shape, *leaf.shape[1:]))
