"""Block triangular monotone networks: output i increases in input i and depends on the inputs up to it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from pushforward.networks.mlp import conditioned

START_GATE = -2.0  # logit of w at the start: close to the identity, so that many layers do not stretch the tails
LEAST_PASS = 0.01  # of an input that goes through unchanged: the network maps onto the whole line


class BlockLinear(eqx.Module):
    """A linear layer of D × D blocks: positive ones on the diagonal, free ones below it, none above."""

    lower: Float[Array, "rows columns"]
    log_diagonal: Float[Array, "dim out into"]
    bias: Float[Array, " rows"]

    @classmethod
    def init(cls, key: PRNGKeyArray, dim: int, into: int, out: int) -> BlockLinear:
        """Draw a layer that keeps the spread of its inputs about as it is."""
        key_lower, key_diagonal, key_bias = jax.random.split(key, 3)
        lower = jax.random.normal(key_lower, (dim * out, dim * into)) / (dim * into) ** 0.5
        log_diagonal = 0.5 * jax.random.normal(key_diagonal, (dim, out, into)) - np.log(into)
        return cls(lower, log_diagonal, jax.random.uniform(key_bias, (dim * out,), minval=-1.0, maxval=1.0))

    def strictly_lower(self) -> Array:
        """The weights below the diagonal blocks, zero elsewhere, shape (rows, columns)."""
        dim, out, into = self.log_diagonal.shape
        row, column = np.arange(dim * out) // out, np.arange(dim * into) // into
        return jnp.where(jnp.asarray(row[:, None] > column), self.lower, 0)

    def diagonal(self) -> Array:
        """The positive blocks, shape (D, out, into)."""
        return jnp.exp(self.log_diagonal)

    def matrix(self) -> Array:
        """All of it, shape (rows, columns)."""
        dim, out, into = self.log_diagonal.shape
        blocks = self.diagonal()[:, :, None, :] * jnp.eye(dim, dtype=self.lower.dtype)[:, None, :, None]
        return self.strictly_lower() + blocks.reshape(dim * out, dim * into)


class BlockTriangular(eqx.Module):
    """A network whose Jacobian is lower triangular with a positive diagonal (De Cao, Aziz & Titov 2019).

    It is z = (1 − w) x + w g(x): blocks and tanh make g, whose image alone would be bounded, and a trained gate mixes
    it with the input.

    Arguments (of `init`):
        key: a JAX random key.
        dim: D, the number of inputs and of outputs.
        block_sizes: units that each input has in each hidden layer, at least one layer.
        cond_dim: size of the condition, or None; every first-layer unit sees it.

    Raises:
        ValueError: no hidden layer, or a size below one.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.networks import BlockTriangular
        >>> z, log_diagonal = BlockTriangular.init(jax.random.key(0), 3, (8, 8))(jnp.ones(3))
        >>> z.shape, log_diagonal.shape
        ((3,), (3,))
    """

    layers: tuple[BlockLinear, ...]
    context: Float[Array, "rows cond"] | None
    gate: Float[Array, ""]
    dim: int = eqx.field(static=True)

    @classmethod
    def init(
        cls, key: PRNGKeyArray, dim: int, block_sizes: Sequence[int], cond_dim: int | None = None
    ) -> BlockTriangular:
        """Draw a network to train."""
        sizes = (1, *block_sizes, 1)
        if len(sizes) < 3 or min(sizes) < 1 or dim < 1:
            raise ValueError(
                "BlockTriangular needs dim ≥ 1 and at least one hidden layer of at least one unit an input; "
                f"got dim={dim}, block_sizes={tuple(block_sizes)}"
            )
        *keys, key_context = jax.random.split(key, len(sizes))
        layers = tuple(BlockLinear.init(k, dim, *pair) for k, pair in zip(keys, pairwise(sizes), strict=True))
        if cond_dim is None:
            return cls(layers, None, START_GATE * jnp.ones(()), dim)
        context = jax.random.normal(key_context, (dim * sizes[1], cond_dim)) / cond_dim**0.5
        return cls(layers, context, START_GATE * jnp.ones(()), dim)

    def biases(self, condition: Array | None) -> list[Array]:
        """The bias of every layer, the first with the condition's part added."""
        return conditioned([layer.bias for layer in self.layers], self.context, condition)

    def shares(self) -> tuple[Array, Array]:
        """1 − w and w: how much of the input passes, and how much of g there is."""
        passing = LEAST_PASS + (1 - LEAST_PASS) * jax.nn.sigmoid(-self.gate)
        return passing, (1 - LEAST_PASS) * jax.nn.sigmoid(self.gate)

    def __call__(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        """The outputs, and the logarithms of the Jacobian's diagonal, both of shape (D,)."""
        return self.with_slopes(x, condition)[:2]

    def with_slopes(self, x: Array, condition: Array | None = None) -> tuple[Array, Array, list[Array]]:
        """The same, and the slopes of the activation in every hidden unit, shape (D, units) for each layer."""
        z, diagonal, log_scale = x, jnp.ones((self.dim, 1), x.dtype), jnp.zeros(self.dim, x.dtype)
        slopes: list[Array] = []
        for i, (layer, bias) in enumerate(zip(self.layers, self.biases(condition), strict=True)):
            z = layer.matrix() @ z + bias
            diagonal = jnp.einsum("doi,di->do", layer.diagonal(), diagonal)
            if i < len(self.layers) - 1:
                z = jnp.tanh(z)
                slopes.append(blocks_of(1 - z**2, self.dim))
                diagonal = diagonal * slopes[-1]
            # nothing is negative, so a rescaling of each row is all that a long product needs
            largest = lax.stop_gradient(jnp.maximum(diagonal.max(-1), _least(x.dtype)))
            diagonal, log_scale = diagonal / largest[:, None], log_scale + jnp.log(largest)
        passing, share = self.shares()
        # far out the slope of g is zero to the dtype, and its logarithm's gradient must still be finite
        log_slope = jnp.log(jnp.maximum(diagonal[:, 0], _least(x.dtype))) + log_scale
        return passing * x + share * z, jnp.logaddexp(jnp.log(passing), jnp.log(share) + log_slope), slopes


def _least(dtype: Any) -> Any:
    """The least positive normal number."""
    return jnp.finfo(dtype).tiny  # type: ignore[no-untyped-call]


def blocks_of(rows: Array, dim: int) -> Array:
    """Rows grouped by input, shape (D, rows / D, ...)."""
    return rows.reshape(dim, -1, *rows.shape[1:])


def solve(network: BlockTriangular, z: Array, condition: Array | None, root: Any) -> Array:
    """The x with network(x) = z, one coordinate after the other, at the arithmetic of one pass plus the scalar solves.

    Arguments:
        network: the network.
        z: shape (D,).
        condition: shape (C,) or None.
        root: (function, value, low, high) -> where the increasing scalar function has that value.
    """
    dim, layers = network.dim, network.layers
    lower = [blocks_of(layer.strictly_lower(), dim) for layer in layers]
    diagonal = [layer.diagonal() for layer in layers]
    biases = [blocks_of(bias, dim) for bias in network.biases(condition)]
    passing, share = network.shares()

    def block(x_i: Array, given: list[Array], diagonal: list[Array]) -> list[Array]:
        """What the units of one input compute from it and from what the inputs before it give; output last."""
        values: list[Array] = [x_i[None]]
        for level, (weights, pre) in enumerate(zip(diagonal, given, strict=True)):
            pre = weights @ values[-1] + pre
            values.append(jnp.tanh(pre) if level < len(given) - 1 else pre)
        return values

    def step(seen: list[Array], now: Any) -> tuple[list[Array], None]:
        i, z_i, lower, diagonal, bias = now
        given = [weights @ values + b for weights, values, b in zip(lower, seen, bias, strict=True)]
        steepest = jnp.ones(1, z_i.dtype)
        for weights in diagonal:
            steepest = weights @ steepest
        # the slope lies between that far out and that with every unit at zero
        rest = z_i - share * block(jnp.zeros_like(z_i), given, diagonal)[-1][0]
        far, near = rest / passing, rest / (passing + share * steepest[0])
        low, high = jnp.minimum(near, far), jnp.maximum(near, far)
        slack = 1e-3 * (1 + high - low)
        x_i = root(lambda v: passing * v + share * block(v, given, diagonal)[-1][0], z_i, low - slack, high + slack)
        values = block(x_i, given, diagonal)[:-1]
        seen = [lax.dynamic_update_slice_in_dim(s, v, i * len(v), 0) for s, v in zip(seen, values, strict=True)]
        return seen, None

    start = [jnp.zeros(layer.lower.shape[1], z.dtype) for layer in layers]
    (x, *_), _ = lax.scan(step, start, (jnp.arange(dim), z, lower, diagonal, biases))
    return x


def transposed_solve(network: BlockTriangular, x: Array, condition: Array | None, g: Array) -> Array:
    """Solve Jᵀλ = g for the network's Jacobian at x, in one reverse sweep.

    Arguments:
        network: the network.
        x: where, shape (D,).
        condition: shape (C,) or None.
        g: right-hand side, shape (D,).

    Returns:
        λ, shape (D,).
    """
    dim, layers = network.dim, network.layers
    columns = [blocks_of(layer.strictly_lower().T, dim) for layer in layers]
    diagonal = [layer.diagonal() for layer in layers]
    _, log_diagonal, slopes = network.with_slopes(x, condition)
    share = network.shares()[1]

    def block(out: Array, given: list[Array], diagonal: list[Array], slopes: list[Array]) -> list[Array]:
        """Cotangents of one input's pre-activations from that of its output; that of the input first."""
        result = [out[None]]
        for level in reversed(range(len(diagonal))):
            below = diagonal[level].T @ result[0] + given[level]
            result.insert(0, below * slopes[level - 1] if level else below)
        return result

    def step(cotangents: list[Array], now: Any) -> tuple[list[Array], Array]:
        i, g_i, log_slope, columns, diagonal, slopes = now
        given = [weights @ c for weights, c in zip(columns, cotangents, strict=True)]
        without = block(jnp.zeros_like(g_i), given, diagonal, slopes)[0][0]
        solved = (g_i - without) * jnp.exp(-log_slope)
        mine = block(share * solved, given, diagonal, slopes)[1:]
        cotangents = [
            lax.dynamic_update_slice_in_dim(c, v, i * len(v), 0) for c, v in zip(cotangents, mine, strict=True)
        ]
        return cotangents, solved

    start = [jnp.zeros(layer.lower.shape[0], g.dtype) for layer in layers]
    order = (jnp.arange(dim), g, log_diagonal, columns, diagonal, slopes)
    _, solved = lax.scan(step, start, order, reverse=True)
    return solved
