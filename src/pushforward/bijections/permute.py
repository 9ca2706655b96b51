"""Permutations of coordinates."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pushforward.bijections.base import AbstractBijection
from pushforward.checks import is_concrete
from pushforward.trees import Frozen


def take(x: Float[Array, " d"], permutation: Int[Array, " d"], inverse: Int[Array, " d"]) -> Float[Array, " d"]:
    """`x[permutation]`, whose transpose is a gather as well.

    Arguments:
        x: shape (d,).
        permutation: indices, a permutation of 0..d-1; not checked.
        inverse: its inverse.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections.permute import take
        >>> take(jnp.array([1.0, 2.0, 3.0]), jnp.array([2, 0, 1]), jnp.array([1, 2, 0])).tolist()
        [3.0, 1.0, 2.0]
    """

    def gather(indices: Array, v: Array) -> Array:
        return v.at[indices].get(mode="promise_in_bounds")

    # Autodiff turns a gather into a scatter-add, slower by half here. Said as "solve v[inverse] = x for v", both
    # directions are gathers, and unlike a custom_vjp it keeps forward mode.
    result: Array = lax.custom_linear_solve(
        lambda v: gather(inverse, v),
        x,
        solve=lambda _, b: gather(permutation, b),
        transpose_solve=lambda _, b: gather(inverse, b),
    )
    return result


class Permute(AbstractBijection):
    """Reorder the coordinates: `x[i] = z[permutation[i]]`; volume preserving.

    Both directions are one gather.

    Arguments:
        permutation: integers, a permutation of 0..D-1, shape (D,).

    Raises:
        ValueError: it is no permutation.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Permute
        >>> Permute([2, 0, 1]).forward(jnp.array([1.0, 2.0, 3.0])).tolist()
        [3.0, 1.0, 2.0]
    """

    permutation: Frozen[Array]
    inverse_permutation: Frozen[Array]
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, permutation: Any):
        permutation, inverse = checked_permutation("permutation", permutation)
        self.permutation, self.inverse_permutation = Frozen(permutation), Frozen(inverse)
        self.shape = permutation.shape
        self.cond_shape = None

    @classmethod
    def init(cls, key: PRNGKeyArray, dim: int) -> Permute:
        """Draw a random permutation of `dim` coordinates."""
        return cls(jax.random.permutation(key, dim))

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        x = take(z, self.permutation.value, self.inverse_permutation.value)
        return x, jnp.zeros((), x.dtype)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        z = take(x, self.inverse_permutation.value, self.permutation.value)
        return z, jnp.zeros((), z.dtype)


def checked_permutation(name: str, value: Any) -> tuple[Array, Array]:
    """A permutation and its inverse, as int32 arrays.

    Raises:
        ValueError: `value` is not one-dimensional, not of integers, or no permutation.
    """
    if not is_concrete(value):
        return value.astype(jnp.int32), jnp.argsort(value).astype(jnp.int32)
    array = np.asarray(value)
    is_integer = array.ndim == 1 and np.issubdtype(array.dtype, np.integer)
    if not is_integer or not np.array_equal(np.sort(array), np.arange(len(array))):
        raise ValueError(f"{name} must be a permutation of 0..D-1, integers of shape (D,); got {array.tolist()}")
    return jnp.asarray(array, jnp.int32), jnp.asarray(np.argsort(array), jnp.int32)
