"""What a loss is given, what it may say of models, and noise for values that are not continuous."""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

LEAST_SHARE = 0.01  # of log p, where annealing starts


class Batch(NamedTuple):
    """Some rows of what a model trains on.

    Arguments:
        data: any pytree of arrays with a common first axis of n rows, as the feed of training gives it; `Rows` for the
            losses of tables.
        weight: non-negative, zero for padding, shape (n,).
        epoch: epochs done, a scalar; infinite when the loss is evaluated rather than trained.
        step: steps done, a scalar; None when the loss is evaluated rather than trained.
    """

    data: Any
    weight: Array
    epoch: Any = jnp.inf
    step: Array | None = None

    @property
    def rows(self) -> Rows:
        """The data, which a loss of tables takes as rows.

        Raises:
            TypeError: they are something else.
        """
        if not isinstance(self.data, Rows):
            raise TypeError(
                f"this loss takes rows of a table, and the feed gives a {type(self.data).__name__}; "
                "make the feed of objectives.Rows, as in training.Resident.of(Rows(x))"
            )
        return self.data


class Rows(NamedTuple):
    """Rows of a table as losses take them.

    Arguments:
        x: points, shape (n, D).
        condition: shape (n, C), or None.
        label: component of labelled rows and -1 elsewhere, shape (n,), integer; or None.
        start: component that a row helps to start, -1 for none, shape (n,), integer; or None.
        partner: of each row another one near it, shape (n, D); or None.
    """

    x: Any
    condition: Any = None
    label: Any = None
    start: Any = None
    partner: Any = None


class AbstractLoss(eqx.Module):
    """A pure loss: (model, batch, key) to a scalar.

    A plain function will do as well, for models that read nothing off data.
    """

    @abc.abstractmethod
    def __call__(self, model: Any, batch: Any, key: PRNGKeyArray) -> Array:
        """The loss of a batch.

        Arguments:
            model: what trains.
            batch: a `Batch`.
            key: a JAX random key.

        Returns:
            A scalar.
        """

    def calibrate(self, model: Any, batch: Batch, key: PRNGKeyArray) -> Any:
        """The model with what it reads off data read off a batch, whose data are `Rows` unless a loss says otherwise.

        Arguments:
            model: with `reads_data`.
            batch: of all rows that a model is trained on.
            key: a JAX random key.
        """
        rows = batch.rows
        return model.calibrate(rows.x, rows.condition, batch.weight, key if model.inexactness else None)[0]


def add_noise(x: Array, width: Array | None, key: PRNGKeyArray) -> Array:
    """Add uniform noise on [0, width) to each column, to spread whole numbers and tied values.

    Arguments:
        x: shape (n, D).
        width: shape (D,), zero where a column is left as it is; None for no noise at all.
        key: a JAX random key.
    """
    return x if width is None else x + width * jax.random.uniform(key, x.shape, x.dtype)


def with_noise(batch: Batch, width: Array | None, key: PRNGKeyArray) -> Batch:
    """A batch whose rows have noise of that width, as `add_noise` adds it."""
    return batch._replace(data=batch.rows._replace(x=add_noise(batch.rows.x, width, key)))


def annealed_share(progress: Array) -> Array:
    """The weight of log p in an annealed bound, min(1, 0.01 + progress) (Rezende & Mohamed 2015, equation 20).

    Arguments:
        progress: of annealing, a scalar: 0 where it starts, 1 where it ends.
    """
    return jnp.minimum(1.0, LEAST_SHARE + progress)
