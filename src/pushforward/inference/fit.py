"""A posterior from a log-density in one call."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pushforward.checks import check_key, check_whole
from pushforward.distributions import AbstractDistribution
from pushforward.inference.diagnosis import TRUSTED, Diagnosis, diagnose
from pushforward.inference.families import Recipe, check_flow, family, inverse_is_quick
from pushforward.inference.faults import faults
from pushforward.inference.posterior import FlowPosterior, PosteriorWarning
from pushforward.inference.start import FARTHER, N_STARTS, WIDE, Gaussian, gaussian_starts
from pushforward.inference.target import Target, as_target
from pushforward.objectives import ReverseKL
from pushforward.processes import before_computing
from pushforward.training import Fit, Settings, Steps, TrainingError, reporting, train
from pushforward.training.interrupts import acknowledged

STEPS_PER_EPOCH = 25
CLOSE = 0.005  # nats of KL(q‖p), below which no mean is off by more than a tenth of a standard deviation
LEARNING_RATE, LEAST_RATE = 1e-2, 1e-4
REFINEMENTS = 8  # of the Gaussian at most


class Budget(NamedTuple):
    """Rounds of training at most, steps of a round, draws of a step, and layers of the flow."""

    rounds: int
    steps: int
    draws: int
    n_layers: int


# by effort; stacks of so many layers are scanned, which halves the time to compile them
BUDGETS = (Budget(0, 1, 1, 1), Budget(6, 400, 256, 10), Budget(7, 800, 512, 12), Budget(7, 1600, 1024, 16))


def fit_posterior(
    log_density: Callable[[Any], Array],
    support: Any,
    *,
    key: PRNGKeyArray,
    flow: str | Recipe = "auto",
    n_components: int = 1,
    effort: int = 2,
    show_progress: bool = False,
) -> FlowPosterior:
    """A posterior of any log-density, as a normalizing flow (Rezende & Mohamed 2015).

    It starts as the Gaussian of the highest evidence bound on damped Newton paths to the modes. With `flow="auto"` that
    is kept where it is within 0.005 nats of the posterior; otherwise the flow that starts there is trained, in rounds
    that end as soon as it is that close. A round that makes it worse is taken back, and the step size lowered.

    Arguments:
        log_density: log p up to a constant, a JAX function of one value (see `support`) to a scalar, in nats.
        support: the size of a real vector; {name: constraint} or {name: (constraint, shape)}; a bijection of a vector;
            or (size, function). See `pushforward.inference.as_support`.
        key: a JAX random key; everything random follows from it.
        flow: a recipe's name, "gaussian" or "mean_field" for these families alone, or a function (key, size) -> flow;
            "auto" takes RealNVP where the Gaussian is not enough, or a spline for a single number.
        n_components: flows of a mixture, for posteriors with separate modes.
        effort: 1 for the Gaussian alone; 2 to 4 for up to 6 rounds of 400 steps of 256 draws and 10 layers, 7 of 800
            of 512 and 12 layers, 7 of 1600 of 1024 and 16 layers.
        show_progress: whether to show a bar on a terminal or in a notebook, and lines elsewhere.

    Returns:
        A `FlowPosterior`. A `PosteriorWarning` says if it should not be trusted.

    Raises:
        ValueError: the log-density is no JAX function to a scalar, or +inf or finite nowhere where it was tried; or an
            argument that there is not.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.inference import fit_posterior
        >>> log_density = lambda v: 40 * jnp.log(v["rate"]) - 20 * v["rate"]  # of gamma(41, 20)
        >>> posterior = fit_posterior(log_density, {"rate": "positive"}, key=jax.random.key(0))
        >>> round(posterior.sample(jax.random.key(1), (1000,))["rate"].mean().item(), 1)
        2.0
    """
    began = time.monotonic()
    before_computing()
    key = check_key(key)
    effort, n_components = check_whole("effort", effort, 1, len(BUDGETS)), check_whole("n_components", n_components, 1)
    check_flow(flow)
    target, budget = as_target(log_density, support), BUDGETS[effort - 1]
    with target.precision(), reporting(show_progress), acknowledged():
        start_key, flow_key, train_key, draw_key = jax.random.split(key, 4)
        result = _starts(target, start_key, n_components)
        if np.isposinf(result[0].elbo):  # its draws show where, and are refused
            diagnose(family("gaussian", flow_key, result[:1], 1), target, draw_key)
        starts = _shared(result, n_components)
        best, starts = _refined(target, starts, draw_key)
        history: list[dict[str, Any]] = []
        if flow != "auto":  # this family was asked for, better or worse than the Gaussian
            model = family(flow, flow_key, starts, budget.n_layers)
            best = Candidate(model, diagnose(model, target, draw_key))
        if budget.rounds and not best.close:
            model = family(flow, flow_key, starts, budget.n_layers) if flow == "auto" else best.model
            best, history = _train(model, target, budget, train_key, draw_key, best, show_progress)
        wrong = [] if best.diagnosis.sound else faults(target, best.diagnosis)
    posterior = FlowPosterior(
        best.model, target.support, target.double, best.diagnosis, history, time.monotonic() - began
    )
    _compare(len(result), n_components)
    for fault in wrong:
        warnings.warn(f"{fault} ({posterior.verdict()})", PosteriorWarning, stacklevel=2)
    if not wrong:
        posterior.check()
    return posterior


def _compare(found: int, asked: int) -> None:
    """Warn where there are more modes than components, or fewer."""
    if found > asked:
        warnings.warn(
            f"{found} modes were found with a valley on the straight line between them, and n_components={asked}: "
            f"where they are separate, draws may miss some of them; try n_components={found}",
            PosteriorWarning,
            stacklevel=3,
        )
    if found < asked:
        modes = "one mode was" if found == 1 else f"{found} modes were"
        warnings.warn(
            f"{modes} found, and n_components={asked}, after {N_STARTS * (1 + len(FARTHER))} starts within "
            f"{max(FARTHER):g} of 0 on the unconstrained scale: several components share a mode. If there are more "
            f"modes, draws miss them, and the evidence does not count them: centre and scale the values so that the "
            f"modes lie nearer to 0; if there are no more, n_components={found} is enough",
            PosteriorWarning,
            stacklevel=3,
        )


class Candidate(NamedTuple):
    """A distribution with its diagnosis."""

    model: AbstractDistribution
    diagnosis: Diagnosis

    @property
    def close(self) -> bool:
        """Whether nothing is left to gain, tails that hardly count included: a further round may reach them."""
        return self.diagnosis.k_hat <= TRUSTED and self.diagnosis.gap < CLOSE


def _starts(target: Target, key: PRNGKeyArray, wanted: int) -> list[Gaussian]:
    try:
        result = gaussian_starts(target, target.size, key, wanted)
    except TypeError as error:
        if "custom_vjp" not in str(error):
            raise
        raise ValueError(
            "the log-density cannot be differentiated twice: it has a derivative of its own for one direction "
            "(jax.custom_vjp), as that of odeint; use jax.custom_jvp, or diffrax with its direct adjoint"
        ) from error
    if result:
        return result
    tried = np.asarray(jax.random.uniform(key, (1000, target.size), minval=-WIDE, maxval=WIDE))
    heights = np.asarray(jax.jit(jax.vmap(target))(tried))
    if np.isfinite(heights).any():
        wrong = faults(target, Diagnosis(tried, tried, heights)) or [
            'it has an edge; say where values live, as in support={"x": "positive"}'
        ]
        raise ValueError(
            "the log-density is finite in places, but every Gaussian tried reaches where it is -inf or NaN: "
            + "; ".join(wrong)
        )
    raise ValueError(
        "the log-density was finite at none of the points tried around 0 on the unconstrained scale; check it at "
        "a plausible value, and that support= says where it lives"
    )


def _shared(modes: list[Gaussian], n_components: int) -> list[Gaussian]:
    """The start of each component; those that share a mode share its weight."""
    chosen = [i % len(modes) for i in range(n_components)]
    return [modes[i]._replace(elbo=modes[i].elbo - np.log(chosen.count(i))) for i in chosen]


def _refined(target: Target, starts: list[Gaussian], key: PRNGKeyArray) -> tuple[Candidate, list[Gaussian]]:
    """The Gaussians, a single one moved to the moments of its weighted draws as long as that makes it better.

    The curvature at a point misses skewness and tails, which the importance ratios of draws do not (adaptive importance
    sampling, Cappé et al. 2004).
    """

    def candidate(starts: list[Gaussian]) -> Candidate:
        model = family("gaussian", key, starts, 1)
        return Candidate(model, diagnose(model, target, key))

    best = candidate(starts)
    for _ in range(REFINEMENTS if len(starts) == 1 else 0):
        proposed = _matched(best.diagnosis)
        if proposed is None:
            break
        there = candidate([proposed])
        if not there.diagnosis.elbo.value > best.diagnosis.elbo.value:
            break
        best, starts = there, [proposed]
    return best, starts


def _matched(diagnosis: Diagnosis) -> Gaussian | None:
    """The Gaussian with the moments of the weighted draws; None where too few of them count."""
    u, weights = diagnosis.u, diagnosis.weights
    if 1 / (weights**2).sum() < 2 * u.shape[1]:
        return None
    mean = weights @ u
    centred = u - mean
    try:
        factor = np.linalg.cholesky(centred.T @ (weights[:, None] * centred))
    except np.linalg.LinAlgError:
        return None
    return Gaussian(jnp.asarray(mean), jnp.asarray(factor), jnp.asarray(diagnosis.log_evidence.value))


def _train(
    model: AbstractDistribution,
    target: Target,
    budget: Budget,
    key: PRNGKeyArray,
    draw_key: PRNGKeyArray,
    best: Candidate,
    show_progress: bool,
) -> tuple[Candidate, list[dict[str, Any]]]:
    """Rounds of training, each from the best so far, until it is close enough or the budget is spent."""
    loss = ReverseKL(target, budget.draws, path=inverse_is_quick(model))
    history: list[dict[str, Any]] = []
    rate, improved = LEARNING_RATE, False
    for i in range(budget.rounds):
        try:
            fit = _round(model, loss, budget.steps, jax.random.fold_in(key, i), rate, show_progress)
        except TrainingError:
            rate /= 10
        else:
            history += [entry | {"epoch": len(history) + 1 + n} for n, entry in enumerate(fit.history)]
            there = Candidate(fit.model, diagnose(fit.model, target, draw_key))
            if there.diagnosis.elbo.value >= best.diagnosis.elbo.value:
                best, model, improved = there, fit.model, True
                rate /= 2
            else:
                rate /= 10
            if fit.interrupted:
                break
        if rate < LEAST_RATE or best.close:
            break
    if not improved:
        warnings.warn(
            "training did not improve on where it started, which is kept; the log-density may not be finite in places",
            PosteriorWarning,
            stacklevel=3,
        )
    return best, history


def _round(
    model: AbstractDistribution, loss: ReverseKL, steps: int, key: PRNGKeyArray, rate: float, show_progress: bool
) -> Fit[AbstractDistribution]:
    settings = Settings(
        max_epochs=steps // STEPS_PER_EPOCH,
        batch_size=1,
        learning_rate=rate,
        schedule="cosine",
        clip_norm=10.0,
        averaging=0.98,
    )
    return train(model, loss, Steps(STEPS_PER_EPOCH), key=key, settings=settings, show_progress=show_progress)
