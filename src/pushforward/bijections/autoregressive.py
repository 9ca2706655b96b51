"""Masked autoregressive layers, one pass one way and one incremental sweep the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap
from jaxtyping import Array, PRNGKeyArray

from pushforward import trees
from pushforward.bijections.affine import Affine
from pushforward.bijections.base import AbstractMap, require_transformer
from pushforward.bijections.coupling import transform_each
from pushforward.bijections.permute import take
from pushforward.bijections.sequential import AbstractSequential, sequential
from pushforward.networks.made import MADE, sweep, transposed_solve
from pushforward.trees import Frozen

M = TypeVar("M")
AFFINE_BOUND = 3.0  # of log|scale| of the affine transformer that `init` takes


class MaskedAutoregressive(AbstractSequential):
    """An autoregressive layer x_i = τ(z_i; g(x_{<i})) over a masked network g.

    Data to noise is one pass of the network. Noise to data is sequential in D, done as one incremental
    sweep that touches each hidden unit about once, at the arithmetic of one pass; its derivatives are implicit
    (one sweep for a triangular solve, and one derivative of the pass), so its memory is that of one pass. With an
    affine transformer this is
    MAF's layer (Papamakarios et al. 2017); inverted, IAF's (Kingma et al. 2016).

    Arguments:
        network: a MADE over D inputs with P outputs for each.
        transformer: a scalar bijection with P trainable numbers; the network's output is added to them.
        order: permutation of 0..D-1; coordinate order[i] is the i-th to be drawn. Natural if None.

    Raises:
        ValueError: the transformer is not scalar or does not match the network, or order is no permutation.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.bijections import Affine, MaskedAutoregressive
        >>> from pushforward.networks import MADE
        >>> network = MADE.init(jax.random.key(0), 3, 2, (16,))
        >>> layer = MaskedAutoregressive(network, Affine(jnp.array(0.0), jnp.array(1.0)))
        >>> x = jnp.array([0.5, -1.0, 2.0])
        >>> bool(jnp.allclose(layer.forward(layer.inverse(x)), x, atol=1e-5))
        True
    """

    network: MADE
    transformer: Frozen[AbstractMap]
    order: Frozen[Array]
    inverse_order: Frozen[Array]

    def __init__(self, network: MADE, transformer: AbstractMap, order: Any = None):
        require_transformer(transformer)
        n_params = trees.n_parameters(transformer)
        if n_params != network.n_params:
            raise ValueError(
                f"the network gives {network.n_params} numbers for each coordinate, the transformer "
                f"{type(transformer).__name__} has {n_params}; build the MADE with n_params={n_params}"
            )
        order = np.arange(network.dim) if order is None else np.asarray(order)
        if order.shape != (network.dim,) or not np.array_equal(np.sort(order), np.arange(network.dim)):
            raise ValueError(f"order must be a permutation of 0..{network.dim - 1}; got {order.tolist()}")
        self.network = network
        self.transformer = Frozen(transformer)
        self.order = Frozen(jnp.asarray(order, dtype=jnp.int32))
        self.inverse_order = Frozen(jnp.asarray(np.argsort(order), dtype=jnp.int32))

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        dim: int,
        *,
        hidden_sizes: Sequence[int] = (64,),
        transformer: AbstractMap | None = None,
        cond_dim: int | None = None,
        order: Any = None,
        activation: str = "silu",
    ) -> MaskedAutoregressive:
        """Draw a layer to train, close to its transformer on every coordinate.

        Arguments:
            key: a JAX random key.
            dim: D.
            hidden_sizes: units of the network's hidden layers.
            transformer: a scalar bijection; an affine map that starts as the identity if None.
            cond_dim: size of the condition, or None.
            order: permutation of 0..D-1; natural if None.
            activation: name of the network's activation.

        Raises:
            ValueError: a size is below one, there is no hidden layer, or the transformer or order does not fit.

        Example:
            >>> import jax
            >>> from pushforward.bijections import MaskedAutoregressive
            >>> MaskedAutoregressive.init(jax.random.key(0), 3, cond_dim=2).cond_shape
            (2,)
        """
        scalar = Affine(jnp.zeros(()), jnp.ones(()), max_log_scale=AFFINE_BOUND) if transformer is None else transformer
        network = MADE.init(key, dim, trees.n_parameters(scalar), hidden_sizes, cond_dim, activation)
        return cls(network, scalar, order)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        x = take(x, self.order.value, self.inverse_order.value)
        z, log_det = self.parallel(x, condition)
        return take(z, self.inverse_order.value, self.order.value), log_det

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        z = take(z, self.order.value, self.inverse_order.value)
        x, log_det = sequential(self, z, condition)
        return take(x, self.inverse_order.value, self.order.value), log_det

    def parallel(self, x: Array, condition: Array | None) -> tuple[Array, Array]:
        """The pass in the network's own order; see `AbstractSequential`."""
        params = self.network(x, condition)
        z, log_dets = transform_each(self.transformer.value, params, x, "inverse_and_log_det")
        return z, log_dets.sum()

    def solve(self, z: Array, condition: Array | None) -> Array:
        """One sweep, in the network's own order; see `AbstractSequential`."""
        return _solve(self, z, condition)

    def transposed_solve(self, x: Array, condition: Array | None, g: Array) -> Array:
        """One reverse sweep, in the network's own order; see `AbstractSequential`."""
        template = self.transformer.value
        pre = self.network.pre_activations(x, condition)
        params = pre[-1].reshape(self.network.dim, self.network.n_params)
        pull = jax.vmap(jax.grad(lambda p, v: trees.offset(template, p).inverse(v), argnums=(0, 1)))
        slopes, diagonal = pull(params, x)
        return transposed_solve(self.network, pre, diagonal, slopes, g)


