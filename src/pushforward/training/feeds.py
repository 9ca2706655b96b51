"""What gives a compiled chunk of training its batches: data on the device, or whatever keeps to the same contract."""

import abc
from typing import TYPE_CHECKING, Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from pushforward.checks import check_whole

SMALLEST = 64
MOST_READ, LEAST_READ = 2**20, 1024  # numbers, and rows, that statistics are read off
CHUNK = 64  # epochs that one compiled call may run


class AbstractFeed(eqx.Module):
    """Where batches come from. Losses and models never see it.

    A feed is a pytree that a compiled chunk of epochs reads. Its methods are compiled with the chunk, but for `chunk`,
    which runs on the host before each one: what streams from disk puts the next block of rows there, of the same
    shapes, so that nothing is compiled again; what lies on several devices is placed once, and read as it is.

    A subclass has `n_rows`, the rows of an epoch; `capacity`, the rows of the largest batch it can give; `start_epoch`,
    `n_batches`, `batch` and `everything`.
    """

    if TYPE_CHECKING:  # equinox asks a subclass for fields or properties, which a type checker calls a property

        @property
        def n_rows(self) -> Any: ...

        @property
        def capacity(self) -> int: ...

    else:
        n_rows: eqx.AbstractVar[Any]
        capacity: eqx.AbstractVar[int]

    @abc.abstractmethod
    def start_epoch(self, key: PRNGKeyArray, batch_size: int) -> Any:
        """What the batches of one epoch follow from, such as a random order of rows.

        Arguments:
            key: a JAX random key.
            batch_size: rows of a batch.
        """

    @abc.abstractmethod
    def n_batches(self, batch_size: int) -> tuple[Any, Any]:
        """Batches of the rows that lead every epoch, 0 where none do, and batches of the others."""

    @abc.abstractmethod
    def batch(self, order: Any, i: Array, batch_size: int, epoch: Array) -> tuple[Any, Array]:
        """Batch i of an epoch.

        Arguments:
            order: of `start_epoch`.
            i: a whole number.
            batch_size: rows of a batch.
            epoch: epochs done; infinite where the loss is evaluated.

        Returns:
            A pytree of arrays with a first axis of `batch_size` rows, and their weights, zero for padding.
        """

    @abc.abstractmethod
    def everything(self) -> tuple[Any, Array]:
        """The rows that models read their statistics off, and their weights: all, or a stated sample of them."""

    def in_order(self, batch_size: int) -> tuple[Self, Any]:
        """The feed and the order that a loss is evaluated on: the same at every call, and no rows that lead."""
        return self, self.start_epoch(jax.random.key(0), batch_size)

    def restart_data(self) -> Any:
        """Arrays that each of several models side by side has of its own, with a restart axis; None for none."""
        return None

    def of_restart(self, own: Any) -> Self:
        """The feed of one restart, whose own arrays are given."""
        return self

    def chunk(self, epoch: int) -> tuple[Self, int]:
        """On the host, before a compiled call: what it reads from that epoch on, and for how many epochs at most."""
        return self, CHUNK


