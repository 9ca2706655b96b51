"""The compiled part of training: whole epochs, for one model or several side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PRNGKeyArray

from pushforward import trees
from pushforward.bijections.base import fix_statistics, only_starts
from pushforward.objectives import AbstractLoss, Batch
from pushforward.training.feeds import CHUNK, AbstractFeed
from pushforward.training.settings import Hyper

BETA_1, BETA_2 = 0.9, 0.999  # of Adam
MOST_PACKED = 100_000  # parameters up to which they are one array while training: copies cost less than kernels do
Loss = Callable[[Any, Any, Array], Array]


class State(NamedTuple):
    """Everything that changes while training; arrays only."""

    params: Any
    moments: Any  # of Adam, or whatever another optimizer keeps
    average: Any
    best: Any
    best_loss: Array
    best_epoch: Array
    bad_steps: Array
    bad_in_a_row: Array
    epoch: Array
    step: Array
    stopped: Array
    key: PRNGKeyArray


class Metrics(NamedTuple):
    """What an epoch reports."""

    train_loss: Array
    validation_loss: Array
    ran: Array


class Packing(NamedTuple):
    """Few parameters as one array, so that Adam is a few kernels to compile and not a few for each leaf.

    Arguments:
        pack: from a tree of parameters to an array.
        unpack: back.
    """

    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Any]

    def state(self, state: State, function: Callable[[Any], Any]) -> State:
        """The state with a function of parameters run on all that is like them."""
        moments = state.moments._replace(mu=function(state.moments.mu), nu=function(state.moments.nu))
        average = None if state.average is None else function(state.average)
        return state._replace(
            params=function(state.params), moments=moments, average=average, best=function(state.best)
        )


def packing(setup: Setup, params: Any) -> Packing | None:
    """How the parameters of one model are packed; None for other optimizers than Adam, many, or several dtypes."""
    leaves = jax.tree.leaves(params)
    small = sum(leaf.size for leaf in leaves) <= MOST_PACKED and len({leaf.dtype for leaf in leaves}) == 1
    if setup.optimizer is not None or not small:
        return None
    return Packing(lambda tree: ravel_pytree(tree)[0], ravel_pytree(params)[1])


class Setup(NamedTuple):
    """What training only reads.

    Arguments:
        rest: of the model, beside what trains.
        loss: of a model, a batch and a key.
        optimizer: a gradient transformation of one's own; None for Adam as the settings say.
        feed: of rows to train on.
        validation: of rows to judge by, or None.
        hyper: the settings.
        packing: of the parameters while they train, or None.
    """

    rest: Any
    loss: Loss
    optimizer: optax.GradientTransformation | None
    feed: AbstractFeed
    validation: AbstractFeed | None
    hyper: Hyper
    packing: Packing | None = None

    def pack(self, params: Any) -> Any:
        """The model's parameters as they train."""
        return params if self.packing is None else self.packing.pack(params)

    def unpack(self, params: Any) -> Any:
        """The inverse of `pack`."""
        return params if self.packing is None else self.packing.unpack(params)


def initial_state(params: Any, key: PRNGKeyArray, averaging: bool, optimizer: Any = None) -> State:
    """The state before the first step; every leaf has a buffer of its own, so that all can be donated."""

    def copy(tree: Any) -> Any:
        return jax.tree.map(jnp.copy, tree)

    zero = jnp.zeros((), jnp.int32)
    return State(
        params=copy(params),
        moments=copy((optax.scale_by_adam() if optimizer is None else optimizer).init(params)),
        average=copy(params) if averaging else None,
        best=copy(params),
        best_loss=jnp.asarray(jnp.inf, jnp.result_type(float)),
        best_epoch=zero,
        bad_steps=zero + 0,
        bad_in_a_row=zero + 0,
        epoch=zero + 0,
        step=zero + 0,
        stopped=jnp.asarray(False),
        key=key,
    )


def learning_rate(hyper: Hyper, step: Array, steps_per_epoch: Array) -> Array:
    """Adam's step size at a step: warm-up, then constant or cosine."""
    warm = jnp.minimum(1.0, (step + 1) / jnp.maximum(hyper.warmup_steps, 1))
    total = jnp.maximum(hyper.max_epochs * steps_per_epoch, 1)
    cosine = 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(step / total, 1.0)))
    return hyper.learning_rate * warm * jnp.where(hyper.cosine, cosine, 1.0)


