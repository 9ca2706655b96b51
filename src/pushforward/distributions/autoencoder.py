"""Variational autoencoders: data from a latent point, and a flow for the posterior of that point."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pushforward.checks import check_whole, is_concrete
from pushforward.distributions.base import AbstractDistribution
from pushforward.distributions.estimates import Weigher, WeightedEstimate, log_mean_weight, mean_log_weight
from pushforward.distributions.likelihoods import AbstractLikelihood
from pushforward.distributions.pushforward import Pushforward
from pushforward.distributions.standard import Normal
from pushforward.trees import AbstractModel


class Terms(NamedTuple):
    """What the evidence lower bound of a row is made of, at draws z of its posterior."""

    log_likelihood: Array
    log_prior: Array
    log_posterior: Array


class Autoencoder(AbstractModel):
    """A latent variable model p(z) p(x|z) with an amortised posterior q(z|x): a VAE (Kingma & Welling 2014).

    The encoder runs once for each x; its features are the condition of the posterior, whose linear heads give the
    moments of its base and the parameters of its flow (Rezende & Mohamed 2015; van den Berg et al. 2018). Its density
    has no closed form: `elbo` bounds it, `log_prob_estimate` comes close.

    Arguments:
        encoder: from x of shape (D,) to features, flat.
        posterior: of z given the features; its base a `Normal`.
        decoder: from z to D numbers.
        likelihood: of x given those.
        prior: of z; None for a standard normal.
        deterministic: whether it is a plain autoencoder, whose code is the centre of the posterior and which has no
            bound.

    Raises:
        ValueError: shapes do not fit.

    Example:
        >>> import jax
        >>> from pushforward.inference import vae
        >>> model = vae(jax.random.key(0), 4, latent_dim=2, posterior="planar", n_layers=2, hidden_sizes=(8,))
        >>> x = model.sample(jax.random.key(1), (3,))
        >>> model.elbo(x, key=jax.random.key(2)).shape
        (3,)
    """

    encoder: Callable[[Array], Array]
    posterior: Pushforward
    decoder: Callable[[Array], Array]
    likelihood: AbstractLikelihood
    prior: AbstractDistribution
    deterministic: bool = eqx.field(static=True)

    def __init__(
        self,
        encoder: Callable[[Array], Array],
        posterior: Pushforward,
        decoder: Callable[[Array], Array],
        likelihood: AbstractLikelihood,
        prior: AbstractDistribution | None = None,
        deterministic: bool = False,
    ):
        prior = Normal.standard(posterior.shape) if prior is None else prior
        if not isinstance(posterior.base, Normal):
            raise ValueError(f"the posterior's base must be a Normal; got {type(posterior.base).__name__}")
        if prior.shape != posterior.shape or prior.cond_shape is not None:
            raise ValueError(f"the prior must be of shape {posterior.shape}, without a condition; got {prior.shape}")
        for name, network, inside, outside in (
            ("encoder", encoder, (likelihood.dim,), posterior.cond_shape),
            ("decoder", decoder, posterior.shape, (likelihood.dim,)),
        ):
            result = eqx.filter_eval_shape(network, jnp.zeros(inside)).shape
            if result != outside:
                raise ValueError(f"the {name} gives shape {result} for {inside}; expected {outside}")
        self.encoder, self.posterior, self.decoder = encoder, posterior, decoder
        self.likelihood, self.prior, self.deterministic = likelihood, prior, deterministic

    @property
    def shape(self) -> tuple[int, ...]:
        """Event shape of x, (D,)."""
        return (self.likelihood.dim,)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Event shape of z."""
        return self.posterior.shape

    def terms_at(self, features: Array, x: Array, keys: Array) -> Terms:
        """The parts of the bound of one row, at one draw of z for each key.

        Arguments:
            features: `encoder(x)`.
            x: shape (D,).
            keys: shape (n,).

        Returns:
            Three arrays of shape (n,).
        """

        def one(key: PRNGKeyArray) -> Terms:
            z, log_q = self.posterior.sample_and_log_weight(key, features)
            return Terms(self.likelihood.log_prob(self.decoder(z), x), self.prior.log_weight(z, None), log_q)

        return jax.vmap(one)(keys)

    def code(self, x: Array) -> Array:
        """z of one row: where the posterior's map takes the mean of its base."""
        base: Any = self.posterior.base  # a Normal
        return self.posterior.bijection.forward(base.loc, self.encoder(x))

    def elbo(self, x: Any, *, key: PRNGKeyArray, n_samples: int = 1) -> Array:
        """Unbiased estimates of the evidence lower bound, E_q[log p(x, z) − log q(z|x)].

        Arguments:
            x: shape (*batch, D).
            key: a JAX random key.
            n_samples: draws of z that the estimate of each row averages.

        Returns:
            Shape (*batch,), nats.

        Raises:
            ValueError: shape or values do not fit, or the model is a plain autoencoder.
        """
        rows, batch = self._rows(x, observed=True)
        return _elbos(self, rows, key, check_whole("n_samples", n_samples, 1)).reshape(batch)

    def log_prob_estimate(self, x: Any, *, key: PRNGKeyArray, n_samples: int = 500) -> WeightedEstimate:
        """Importance-weighted estimates of log p(x) (Burda et al. 2016).

        Rows and draws are taken in parts, so memory does not grow with `n_samples`.

        Arguments:
            x: shape (*batch, D).
            key: a JAX random key.
            n_samples: draws of z for each row, at least 2.

        Returns:
            Estimates, standard errors and effective draws, shape (*batch,), nats.

        Raises:
            ValueError: shape or values do not fit, or the model is a plain autoencoder.
        """
        rows, batch = self._rows(x, observed=True)
        result = _weighted(self, rows, key, check_whole("n_samples", n_samples, 2))
        return WeightedEstimate(*(part.reshape(batch) for part in result))

    def log_prob(self, x: Any) -> Array:
        """It has no closed form.

        Raises:
            TypeError: always; the message names the methods to call.
        """
        raise TypeError("the density of an autoencoder has no closed form; call elbo for a bound, or log_prob_estimate")

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = (), *, means: bool = False) -> Array:
        """Independent draws.

        Arguments:
            key: a JAX random key.
            sample_shape: how many.
            means: whether to give the mean of x given each z in place of a draw.

        Returns:
            Shape (*sample_shape, D).
        """
        self._require_stochastic("samples")
        key_z, key_x = jax.random.split(key)
        output = _decoded(self, self.prior.sample(key_z, (math.prod(sample_shape),)))
        x = self.likelihood.mean(output) if means else self.likelihood.sample(key_x, output)
        return x.reshape(*sample_shape, *self.shape)

    def encode(self, x: Any, *, key: PRNGKeyArray | None = None) -> Array:
        """Latent points of rows: draws of the posterior, or its centre where no key is given.

        Arguments:
            x: shape (*batch, D).
            key: a JAX random key, or None.

        Returns:
            Shape (*batch, d).
        """
        rows, batch = self._rows(x, observed=False)
        return _encoded(self, rows, key).reshape(*batch, *self.latent_shape)

    def decode(self, z: Any) -> Array:
        """The mean of x given z of shape (*batch, d); shape (*batch, D)."""
        z = jnp.asarray(z, jnp.result_type(float))
        if z.ndim < 1 or z.shape[-1:] != self.latent_shape:
            raise ValueError(f"z has shape {z.shape}; expected its last axis to be {self.latent_shape[0]}")
        output = _decoded(self, z.reshape(-1, *self.latent_shape))
        return self.likelihood.mean(output).reshape(*z.shape[:-1], *self.shape)

    def reconstruct(self, x: Any, *, key: PRNGKeyArray | None = None) -> Array:
        """The mean of x given `encode(x, key)`; shape (*batch, D)."""
        return self.decode(self.encode(x, key=key))

    def _rows(self, x: Any, observed: bool) -> tuple[Array, tuple[int, ...]]:
        """Rows, flat, and the batch shape to give back."""
        if observed:
            self._require_stochastic("a bound")
        x = jnp.asarray(x, jnp.result_type(float))
        if x.ndim < 1 or x.shape[-1:] != self.shape:
            raise ValueError(f"x has shape {x.shape}; expected {self.shape[0]} columns, (..., {self.shape[0]})")
        if is_concrete(x):
            self.likelihood.check(x, observed)
        return x.reshape(-1, *self.shape), x.shape[:-1]

    def _require_stochastic(self, what: str) -> None:
        if self.deterministic:
            raise ValueError(f"a plain autoencoder has no {what}: it is no model of the data; choose another posterior")