class Resident(AbstractFeed):
    """Data that lie on the device, padded to a few sizes so that like-shaped fits share one compiled program.

    Every epoch visits all rows in random order; the first `n_leading` come first, in batches of their own.
    `Resident.of` makes one.

    Arguments:
        data: a pytree of arrays with a common first axis, of padded size.
        weight: zero for padding.
        n_rows: how many rows are real, an array.
        n_leading: how many of them, at the front, lead every epoch, an array.
        own: a tree like `data` with the arrays that each restart has of its own, their first axis that of restarts, and
            None elsewhere; None for none.
    """

    data: Any
    weight: Array
    n_rows: Array
    n_leading: Array
    own: Any

    @classmethod
    def of(cls, data: Any, weight: Any = None, *, n_leading: int = 0, own: Any = None, **more: Any) -> Self:
        """Pad arrays on the host and put them on the device.

        Arguments:
            data: a pytree of arrays with a common first axis of n rows, such as `objectives.Rows`, a dict of arrays or
                a single array. Floating ones take JAX's default dtype.
            weight: non-negative, shape (n,); scaled to mean 1. Equal if None.
            n_leading: how many rows, at the front, lead every epoch.
            own: a tree like `data`, with the arrays that each of several models trained side by side has of its own, of
                shape (restarts, n, ...), and None elsewhere.
            more: fields of a subclass.

        Raises:
            ValueError: there are no rows, the arrays differ in their number, or hold no numbers; weights that are no
                weights.

        Example:
            >>> import numpy as np
            >>> from pushforward.training import Resident
            >>> feed = Resident.of({"x": np.ones((70, 3)), "y": np.zeros(70)})
            >>> int(feed.n_rows), feed.data["x"].shape
            (70, (96, 3))
        """
        n = _n_rows("data", data, 0)
        weight = _weights(weight, n)
        check_whole("n_leading", n_leading, 0, n)
        if own is not None and _n_rows("own", own, 1) != n:
            raise ValueError(f"own has {_n_rows('own', own, 1)} rows in its second axis, and data {n}; they must agree")
        room = bucket(n) - n
        return cls(
            jax.tree.map(lambda leaf: placed(leaf, room), data),
            jax.device_put(np.concatenate([weight / weight.mean(), np.zeros(room)]).astype(jnp.result_type(float))),
            jnp.asarray(n, jnp.int32),
            jnp.asarray(n_leading, jnp.int32),
            jax.tree.map(lambda leaf: placed(leaf, room, axis=1), own),
            **more,
        )

    @property
    def capacity(self) -> int:
        """The padded size."""
        return int(self.weight.shape[0])

    def start_epoch(self, key: PRNGKeyArray, batch_size: int) -> Array:
        """Row numbers in random order, leading rows first and padding last, with room for a last short batch."""
        places = jnp.arange(self.capacity)
        group = jnp.where(places < self.n_leading, 0.0, jnp.where(places < self.n_rows, 1.0, 2.0))
        order = jnp.argsort(group + jax.random.uniform(key, places.shape))
        return jnp.concatenate([order, jnp.zeros(batch_size, order.dtype)])

    def n_batches(self, batch_size: int) -> tuple[Array, Array]:
        return -(-self.n_leading // batch_size), -(-(self.n_rows - self.n_leading) // batch_size)

    def places(self, order: Array, i: Array, batch_size: int) -> tuple[Array, Array]:
        """Row numbers of batch i, first of leading rows, then of the others, and which of them are no filling."""
        n_first, _ = self.n_batches(batch_size)
        leading = i < n_first
        offset = jnp.where(leading, i * batch_size, self.n_leading + (i - n_first) * batch_size)
        end = jnp.where(leading, self.n_leading, self.n_rows)
        return jax.lax.dynamic_slice_in_dim(order, offset, batch_size), offset + jnp.arange(batch_size) < end

    def batch(self, order: Array, i: Array, batch_size: int, epoch: Array) -> tuple[Any, Array]:
        index, inside = self.places(order, i, batch_size)
        data, weight = jax.tree.map(lambda leaf: pick(leaf, index), (self.data, self.weight))
        return data, jnp.where(inside, weight, 0)

    def everything(self) -> tuple[Any, Array]:
        """All rows; of many wide ones, whose activations would not fit in memory, some that lie evenly among them."""
        numbers = sum(leaf.size for leaf in jax.tree.leaves(self.data)) // self.capacity
        most = max(LEAST_READ, MOST_READ // max(numbers, 1))
        if self.capacity <= most:
            return self.data, self.weight
        which = (jnp.arange(most) * (self.n_rows / most)).astype(jnp.int32)
        data, weight = jax.tree.map(lambda leaf: leaf[which], (self.data, self.weight))
        return data, weight

    def in_order(self, batch_size: int) -> tuple[Self, Array]:
        order = jnp.concatenate([jnp.arange(self.capacity), jnp.zeros(batch_size, jnp.int32)])
        plain: Self = eqx.tree_at(lambda feed: feed.n_leading, self, jnp.zeros_like(self.n_leading))
        return plain, order

    def restart_data(self) -> Any:
        return self.own

    def of_restart(self, own: Any) -> Self:
        of_one: Self = eqx.tree_at(lambda feed: feed.data, self, eqx.combine(self.data, own))
        return of_one


class Steps(AbstractFeed):
    """So many steps an epoch for a loss that draws its own points: batches hold nothing.

    Arguments:
        n: steps of an epoch.

    Example:
        >>> from pushforward.training import Steps
        >>> Steps(25).n_rows
        25
    """

    n: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        check_whole("n", self.n, 1)

    @property
    def n_rows(self) -> int:
        """One for each step."""
        return self.n

    @property
    def capacity(self) -> int:
        """One."""
        return 1

    def start_epoch(self, key: PRNGKeyArray, batch_size: int) -> None:
        return None

    def n_batches(self, batch_size: int) -> tuple[Array, Array]:
        return jnp.zeros((), jnp.int32), jnp.asarray(self.n, jnp.int32)

    def batch(self, order: None, i: Array, batch_size: int, epoch: Array) -> tuple[None, Array]:
        return None, jnp.ones(1)

    def everything(self) -> tuple[None, Array]:
        return None, jnp.ones(1)


def bucket(n: int) -> int:
    """The padded size for n rows: the next of 64, 96, 128, 192, 256, 384, …"""
    size = SMALLEST
    while size < n:
        if size + size // 2 >= n:
            return size + size // 2
        size *= 2
    return size


def placed(leaf: Any, room: int, axis: int = 0) -> Array:
    """An array on the device, with `room` more entries along an axis: copies of the first, as harmless as a real one.

    Floating arrays take JAX's default dtype.
    """
    array = np.asarray(leaf)
    if np.issubdtype(array.dtype, np.floating):
        array = array.astype(jnp.result_type(float), copy=False)
    first = np.take(array, [0], axis)
    shape = [room if i == axis else size for i, size in enumerate(array.shape)]
    on_device: Array = jax.device_put(np.concatenate([array, np.broadcast_to(first, shape)], axis))
    return on_device  # unlike jnp.asarray, device_put compiles nothing


def pick(leaf: Array, index: Array) -> Array:
    """Some entries along the first axis, whose numbers are known to exist."""
    picked: Array = leaf.at[index].get(mode="promise_in_bounds")
    return picked


def _n_rows(name: str, tree: Any, axis: int) -> int:
    """The common length along an axis of a tree of arrays of numbers."""
    lengths = {}
    for path, leaf in jax.tree.leaves_with_path(tree):
        array, where = np.asarray(leaf), name + jax.tree_util.keystr(path)
        if array.ndim <= axis:
            raise ValueError(f"{where} has shape {array.shape}; expected an array with rows along axis {axis}")
        if array.dtype.kind not in "buif":
            raise ValueError(f"{where} must hold numbers; got dtype {array.dtype}")
        lengths[where] = array.shape[axis]
    if not lengths:
        raise ValueError(f"{name} holds no arrays; for a loss that draws its own points take training.Steps(n)")
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{where}: {length}" for where, length in lengths.items())
        raise ValueError(f"the arrays of {name} must have the same number of rows; got {listed}")
    n = next(iter(lengths.values()))
    if not n:
        raise ValueError(f"{name} has no rows; give at least one")
    return int(n)


def _weights(given: Any, n: int) -> NDArray[np.float64]:
    weight = np.ones(n) if given is None else np.asarray(given, dtype=np.float64)
    if weight.shape != (n,):
        raise ValueError(f"weight has shape {weight.shape}; expected ({n},), one for each row")
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
        raise ValueError("weight must be finite and not negative, and somewhere positive")
    return weight
