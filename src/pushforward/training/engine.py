"""The one training engine: any model, any loss, whole epochs compiled, restarts side by side."""

from __future__ import annotations

import dataclasses
import math
import time
import warnings
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PRNGKeyArray

from pushforward import trees
from pushforward.bijections.base import only_starts
from pushforward.checks import check_key, check_whole
from pushforward.processes import before_computing, jit_once
from pushforward.training.checkpoint import Checkpoint, structure_of
from pushforward.training.epochs import Loss, Setup, State, calibrated, has_ended, initial_state, run_epochs
from pushforward.training.feeds import CHUNK, AbstractFeed
from pushforward.training.interrupts import interrupts
from pushforward.training.progress import Progress
from pushforward.training.settings import MARKED, Settings, TrainingError, budget, gain, hyper

M = TypeVar("M")
DEFAULTS = Settings()
OF_ADAM = ("learning_rate", "schedule", "warmup_steps", "weight_decay", "decay_form", "easing")
CALL_SECONDS = 0.5  # how long one compiled call should take: long enough to be cheap, short enough for Ctrl-C


class TrainingWarning(UserWarning):
    """Training ended well enough to use, but something in it deserves a look."""


@dataclasses.dataclass(frozen=True)
class Fit(Generic[M]):
    """What training gives back.

    Arguments:
        model: the model with its best weights, calibrated on the training rows.
        history: one dict an epoch: epoch, train_loss, validation_loss (None without validation).
        best_epoch: the epoch whose weights were kept, counted from 1.
        best_loss: its validation loss, or the last training loss without validation.
        bad_steps: steps skipped because the gradient was not finite.
        interrupted: whether it was ended by Ctrl-C.
        unfinished: whether validation still improved markedly when the epochs were used up.
        restart: which restart won, and `losses` of all of them.
        restarts: the models of all restarts, with a restart axis; `model` where there is one.
        seconds: wall time, compilation included.
    """

    model: M
    history: list[dict[str, Any]]
    best_epoch: int
    best_loss: float
    bad_steps: int
    interrupted: bool
    unfinished: bool
    restart: int
    losses: list[float]
    restarts: M
    seconds: float

    def completed(self) -> M:
        """The model of a fit that more is built on, which one ended early is no base for.

        Raises:
            KeyboardInterrupt: it was ended by Ctrl-C.
        """
        if self.interrupted:
            raise KeyboardInterrupt
        return self.model