def ease(hyper: Hyper, step: Array, steps_per_epoch: Array) -> Hyper:
    """The settings with the weight decay of a step."""
    half = jnp.maximum(hyper.max_epochs * steps_per_epoch / 2, 1)
    factor = hyper.easing ** jnp.maximum(1 - step / half, 0)
    return hyper._replace(l2=hyper.l2 * factor, decoupled=hyper.decoupled * factor)


def update(
    state: State,
    value: Array,
    grads: Any,
    hyper: Hyper,
    rate: Array,
    optimizer: optax.GradientTransformation | None = None,
    objective: Callable[[Any], Array] | None = None,
) -> State:
    """One step, or none and a mark against it where loss or gradient is not finite.

    Arguments:
        state: before it.
        value: of the loss.
        grads: its gradient.
        hyper: the settings.
        rate: Adam's step size.
        optimizer: what makes the step; None for Adam.
        objective: the loss of the parameters, for optimizers that search along a line.
    """
    norm = optax.tree.norm(grads)
    finite = jnp.isfinite(value) & jnp.isfinite(norm)
    scale = jnp.minimum(1.0, hyper.clip_norm / jnp.maximum(norm, 1e-12))
    if optimizer is None:
        params, moments = adam(state, grads, scale, finite, hyper, rate)
    else:
        params, moments = own_step(optimizer, state, value, grads, scale, finite, objective)
    # a debiased average: the first steps count in full, so it never remembers the initial weights for long
    keep = jnp.minimum(hyper.averaging, (state.step + 1) / (state.step + 10))
    average = None
    if state.average is not None:
        average = jax.tree.map(lambda a, p: (keep * a + (1 - keep) * p).astype(a.dtype), state.average, params)
    return state._replace(
        params=params,
        moments=moments,
        average=average,
        step=state.step + 1,
        bad_steps=state.bad_steps + ~finite,
        bad_in_a_row=jnp.where(finite, 0, state.bad_in_a_row + 1),
    )


def adam(
    state: State, grads: Any, scale: Array, finite: Array, hyper: Hyper, rate: Array
) -> tuple[Any, optax.ScaleByAdamState]:
    """Adam's step on gradients times `scale`, taken where `finite`."""
    moments: optax.ScaleByAdamState = state.moments
    grads = jax.tree.map(lambda g, p: g * scale + hyper.l2 * p, grads, state.params)
    count = moments.count + 1
    mu = optax.tree.update_moment(grads, moments.mu, BETA_1, 1)
    nu = optax.tree.update_moment_per_elem_norm(grads, moments.nu, BETA_2, 2)
    mu, nu, count = jax.tree.map(
        lambda new, old: jnp.where(finite, new, old), (mu, nu, count), (moments.mu, moments.nu, count - 1)
    )
    # without the barrier XLA computes both moments again inside the kernel of the parameters, and copies all three
    mu, nu = lax.optimization_barrier((mu, nu))  # type: ignore[no-untyped-call]
    means, squares = optax.tree.bias_correction(mu, BETA_1, count), optax.tree.bias_correction(nu, BETA_2, count)

    def move(p: Array, m: Array, v: Array) -> Array:
        return jnp.where(finite, p - rate * (m / (jnp.sqrt(v) + 1e-8) + hyper.decoupled * p), p).astype(p.dtype)

    return jax.tree.map(move, state.params, means, squares), moments._replace(count=count, mu=mu, nu=nu)


def own_step(
    optimizer: optax.GradientTransformation,
    state: State,
    value: Array,
    grads: Any,
    scale: Array,
    finite: Array,
    objective: Callable[[Any], Array] | None,
) -> tuple[Any, Any]:
    """A step of any gradient transformation on gradients times `scale`, taken where `finite`."""
    grads = jax.tree.map(lambda g: g * scale, grads)
    extra = {"value": value, "grad": grads, "value_fn": objective}
    updates, new = optax.with_extra_args_support(optimizer).update(grads, state.moments, state.params, **extra)
    moved = optax.apply_updates(state.params, updates)
    taken: tuple[Any, Any] = jax.tree.map(
        lambda after, before: jnp.where(finite, after, before).astype(before.dtype),
        (moved, new),
        (state.params, state.moments),
    )
    return taken


