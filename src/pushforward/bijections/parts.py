"""Maps that act on the parts of a point along an axis: Concatenate, split, Vmap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections.base import AbstractMap, merge_cond_shapes, require_map
from pushforward.bijections.compose import AbstractComposition, Chain, Step, split_key
from pushforward.bijections.reshape import Reshape
from pushforward.checks import check_whole, is_whole


class Concatenate(AbstractComposition):
    """Maps side by side, each of one part of the point along an axis; log-determinants add.

    Both directions cost the sum of the parts' costs. Parts that a map leaves as they are, such as half of the channels
    of a level of a multi-scale flow, go through an `Identity`; `split` puts such a level together.

    Arguments:
        bijections: the maps, in the order of their parts; all see the same condition.
        axis: along which parts of the data follow each other; from the end if negative.
        noise_axis: the same of the noise; that of the data if None.

    Raises:
        ValueError: no map is given, parts do not fit beside each other, or their condition shapes disagree.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Concatenate, Exp, Identity
        >>> Concatenate([Identity((1,)), Exp((2,))]).forward(jnp.zeros(3)).tolist()
        [0.0, 1.0, 1.0]
    """

    bijections: tuple[AbstractMap, ...]
    axis: int = eqx.field(static=True)
    noise_axis: int = eqx.field(static=True)

    def __init__(self, bijections: Sequence[AbstractMap], axis: int = -1, noise_axis: int | None = None):
        bijections = tuple(bijections)
        if not bijections:
            raise ValueError("a Concatenate needs at least one bijection; use Identity(shape) for what stays as it is")
        for bijection in bijections:
            require_map(bijection)
        noise_axis = axis if noise_axis is None else noise_axis
        _check_parts("shape", [b.shape for b in bijections], "axis", axis)
        _check_parts("noise_shape", [b.noise_shape for b in bijections], "noise_axis", noise_axis)
        merge_cond_shapes(bijections)
        self.bijections, self.axis, self.noise_axis = bijections, axis, noise_axis

    @property
    def shape(self) -> tuple[int, ...]:
        return _beside([b.shape for b in self.bijections], self.axis)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return _beside([b.noise_shape for b in self.bijections], self.noise_axis)

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        return merge_cond_shapes(self.bijections)

    @property
    def domain(self) -> tuple[Any, Any]:
        return self._ends(
            [b.domain for b in self.bijections], [b.noise_shape for b in self.bijections], self.noise_axis
        )

    @property
    def codomain(self) -> tuple[Any, Any]:
        return self._ends([b.codomain for b in self.bijections], [b.shape for b in self.bijections], self.axis)

    @staticmethod
    def _ends(ends: list[tuple[Any, Any]], shapes: list[tuple[int, ...]], axis: int) -> tuple[Any, Any]:
        low, high = (
            jnp.concatenate([jnp.broadcast_to(end, shape) for end, shape in zip(side, shapes, strict=True)], axis)
            for side in zip(*ends, strict=True)
        )
        return low, high

    @property
    def inexactness(self) -> frozenset[str]:
        return frozenset().union(*(b.inexactness for b in self.bijections))

    def _parts(self) -> tuple[AbstractMap, ...]:
        return self.bijections

    def _through(self, x: Array, key: PRNGKeyArray | None, step: Step, reverse: bool) -> tuple[Any, Array, Array]:
        data, noise = [b.shape for b in self.bijections], [b.noise_shape for b in self.bijections]
        before, after = (data, noise) if reverse else (noise, data)
        axes = (self.axis, self.noise_axis) if reverse else (self.noise_axis, self.axis)
        start, end = _from_end(axes[0], len(before[0])), _from_end(axes[1], len(after[0]))
        parts = jnp.split(x, np.cumsum([shape[start] for shape in before])[:-1], axis=start)
        keys = split_key(key, len(parts))
        result = [
            step(b, part, None if keys is None else keys[i])
            for i, (b, part) in enumerate(zip(self.bijections, parts, strict=True))
        ]
        gives, moved, log_weights = zip(*result, strict=True)
        total: Array = sum(log_weights[1:], start=log_weights[0])
        return gives, jnp.concatenate(moved, axis=end), total


def split(bijection: AbstractMap, n_leaving: int, axis: int = -1) -> Concatenate:
    """A level of a multi-scale flow: a part of the data leaves as noise, and the rest goes on through a map.

    Of x the first `n_leaving` entries of the axis become noise as they are, such as half of the channels of an image
    (Dinh et al. 2017, section 3.6). Both sides of the noise are made flat, those that leave here first, so that levels
    nest whatever shapes they have, and their base is a vector's.

    Arguments:
        bijection: what the rest goes through.
        n_leaving: entries of the axis that leave, at least 1.
        axis: of the data; from the end if negative.

    Returns:
        A map from noise of shape (D,) to data of the map's shape with `n_leaving` more entries of the axis.

    Raises:
        ValueError: the map's data have no such axis, or `n_leaving` is not a whole number of at least 1.

    Example:
        >>> from pushforward.bijections import Exp, split
        >>> inner = split(Exp((4, 4, 1)), 1)
        >>> outer = split(inner, 2)
        >>> outer.noise_shape, outer.shape
        ((64,), (4, 4, 4))
    """
    require_map(bijection)
    n_leaving = check_whole("n_leaving", n_leaving, 1)
    _check_axis("axis", axis, len(bijection.shape))
    leaving = list(bijection.shape)
    leaving[axis] = n_leaving
    flat = (math.prod(bijection.noise_shape),)
    rest = bijection if bijection.noise_shape == flat else Chain([Reshape(flat, bijection.noise_shape), bijection])
    return Concatenate([Reshape((math.prod(leaving),), tuple(leaving)), rest], axis, noise_axis=0)


class Vmap(AbstractComposition):
    """One map for every entry of an axis, its numbers shared; log-determinants add.

    Both directions cost what the inner map's cost, as often as the axis has entries. What the map reads off data it
    reads off all entries together. A linear map of channels under two of these is a 1 × 1 convolution.

    Arguments:
        bijection: the map of one entry; all entries see the same condition.
        axis_size: how many entries there are.
        axis: where the axis stands among those of the event; from the end if negative.

    Raises:
        ValueError: `axis_size` is not a whole number of at least 1, or there is no such axis.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Affine, Vmap
        >>> steps = Vmap(Affine(jnp.zeros(2), jnp.array([1.0, 2.0])), 3)
        >>> steps.shape, steps.forward(jnp.ones((3, 2)))[0].tolist()
        ((3, 2), [1.0, 2.0])
    """

    bijection: AbstractMap
    axis_size: int = eqx.field(static=True)
    axis: int = eqx.field(static=True)

    def __init__(self, bijection: AbstractMap, axis_size: int, axis: int = 0):
        require_map(bijection)
        _check_axis("axis", axis, 1 + min(len(bijection.shape), len(bijection.noise_shape)))
        self.bijection, self.axis_size, self.axis = bijection, check_whole("axis_size", axis_size, 1), axis

    @property
    def shape(self) -> tuple[int, ...]:
        return self._with_axis(self.bijection.shape)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return self._with_axis(self.bijection.noise_shape)

    def _with_axis(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        at = self.axis % (len(shape) + 1)
        return (*shape[:at], self.axis_size, *shape[at:])

    @property
    def domain(self) -> tuple[Any, Any]:
        return self._ends(self.bijection.domain, self.bijection.noise_shape)

    @property
    def codomain(self) -> tuple[Any, Any]:
        return self._ends(self.bijection.codomain, self.bijection.shape)

    def _ends(self, ends: tuple[Any, Any], shape: tuple[int, ...]) -> tuple[Any, Any]:
        low, high = (jnp.expand_dims(jnp.broadcast_to(end, shape), self.axis) for end in ends)
        return low, high

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        return self.bijection.cond_shape

    @property
    def inexactness(self) -> frozenset[str]:
        return self.bijection.inexactness

    def _parts(self) -> AbstractMap:
        return self.bijection

    def _axes(self, reverse: bool) -> tuple[int, int]:
        """Where the axis stands before and after a direction, from the end, so that of batches too."""
        data = _from_end(self.axis, len(self.bijection.shape) + 1)
        noise = _from_end(self.axis, len(self.bijection.noise_shape) + 1)
        return (data, noise) if reverse else (noise, data)

    def _through(self, x: Array, key: PRNGKeyArray | None, step: Step, reverse: bool) -> tuple[Any, Array, Array]:
        start, end = self._axes(reverse)
        keys = split_key(key, self.axis_size)

        def entry(x: Array, key: PRNGKeyArray | None) -> tuple[Array, Array]:
            return step(self.bijection, x, key)[1:]

        moved, log_weights = jax.vmap(entry, (start, None if keys is None else 0), (end, 0))(x, keys)
        return self.bijection, moved, log_weights.sum(0)

    def calibrate(
        self,
        x: Array,
        condition: Array | None = None,
        weights: Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Vmap, Array, Array]:
        start, end = self._axes(True)
        entries = jnp.moveaxis(x, start, 1).reshape(-1, *self.bijection.shape)
        given, of_entries = (
            None if rows is None else jnp.repeat(rows, self.axis_size, axis=0) for rows in (condition, weights)
        )
        bijection, z, log_weights = self.bijection.calibrate(entries, given, of_entries, key)
        z = jnp.moveaxis(z.reshape(len(x), self.axis_size, *z.shape[1:]), 1, end)
        calibrated = eqx.tree_at(lambda v: v.bijection, self, bijection)
        return calibrated, z, log_weights.reshape(len(x), self.axis_size).sum(1)


def _from_end(axis: int, rank: int) -> int:
    """The same axis counted from the end, where a batch has more axes in front."""
    return axis % rank - rank


def _check_axis(name: str, axis: Any, rank: int) -> None:
    if not is_whole(axis, -rank) or axis >= rank:
        raise ValueError(f"{name} must be one of the {rank} axes, from {-rank} to {rank - 1}; got {axis!r}")


def _check_parts(name: str, shapes: list[tuple[int, ...]], axis_name: str, axis: Any) -> None:
    """Refuse parts that differ in another axis than the one along which they stand.

    Raises:
        ValueError: they do, or there is no such axis.
    """
    if len({len(shape) for shape in shapes}) > 1:
        raise ValueError(f"parts must have as many axes; {name} of each is {shapes}")
    _check_axis(axis_name, axis, len(shapes[0]))
    at = axis % len(shapes[0])
    if len({(*shape[:at], *shape[at + 1 :]) for shape in shapes}) > 1:
        raise ValueError(f"parts must agree on every axis but {axis_name}={axis}; {name} of each is {shapes}")


def _beside(shapes: list[tuple[int, ...]], axis: int) -> tuple[int, ...]:
    """The shape of parts along an axis."""
    joined = list(shapes[0])
    joined[axis] = sum(shape[axis] for shape in shapes)
    return tuple(joined)
