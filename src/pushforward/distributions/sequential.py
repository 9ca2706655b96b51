"""Series whose steps hang on latent variables, known through a bound."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections.temporal import past_steps
from pushforward.distributions.base import AbstractDistribution
from pushforward.networks import MLP, Gaussian


class SequentialLatent(AbstractDistribution):
    """A latent variable at each step of a series: z_t ~ p(z_t | z_{t−1}, x_{t−w:t−1}), x_t ~ p(x_t | z_t, x_{t−w:t−1}).

    All are Gaussians with network moments. Inference is filtering: q(z_t | x_t, z_{t−1}, x_{t−w:t−1}) has the prior's
    raw moments plus what a network makes of them and of x_t, so that it starts at the prior (Marino et al. 2020; with
    w = 0 the deep Markov model of Krishnan et al. 2017). Steps before the first are zeros. There is no exact
    log-density: `elbo` is below it, and `log_prob_estimate` near it.

    Arguments:
        initial: raw moments of z_1, shape (2L,).
        prior: a module from z_{t−1} and the past, shape (L + w · D,), to the raw moments of z_t, shape (2L,).
        emission: from z_t and the past, shape (L + w · D,), to the raw moments of x_t, shape (2D,).
        inference: from x_t and the prior's raw moments, shape (D + 2L,), to what is added to those, shape (2L,).
        shape: (T, D).
        window: w, zero or more.

    Raises:
        ValueError: the shape is not (T, D), the window is negative, or a network has other sizes.

    Example:
        >>> import jax
        >>> from pushforward.distributions import SequentialLatent
        >>> model = SequentialLatent.init(jax.random.key(0), (5, 2), latent_dim=3)
        >>> x = model.sample(jax.random.key(1))
        >>> x.shape, model.elbo(x, key=jax.random.key(2)).shape
        ((5, 2), ())
    """

    initial: Array
    prior: MLP
    emission: MLP
    inference: MLP
    shape: tuple[int, ...] = eqx.field(static=True)
    window: int = eqx.field(static=True, default=0)
    cond_shape: None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise ValueError(f"shape must be (T, D), steps and columns, both at least 1; got {self.shape}")
        if isinstance(self.window, bool) or self.window < 0:
            raise ValueError(f"window must be a whole number of steps, zero or more; got {self.window!r}")
        n_raw, dim = self.initial.shape[0], self.shape[1]
        seen = n_raw // 2 + self.window * dim
        for name, n_in, n_out in (
            ("prior", seen, n_raw),
            ("emission", seen, 2 * dim),
            ("inference", dim + n_raw, n_raw),
        ):
            layers = getattr(self, name).layers
            sizes = layers[0].weight.shape[1], layers[-1].weight.shape[0]
            if sizes != (n_in, n_out):
                raise ValueError(f"{name} goes from {sizes[0]} numbers to {sizes[1]}; expected {n_in} to {n_out}")

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        shape: Sequence[int],
        latent_dim: int,
        window: int = 0,
        hidden_sizes: Sequence[int] = (64,),
        activation: str = "silu",
    ) -> SequentialLatent:
        """Draw a model to train.

        Arguments:
            key: a JAX random key.
            shape: (T, D).
            latent_dim: L.
            window: steps that prior and emission see, beside the latent variable.
            hidden_sizes: units of each network's hidden layers.
            activation: its name.
        """
        if len(shape) != 2:
            raise ValueError(f"shape must be (T, D), steps and columns, both at least 1; got {tuple(shape)}")
        dim, seen = shape[1], latent_dim + window * shape[1]
        sizes = ((seen, 2 * latent_dim), (seen, 2 * dim), (dim + 2 * latent_dim, 2 * latent_dim))
        prior, emission, inference = (
            MLP.init(k, n_in, n_out, hidden_sizes, activation, scale)
            for k, (n_in, n_out), scale in zip(jax.random.split(key, 3), sizes, (0.1, 0.1, 0.01), strict=True)
        )
        return cls(jnp.zeros(2 * latent_dim), prior, emission, inference, tuple(shape), window)

    @property
    def inexactness(self) -> frozenset[str]:
        return frozenset({"lower bound"})

    def log_weight(self, x: Array, key: PRNGKeyArray | None, condition: Array | None = None) -> Array:
        """log p(x, z) − log q(z | x) at one draw of z; its mean is the evidence lower bound.

        Arguments:
            x: shape (T, D).
            key: a JAX random key.
        """

        def step(z: Array, at: tuple[Array, ...]) -> tuple[Array, Array]:
            first, x_t, past, noise = at
            before = jnp.where(first, self.initial, self.prior(jnp.concatenate([z, past])))
            posterior = Gaussian(before + self.inference(jnp.concatenate([x_t, before])))
            z = posterior.at(noise)
            emitted = Gaussian(self.emission(jnp.concatenate([z, past])))
            return z, emitted.log_prob(x_t) + Gaussian(before).log_prob(z) - posterior.log_prob(z)

        if key is None:
            raise ValueError("log_weight draws latent variables; give it a key")
        past = past_steps(x, self.window).reshape(len(x), -1)
        noise = jax.random.normal(key, (len(x), self.initial.shape[0] // 2), x.dtype)
        _, terms = lax.scan(step, jnp.zeros_like(noise[0]), (jnp.arange(len(x)) == 0, x, past, noise))
        return terms.sum()

    def sample_and_log_weight(self, key: PRNGKeyArray, condition: Array | None = None) -> tuple[Array, Array]:
        def step(state: tuple[Array, Array], at: tuple[Array, ...]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
            (z, past), (first, noise_z, noise_x) = state, at
            before = jnp.where(first, self.initial, self.prior(jnp.concatenate([z, past.reshape(-1)])))
            z = Gaussian(before).at(noise_z)
            emitted = Gaussian(self.emission(jnp.concatenate([z, past.reshape(-1)])))
            x_t = emitted.at(noise_x)
            posterior = Gaussian(before + self.inference(jnp.concatenate([x_t, before])))
            term = emitted.log_prob(x_t) + Gaussian(before).log_prob(z) - posterior.log_prob(z)
            return (z, jnp.concatenate([past, x_t[None]])[1:]), (x_t, term)

        n, dim = self.shape
        dtype = self.initial.dtype
        key_z, key_x = jax.random.split(key)
        noise_z = jax.random.normal(key_z, (n, self.initial.shape[0] // 2), dtype)
        noise_x = jax.random.normal(key_x, (n, dim), dtype)
        start = (jnp.zeros_like(noise_z[0]), jnp.zeros((self.window, dim), dtype))
        _, (x, terms) = lax.scan(step, start, (jnp.arange(n) == 0, noise_z, noise_x))
        return x, terms.sum()

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        self._require_exact()
        return self.log_weight(x, None)

    def _sample(self, key: PRNGKeyArray, condition: Array | None = None) -> Array:
        return self.sample_and_log_weight(key)[0]  # compiled, what is not used is not computed