def evaluate(setup: Setup, params: Any, feed: AbstractFeed, batch_size: int) -> Array:
    """The mean loss over a feed, with statistics read off the training rows and the same noise every time."""
    model = fix_statistics(recalibrated(trees.combine(params, setup.rest), setup.loss, setup.feed))
    size = min(4 * batch_size, feed.capacity)
    feed, order = feed.in_order(size)
    epoch = jnp.asarray(jnp.inf)

    def body(i: Array, sums: tuple[Array, Array]) -> tuple[Array, Array]:
        batch = Batch(*feed.batch(order, i, size, epoch), epoch)
        weight = batch.weight.sum()
        value = setup.loss(model, batch, jax.random.fold_in(jax.random.key(0), i))
        return sums[0] + value * weight, sums[1] + weight

    zero = jnp.zeros((), jnp.result_type(float))
    mean: Array = jnp.divide(*lax.fori_loop(0, sum(feed.n_batches(size)), body, (zero, zero)))
    return mean


def calibrated(model: Any, loss: Loss, feed: AbstractFeed) -> Any:
    """The model with what it reads off data read off the training rows, as the loss says.

    Raises:
        TypeError: the model reads data, and the loss is a plain function, which cannot say how.
    """
    if not isinstance(model, trees.AbstractModel) or not model.reads_data:
        return model
    if not isinstance(loss, AbstractLoss):
        raise TypeError(
            f"a {type(model).__name__} that reads parameters off data needs a loss with `calibrate`, a subclass of "
            f"objectives.AbstractLoss; got {loss!r}"
        )
    return loss.calibrate(model, Batch(*feed.everything()), jax.random.key(0))


def recalibrated(model: Any, loss: Loss, feed: AbstractFeed) -> Any:
    """The same of a model that was calibrated before training: as it is where maps read the first batch alone."""
    return model if only_starts(model) else calibrated(model, loss, feed)


def run_epoch(state: State, setup: Setup, batch_size: int) -> tuple[State, Metrics]:
    """One pass over the rows, then validation and bookkeeping of the best weights."""
    feed, hyper, real = setup.feed, setup.hyper, jnp.result_type(float)
    order_key, step_key = jax.random.split(jax.random.fold_in(state.key, state.epoch))
    order = feed.start_epoch(order_key, batch_size)
    n_first, n_second = (jnp.asarray(n, jnp.int32) for n in feed.n_batches(batch_size))
    n_steps = jnp.where(state.epoch < hyper.leading_epochs, n_first, n_first + n_second)
    epoch = state.epoch.astype(real)

    def body(i: Array, carry: tuple[State, Array, Array]) -> tuple[State, Array, Array]:
        state, total, weight = carry
        batch = Batch(*feed.batch(order, i, batch_size, epoch), epoch, state.step.astype(real))
        objective = lambda p: setup.loss(trees.combine(p, setup.rest), batch, jax.random.fold_in(step_key, i))  # noqa: E731
        value, grads = jax.value_and_grad(objective)(setup.unpack(state.params))
        grads = setup.pack(grads)
        rate = learning_rate(hyper, state.step, n_first + n_second)
        eased = ease(hyper, state.step, n_first + n_second)
        state = update(state, value, grads, eased, rate, setup.optimizer, objective)
        seen = jnp.where(jnp.isfinite(value), batch.weight.sum(), 0)
        return state, total + jnp.where(jnp.isfinite(value), value, 0) * seen, weight + seen

    zero = jnp.zeros((), real)
    state, total, weight = lax.fori_loop(0, n_steps, body, (state, zero, zero))
    current = state.params if state.average is None else state.average
    validation_loss = jnp.asarray(jnp.nan, real)
    if setup.validation is not None:
        validation_loss = evaluate(setup, setup.unpack(current), setup.validation, batch_size)
    state = keep_best(state, current, validation_loss, setup)
    return state, Metrics(total / weight, validation_loss, jnp.asarray(True))


