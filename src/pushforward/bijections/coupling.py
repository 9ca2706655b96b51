"""Coupling layers: one part of the coordinates moves the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from pushforward import trees
from pushforward.bijections.affine import affine_transformer
from pushforward.bijections.base import AbstractBijection, AbstractMap, require_transformer
from pushforward.bijections.permute import take
from pushforward.checks import check_shape, check_sizes
from pushforward.networks import MLP
from pushforward.trees import Frozen

BoolArray = NDArray[np.bool_]


def coupling_masks(kind: str, shape: tuple[int, ...], n_layers: int) -> BoolArray:
    """Masks of consecutive coupling layers, True where a coordinate is kept.

    Every mask keeps ⌊size/2⌋ coordinates, so the layers stack, and two consecutive ones move every coordinate.

    Arguments:
        kind: "half" (first half kept, then second), "alternating" (odd places, then even) or
            "checkerboard" (colours of a board over all axes of the event).
        shape: event shape.
        n_layers: how many masks.

    Returns:
        bool, shape (n_layers, *shape).

    Raises:
        ValueError: unknown kind.
    """
    size = math.prod(shape)
    if kind == "half":
        kept = np.arange(size).reshape(shape) < size // 2
    elif kind == "alternating":
        kept = np.arange(size).reshape(shape) % 2 == 1
    elif kind == "checkerboard":
        kept = np.indices(shape).sum(axis=0) % 2 == 1
    else:
        raise ValueError(f"unknown coupling mask {kind!r}; choose 'half', 'alternating' or 'checkerboard'")
    other = ~kept
    if other.sum() > kept.sum():  # odd sizes: move one more rather than keep one more
        other.reshape(-1)[np.flatnonzero(other)[0]] = False
    return np.stack([kept if i % 2 == 0 else other for i in range(n_layers)])


class Coupling(AbstractBijection):
    """A coupling layer: the kept coordinates parameterise a scalar map of every moved one.

    Both directions cost one pass of the conditioner. With an affine transformer this is RealNVP's layer
    (Dinh et al. 2017), with a shift NICE's (Dinh et al. 2015), with a spline NSF's (Durkan et al. 2019).

    Arguments:
        mask: bool, event shape, True where a coordinate is kept; at least one must move.
        conditioner: a module from the kept coordinates (and the condition after them), shape (n_kept + C,),
            to the transformers' parameters, shape (n_moved · P,).
        transformer: a scalar bijection with P trainable numbers; the conditioner's output is added to them,
            so an output of zero leaves this map.
        cond_dim: size of the condition, or None.

    Raises:
        ValueError: the mask is not boolean or moves nothing, or the transformer is not scalar.

    Example:
        >>> import jax, jax.numpy as jnp, numpy as np
        >>> from pushforward.bijections import Affine, Coupling
        >>> from pushforward.networks import MLP
        >>> network = MLP.init(jax.random.key(0), 1, 2, (8,))
        >>> layer = Coupling(np.array([True, False]), network, Affine(jnp.array(0.0), jnp.array(1.0)))
        >>> z = jnp.array([0.5, -1.0])
        >>> bool(jnp.allclose(layer.inverse(layer.forward(z)), z))
        True
    """

    permutation: Frozen[Array]
    inverse_permutation: Frozen[Array]
    conditioner: Callable[[Array], Array]
    transformer: Frozen[AbstractMap]
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] | None = eqx.field(static=True)
    n_kept: int = eqx.field(static=True)

    def __init__(
        self,
        mask: Any,
        conditioner: Callable[[Array], Array],
        transformer: AbstractMap,
        cond_dim: int | None = None,
    ):
        mask = np.asarray(mask)
        if mask.dtype != bool:
            raise ValueError(f"mask must be boolean, True where a coordinate is kept; got dtype {mask.dtype}")
        if mask.all():
            raise ValueError(f"mask of shape {mask.shape} keeps every coordinate; at least one must move")
        require_transformer(transformer)
        order, inverse = mask_order(mask)
        self.permutation = Frozen(jnp.asarray(order))
        self.inverse_permutation = Frozen(jnp.asarray(inverse))
        self.conditioner = conditioner
        self.transformer = Frozen(transformer)
        self.shape = mask.shape
        self.cond_shape = None if cond_dim is None else (cond_dim,)
        self.n_kept = int(mask.sum())

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        shape: tuple[int, ...],
        mask: Any = "alternating",
        hidden_sizes: Sequence[int] = (64, 64),
        transformer: AbstractMap | None = None,
        cond_dim: int | None = None,
        activation: str = "silu",
    ) -> Coupling:
        """Draw a layer to train, close to what its transformer is alone: the identity for an affine one.

        Arguments:
            key: a JAX random key.
            shape: the event shape.
            mask: a kind of `coupling_masks`, whose first mask is taken; or bool, event shape, True where a coordinate
                is kept.
            hidden_sizes: units of the conditioner's hidden layers.
            transformer: a scalar bijection; None for a shift and a positive scale.
            cond_dim: size of the condition, or None.
            activation: of the conditioner, by name.
        """
        kept = coupling_masks(mask, check_shape("shape", shape), 1)[0] if isinstance(mask, str) else np.asarray(mask)
        if kept.shape != shape:
            raise ValueError(f"mask must have the event shape, {shape}; got shape {kept.shape}")
        transformer = affine_transformer() if transformer is None else transformer
        n_kept = int(kept.sum())
        n_out = (kept.size - n_kept) * trees.n_parameters(transformer)
        conditioner = MLP.init(
            key, n_kept + (cond_dim or 0), n_out, check_sizes("hidden_sizes", hidden_sizes), activation
        )
        return cls(kept, conditioner, transformer, cond_dim)

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self._move(z, condition, "forward_and_log_det")

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self._move(x, condition, "inverse_and_log_det")

    def _move(self, point: Array, condition: Array | None, direction: str) -> tuple[Array, Array]:
        order, inverse = self.permutation.value, self.inverse_permutation.value
        arranged = take(point.reshape(-1), order, inverse)
        kept, moved = arranged[: self.n_kept], arranged[self.n_kept :]
        seen = kept if condition is None else jnp.concatenate([kept, condition])
        params = self.conditioner(seen).reshape(moved.shape[0], -1)
        moved, log_dets = transform_each(self.transformer.value, params, moved, direction)
        arranged = jnp.concatenate([kept, moved])
        return take(arranged, inverse, order).reshape(self.shape), log_dets.sum()


def mask_order(mask: BoolArray) -> tuple[np.ndarray, np.ndarray]:
    """The permutation that puts kept coordinates first, and its inverse."""
    order = np.argsort(~mask.reshape(-1), kind="stable")
    return order.astype(np.int32), np.argsort(order).astype(np.int32)


def transform_each(template: AbstractMap, params: Array, points: Array, direction: str) -> tuple[Array, Array]:
    """Run one scalar bijection for each coordinate, its parameters offset by a row of `params`.

    Arguments:
        template: scalar bijection with P trainable numbers.
        params: shape (D, P).
        points: shape (D,).
        direction: "forward_and_log_det" or "inverse_and_log_det".

    Returns:
        The moved points and their log-derivatives, both of shape (D,).
    """
    moved: tuple[Array, Array] = jax.vmap(lambda p, v: getattr(trees.offset(template, p), direction)(v))(params, points)
    return moved


def stacked_couplings(masks: BoolArray, conditioners: Any, transformer: AbstractMap, cond_dim: int | None) -> Coupling:
    """One `Coupling` whose leaves carry a layer axis, for `Scan`.

    Arguments:
        masks: shape (L, *shape), each keeping as many coordinates.
        conditioners: a conditioner with leaves stacked over L layers.
        transformer: the scalar map that all layers share as their template.
        cond_dim: size of the condition, or None.
    """
    one = Coupling(masks[0], trees.unstack(conditioners, 0), transformer, cond_dim)
    orders = [mask_order(mask) for mask in masks]
    stacked: Coupling = eqx.tree_at(
        lambda c: (c.permutation.content, c.inverse_permutation.content, c.conditioner),
        trees.repeat(one, len(masks)),
        (jnp.stack([o for o, _ in orders]), jnp.stack([i for _, i in orders]), conditioners),
    )
    return stacked
