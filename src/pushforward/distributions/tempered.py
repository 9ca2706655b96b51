"""Distributions whose noise is drawn closer to its centre, or further from it."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import equinox as eqx
import jax.numpy as jnp

from pushforward.checks import check_positive
from pushforward.distributions.autoregressive import Autoregressive
from pushforward.distributions.cells import Cells
from pushforward.distributions.gaussian_mixture import GaussianMixture
from pushforward.distributions.mixture import MixtureOfFlows
from pushforward.distributions.pushforward import Pushforward
from pushforward.distributions.standard import Logistic, Normal
from pushforward.distributions.values import Bernoulli, Categorical


def tempered(distribution: Any, temperature: float) -> Any:
    """The distribution with the scale of its noise multiplied by a temperature.

    Below 1, samples are more alike and more usual; what leaves a flow at any scale is part of its noise, so all
    scales are cooled alike (Kingma & Dhariwal 2018, section 6).

    Arguments:
        distribution: a flow, a mixture of flows, or a base of theirs: normal, logistic, or a mixture of Gaussians; or
            levels one after the other, each of which is drawn with its probability to the power of 1/temperature.
        temperature: positive; 1 for the distribution as it is.

    Raises:
        ValueError: the temperature is not positive, or the noise has no scale, such as uniform noise.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.distributions import Normal, tempered
        >>> cool = tempered(Normal.standard((1000,)), 0.5)
        >>> bool(abs(cool.sample(jax.random.key(0)).std() - 0.5) < 0.05)
        True
    """
    return _tempered(distribution, check_positive("temperature", temperature))


@singledispatch
def _tempered(distribution: Any, temperature: float) -> Any:
    raise ValueError(
        f"noise of {type(distribution).__name__} has no scale that a temperature could change; leave temperature at 1"
    )


@_tempered.register(Normal)
@_tempered.register(Logistic)
def _of_scale(distribution: Any, temperature: float) -> Any:
    return type(distribution)(
        distribution.loc, jnp.exp(distribution.log_scale) * temperature, trainable=eqx.is_array(distribution.raw_loc)
    )


@_tempered.register
def _of_gaussians(distribution: GaussianMixture, temperature: float) -> Any:
    return GaussianMixture(distribution.weights, distribution.means, distribution.covariances * temperature**2)


@_tempered.register
def _of_flow(distribution: Pushforward, temperature: float) -> Any:
    return eqx.tree_at(lambda flow: flow.base, distribution, _tempered(distribution.base, temperature))


@_tempered.register
def _of_mixture(distribution: MixtureOfFlows, temperature: float) -> Any:
    cooled = tuple(eqx.filter_vmap(lambda flow: _tempered(flow, temperature))(group) for group in distribution.groups)
    return eqx.tree_at(lambda mixture: mixture.groups, distribution, cooled)


@_tempered.register
def _of_cells(distribution: Cells, temperature: float) -> Any:
    return Cells(_tempered(distribution.model, temperature))


@_tempered.register
def _of_values(distribution: Autoregressive, temperature: float) -> Any:
    if not isinstance(distribution.value, Bernoulli | Categorical):
        raise ValueError(
            f"temperature is of values that each have a logit; these are {type(distribution.value).__name__}: leave it "
            "at 1"
        )
    head = distribution.network.head
    cooled = eqx.tree_at(
        lambda head: (head.last, head.last_bias), head, (head.last / temperature, head.last_bias / temperature)
    )
    return eqx.tree_at(lambda model: model.network.head, distribution, cooled)
