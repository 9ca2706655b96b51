"""Several vectors, each linear in the one before it."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from pushforward.networks.mlp import MLP, Linear


class LinearChain(eqx.Module):
    """v_1 from an MLP and v_t = W_t v_{t−1} + b_t: the chain behind an amortised Householder flow.

    (Tomczak & Welling 2016, "Improving variational auto-encoders using Householder flow".)

    Arguments (of `init`):
        key: a JAX random key.
        n_in: inputs.
        dim: D, size of each vector.
        n_vectors: T.
        hidden_sizes: units of the MLP's hidden layers.
        activation: name of the MLP's activation.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.networks import LinearChain
        >>> LinearChain.init(jax.random.key(0), 3, 2, 4, (8,))(jnp.ones(3)).shape
        (8,)
    """

    first: MLP
    steps: Linear

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        n_in: int,
        dim: int,
        n_vectors: int,
        hidden_sizes: Sequence[int],
        activation: str = "silu",
    ) -> LinearChain:
        """Draw a network to train."""
        key_first, key_steps = jax.random.split(key)
        weight = jax.random.normal(key_steps, (n_vectors - 1, dim, dim)) / dim**0.5
        first = MLP.init(key_first, n_in, dim, hidden_sizes, activation, output_scale=1.0)
        return cls(first, eqx.filter_vmap(Linear)(weight, jnp.zeros((n_vectors - 1, dim))))

    def __call__(self, x: Float[Array, " n_in"]) -> Float[Array, " flat"]:
        """All vectors one after the other, shape (T · D,)."""
        v = self.first(x)

        def step(v: Array, layer: Linear) -> tuple[Array, Array]:
            following = layer(v)
            return following, following

        return jnp.concatenate([v, lax.scan(step, v, self.steps)[1].reshape(-1)])
