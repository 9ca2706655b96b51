"""Masked autoregressive layers, one pass one way and one incremental sweep the other."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap
from jaxtyping import Array

from pushforward import trees
from pushforward.bijections.base import AbstractBijection
from pushforward.bijections.coupling import transform_each
from pushforward.bijections.permute import take
from pushforward.networks.made import MADE, sweep, transposed_solve
from pushforward.trees import Frozen


class MaskedAutoregressive(AbstractBijection):
    """An autoregressive layer x_i = τ(z_i; g(x_{<i})) over a masked network g.

    Data to noise is one pass of the network. Noise to data is sequential in D, done as one incremental
    sweep that touches each hidden unit about once, at the arithmetic of one pass; its gradient is implicit
    (one reverse sweep, then one VJP), so its memory is that of one pass. With an affine transformer this is
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

    forward_is_sequential: ClassVar[bool] = True

    network: MADE
    transformer: Frozen[AbstractBijection]
    order: Frozen[Array]
    inverse_order: Frozen[Array]

    def __init__(self, network: MADE, transformer: AbstractBijection, order: Any = None):
        if transformer.shape != ():
            raise ValueError(f"transformer must be a scalar bijection, of shape (); got shape {transformer.shape}")
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

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.network.dim,)

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        return None if self.network.context is None else self.network.context.shape[-1:]

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        x = take(x, self.order.value, self.inverse_order.value)
        z, log_det = _parallel(self, x, condition)
        return take(z, self.inverse_order.value, self.order.value), log_det

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        z = take(z, self.order.value, self.inverse_order.value)
        x, log_det = _sequential((self, z, condition))
        return take(x, self.inverse_order.value, self.order.value), log_det


def _parallel(layer: MaskedAutoregressive, x: Array, condition: Array | None) -> tuple[Array, Array]:
    """x to z in the network's own order, with the log-determinant."""
    params = layer.network(x, condition)
    z, log_dets = transform_each(layer.transformer.value, params, x, "inverse_and_log_det")
    return z, log_dets.sum()


@eqx.filter_custom_vjp
def _sequential(arguments: tuple[MaskedAutoregressive, Array, Array | None]) -> tuple[Array, Array]:
    """z to x in the network's own order, with the log-determinant."""
    layer, z, condition = arguments
    x = _solve(layer, z, condition)
    params = layer.network(x, condition)
    _, log_dets = transform_each(layer.transformer.value, params, z, "forward_and_log_det")
    return x, log_dets.sum()


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


@_sequential.def_fwd  # type: ignore[untyped-decorator]
def _sequential_fwd(perturbed: Any, arguments: Any) -> tuple[tuple[Array, Array], Array]:
    x, log_det = _sequential(arguments)
    return (x, log_det), x


@_sequential.def_bwd  # type: ignore[untyped-decorator]
def _sequential_bwd(x: Array, cotangents: Any, perturbed: Any, arguments: Any) -> Any:
    """Implicit gradient of F(x, θ) = z: λ solves Jᵀλ = g, then one VJP of the parallel pass."""
    layer, _, condition = arguments
    x_bar = jnp.zeros_like(x) if cotangents[0] is None else cotangents[0]
    log_det_bar = jnp.zeros((), x.dtype) if cotangents[1] is None else cotangents[1]
    template = layer.transformer.value

    pre = layer.network.pre_activations(x, condition)
    params = pre[-1].reshape(layer.network.dim, layer.network.n_params)
    pull = jax.vmap(jax.grad(lambda p, v: trees.offset(template, p).inverse(v), argnums=(0, 1)))
    slopes, diagonal = pull(params, x)

    trainable, rest = eqx.partition((layer, condition), eqx.is_inexact_array)

    def parallel(trainable: Any, x: Array) -> tuple[Array, Array]:
        layer, condition = eqx.combine(trainable, rest)
        return _parallel(layer, x, condition)

    _, vjp = jax.vjp(parallel, trainable, x)
    # the forward log-determinant is minus the inverse's, as a function of x and the parameters
    g = x_bar + vjp((jnp.zeros_like(x), -log_det_bar))[1]
    solved = transposed_solve(layer.network, pre, diagonal, slopes, g)
    layer_bar, condition_bar = vjp((-solved, -log_det_bar))[0]
    return layer_bar, solved, condition_bar
