"""Coupling layers of images, whose conditioner is an image's network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pushforward import trees
from pushforward.bijections.affine import affine_transformer
from pushforward.bijections.base import AbstractBijection, AbstractMap, require_transformer
from pushforward.bijections.coupling import BoolArray, transform_each
from pushforward.checks import check_shape, check_whole
from pushforward.networks import PlainConvolutions
from pushforward.trees import Frozen


class ImageCoupling(AbstractBijection):
    """A coupling layer of images: a network that sees what is kept gives the scalar map of every number that moves.

    With a mask it is the masked convolution of RealNVP (Dinh et al. 2017, section 3.4): the network sees the image with
    zeros where it moves. Without one, the last channels are kept and the first ones move, as in Glow. Both directions
    cost one pass of the network.

    Arguments:
        shape: of the event, (height, width, C).
        conditioner: from an image, shape (height, width, C), or (height, width, n_kept) without a mask, and the
            condition or None, to the parameters of the transformers, shape (height, width, C · P) or
            (height, width, (C - n_kept) · P); it takes batches along further first axes.
        transformer: a scalar bijection with P trainable numbers; the conditioner's output is added to them.
        mask: bool, broadcasting with `shape`, True where a number is kept; or None.
        n_kept: channels that are kept where there is no mask, in 1..C-1; None for half of them.
        cond_dim: size of the condition, or None.

    Raises:
        ValueError: the shape is not of that form, one channel cannot be parted, the mask is not boolean, does not fit,
            moves nothing or comes with `n_kept`, or the transformer is not scalar.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.bijections import ImageCoupling
        >>> layer = ImageCoupling.init(jax.random.key(0), (4, 4, 2), (8,))
        >>> layer.forward(jnp.ones((4, 4, 2))).shape
        (4, 4, 2)
    """

    conditioner: Callable[[Array, Array | None], Array]
    transformer: Frozen[AbstractMap]
    mask: Frozen[Array] | None
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] | None = eqx.field(static=True)
    n_moved: int = eqx.field(static=True)

    def __init__(
        self,
        shape: Any,
        conditioner: Callable[[Array, Array | None], Array],
        transformer: AbstractMap,
        mask: Any = None,
        n_kept: int | None = None,
        cond_dim: int | None = None,
    ):
        self.shape = _image_shape(shape)
        if mask is not None and n_kept is not None:
            raise ValueError(f"a mask says what is kept, so n_kept must be None beside it; got {n_kept!r}")
        require_transformer(transformer)
        self.conditioner, self.transformer = conditioner, Frozen(transformer)
        self.mask = None if mask is None else Frozen(jnp.asarray(_checked_mask(mask, self.shape)))
        self.n_moved = self.shape[2] if mask is not None else self.shape[2] - _n_kept(self.shape, n_kept)
        self.cond_shape = None if cond_dim is None else (cond_dim,)

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        shape: Any,
        channels: Sequence[int] = (64, 64),
        mask: Any = None,
        n_kept: int | None = None,
        transformer: AbstractMap | None = None,
        cond_dim: int | None = None,
        network: Any = PlainConvolutions,
    ) -> ImageCoupling:
        """Draw a layer to train, that starts as what its transformer is alone: the identity for an affine one.

        Arguments:
            key: a JAX random key.
            shape: of the event, (height, width, C).
            channels: of the network's hidden layers.
            mask, n_kept, cond_dim: as of the class.
            transformer: a scalar bijection; None for a shift and a positive scale.
            network: `PlainConvolutions` or `ResidualConvolutions`.
        """
        n_channels = _image_shape(shape)[2]
        transformer = affine_transformer() if transformer is None else transformer
        kept = n_channels if mask is not None else _n_kept(shape, n_kept)
        n_out = (n_channels if mask is not None else n_channels - kept) * trees.n_parameters(transformer)
        conditioner = network.init(key, kept, n_out, channels, cond_dim)
        return cls(shape, conditioner, transformer, mask, n_kept, cond_dim)

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self._move(z, condition, "forward_and_log_det")

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self._move(x, condition, "inverse_and_log_det")

    def forward_batch(
        self, z: Array, key: PRNGKeyArray | None = None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        """As for any map, with the network's products those of all images at once."""
        return self._move(z, condition, "forward_and_log_det")

    def inverse_batch(
        self, x: Array, key: PRNGKeyArray | None = None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        """As for any map, with the network's products those of all images at once."""
        return self._move(x, condition, "inverse_and_log_det")

    def _move(self, image: Array, condition: Array | None, direction: str) -> tuple[Array, Array]:
        if self.mask is None:
            moved, kept = image[..., : self.n_moved], image[..., self.n_moved :]
            moved, log_dets = self._transformed(moved, kept, condition, direction)
            return jnp.concatenate([moved, kept], axis=-1), log_dets.sum((-3, -2, -1))
        mask = self.mask.value
        moved, log_dets = self._transformed(image, jnp.where(mask, image, 0), condition, direction)
        return jnp.where(mask, image, moved), jnp.where(mask, 0, log_dets).sum((-3, -2, -1))

    def _transformed(self, moved: Array, kept: Array, condition: Array | None, direction: str) -> tuple[Array, Array]:
        params = self.conditioner(kept, condition).reshape(moved.size, -1)
        points, log_dets = transform_each(self.transformer.value, params, moved.reshape(-1), direction)
        return points.reshape(moved.shape), log_dets.reshape(moved.shape)


def checkerboard(shape: Any) -> BoolArray:
    """The mask of one colour of a board over the pixels: True where i + j is even; shape (height, width, 1)."""
    mask: BoolArray = (np.indices(shape[:2]).sum(0) % 2 == 0)[..., None]
    return mask


def _image_shape(given: Any) -> tuple[int, ...]:
    shape = check_shape("shape", given)
    if len(shape) != 3:
        raise ValueError(f"shape must be (height, width, channels); got {shape}")
    return shape


def _checked_mask(given: Any, shape: tuple[int, ...]) -> BoolArray:
    mask: BoolArray = np.asarray(given)
    fits = mask.ndim == 3 and all(a in (1, b) for a, b in zip(mask.shape, shape, strict=True))
    if mask.dtype != bool or not fits:
        raise ValueError(f"mask must be boolean and broadcast to {shape}; got dtype {mask.dtype}, shape {mask.shape}")
    if mask.all():
        raise ValueError(f"mask of shape {mask.shape} keeps every number; at least one must move")
    return mask


def _n_kept(shape: tuple[int, ...], n_kept: int | None) -> int:
    channels = shape[2]
    if channels < 2:
        raise ValueError(
            "an image of one channel has none to keep beside one that moves; give a mask, or squeeze it first"
        )
    n_kept = channels // 2 if n_kept is None else check_whole("n_kept", n_kept, 1)
    if n_kept >= channels:
        raise ValueError(f"n_kept must leave a channel of {channels} to move; got {n_kept}")
    return n_kept