def train(
    model: M,
    loss: Loss,
    feed: AbstractFeed,
    *,
    key: PRNGKeyArray,
    settings: Settings = DEFAULTS,
    optimizer: optax.GradientTransformation | None = None,
    validation: AbstractFeed | None = None,
    n_restarts: int = 1,
    checkpoint: Checkpoint | None = None,
    show_progress: bool = False,
    where: Callable[[M], Any] | None = None,
) -> Fit[M]:
    """Train a model on a loss over batches, and keep its best weights.

    Arguments:
        model: any equinox module; with `n_restarts` > 1 its leaves carry a restart axis. What is wrapped as
            `trees.Frozen` does not train.
        loss: (model, batch, key) -> scalar, of a `Batch`; an `objectives.AbstractLoss`, so that equal losses share one
            compiled program, or a plain function, made once.
        feed: of the rows to train on, such as `Resident.of(data)`.
        key: a JAX random key; everything random follows from it.
        settings: how to train.
        optimizer: any gradient transformation of optax, with a step size, schedule and weight decay of its own, in the
            place of Adam as `settings` has it. Make it once: another one compiles anew.
        validation: rows to judge by; without them the last weights are kept.
        n_restarts: models trained side by side; the best one is given back.
        checkpoint: where to keep the state while training; Ctrl-C keeps it too. One that cannot be written
            (a full disk, say) gives a `TrainingWarning`, and training goes on.
        show_progress: whether to show a bar on a terminal or in a notebook, and lines elsewhere.
        where: picks the only part of the model that trains; all of it if None.

    Returns:
        A `Fit`.

    Raises:
        ValueError: an optimizer, and settings that are for Adam alone.
        TypeError: the model reads statistics off data, and the loss is a plain function.
        TrainingError: the loss is not finite for too many steps in a row, in every restart.
        CheckpointError: resuming from a checkpoint that does not fit.

    Example:
        >>> import jax, numpy as np
        >>> from pushforward import flows
        >>> from pushforward.objectives import NegativeLogLikelihood, Rows
        >>> from pushforward.training import Resident, Settings, train
        >>> feed = Resident.of(Rows(np.random.default_rng(0).normal(size=(100, 2))))
        >>> flow = flows.real_nvp(jax.random.key(0), 2, n_layers=2, hidden_sizes=(8,))
        >>> fit = train(flow, NegativeLogLikelihood(), feed, key=jax.random.key(1), settings=Settings(max_epochs=3))
        >>> len(fit.history)
        3
    """
    began = time.monotonic()
    before_computing()
    if not isinstance(feed, AbstractFeed):
        raise ValueError(f"feed must be a feed, such as training.Resident.of(data); got a {type(feed).__name__}")
    if not isinstance(validation, AbstractFeed | None):
        raise ValueError(
            f"validation must be a feed, such as training.Resident.of(data), or None; got a {type(validation).__name__}"
        )
    key = check_key(key)
    check_whole("n_restarts", n_restarts, 1)
    if optimizer is not None:
        _check_optimizer(optimizer, settings)
    side_by_side = n_restarts > 1
    feed = feed.chunk(0)[0]
    _check_restarts(model, feed, n_restarts)
    model = _calibrated(model, loss, feed, side_by_side)  # some maps start there
    params, rest = trees.partition(model, where)
    keys = jax.random.split(key, n_restarts) if side_by_side else key
    state = _start_state(params, keys, settings.averaging > 0, side_by_side, optimizer)
    batch_size = min(settings.batch_size, feed.capacity)
    setup = Setup(rest, loss, optimizer, feed, validation, hyper(settings))
    history: list[dict[str, Any]] = []
    if checkpoint is not None:
        checkpoint = _tied(checkpoint, model, state, optimizer is None)
        if checkpoint.resume:
            state, history = checkpoint.load(state)
            # more epochs may be asked for than were before
            setup, state = _go_on(setup, state, history, settings)

    progress = Progress(int(setup.hyper.max_epochs), int(feed.n_rows), show_progress)
    with progress, interrupts() as interrupted:
        n_epochs, ended = 1, bool(jnp.all(state.stopped))
        while not ended:
            tick = time.monotonic()
            setup, most_epochs = _chunk(setup, len(history))
            undecided = _undecided(setup, len(history), settings)
            n = jnp.asarray(min(n_epochs, most_epochs, undecided), jnp.int32)
            state, log = run_epochs(setup, state, n, batch_size, side_by_side)
            ran = _append(history, log, validation is not None)
            progress.update(len(history), history[-1]["train_loss"][0], _first(history[-1]["validation_loss"]))
            pressed = bool(interrupted)  # read once: whatever ends training also keeps its state
            if ran == undecided:
                setup, state = _go_on(setup, state, history, settings)
                progress.extend(int(setup.hyper.max_epochs))
            ended = pressed or bool(jnp.all(state.stopped))
            if checkpoint is not None and (pressed or checkpoint.due(len(history))):
                _keep(checkpoint, state, history)
            n_epochs = _next_chunk(n_epochs, ran, time.monotonic() - tick, checkpoint)
    return _finish(state, setup, history, settings, bool(interrupted), side_by_side, began)


def _go_on(setup: Setup, state: State, history: list[dict[str, Any]], settings: Settings) -> tuple[Setup, State]:
    """The same with as many epochs to come as the curve of validation losses asks for, and whether any are left."""
    epochs = budget(settings, _curve(history, settings))
    setup = setup._replace(hyper=setup.hyper._replace(max_epochs=jnp.asarray(epochs, jnp.int32)))
    behind = state.epoch < len(history)  # a restart that ended before the others stays ended
    return setup, state._replace(stopped=behind | has_ended(state, setup.hyper, setup.validation is not None))


def _undecided(setup: Setup, epoch: int, settings: Settings) -> int:
    """Epochs until it is decided, halfway, whether to go on for longer: at the same epoch however fast epochs are."""
    left = int(setup.hyper.max_epochs) // 2 - epoch
    return left if settings.most_epochs is not None and left > 0 else CHUNK


