"""A posterior from a log-density in one call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pushforward import flows
from pushforward.bijections import Triangular
from pushforward.distributions import Pushforward
from pushforward.inference.posterior import FlowPosterior
from pushforward.inference.start import Gaussian, gaussian_start
from pushforward.inference.support import Support, as_support
from pushforward.objectives import ReverseKL
from pushforward.training import Settings, no_rows, train

STEPS_PER_EPOCH = 25


class Budget(NamedTuple):
    """Steps at most, draws of each, and layers of the flow."""

    steps: int
    draws: int
    n_layers: int


BUDGETS = (Budget(200, 64, 4), Budget(600, 128, 6), Budget(2000, 256, 8), Budget(8000, 512, 10))  # by effort


def fit_posterior(
    log_density: Callable[[Any], Array],
    support: Any,
    *,
    key: PRNGKeyArray,
    flow: str = "auto",
    effort: int = 2,
    show_progress: bool = False,
) -> FlowPosterior:
    """A posterior of any log-density, as a normalizing flow (Rezende & Mohamed 2015).

    Arguments:
        log_density: log p up to a constant, a JAX function of one value (see `support`) to a scalar, in nats.
        support: the size of a real vector; {name: constraint} or {name: (constraint, shape)}; a bijection of a vector;
            or (size, function). See `pushforward.inference.as_support`.
        key: a JAX random key; everything random follows from it.
        flow: a recipe's name; "auto" takes RealNVP, or a spline for a single number.
        effort: 1 to 4: how many steps of how many draws at most, and layers.
        show_progress: whether to show a progress bar on a terminal.

    Returns:
        A `FlowPosterior`. A `PosteriorWarning` says if it should not be trusted.

    Raises:
        ValueError: the log-density is no JAX function to a scalar, or finite nowhere near the start.
        TrainingError: training diverged.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.inference import fit_posterior
        >>> posterior = fit_posterior(lambda v: -v["rate"] + jnp.log(v["rate"]), {"rate": "positive"}, key=jax.random.key(0))
        >>> round(posterior.sample(jax.random.key(1), (1000,))["rate"].mean().item(), 0)  # of gamma(2, 1)
        2.0
    """
    began = time.monotonic()
    where = as_support(support)
    budget = _budget(effort)
    target = unconstrained(log_density, where)
    start_key, flow_key, train_key, check_key = jax.random.split(key, 4)
    start = _start(target, where.size, start_key)
    model = _flow(flow, flow_key, where.size, budget.n_layers, start)
    fit = train(
        model,
        ReverseKL(target, budget.draws, path=True),
        no_rows(STEPS_PER_EPOCH),
        key=train_key,
        settings=Settings(
            max_epochs=budget.steps // STEPS_PER_EPOCH,
            batch_size=1,
            learning_rate=1e-2,
            schedule="cosine",
            clip_norm=10.0,
            averaging=0.98,
        ),
        show_progress=show_progress,
    )
    posterior = FlowPosterior(fit.model, where, target, fit.history, time.monotonic() - began, check_key)
    posterior.check()
    return posterior


def unconstrained(log_density: Callable[[Any], Array], support: Support) -> Callable[[Array], Array]:
    """The log-density of the real vector, with a scalar result checked before anything runs.

    Raises:
        ValueError: the function cannot be traced by JAX, or gives no scalar of real numbers.
    """

    def target(u: Array) -> Array:
        values, log_det = support.constrain(u)
        return log_density(values) + log_det

    name = getattr(log_density, "__name__", repr(log_density))
    try:
        found = eqx.filter_eval_shape(lambda u: log_density(support.constrain(u)[0]), jnp.zeros(support.size))
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as error:
        raise ValueError(
            f"{name} is no JAX function: it turned its argument into NumPy or plain Python; use jax.numpy, and "
            "jax.lax.cond or jnp.where in place of if"
        ) from error
    shape, dtype = getattr(found, "shape", None), getattr(found, "dtype", None)
    if shape != () or dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"{name} must give a real scalar; got shape {shape} of {dtype}; sum over observations")
    return target


def _budget(effort: int) -> Budget:
    if isinstance(effort, bool) or effort not in range(1, len(BUDGETS) + 1):
        raise ValueError(f"effort must be one of 1 to {len(BUDGETS)}; got {effort!r}")
    return BUDGETS[effort - 1]


def _start(target: Callable[[Array], Array], size: int, key: PRNGKeyArray) -> Gaussian:
    """The Gaussian to start from, found in double precision."""
    with jax.enable_x64(True):
        start = gaussian_start(target, size, key)
        finite = bool(jnp.isfinite(start.elbo))
    if not finite:
        raise ValueError(
            "the log-density was finite at none of the points tried around 0 on the unconstrained scale; check it at "
            "a plausible value, and that support= says where it lives"
        )
    return jax.tree.map(lambda leaf: jax.device_put(leaf).astype(jnp.result_type(float)), start)


def _flow(name: str, key: PRNGKeyArray, size: int, n_layers: int, start: Gaussian) -> Pushforward:
    """The flow, which starts as the Gaussian."""
    name = ("real_nvp" if size > 1 else "spline_coupling") if name == "auto" else name
    layers = {"n_layers": n_layers if size > 1 else 1, "hidden_sizes": (max(16, min(64, 4 * size)),)}
    drawn = flows.recipe(name)(key, size, **layers)
    return drawn.then(Triangular(start.factor, start.location))
