"""The contract of a map between noise and data: bijections, and layers that draw numbers of their own."""

import abc
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pushforward.trees import Outlined

# How near the log-density of what a map makes is known, the best first: "exact"; "unbiased", the log-determinant is an
# estimate whose mean is right; "lower bound", the mean of the estimate is below; "approximate", neither.
EXACTNESS = ("exact", "unbiased", "lower bound", "approximate")
NOISY = frozenset({"unbiased", "approximate"})  # a noisy log-determinant biases whatever exponentiates it
KEYED = "call forward_and_log_weight or inverse_and_log_weight, which take a key"


class InexactError(TypeError):
    """An exact density was asked of a model that has only estimates; the message names the method to call."""


class SolveError(ArithmeticError):
    """An equation that a map solves did not converge; the message says for how many rows, and what to do."""


class AbstractMap(Outlined):
    """A layer between noise z and data x of one point, that keeps track of volume and of numbers it draws itself.

    A subclass guarantees: `shape`, the event shape of x; `noise_shape`, that of z, a property that is `shape` unless it
    says otherwise; `cond_shape`, the shape of its condition, or None if it takes none; `inexactness`; and the two
    directions. Where `inexactness` is empty, it gives log-determinants too. With (z, w) from `inverse_and_log_weight`,
    log p(x) is log p(z) + w: exactly for a bijection, whose w is its log-determinant; in the mean of exp for a layer
    with auxiliary noise; in the mean for an estimated log-determinant. Points have no batch axes: `jax.vmap` supplies
    them.
    """

    if not TYPE_CHECKING:  # equinox asks a subclass for fields or properties, which a type checker calls a property
        shape: eqx.AbstractVar[tuple[int, ...]]
        cond_shape: eqx.AbstractVar[tuple[int, ...] | None]

    def __check_init__(self) -> None:
        for name, shape in (("shape", self.shape), ("noise_shape", self.noise_shape)):
            if not isinstance(shape, tuple) or not all(isinstance(n, int | np.integer) and n >= 0 for n in shape):
                raise ValueError(f"{name} must be a tuple of whole numbers, () for a scalar; got {shape!r}")

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """The event shape of z: that of x, but for maps that change it."""
        return self.shape

    # whether forward takes D steps one after the other: a Scan then scans its layers instead of unrolling them
    forward_is_sequential: ClassVar[bool] = False

    @property
    @abc.abstractmethod
    def inexactness(self) -> frozenset[str]:
        """Which of `EXACTNESS` besides "exact" apply to this instance; empty for a map whose densities are exact."""

    @property
    def exactness(self) -> str:
        """What the log-densities of this instance are: one of `EXACTNESS`, the weakest of its parts."""
        return max(self.inexactness, key=EXACTNESS.index, default="exact")

    @property
    def domain(self) -> tuple[Any, Any]:
        """The ends of z that the map takes, numbers or of the event shape; the whole line unless a map says another."""
        return -math.inf, math.inf

    @property
    def codomain(self) -> tuple[Any, Any]:
        """The ends of x, all between which it reaches; the whole line unless a map says another."""
        return -math.inf, math.inf

    @abc.abstractmethod
    def forward_and_log_weight(
        self, z: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        """Noise to data, with w such that log p(z) - w stands for log p(x).

        Arguments:
            z: floating, shape `noise_shape`.
            key: a JAX random key; None will do for an exact map.
            condition: floating, shape `cond_shape`, or None.

        Returns:
            x of shape `shape` and w, a scalar.
        """

    @abc.abstractmethod
    def inverse_and_log_weight(
        self, x: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        """Data to noise, with w such that log p(z) + w stands for log p(x).

        Arguments:
            x: floating, shape `shape`.
            key: a JAX random key; None will do for an exact map.
            condition: floating, shape `cond_shape`, or None.

        Returns:
            z of shape `noise_shape` and w, a scalar.
        """

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        """Noise to data, with log|det df/dz|, which only an exact map has.

        Raises:
            InexactError: this map is not exact.
        """
        raise InexactError(f"{type(self).__name__} draws numbers of its own, so it has no log-determinant; {KEYED}")

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        """Data to noise, with log|det df⁻¹/dx|, which only an exact map has.

        Raises:
            InexactError: this map is not exact.
        """
        raise InexactError(f"{type(self).__name__} draws numbers of its own, so it has no log-determinant; {KEYED}")

    def forward(self, z: Array, condition: Array | None = None) -> Array:
        """Noise to data, without the log-determinant."""
        return self.forward_and_log_det(z, condition)[0]

    def inverse(self, x: Array, condition: Array | None = None) -> Array:
        """Data to noise, without the log-determinant."""
        return self.inverse_and_log_det(x, condition)[0]

    def forward_batch(
        self, z: Array, key: PRNGKeyArray | None = None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        """`forward_and_log_weight` of a batch along a first axis, with one key for all."""
        return over_batch(self.forward_and_log_weight, z, key, condition)

    def inverse_batch(
        self, x: Array, key: PRNGKeyArray | None = None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        """`inverse_and_log_weight` of a batch along a first axis, with one key for all."""
        return over_batch(self.inverse_and_log_weight, x, key, condition)

    def calibrate(
        self,
        x: Array,
        condition: Array | None = None,
        weights: Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple["AbstractMap", Array, Array]:
        """Read off a batch what this map takes from data, and push the batch to the noise side.

        Pure and differentiable; most maps read nothing and return themselves.

        Arguments:
            x: a batch, shape (n, *shape).
            condition: shape (n, *cond_shape), or None.
            weights: non-negative row weights, shape (n,), or None for equal ones.
            key: a JAX random key; None will do for an exact map.

        Returns:
            The calibrated map, z of shape (n, *noise_shape), and the log-weights of the inverse, shape (n,).
        """
        return self, *self.inverse_batch(x, key, condition)

    @property
    def reads_data(self) -> bool:
        """Whether `calibrate` changes this map or a part of it."""
        nodes = jax.tree.leaves(self, is_leaf=lambda n: isinstance(n, AbstractDataMap | Fixed))
        return any(isinstance(node, AbstractDataMap) for node in nodes)


class AbstractBijection(AbstractMap):
    """An invertible map x = f(z) of one point, from noise z to data x, with an exact log-determinant.

    A subclass guarantees `shape`, `cond_shape` and the two directions, exact inverses of each other. Every other method
    is derived. Maps of maps are none, as they are exact only where their parts are: `require_bijection` asks what a
    map says of itself.
    """

    @abc.abstractmethod
    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        """Noise to data, with log|det df/dz|.

        Arguments:
            z: floating, shape `noise_shape`.
            condition: floating, shape `cond_shape`, or None.

        Returns:
            x of shape `shape` and the log-determinant, a scalar.
        """

    @abc.abstractmethod
    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        """Data to noise, with log|det df⁻¹/dx|.

        Arguments:
            x: floating, shape `shape`.
            condition: floating, shape `cond_shape`, or None.

        Returns:
            z of shape `noise_shape` and the log-determinant, a scalar.
        """

    @property
    def inexactness(self) -> frozenset[str]:
        """Which of `EXACTNESS` besides "exact" apply to this instance; empty for a map whose densities are exact."""
        return frozenset()

    def forward_and_log_weight(
        self, z: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        return self.forward_and_log_det(z, condition)

    def inverse_and_log_weight(
        self, x: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        return self.inverse_and_log_det(x, condition)


class AbstractDataMap(AbstractBijection):
    """A map that reads parameters off data: it overrides `calibrate`."""

    only_starts: ClassVar[bool] = False  # whether it reads the first batch alone


def over_batch(direction: Any, points: Array, key: PRNGKeyArray | None, condition: Array | None) -> tuple[Array, Array]:
    """A direction of a map, point by point, with one key for all."""
    keys = None if key is None else jax.random.split(key, len(points))
    axes = (0, None if keys is None else 0, None if condition is None else 0)
    result: tuple[Array, Array] = jax.vmap(direction, in_axes=axes)(points, keys, condition)
    return result


def require_map(value: Any) -> None:
    """Refuse what is no map.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, AbstractMap):
        raise ValueError(f"expected a bijection; got {value!r}")


def require_bijection(value: Any, what: str) -> None:
    """Refuse what is no map with an exact log-determinant.

    Arguments:
        value: what should be one.
        what: its name, for the message.

    Raises:
        ValueError: it is no map.
        InexactError: its log-determinant is an estimate, or it draws numbers of its own.
    """
    if not isinstance(value, AbstractMap):
        raise ValueError(f"{what} must be a bijection; got {value!r}")
    if value.inexactness:
        raise InexactError(
            f"{what} must be a bijection with an exact log-determinant; that of this {type(value).__name__} is known "
            f'through estimates ({value.exactness}); take a map of exactness "exact"'
        )


def require_transformer(value: Any) -> None:
    """Refuse what is no scalar bijection.

    Raises:
        ValueError: it is no map, or not scalar.
        InexactError: its log-determinant is not exact.
    """
    require_bijection(value, "transformer")
    if value.shape != () or value.noise_shape != ():
        raise ValueError(f"transformer must be a scalar bijection, of shape (); got shape {value.shape}")


def require_no_statistics(value: AbstractMap, outer: str) -> None:
    """Refuse a map that reads parameters off data inside one that cannot let it.

    Arguments:
        value: the inner map.
        outer: what is around it, for the message.

    Raises:
        ValueError: a part of the map reads data.
    """
    if value.reads_data:
        nodes = jax.tree.leaves(value, is_leaf=lambda n: isinstance(n, AbstractDataMap | Fixed))
        names = sorted({type(node).__name__ for node in nodes if isinstance(node, AbstractDataMap)})
        raise ValueError(
            f"{outer} cannot calibrate the map inside it, so {', '.join(names)} would keep the numbers it has now; "
            f"keep them on purpose, as {outer}(Fixed(...)), or put the map outside"
        )


def merge_cond_shapes(bijections: Sequence[AbstractMap]) -> tuple[int, ...] | None:
    """The one condition shape that several maps share, or None if none takes a condition.

    Raises:
        ValueError: two maps take conditions of different shapes.
    """
    shapes = {b.cond_shape for b in bijections if b.cond_shape is not None}
    if len(shapes) > 1:
        raise ValueError(f"maps that share a condition must agree on its shape; got {sorted(shapes)}")
    return shapes.pop() if shapes else None


class Identity(AbstractBijection):
    """The map that changes nothing.

    Arguments:
        shape: the event shape.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Identity
        >>> Identity((2,)).forward(jnp.ones(2)).tolist()
        [1.0, 1.0]
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True, default=None)

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return z, jnp.zeros((), z.dtype)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return x, jnp.zeros((), x.dtype)


class AbstractWrapper(AbstractMap):
    """A map that maps as the one inside does; a subclass has `bijection`, as a field or a property."""

    if TYPE_CHECKING:  # equinox asks a subclass for a field or property, which a type checker calls a property

        @property
        def bijection(self) -> AbstractMap: ...

    else:
        bijection: eqx.AbstractVar[Any]

    @property
    def domain(self) -> tuple[Any, Any]:
        return self.bijection.domain

    @property
    def codomain(self) -> tuple[Any, Any]:
        return self.bijection.codomain

    @property
    def shape(self) -> tuple[int, ...]:
        return self.bijection.shape

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return self.bijection.noise_shape

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        return self.bijection.cond_shape

    @property
    def inexactness(self) -> frozenset[str]:
        return self.bijection.inexactness

    def forward_and_log_weight(
        self, z: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        return self.bijection.forward_and_log_weight(z, key, condition)

    def inverse_and_log_weight(
        self, x: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        return self.bijection.inverse_and_log_weight(x, key, condition)

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self.bijection.forward_and_log_det(z, condition)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self.bijection.inverse_and_log_det(x, condition)


class Fixed(AbstractWrapper):
    """A map whose statistics stay as they are: `calibrate` reads nothing.

    Each direction costs what the inner map's does.

    Arguments:
        bijection: any map, mostly one that reads parameters off data.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Exp, Fixed
        >>> Fixed(Exp(())).forward(jnp.array(0.0)).item()
        1.0
    """

    bijection: AbstractMap

    @property
    def reads_data(self) -> bool:
        return False


def only_starts(model: Any) -> bool:
    """Whether all that reads data in a model reads the first batch alone."""
    nodes = jax.tree.leaves(model, is_leaf=lambda n: isinstance(n, AbstractDataMap | Fixed))
    reading = [node for node in nodes if isinstance(node, AbstractDataMap)]
    return bool(reading) and all(node.only_starts for node in reading)


def fix_statistics(model: Any) -> Any:
    """`model` with every map that reads data fixed as it is, for evaluation."""

    def reads_or_fixed(node: Any) -> bool:
        return isinstance(node, AbstractDataMap | Fixed)

    return jax.tree.map(lambda n: Fixed(n) if isinstance(n, AbstractDataMap) else n, model, is_leaf=reads_or_fixed)