def _curve(history: list[dict[str, Any]], settings: Settings) -> list[float]:
    """The best validation loss of any restart in every epoch, NaN before they count; empty without validation."""
    if not history or history[-1]["validation_loss"] is None:
        return []
    losses = [min((v for v in entry["validation_loss"] if math.isfinite(v)), default=math.nan) for entry in history]
    return [math.nan if i < settings.start_epochs else loss for i, loss in enumerate(losses)]


def _chunk(setup: Setup, epoch: int) -> tuple[Setup, int]:
    """What the next compiled call reads, and for how many epochs at most."""
    feed, n_epochs = setup.feed.chunk(epoch)
    if setup.validation is None:
        return setup._replace(feed=feed), n_epochs
    validation, n_validated = setup.validation.chunk(epoch)
    return setup._replace(feed=feed, validation=validation), min(n_epochs, n_validated)


def _keep(checkpoint: Checkpoint, state: State, history: list[dict[str, Any]]) -> None:
    """Write a checkpoint; where that fails, say so and train on, as the result is worth more than its backup."""
    try:
        checkpoint.save(state, history, len(history))
    except OSError as error:
        warnings.warn(
            f"{checkpoint.file.parent}: the checkpoint could not be written: {error.strerror or error}; "
            "training goes on without it",
            TrainingWarning,
            stacklevel=4,
        )


def _check_optimizer(optimizer: Any, settings: Settings) -> None:
    if not isinstance(optimizer, optax.GradientTransformation):
        raise ValueError(
            f"optimizer must be a gradient transformation of optax, such as optax.lion(1e-4); got {optimizer!r}"
        )
    for name in OF_ADAM:
        value, default = getattr(settings, name), getattr(DEFAULTS, name)
        if value != default:
            raise ValueError(
                f"{name} is a setting of the engine's own Adam, got {value!r} beside optimizer=; "
                f"leave it at {default!r} and say it to the optimizer, as in optax.adamw(1e-3, weight_decay=1e-4)"
            )


def _check_restarts(model: Any, feed: AbstractFeed, n_restarts: int) -> None:
    counts = {int(leaf.shape[0]) for leaf in jax.tree.leaves(feed.restart_data())}
    if counts - {n_restarts}:
        raise ValueError(f"own has arrays for {sorted(counts)} restarts; expected {n_restarts}, one for each model")
    if n_restarts == 1:
        return
    for path, leaf in jax.tree.leaves_with_path(eqx.filter(model, eqx.is_array)):
        if leaf.shape[:1] != (n_restarts,):
            raise ValueError(
                f"with n_restarts={n_restarts} every array of the model has as many along its first axis, and "
                f"model{jax.tree_util.keystr(path)} has shape {leaf.shape}; stack that many models by trees.stack"
            )


def _tied(checkpoint: Checkpoint, model: Any, state: State, own: bool) -> Checkpoint:
    """The checkpoint of this model and optimizer, whose state fits no other."""
    more = {"the model": structure_of(model), "the optimizer": "Adam" if own else structure_of(state.moments)}
    return dataclasses.replace(checkpoint, fingerprint={**checkpoint.fingerprint, **more})


def _calibrated(model: Any, loss: Loss, feed: AbstractFeed, side_by_side: bool) -> Any:
    """The model with what it reads off data read off the training rows, each restart's own."""
    if not isinstance(model, trees.AbstractModel) or not model.reads_data:
        return model
    start = eqx.filter_vmap(calibrated, in_axes=(eqx.if_array(0), None, None)) if side_by_side else calibrated
    return eqx.filter_jit(start)(model, loss, feed)


@jit_once
def _start_state(params: Any, keys: Any, averaging: bool, side_by_side: bool, optimizer: Any = None) -> State:
    def make(params: Any, key: Any) -> State:
        return initial_state(params, key, averaging, optimizer)

    state: State = (eqx.filter_vmap(make) if side_by_side else make)(params, keys)
    return state


def _first(values: list[float] | None) -> float | None:
    return None if values is None else values[0]