def _weigher(model: Autoencoder) -> Weigher:
    def of_row(x: Array) -> Callable[[Array], Array]:
        features = model.encoder(x)

        def weights(keys: Array) -> Array:
            parts = model.terms_at(features, x, keys)
            return parts.log_likelihood + parts.log_prior - parts.log_posterior

        return weights

    return of_row


@eqx.filter_jit
def _elbos(model: Autoencoder, x: Array, key: PRNGKeyArray, n_samples: int) -> Array:
    return mean_log_weight(_weigher(model), x, key, n_samples)


@eqx.filter_jit
def _weighted(model: Autoencoder, x: Array, key: PRNGKeyArray, n_samples: int) -> WeightedEstimate:
    return log_mean_weight(_weigher(model), x, key, n_samples)


@eqx.filter_jit
def _encoded(model: Autoencoder, x: Array, key: PRNGKeyArray | None) -> Array:
    if key is None or model.deterministic:
        return jax.vmap(model.code)(x)
    keys = jax.random.split(key, len(x))
    z: Array = jax.vmap(lambda x, key: model.posterior.sample_and_log_weight(key, model.encoder(x))[0])(x, keys)
    return z


@eqx.filter_jit
def _decoded(model: Autoencoder, z: Array) -> Array:
    return jax.vmap(model.decoder)(z)