def _solve(layer: MaskedAutoregressive, z: Array, condition: Array | None) -> Array:
    """The sweep on one point; a batch of points runs as one sweep over columns."""
    arrays, static = eqx.partition(layer, eqx.is_array)

    def many(arrays: Any, z: Array, condition: Array | None) -> Array:
        """z of shape (n, D); condition (n, C), (1, C) or None."""
        layer = eqx.combine(arrays, static)
        template, network = layer.transformer.value, layer.network
        axes = None if condition is None else 0
        first = jax.vmap(lambda c: network.biases(c)[0], in_axes=axes, axis_size=1 if axes is None else None)(condition)
        return sweep(network, lambda v, p: trees.offset(template, p).forward(v), z.T, first.T).T

    def one(arrays: Any, z: Array, condition: Array | None) -> Array:
        return many(arrays, z[None], None if condition is None else condition[None])[0]

    @custom_vmap
    def solve(arrays: Any, z: Array, condition: Array | None) -> Array:
        return one(arrays, z, condition)

    @solve.def_vmap
    def batched(size: int, where: Any, arrays: Any, z: Array, condition: Array | None) -> tuple[Array, bool]:
        if any(jax.tree.leaves(where[0])) or not where[1]:  # several layers side by side
            axes = jax.tree.map(lambda b: 0 if b else None, where)
            return jax.vmap(one, in_axes=tuple(axes), axis_size=size)(arrays, z, condition), True
        if condition is not None and not where[2]:
            condition = condition[None]
        return many(arrays, z, condition), True

    solved: Array = solve(arrays, z, condition)
    return solved


def reordered(layer: MaskedAutoregressive, order: Array) -> MaskedAutoregressive:
    """The same weights for the same coordinates, drawn in another order (Germain et al. 2015, order-agnostic MADE).

    Arguments:
        layer: any masked autoregressive layer.
        order: a permutation of 0..D-1, which may be traced.
    """
    network, dim = layer.network, layer.network.dim
    places = layer.inverse_order.value[order]  # in the old order, of the coordinates in the new one
    first, last = network.layers[0], network.layers[-1]
    outputs = (places[:, None] * network.n_params + jnp.arange(network.n_params)).reshape(-1)
    moved = eqx.tree_at(
        lambda n: (n.layers[0].weight, n.layers[-1].weight, n.layers[-1].bias),
        network,
        (first.weight[:, places], last.weight[outputs], last.bias[outputs]),
    )
    inverse = jnp.zeros(dim, jnp.int32).at[order].set(jnp.arange(dim, dtype=jnp.int32))
    new: MaskedAutoregressive = eqx.tree_at(
        lambda a: (a.network, a.order.content, a.inverse_order.content),
        layer,
        (moved, order.astype(jnp.int32), inverse),
    )
    return new


def shuffle_orders(model: M, key: PRNGKeyArray) -> M:
    """`model` with every masked autoregressive layer in a random order, its weights kept with their coordinates.

    Layers of a `Scan` get an order each.
    """

    def is_layer(node: Any) -> bool:
        return isinstance(node, MaskedAutoregressive)

    def shuffled(layer: MaskedAutoregressive, key: PRNGKeyArray) -> Any:
        if layer.order.value.ndim > 1:
            return eqx.filter_vmap(shuffled)(layer, jax.random.split(key, layer.order.value.shape[0]))
        return reordered(layer, jax.random.permutation(key, layer.network.dim))

    nodes, structure = jax.tree.flatten(model, is_leaf=is_layer)
    keys = jax.random.split(key, len(nodes))
    new = [shuffled(node, k) if is_layer(node) else node for node, k in zip(nodes, keys, strict=True)]
    result: M = jax.tree.unflatten(structure, new)
    return result
