"""How to train: settings for people, and the same as arrays for the compiled program."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from pushforward.checks import check_choice, check_number, check_positive, check_whole, is_whole

SCHEDULES = ("constant", "cosine")
DECAY_FORMS = ("l2", "decoupled")
MARKED = 0.05  # nats of a likelihood, or the unit of another loss: what half of the epochs gain where more are due
LARGEST = 2**31 - 1  # the compiled program counts in 32 bits


class TrainingError(RuntimeError):
    """Training could not go on; the message says why and what to try."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the engine needs to know besides model, loss and feed.

    With `most_epochs`, training goes on where the budget proves too small: if the validation loss still falls markedly
    halfway (`gain` of the losses so far is above `MARKED`), `max_epochs` is doubled and a cosine schedule stretched to
    it, and so on. It is decided halfway, since to raise a step size that has come near zero undoes what was gained.

    Step size, schedule, warm-up and weight decay are those of the engine's own Adam; with `train(optimizer=)` they do
    not apply, and are refused where they are set.

    Arguments:
        max_epochs: passes over the data at most, unless `most_epochs` says more.
        most_epochs: passes at most where validation asks for more than `max_epochs`; None for `max_epochs`.
        batch_size: rows of a step.
        learning_rate: Adam's step size.
        schedule: "constant" or "cosine" (to zero at `max_epochs`).
        warmup_steps: steps over which the learning rate rises linearly.
        weight_decay: strength.
        decay_form: "l2" adds weight_decay · θ to the gradient, a Gaussian prior on the parameters;
            "decoupled" shrinks θ by learning_rate · weight_decay beside the gradient step (AdamW).
        easing: how many times stronger weight decay starts; over the first half of `max_epochs` it falls to its
            strength by equal factors, so that a model leaves its start only as validation asks for it.
        clip_norm: largest norm of a gradient; infinite for no clipping.
        averaging: decay of an exponential average of the weights, which then is what is validated and kept;
            0 for none.
        patience: epochs without a better validation loss before stopping; None to run all epochs.
        start_epochs: epochs before validation counts.
        leading_epochs: epochs that visit only the rows that lead.
        max_bad_steps: steps in a row with a non-finite gradient before giving up.

    Raises:
        ValueError: a setting out of its range, named.
    """

    max_epochs: int = 100
    batch_size: int = 256
    learning_rate: float = 1e-3
    schedule: str = "constant"
    warmup_steps: int = 0
    weight_decay: float = 0.0
    decay_form: str = "l2"
    easing: float = 1.0
    clip_norm: float = math.inf
    averaging: float = 0.0
    patience: int | None = None
    start_epochs: int = 0
    leading_epochs: int = 0
    max_bad_steps: int = 25
    most_epochs: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_epochs", "batch_size", "max_bad_steps"):
            check_whole(name, getattr(self, name), 1, LARGEST)
        for name in ("warmup_steps", "start_epochs", "leading_epochs"):
            check_whole(name, getattr(self, name), 0, LARGEST)
        for name in ("patience", "most_epochs"):
            value = getattr(self, name)
            if value is not None and not (is_whole(value, 1) and value <= LARGEST):
                raise ValueError(
                    f"{name} must be a whole number of at least 1 and at most {LARGEST}, or None; got {value!r}"
                )
        check_positive("learning_rate", self.learning_rate)
        check_number("weight_decay", self.weight_decay, "zero or more, and finite", lambda v: 0 <= v < math.inf)
        check_positive("easing", self.easing)
        check_number("clip_norm", self.clip_norm, "positive", lambda v: v > 0)
        check_number("averaging", self.averaging, "in [0, 1)", lambda v: 0 <= v < 1)
        check_choice("schedule", self.schedule, SCHEDULES)
        check_choice("decay_form", self.decay_form, DECAY_FORMS)


def gain(losses: Sequence[float]) -> float:
    """By how much the best of a curve of losses is below the best of its first half.

    Arguments:
        losses: one of every epoch; those that are no finite numbers do not count.

    Returns:
        In the unit of the loss, at least 0; infinite where the first half has no finite one.

    Example:
        >>> from pushforward.training.settings import gain
        >>> gain([3.0, 2.0, 1.75, 1.5]), gain([3.0, 2.0, 2.5, 2.25])
        (0.5, 0.0)
    """
    finite = [loss if math.isfinite(loss) else math.inf for loss in losses]
    best = min(finite, default=math.inf)
    return max(min(finite[: len(finite) // 2], default=math.inf) - best, 0.0) if math.isfinite(best) else 0.0


def budget(settings: Settings, losses: Sequence[float]) -> int:
    """How many epochs training may take, by the validation losses so far.

    Arguments:
        settings: `max_epochs`, and `most_epochs` where the curve may ask for more.
        losses: validation losses of the epochs so far, NaN for those that do not count; empty without validation.
    """
    epochs, most = settings.max_epochs, settings.most_epochs or settings.max_epochs
    while epochs < most and len(losses) >= epochs // 2 and MARKED < gain(losses[: epochs // 2]) < math.inf:
        epochs = min(2 * epochs, most)
    return epochs


class Hyper(NamedTuple):
    """The settings as arrays, so that changing one does not compile anew."""

    max_epochs: Array
    learning_rate: Array
    cosine: Array
    warmup_steps: Array
    l2: Array
    decoupled: Array
    easing: Array
    clip_norm: Array
    averaging: Array
    patience: Array
    start_epochs: Array
    leading_epochs: Array
    max_bad_steps: Array


def hyper(settings: Settings) -> Hyper:
    """The settings as arrays."""
    decay = settings.weight_decay
    real = jnp.result_type(float)
    patience = settings.max_epochs if settings.patience is None else settings.patience
    return Hyper(
        max_epochs=jnp.asarray(settings.max_epochs, jnp.int32),
        learning_rate=jnp.asarray(settings.learning_rate, real),
        cosine=jnp.asarray(settings.schedule == "cosine"),
        warmup_steps=jnp.asarray(settings.warmup_steps, jnp.int32),
        l2=jnp.asarray(decay if settings.decay_form == "l2" else 0.0, real),
        decoupled=jnp.asarray(decay if settings.decay_form == "decoupled" else 0.0, real),
        easing=jnp.asarray(settings.easing, real),
        clip_norm=jnp.asarray(settings.clip_norm, real),
        averaging=jnp.asarray(settings.averaging, real),
        patience=jnp.asarray(patience, jnp.int32),
        start_epochs=jnp.asarray(settings.start_epochs, jnp.int32),
        leading_epochs=jnp.asarray(settings.leading_epochs, jnp.int32),
        max_bad_steps=jnp.asarray(settings.max_bad_steps, jnp.int32),
    )
