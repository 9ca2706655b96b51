"""Convolutions that see only what comes before a pixel, whole images at once or one pixel after the other."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from pushforward.checks import check_whole
from pushforward.networks._views import Taps, convolve_at
from pushforward.networks.causal import Reach, reach_at


class Rows(NamedTuple):
    """What a masked convolution keeps: the last rows that it saw, the row that it is in, what those above give it."""

    above: Array
    here: Array
    told: Array


class MaskedConvolution(eqx.Module):
    """A convolution of an odd side without what comes after a pixel in the raster order, zeros outside.

    Mask A leaves the pixel itself out, mask B keeps it (van den Oord et al. 2016).

    Arguments (of `init`):
        key: a JAX random key.
        n_in: channels that come.
        n_out: channels that go.
        side: of the kernel, odd; 3 or more for mask A.
        sees_itself: mask B.
        rows: of the kernel, its own among them; all that come before if None.
        scale: of the weights, divided by the root of how many numbers are summed.

    Raises:
        ValueError: the side is even or too small.
    """

    kernel: Float[Array, "taps n_in n_out"]
    bias: Float[Array, " n_out"]
    side: int = eqx.field(static=True)
    sees_itself: bool = eqx.field(static=True)
    rows: int = eqx.field(static=True)

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        n_in: int,
        n_out: int,
        side: int,
        sees_itself: bool,
        rows: int | None = None,
        scale: float = 2.0**0.5,
    ) -> MaskedConvolution:
        """Draw a convolution to train."""
        if check_whole("side", side, 1 if sees_itself else 3) % 2 == 0:
            raise ValueError(f"the side of a masked kernel must be odd, so that it has a middle; got {side}")
        rows = side // 2 + 1 if rows is None else rows
        n = len(masked_taps(side, sees_itself, rows))
        kernel = jax.random.normal(key, (n, n_in, n_out)) * (scale / (n * n_in) ** 0.5)
        return cls(kernel, jnp.zeros(n_out), side, sees_itself, rows)

    @property
    def taps(self) -> Taps:
        """Where it looks."""
        return masked_taps(self.side, self.sees_itself, self.rows)

    def __call__(self, image: Float[Array, "h w n_in"]) -> Float[Array, "h w n_out"]:
        return convolve_at(image, self.kernel, self.taps) + self.bias

    def reach(self, reach: Reach) -> Reach:
        """What is seen through it."""
        return reach_at(reach, self.taps)

    def start(self, width: int) -> Rows:
        """What is kept before the first row of an image of so many columns."""
        n_in, n_out = self.kernel.shape[1:]
        row = jnp.zeros((self.side // 2 + width, n_in), self.kernel.dtype)
        told = jnp.zeros((width, n_out), self.kernel.dtype)
        return Rows(jnp.zeros((self.rows - 1, width, n_in), row.dtype), row, told)

    def row(self, kept: Rows, above: Array | None = None) -> Rows:
        """What is kept before a row: what the rows above it give to its pixels is computed here, all at once.

        Arguments:
            kept: what was kept.
            above: the row above, if the last pixel of it was not seen.
        """
        half = self.side // 2
        finished = kept.here[half:] if above is None else above
        if self.rows == 1:
            return Rows(kept.above, jnp.zeros_like(kept.here), kept.told)
        rows = jnp.concatenate([kept.above[1:], finished[None]])
        n = (self.rows - 1) * self.side
        taps = tuple((i, j) for i in range(self.rows - 1) for j in range(-half, half + 1))
        told = convolve_at(rows, self.kernel[:n], taps)[0]
        return Rows(rows, jnp.zeros_like(kept.here), told)

    def step(self, kept: Rows, column: Array, x: Float[Array, " n_in"]) -> tuple[Rows, Float[Array, " n_out"]]:
        """What is kept after a pixel, and its outputs.

        Arguments:
            kept: what was kept.
            column: of the pixel.
            x: inputs of the pixel, or of that to its left if it does not see itself.
        """
        half = self.side // 2
        n = half + self.sees_itself  # of pixels in the row that are looked at
        at = column + half - (not self.sees_itself)
        here = lax.dynamic_update_slice_in_dim(kept.here, x[None], at, 0)
        seen = lax.dynamic_slice_in_dim(here, column, n, 0)
        out = seen.reshape(-1) @ self.kernel[-n:].reshape(-1, self.bias.shape[0]) + self.bias
        if self.rows > 1:
            out = out + lax.dynamic_index_in_dim(kept.told, column, 0, keepdims=False)
        return Rows(kept.above, here, kept.told), out


def masked_taps(side: int, sees_itself: bool, rows: int) -> Taps:
    """Where a masked convolution looks: rows above from the top, then its own from the left."""
    half = side // 2
    above = [(i, j) for i in range(1 - rows, 0) for j in range(-half, half + 1)]
    return (*above, *((0, j) for j in range(-half, sees_itself)))
