"""Other views of the same row, that should fall in the same cluster."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pushforward.networks import image_sides

ROTATION = 15.0  # degrees, to either side
SCALE = 0.15  # logarithm of the stretch of either axis
SHIFT = 0.07  # of the image's side


class ImageViews(eqx.Module):
    """Images moved a little: turned, stretched along either axis, and shifted, each by a random amount.

    Between pixels it interpolates; beyond the border the outermost pixels go on.

    Arguments:
        image_shape: (height, width) or (height, width, channels) of a flat row in C order.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.objectives import ImageViews
        >>> ImageViews((8, 8))(jnp.ones((3, 64)), jax.random.key(0)).shape
        (3, 64)
    """

    image_shape: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, rows: Float[Array, "n pixels"], key: PRNGKeyArray) -> Float[Array, "n pixels"]:
        height, width, channels = image_sides(self.image_shape)
        where = self._places(key, len(rows))
        corner = jnp.floor(where)
        fraction = where - corner
        images = rows.reshape(len(rows), height * width, channels)
        moved = jnp.zeros((len(rows), height * width, channels), rows.dtype)
        for step in np.ndindex(2, 2):
            at = corner.astype(jnp.int32) + jnp.asarray(step)
            inside = jnp.clip(at, 0, jnp.asarray([height - 1, width - 1]))
            pixel = inside[..., 0] * width + inside[..., 1]
            share = jnp.where(jnp.asarray(step) == 1, fraction, 1 - fraction).prod(-1)
            moved += share[..., None] * jnp.take_along_axis(images, pixel[..., None], axis=1)
        return moved.reshape(rows.shape)

    def _places(self, key: PRNGKeyArray, n: int) -> Float[Array, "n pixels 2"]:
        """Where in its image each pixel of each view comes from."""
        sides = jnp.asarray(self.image_shape[:2], float)
        draw = jax.random.uniform(key, (5, n, 1), minval=-1.0, maxval=1.0)
        angle, stretch = draw[0] * ROTATION * jnp.pi / 180, jnp.exp(-SCALE * draw[1:3])
        grid = jnp.stack(jnp.meshgrid(*map(jnp.arange, self.image_shape[:2]), indexing="ij"), axis=-1).reshape(-1, 2)
        down, right = (grid - (sides - 1) / 2).T
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        turned = jnp.stack([(cos * down - sin * right) * stretch[0], (sin * down + cos * right) * stretch[1]], axis=-1)
        return turned + (sides - 1) / 2 + SHIFT * sides * jnp.moveaxis(draw[3:], 0, -1)
