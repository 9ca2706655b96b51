"""The contract of a map, and the maps that combine maps: Chain, Stack, Invert."""

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

UNROLL = 8  # stacks up to this depth are unrolled: faster steps, and compile time is still bounded


class AbstractBijection(eqx.Module):
    """An invertible map x = f(z) of one point, from noise z to data x, that keeps track of volume.

    A subclass guarantees: `shape`, the event shape of z and of x; `cond_shape`, the shape of its
    condition, or None if it takes none; and the two directions, exact inverses of each other.
    Points have no batch axes: `jax.vmap` supplies them. Every other method is derived.
    """

    if TYPE_CHECKING:  # equinox asks a subclass for fields or properties, which a type checker calls a property

        @property
        def shape(self) -> tuple[int, ...]: ...

        @property
        def cond_shape(self) -> tuple[int, ...] | None: ...

    else:
        shape: eqx.AbstractVar[tuple[int, ...]]
        cond_shape: eqx.AbstractVar[tuple[int, ...] | None]

    def __check_init__(self) -> None:
        shape = self.shape
        if not isinstance(shape, tuple) or not all(isinstance(n, int | np.integer) and n >= 0 for n in shape):
            raise ValueError(f"shape must be a tuple of whole numbers, () for a scalar; got {shape!r}")

    # whether forward takes D steps one after the other: a Stack then scans its layers instead of unrolling them
    forward_is_sequential: ClassVar[bool] = False

    @abc.abstractmethod
    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        """Noise to data, with log|det df/dz|.

        Arguments:
            z: floating, shape `shape`.
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
            z of shape `shape` and the log-determinant, a scalar.
        """

    def forward(self, z: Array, condition: Array | None = None) -> Array:
        """Noise to data, without the log-determinant."""
        return self.forward_and_log_det(z, condition)[0]

    def inverse(self, x: Array, condition: Array | None = None) -> Array:
        """Data to noise, without the log-determinant."""
        return self.inverse_and_log_det(x, condition)[0]

    def calibrate(
        self, x: Array, condition: Array | None = None, weights: Array | None = None
    ) -> tuple["AbstractBijection", Array, Array]:
        """Read off a batch what this map takes from data, and push the batch to the noise side.

        Pure and differentiable; most maps read nothing and return themselves.

        Arguments:
            x: a batch, shape (n, *shape).
            condition: shape (n, *cond_shape), or None.
            weights: non-negative row weights, shape (n,), or None for equal ones.

        Returns:
            The calibrated map, z of shape (n, *shape), and the log-determinants of the inverse, shape (n,).
        """
        z, log_det = jax.vmap(self.inverse_and_log_det, in_axes=(0, None if condition is None else 0))(x, condition)
        return self, z, log_det

    @property
    def reads_data(self) -> bool:
        """Whether `calibrate` changes this map or a part of it."""
        nodes = jax.tree.leaves(self, is_leaf=lambda n: isinstance(n, AbstractDataMap | Fixed))
        return any(isinstance(node, AbstractDataMap) for node in nodes)


class AbstractDataMap(AbstractBijection):
    """A map that reads parameters off data: it overrides `calibrate`."""