def _append(history: list[dict[str, Any]], log: Any, validated: bool) -> int:
    """Add the epochs of one call to the history; losses are lists, one number for each restart."""
    ran = np.atleast_2d(np.asarray(log.ran).T).T.any(axis=-1)
    count = int(ran.sum())
    train_loss, validation_loss = np.asarray(log.train_loss), np.asarray(log.validation_loss)
    for i in range(count):
        history.append(
            {
                "epoch": len(history) + 1,
                "train_loss": np.atleast_1d(train_loss[i]).tolist(),
                "validation_loss": np.atleast_1d(validation_loss[i]).tolist() if validated else None,
            }
        )
    return count


def _next_chunk(n_epochs: int, ran: int, seconds: float, checkpoint: Checkpoint | None) -> int:
    """How many epochs the next call runs, so that it takes about CALL_SECONDS."""
    fitting = int(CALL_SECONDS * max(ran, 1) / max(seconds, 1e-6))
    limit = CHUNK if checkpoint is None or checkpoint.epochs is None else min(CHUNK, checkpoint.epochs)
    return max(1, min(4 * n_epochs, fitting, limit))


def _finish(
    state: State,
    setup: Setup,
    history: list[dict[str, Any]],
    settings: Settings,
    interrupted: bool,
    side_by_side: bool,
    began: float,
) -> Fit[Any]:
    """Choose the best restart, calibrate it, and report what went wrong on the way."""
    failed = np.atleast_1d(np.asarray(state.bad_in_a_row)) >= settings.max_bad_steps
    if failed.all():
        own = setup.optimizer is None
        rate = f"learning_rate (now {settings.learning_rate:g})" if own else "learning rate of the optimizer"
        raise TrainingError(
            f"the loss or its gradient was not finite for {settings.max_bad_steps} steps in a row "
            f"(epoch {len(history)}); try a smaller {rate}, a clip_norm, "
            "or look for extreme values in the data"
        )
    last = np.asarray(history[-1]["train_loss"])
    losses = np.atleast_1d(np.asarray(state.best_loss)) if setup.validation is not None else last
    losses = np.where(np.isfinite(losses), losses, np.inf)
    losses = np.where(np.isfinite(losses) & failed, losses + 1e-6, losses)
    restart = int(np.argmin(losses))
    if not np.isfinite(losses[restart]):
        warnings.warn(_unjudged(settings, len(history), interrupted), TrainingWarning, stacklevel=4)

    restarts = trees.combine(state.best, setup.rest)
    if not only_starts(restarts):
        restarts = _calibrated(restarts, setup.loss, setup.feed, side_by_side)
    model = trees.unstack(restarts, restart) if side_by_side else restarts
    bad_steps = int(np.atleast_1d(np.asarray(state.bad_steps))[restart])
    if bad_steps:
        warnings.warn(
            f"{bad_steps} training steps were skipped because the gradient was not finite; "
            "a smaller learning_rate or a clip_norm avoids this",
            TrainingWarning,
            stacklevel=4,
        )
    mine = [
        {
            **entry,
            "train_loss": entry["train_loss"][restart],
            "validation_loss": _nth(entry["validation_loss"], restart),
        }
        for entry in history
    ]
    return Fit(
        model=model,
        history=mine[: int(np.atleast_1d(np.asarray(state.epoch))[restart])],
        best_epoch=int(np.atleast_1d(np.asarray(state.best_epoch))[restart]) + 1,
        best_loss=float(losses[restart]),
        bad_steps=bad_steps,
        interrupted=interrupted,
        unfinished=len(history) >= int(setup.hyper.max_epochs) and MARKED < gain(_curve(history, settings)) < math.inf,
        restart=restart,
        losses=losses.tolist(),
        restarts=restarts,
        seconds=time.monotonic() - began,
    )


def _unjudged(settings: Settings, epochs: int, interrupted: bool) -> str:
    """Why no weights were found better than others."""
    if interrupted:
        return (
            f"training was ended by Ctrl-C after epoch {epochs} of {settings.max_epochs}, before any was judged, so "
            "the weights are the latest and of little use; train again for longer"
        )
    if epochs <= settings.start_epochs:
        return (
            f"no epoch was judged, as start_epochs is {settings.start_epochs} of {epochs}, so the weights are the "
            "latest; give more max_epochs or fewer start_epochs"
        )
    return (
        "the loss was finite after no epoch, so the weights are of little use; "
        "look for extreme values in the data, or try a smaller learning_rate"
    )


def _nth(values: list[float] | None, n: int) -> float | None:
    return None if values is None else values[n]
