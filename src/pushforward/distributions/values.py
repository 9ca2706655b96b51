"""What one value of an array can be, and how likely, given numbers that a network says of it."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pushforward import trees
from pushforward.bijections.affine import affine_transformer
from pushforward.bijections.base import AbstractMap, require_transformer
from pushforward.checks import check_whole, limits
from pushforward.distributions.standard import Normal
from pushforward.trees import Frozen

LEAST_SCALE = 1e-3  # of a logistic, where the levels reach from -1 to 1


class AbstractValue(eqx.Module):
    """The distribution of one value, given P raw numbers; all zero is a sensible start.

    A subclass guarantees the methods on one value.
    """

    @property
    @abc.abstractmethod
    def n_params(self) -> int:
        """P, raw numbers that say how a value is distributed."""

    @property
    @abc.abstractmethod
    def n_features(self) -> int:
        """E, numbers in which networks see a value, the last of them whether it is known."""

    @abc.abstractmethod
    def log_prob(self, params: Array, x: Array) -> Array:
        """log p(x), a scalar, given raw numbers of shape (P,); -inf where x is no such value, never NaN."""

    @abc.abstractmethod
    def noise(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Array:
        """What draws of so many values are made of, shape (*shape, n)."""

    @abc.abstractmethod
    def draw(self, params: Array, noise: Array) -> Array:
        """A value, a scalar, from raw numbers of shape (P,) and noise of shape (n,)."""

    @abc.abstractmethod
    def seen(self, x: Array) -> Array:
        """A finite value in numbers of the size of 1, shape (E - 1,)."""

    @abc.abstractmethod
    def check(self, x: Any) -> None:
        """Refuse values that cannot be; NaN is a gap, and can.

        Raises:
            ValueError: what is wrong, and what was expected.
        """

    def encode(self, x: Array) -> Array:
        """A value as networks see it, shape (E,); all zero where it is a gap."""
        known = jnp.isfinite(x)
        seen = self.seen(jnp.where(known, x, 0))
        return jnp.append(jnp.where(known, seen, 0), known.astype(seen.dtype))

    def sample(self, params: Array, key: PRNGKeyArray) -> Array:
        """A value, a scalar, from raw numbers of shape (P,)."""
        return self.draw(params, self.noise(key, (), params.dtype))


class Bernoulli(AbstractValue):
    """0 or 1, with one logit.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.distributions import Bernoulli
        >>> round(Bernoulli().log_prob(jnp.zeros(1), jnp.array(1.0)).item(), 4)
        -0.6931
    """

    @property
    def n_params(self) -> int:
        return 1

    @property
    def n_features(self) -> int:
        return 2

    def log_prob(self, params: Array, x: Array) -> Array:
        return jnp.where((x == 0) | (x == 1), -jax.nn.softplus(jnp.where(x == 1, -params[0], params[0])), -jnp.inf)

    def noise(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Array:
        return jax.random.uniform(key, (*shape, 1), dtype)

    def draw(self, params: Array, noise: Array) -> Array:
        return (noise[0] < jax.nn.sigmoid(params[0])).astype(params.dtype)

    def seen(self, x: Array) -> Array:
        return (2 * x - 1)[None]

    def check(self, x: Any) -> None:
        _check_levels(x, 2, "a Bernoulli value")


class Categorical(AbstractValue):
    """One of n levels 0, …, n − 1, each with a logit of its own.

    Arguments:
        n_levels: n, at least 2.
        ordered: levels are quantities, such as grey values, and networks see them as one number; else as n zeros and
            ones.

    Raises:
        ValueError: there are fewer than two levels.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.distributions import Categorical
        >>> round(Categorical(4).log_prob(jnp.zeros(4), jnp.array(3.0)).item(), 4)
        -1.3863
    """

    n_levels: int = eqx.field(static=True)
    ordered: bool = eqx.field(static=True, default=True)

    def __check_init__(self) -> None:
        check_whole("n_levels", self.n_levels, 2)

    @property
    def n_params(self) -> int:
        return self.n_levels

    @property
    def n_features(self) -> int:
        return 2 if self.ordered else self.n_levels + 1

    def log_prob(self, params: Array, x: Array) -> Array:
        levels = jnp.arange(self.n_levels, dtype=x.dtype)
        chosen = jnp.where(levels == x, params, 0).sum() - jax.nn.logsumexp(params)
        return jnp.where(_is_level(x, self.n_levels), chosen, -jnp.inf)

    def noise(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Array:
        return jax.random.uniform(key, (*shape, 1), dtype)

    def draw(self, params: Array, noise: Array) -> Array:
        return _drawn(params, noise[0]).astype(params.dtype)

    def seen(self, x: Array) -> Array:
        if self.ordered:
            return (2 * x / (self.n_levels - 1) - 1)[None]
        return (jnp.arange(self.n_levels, dtype=x.dtype) == x).astype(x.dtype)

    def check(self, x: Any) -> None:
        _check_levels(x, self.n_levels, f"a value of {self.n_levels} levels")


class DiscretisedLogistics(AbstractValue):
    """One of n levels 0, …, n − 1, a mixture of logistics rounded to them, open at both ends (Salimans et al. 2017).

    P(x) = Σ π_i [σ((x + ½ − μ_i)/s_i) − σ((x − ½ − μ_i)/s_i)], where the lowest level reaches down to −∞ and the
    highest up to ∞. Raw numbers are logits of π, then μ around places that are spread over the levels, then scales.

    Arguments:
        n_levels: n, at least 2.
        n_components: of the mixture.

    Raises:
        ValueError: there are fewer than two levels, or no component.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.distributions import DiscretisedLogistics
        >>> value = DiscretisedLogistics(256, 5)
        >>> log_probs = jax.vmap(lambda x: value.log_prob(jnp.zeros(value.n_params), x))(jnp.arange(256.0))
        >>> round(float(jnp.exp(log_probs).sum()), 4)
        1.0
    """

    n_levels: int = eqx.field(static=True)
    n_components: int = eqx.field(static=True, default=10)

    def __check_init__(self) -> None:
        check_whole("n_levels", self.n_levels, 2)
        check_whole("n_components", self.n_components, 1)

    @property
    def n_params(self) -> int:
        return 3 * self.n_components

    @property
    def n_features(self) -> int:
        return 2

    def _mixture(self, params: Array) -> tuple[Array, Array, Array]:
        """Logits, means and scales, where the levels reach from -1 to 1."""
        logits, means, raw = jnp.split(params, 3)
        k = self.n_components
        places = (2 * np.arange(k) + 1) / k - 1
        return logits, means + places.astype(params.dtype), LEAST_SCALE + jax.nn.softplus(raw - 1) / k

    def log_prob(self, params: Array, x: Array) -> Array:
        logits, means, scales = self._mixture(params)
        half = 1 / (self.n_levels - 1)  # of a level's width
        at = self.seen(x)[0]
        above, below = (at + half - means) / scales, (at - half - means) / scales
        lowest, highest = x <= 0, x >= self.n_levels - 1
        # σ(b) − σ(a) = σ(b) σ(−a) (1 − exp(a − b))
        of_below = jnp.where(highest, 0, jax.nn.log_sigmoid(above))
        of_above = jnp.where(lowest, 0, jax.nn.log_sigmoid(-below))
        inside = jnp.where(lowest | highest, 0, jnp.log(-jnp.expm1(-2 * half / scales)))
        total = jax.nn.logsumexp(logits + of_below + of_above + inside) - jax.nn.logsumexp(logits)
        return jnp.where(_is_level(x, self.n_levels), total, -jnp.inf)

    def noise(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Array:
        return jax.random.uniform(key, (*shape, 2), dtype, minval=float(limits(dtype).tiny))

    def draw(self, params: Array, noise: Array) -> Array:
        logits, means, scales = self._mixture(params)
        chosen = jnp.arange(self.n_components) == _drawn(logits, noise[0])
        mean, scale = (jnp.where(chosen, a, 0).sum() for a in (means, scales))
        at = mean + scale * (jnp.log(noise[1]) - jnp.log1p(-noise[1]))
        return jnp.clip(jnp.round((at + 1) * (self.n_levels - 1) / 2), 0, self.n_levels - 1)

    def seen(self, x: Array) -> Array:
        return (2 * x / (self.n_levels - 1) - 1)[None]

    def check(self, x: Any) -> None:
        _check_levels(x, self.n_levels, f"a value of {self.n_levels} levels")


class Real(AbstractValue):
    """A real number: a standard normal pushed through a scalar bijection, whose trainable numbers the raw ones move.

    Arguments:
        transformer: a scalar bijection; shift and scale if None.

    Raises:
        ValueError: it is not scalar.
        InexactError: its log-determinant is not exact.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.distributions import Real
        >>> round(Real().log_prob(jnp.zeros(2), jnp.array(0.0)).item(), 4)
        -0.9189
    """

    transformer: Frozen[AbstractMap]

    def __init__(self, transformer: AbstractMap | None = None):
        chosen = affine_transformer() if transformer is None else transformer
        require_transformer(chosen)
        self.transformer = Frozen(chosen)

    @property
    def n_params(self) -> int:
        return trees.n_parameters(self.transformer.content)

    @property
    def n_features(self) -> int:
        return 2

    def _moved(self, params: Array) -> Any:
        return trees.offset(self.transformer.value, params)

    def log_prob(self, params: Array, x: Array) -> Array:
        finite = jnp.isfinite(x)
        z, log_det = self._moved(params).inverse_and_log_det(jnp.where(finite, x, 0))
        return jnp.where(finite, Normal.standard(()).log_weight(z, None) + log_det, -jnp.inf)

    def noise(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Array:
        return jax.random.normal(key, (*shape, 1), dtype)

    def draw(self, params: Array, noise: Array) -> Array:
        x: Array = self._moved(params).forward_and_log_det(noise[0])[0]
        return x

    def seen(self, x: Array) -> Array:
        return x[None]

    def check(self, x: Any) -> None:
        values = np.asarray(x)
        if np.isinf(values).any():
            raise ValueError("real values must be finite, or NaN where there is a gap; got an infinite one")


def _is_level(x: Array, n: int) -> Array:
    return (x >= 0) & (x <= n - 1) & (x == jnp.round(x))


def _drawn(logits: Array, uniform: Array) -> Array:
    """Which entry a number that is uniform on [0, 1) falls to, by the softmax of the logits."""
    below = jnp.cumsum(jnp.exp(logits - logits.max()))
    return jnp.minimum((below <= uniform * below[-1]).sum(), len(logits) - 1)


def _check_levels(x: Any, n: int, name: str) -> None:
    values = np.asarray(x)
    strange = ~(np.isnan(values) | ((values >= 0) & (values <= n - 1) & (values == np.round(values))))
    if strange.any():
        raise ValueError(
            f"{name} is a whole number from 0 to {n - 1}, or NaN where there is a gap; got {values[strange][0]:g}"
        )
