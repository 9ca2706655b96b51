"""Linear algebra that many maps may ask for at once, within one compiled program.

jaxlib's CPU kernels hand a batch of matrices to XLA's threads from within one of these threads, and wait for them: as
many such calls at once as there are threads wait for ever (jaxlib 0.10). A kernel that gets one matrix hands out
nothing. So general matrices are factored one after another here, and triangular systems need no kernel at all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections._implicit import implicit

LEAF = 4  # rows of the blocks that are inverted: inverses of larger ones grow where solutions need not
MOST_LEAVES = 32  # but no more blocks than these, which would take long to compile


def solve_lower(matrix: Array, right: Array) -> Array:
    """The solution z of `matrix @ z = right` by substitution in blocks.

    Arguments:
        matrix: lower triangular, its diagonal nonzero, shape (D, D); what is above the diagonal is not read.
        right: shape (D,) or (D, n).

    Returns:
        z, of the shape of `right`.
    """
    dim = len(matrix)
    leaf = min(2 ** (dim - 1).bit_length(), max(LEAF, 2 ** (-(-dim // MOST_LEAVES) - 1).bit_length()))
    inverses = _leaf_inverses(matrix, leaf)

    def substitute(start: int, stop: int, right: Array) -> Array:
        if stop - start <= leaf:
            size = stop - start
            return inverses[start // leaf][:size, :size] @ right
        middle = start + leaf * ((stop - start + leaf) // (2 * leaf))
        top = substitute(start, middle, right[: middle - start])
        below = right[middle - start :] - matrix[middle:stop, start:middle] @ top
        return jnp.concatenate([top, substitute(middle, stop, below)])

    return substitute(0, dim, right)


def _leaf_inverses(matrix: Array, leaf: int) -> Array:
    """The inverses of the diagonal blocks of one size, a power of two; the last block is filled up by the identity."""
    dim = len(matrix)
    padding = -dim % leaf
    padded = jnp.pad(matrix, (0, padding)) + jnp.diag(jnp.arange(dim + padding) >= dim).astype(matrix.dtype)
    inverses = 1 / jnp.diag(padded)[:, None, None]
    for size in (2**level for level in range(leaf.bit_length() - 1)):
        below = _diagonal_blocks(padded, 2 * size)[:, size:, :size]
        first, second = inverses[0::2], inverses[1::2]
        top = jnp.concatenate([first, jnp.zeros_like(first)], axis=2)
        inverses = jnp.concatenate([top, jnp.concatenate([-second @ below @ first, second], axis=2)], axis=1)
    return inverses


def _diagonal_blocks(matrix: Array, size: int) -> Array:
    """The square blocks of one size along the diagonal, shape (D / size, size, size)."""
    n = len(matrix) // size
    return matrix.reshape(n, size, n, size)[np.arange(n), :, np.arange(n)]


def _one_by_one(kernel: Callable[[Array], Any]) -> Callable[[Array], Any]:
    """A function of one matrix that, under `vmap` on a CPU, takes one after another; not to be differentiated."""
    one: Any = custom_vmap(kernel)

    @one.def_vmap  # type: ignore[untyped-decorator]
    def batched(axis_size: int, in_batched: Any, matrices: Array) -> tuple[Any, Any]:
        out = lax.platform_dependent(matrices, cpu=partial(lax.map, one), default=jax.vmap(kernel))
        return out, jax.tree.map(lambda _: True, out)

    result: Callable[[Array], Any] = one
    return result


@_one_by_one
def _inverse_and_log_det(matrix: Array) -> tuple[Array, Array]:
    return jnp.linalg.inv(matrix), jnp.linalg.slogdet(matrix)[1]


def _inverse_derivative(value: Any, arguments: Any, tangents: Any) -> tuple[Array, Array]:
    inverse, change = value[0], value[0] @ tangents[0]
    return -change @ inverse, jnp.trace(change)


_inverted = implicit(_inverse_and_log_det, _inverse_derivative)


def inverse_and_log_det(matrix: Array) -> tuple[Array, Array]:
    """The inverse and log|det| of a nonsingular matrix of shape (D, D)."""
    inverse, log_det = _inverted(matrix)
    return inverse, log_det


@_one_by_one
def _kernel_qr(matrix: Array) -> tuple[Array, Array]:
    q, r = jnp.linalg.qr(matrix)
    return q, r


def _positive_qr(matrix: Array) -> tuple[Array, Array]:
    q, r = _kernel_qr(matrix)
    signs = jnp.where(jnp.diag(r) < 0, -1, 1).astype(matrix.dtype)
    return q * signs, signs[:, None] * r


def _qr_derivative(value: Any, arguments: Any, tangents: Any) -> tuple[Array, Array]:
    q, r = value
    change = solve_lower(r.T, tangents[0].T).T
    inside = q.T @ change
    turned = jnp.tril(inside, -1) - jnp.tril(inside, -1).T
    return q @ (turned - inside) + change, (inside - turned) @ r


_factored = implicit(_positive_qr, _qr_derivative)


def qr(matrix: Array) -> tuple[Array, Array]:
    """Q with orthonormal columns, (D, M), and R upper triangular, its diagonal positive, (M, M), of rank M ≤ D."""
    q, r = _factored(matrix)
    return q, r


def random_orthogonal(key: PRNGKeyArray, dim: int) -> Array:
    """A uniformly distributed orthogonal matrix of shape (dim, dim)."""
    return qr(jax.random.normal(key, (dim, dim)))[0]


@_one_by_one
def lu(matrix: Array) -> tuple[Array, Array, Array]:
    """The permutation as indices, unit lower L and upper U with `L @ U == matrix[permutation]`."""
    packed, _, permutation = lax.linalg.lu(matrix)
    lower = jnp.tril(packed, -1) + jnp.eye(len(packed), dtype=packed.dtype)
    return permutation, lower, jnp.triu(packed)
