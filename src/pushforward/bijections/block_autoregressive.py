"""Block neural autoregressive maps: one triangular monotone network is the whole layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections._roots import increasing_root
from pushforward.bijections.sequential import AbstractSequential, sequential
from pushforward.networks.block_triangular import BlockTriangular, solve, transposed_solve


class BlockAutoregressive(AbstractSequential):
    """z = g(x) for a block triangular monotone network g (De Cao, Aziz & Titov 2019).

    Data to noise is one pass. Noise to data solves one increasing scalar equation for each coordinate in turn, between
    known ends and to the precision of the dtype, touching each unit about once; its derivatives are implicit. A part of
    x that passes g unchanged makes it map onto the whole line.

    Arguments:
        network: a `BlockTriangular` over D inputs.

    Raises:
        ValueError: the network is no `BlockTriangular`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.bijections import BlockAutoregressive
        >>> layer = BlockAutoregressive.init(jax.random.key(0), 3)
        >>> x = jnp.array([0.5, -1.0, 2.0])
        >>> bool(jnp.allclose(layer.forward(layer.inverse(x)), x, atol=1e-4))
        True
    """

    network: BlockTriangular

    def __init__(self, network: Any):
        if not isinstance(network, BlockTriangular):
            raise ValueError(f"network must be a BlockTriangular; got {type(network).__name__}")
        self.network = network

    @classmethod
    def init(
        cls, key: PRNGKeyArray, dim: int, *, block_sizes: Sequence[int] = (8,), cond_dim: int | None = None
    ) -> BlockAutoregressive:
        """Draw a layer to train, close to the identity.

        Arguments:
            key: a JAX random key.
            dim: D.
            block_sizes: units that each coordinate has in each hidden layer.
            cond_dim: size of the condition, or None.

        Raises:
            ValueError: a size is below one, or there is no hidden layer.
        """
        return cls(BlockTriangular.init(key, dim, block_sizes, cond_dim))

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self.parallel(x, condition)

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return sequential(self, z, condition)

    def parallel(self, x: Array, condition: Array | None) -> tuple[Array, Array]:
        z, log_diagonal = self.network(x, condition)
        return z, log_diagonal.sum()

    def solve(self, z: Array, condition: Array | None) -> Array:
        return solve(self.network, z, condition, increasing_root)

    def transposed_solve(self, x: Array, condition: Array | None, g: Array) -> Array:
        return transposed_solve(self.network, x, condition, g)