def keep_best(state: State, current: Any, validation_loss: Array, setup: Setup) -> State:
    """Remember the best weights by validation loss (the latest ones without validation), and whether to stop."""
    hyper = setup.hyper
    counts = state.epoch >= hyper.start_epochs
    better = (validation_loss < state.best_loss) & counts if setup.validation is not None else jnp.asarray(True)
    best_epoch = jnp.where(better | ~counts, state.epoch, state.best_epoch)
    # before any epoch counts, the latest weights are the best there are
    state = state._replace(
        best=jax.tree.map(lambda b, c: jnp.where(better | ~counts, c, b), state.best, current),
        best_loss=jnp.where(better, validation_loss, state.best_loss).astype(state.best_loss.dtype),
        best_epoch=best_epoch,
        epoch=state.epoch + 1,
    )
    return state._replace(stopped=has_ended(state, hyper, setup.validation is not None))


def has_ended(state: State, hyper: Hyper, validated: bool) -> Array:
    """Whether the epochs are used up, too many steps in a row failed, or validation has long not improved."""
    ended = (state.epoch >= hyper.max_epochs) | (state.bad_in_a_row >= hyper.max_bad_steps)
    return ended | (state.epoch - state.best_epoch > hyper.patience) if validated else ended


@eqx.filter_jit(donate="all-except-first")
def run_epochs(
    setup: Setup, state: State, n_epochs: Array, batch_size: int, side_by_side: bool
) -> tuple[State, Metrics]:
    """Run up to `n_epochs` (at most CHUNK) epochs in one call.

    Arguments:
        setup: what training only reads; `rest` and the feed's own arrays carry a restart axis if `side_by_side`.
        state: donated; every leaf carries a restart axis if `side_by_side`.
        n_epochs: how many epochs, an array so that any number runs the same program.
        batch_size: rows of a step.
        side_by_side: whether several models train under one vmap.

    Returns:
        The new state, and metrics with a first axis of CHUNK epochs (`ran` marks those that happened).
    """
    own = setup.feed.restart_data()
    alone = jax.tree.map(lambda leaf: leaf[0], state.params) if side_by_side else state.params
    setup = setup._replace(packing=packing(setup, alone))

    def one(state: State, rest: Any, own: Any) -> tuple[State, Metrics]:
        feed = setup.feed if own is None else setup.feed.of_restart(own)
        return run_epoch(state, setup._replace(rest=rest, feed=feed), batch_size)

    def one_of_several(state: State, rest: Any, own: Any) -> tuple[State, Metrics]:
        new, metrics = one(state, rest, own)
        return jax.tree.map(lambda n, o: jnp.where(state.stopped, o, n), new, state), metrics

    def epoch(state: State) -> tuple[State, Metrics]:
        was_running = ~state.stopped
        if side_by_side:
            axes = (0, eqx.if_array(0), None if own is None else 0)
            new, metrics = eqx.filter_vmap(one_of_several, in_axes=axes)(state, setup.rest, own)
        else:
            new, metrics = one(state, setup.rest, jax.tree.map(lambda leaf: leaf[0], own))
        return new, metrics._replace(ran=was_running)

    def body(carry: tuple[Array, State, Metrics]) -> tuple[Array, State, Metrics]:
        i, state, log = carry
        state, metrics = epoch(state)
        return i + 1, state, jax.tree.map(lambda a, m: a.at[i].set(m), log, metrics)

    def go_on(carry: tuple[Array, State, Metrics]) -> Array:
        return (carry[0] < n_epochs) & ~jnp.all(carry[1].stopped)

    shape = (CHUNK, *state.stopped.shape)
    dtype = jnp.result_type(float)
    log = Metrics(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype), jnp.zeros(shape, bool))
    state = _packed(state, setup.packing, side_by_side)
    _, state, log = lax.while_loop(go_on, body, (jnp.zeros((), jnp.int32), state, log))
    return _packed(state, setup.packing, side_by_side, back=True), log


def _packed(state: State, packing: Packing | None, side_by_side: bool, back: bool = False) -> State:
    """The state with its parameters packed, or unpacked again; each restart's by itself."""
    if packing is None:
        return state
    function = packing.unpack if back else packing.pack
    return packing.state(state, jax.vmap(function) if side_by_side else function)