def require_bijection(value: Any) -> None:
    """Refuse what is not a bijection.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, AbstractBijection):
        raise ValueError(f"expected a bijection; got {value!r}")


def merge_cond_shapes(bijections: Sequence[AbstractBijection]) -> tuple[int, ...] | None:
    """The one condition shape that several maps share, or None if none takes a condition.

    Raises:
        ValueError: two maps take conditions of different shapes.
    """
    shapes = {b.cond_shape for b in bijections if b.cond_shape is not None}
    if len(shapes) > 1:
        raise ValueError(f"maps that share a condition must agree on its shape; got {sorted(shapes)}")
    return shapes.pop() if shapes else None


class Chain(AbstractBijection):
    """The composition f_K ∘ … ∘ f_1 of maps; log-determinants add.

    Both directions cost the sum of the parts' costs.

    Arguments:
        bijections: the maps in forward order, first f_1; all of one event shape.

    Raises:
        ValueError: no map is given, or event or condition shapes disagree.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Affine, Chain, Exp
        >>> chain = Chain([Affine(jnp.zeros(2), jnp.full(2, 2.0)), Exp((2,))])
        >>> chain.forward(jnp.zeros(2)).tolist()
        [1.0, 1.0]
    """

    bijections: tuple[AbstractBijection, ...]

    def __init__(self, bijections: Sequence[AbstractBijection]):
        bijections = tuple(bijections)
        if not bijections:
            raise ValueError("a Chain needs at least one bijection; use Identity(shape) for the empty chain")
        for bijection in bijections:
            require_bijection(bijection)
        shapes = [b.shape for b in bijections]
        if len(set(shapes)) > 1:
            raise ValueError(f"the maps of a Chain must share one event shape; got {shapes}")
        merge_cond_shapes(bijections)
        self.bijections = bijections

    @property
    def shape(self) -> tuple[int, ...]:
        return self.bijections[0].shape

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        return merge_cond_shapes(self.bijections)

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        total = jnp.zeros((), z.dtype)
        for bijection in self.bijections:
            z, log_det = bijection.forward_and_log_det(z, condition)
            total = total + log_det
        return z, total

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        total = jnp.zeros((), x.dtype)
        for bijection in reversed(self.bijections):
            x, log_det = bijection.inverse_and_log_det(x, condition)
            total = total + log_det
        return x, total

    def calibrate(
        self, x: Array, condition: Array | None = None, weights: Array | None = None
    ) -> tuple[Self, Array, Array]:
        total = jnp.zeros(x.shape[:1], x.dtype)
        calibrated = []
        for bijection in reversed(self.bijections):
            new, x, log_det = bijection.calibrate(x, condition, weights)
            calibrated.append(new)
            total = total + log_det
        return eqx.tree_at(lambda c: c.bijections, self, tuple(reversed(calibrated))), x, total


class Stack(AbstractBijection):
    """A chain of like layers whose leaves are stacked along a first axis and scanned.

    Compile time does not grow with depth beyond a short unrolled stack.

    Arguments:
        layers: one bijection whose array leaves carry a first axis of length L, first layer f_1;
            `trees.stack` or `eqx.filter_vmap` of a constructor makes it.

    Raises:
        ValueError: the array leaves do not share their first axis.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward import trees
        >>> from pushforward.bijections import Affine, Stack
        >>> layers = trees.stack([Affine(jnp.zeros(2), jnp.full(2, s)) for s in (2.0, 3.0)])
        >>> Stack(layers).forward(jnp.ones(2)).round(4).tolist()
        [6.0, 6.0]
    """

    layers: AbstractBijection

    def __init__(self, layers: AbstractBijection):
        lengths = {leaf.shape[:1] for leaf in jax.tree.leaves(eqx.filter(layers, eqx.is_array))}
        if len(lengths) != 1 or lengths == {()}:
            raise ValueError(f"the leaves of a Stack must share their first axis; got lengths {sorted(lengths)}")
        self.layers = layers

    @property
    def shape(self) -> tuple[int, ...]:
        return self.layers.shape

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        return self.layers.cond_shape

    def __len__(self) -> int:
        return int(jax.tree.leaves(eqx.filter(self.layers, eqx.is_array))[0].shape[0])

    def _scan(self, x: Array, step: Any, reverse: bool) -> tuple[Array, Array, Any]:
        """Carry (x, Σ log-det) through the layers; `step(layer, x)` returns (layer out, x, log-det)."""
        arrays, static = eqx.partition(self.layers, eqx.is_array)
        total = jnp.zeros(x.shape[: x.ndim - len(self.shape)], x.dtype)

        def body(carry: tuple[Array, Array], leaves: Any) -> tuple[tuple[Array, Array], Any]:
            out, x, log_det = step(eqx.combine(leaves, static), carry[0])
            return (x, carry[1] + log_det), eqx.filter(out, eqx.is_array)

        if len(self) > UNROLL or (self.layers.forward_is_sequential and not reverse):
            (x, total), outs = lax.scan(body, (x, total), arrays, reverse=reverse)
            return x, total, eqx.combine(outs, static)

        # split, not sliced: under a vmap over components a scan, unrolled too, would transpose every stacked weight
        leaves, structure = jax.tree.flatten(arrays)
        parts = [[jnp.squeeze(part, 0) for part in lax.split(leaf, (1,) * len(self), axis=0)] for leaf in leaves]
        carry, found = (x, total), []
        for i in reversed(range(len(self))) if reverse else range(len(self)):
            carry, out = body(carry, jax.tree.unflatten(structure, [part[i] for part in parts]))
            found.append(out)
        stacked = jax.tree.map(lambda *o: jnp.stack(o), *(found[::-1] if reverse else found))
        return *carry, eqx.combine(stacked, static)

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self._scan(z, lambda layer, z: (None, *layer.forward_and_log_det(z, condition)), False)[:2]

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self._scan(x, lambda layer, x: (None, *layer.inverse_and_log_det(x, condition)), True)[:2]

    def calibrate(
        self, x: Array, condition: Array | None = None, weights: Array | None = None
    ) -> tuple[Self, Array, Array]:
        z, total, layers = self._scan(x, lambda layer, x: layer.calibrate(x, condition, weights), True)
        return eqx.tree_at(lambda s: s.layers, self, layers), z, total


class Invert(AbstractBijection):
    """A map run the other way: its forward is the inner map's inverse.

    Each direction costs what the inner map's other direction costs.

    Arguments:
        bijection: any bijection.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Exp, Invert
        >>> Invert(Exp(())).forward(jnp.array(1.0)).item()
        0.0
    """

    bijection: AbstractBijection

    def __init__(self, bijection: AbstractBijection):
        require_bijection(bijection)
        self.bijection = bijection

    @property
    def shape(self) -> tuple[int, ...]:
        return self.bijection.shape

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        return self.bijection.cond_shape

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self.bijection.inverse_and_log_det(z, condition)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self.bijection.forward_and_log_det(x, condition)


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


class Fixed(AbstractBijection):
    """A map whose statistics stay as they are: `calibrate` reads nothing.

    Each direction costs what the inner map's does.

    Arguments:
        bijection: any bijection, mostly one that reads parameters off data.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Exp, Fixed
        >>> Fixed(Exp(())).forward(jnp.array(0.0)).item()
        1.0
    """

    bijection: AbstractBijection

    @property
    def shape(self) -> tuple[int, ...]:
        return self.bijection.shape

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        return self.bijection.cond_shape

    @property
    def reads_data(self) -> bool:
        return False

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self.bijection.forward_and_log_det(z, condition)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self.bijection.inverse_and_log_det(x, condition)


def fix_statistics(model: Any) -> Any:
    """`model` with every map that reads data fixed as it is, for evaluation."""

    def whole(node: Any) -> bool:
        return isinstance(node, AbstractDataMap | Fixed)

    return jax.tree.map(lambda n: Fixed(n) if isinstance(n, AbstractDataMap) else n, model, is_leaf=whole)
