"""Networks that stretch no distance, so that what is added to the identity can be undone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pushforward.networks.convolutional import SIDE, Convolution, image_sides
from pushforward.networks.mlp import Linear, draw_layers

SQUARINGS = 7  # the bound is then above the largest singular value by a factor of rank^(1/258) at most
AT_ONCE = 3  # squarings before entries, which fall by up to rank⁴ then, are brought back to 1
SHRINK = 1 / 1.0999  # by the largest slope of x · sigmoid(x), 1.09984, rounded up
Layer: TypeAlias = Linear | Convolution


@jax.custom_jvp
def norm_bound(weight: Float[Array, "n_out n_in"]) -> Float[Array, ""]:
    """An upper bound on the largest singular value, a few parts in a hundred above it.

    Squares of the Gram matrix G = WᵀW lead to its power 2ᵗ, and that to the Schatten norm ‖W‖ ≤ tr(G^q)^(1/2q) of
    q = 2ᵗ + 1. Unlike power iteration, which comes from below, it is safe at every step, smooth in W, and has no state
    (as is Delattre et al. 2023, "Efficient bound of Lipschitz constant for convolutional layers by Gram iteration",
    with q = 2ᵗ⁺¹, whose gradient takes t products more).

    Arguments:
        weight: a matrix.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.networks import norm_bound
        >>> round(norm_bound(jnp.diag(jnp.array([3.0, 1.0]))).item(), 3)
        3.0
    """
    return _norm_and_power(weight)[0]


@norm_bound.defjvp
def _norm_bound_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """The gradient is along W G^(q − 1), whose power the bound has computed.

    Its size follows from ⟨gradient, W⟩ = bound, as the bound scales with W.
    """
    (weight,), (tangent,) = primals, tangents
    upper, power = _norm_and_power(weight)
    unit = weight / jnp.maximum(upper, _tiny(weight))
    along = unit @ power if weight.shape[0] >= weight.shape[1] else power @ unit
    return upper, jnp.vdot(along, tangent) / jnp.maximum(jnp.vdot(along, unit), _tiny(weight))


def _tiny(weight: Array) -> float:
    smallest: float = np.finfo(weight.dtype).tiny.item()
    return smallest


def _norm_and_power(weight: Array) -> tuple[Array, Array]:
    """The bound, and the power 2ᵗ of the Gram matrix up to a factor."""
    largest = jnp.maximum(jnp.abs(weight).max(), _tiny(weight))  # squares of large entries are beyond the dtype
    weight = weight / largest
    gram = weight.T @ weight if weight.shape[0] >= weight.shape[1] else weight @ weight.T
    power, log_scale = gram, jnp.zeros((), gram.dtype)  # the power is power · exp(log_scale)
    for i in range(SQUARINGS):
        if i % AT_ONCE == 0:
            size = jnp.maximum(jnp.linalg.norm(power), _tiny(weight))
            power, log_scale = power / size, log_scale + jnp.log(size)
        power, log_scale = power @ power, 2 * log_scale
    size = jnp.maximum(jnp.abs(power).max(), _tiny(weight))
    power, log_scale = power / size, log_scale + jnp.log(size)
    trace = jnp.maximum(jnp.vdot(power, gram), _tiny(weight))
    upper: Array = largest * jnp.exp((jnp.log(trace) + log_scale) / (2 * (2**SQUARINGS + 1)))
    return upper, power


def contracted(layer: Layer, lipschitz: float) -> Layer:
    """The layer, its weights shrunk where needed so that it stretches by at most `bound`."""
    if isinstance(layer, Convolution):
        norm = jax.vmap(norm_bound)(layer.frequencies()).max()
    else:
        norm = norm_bound(layer.weight)
    shrunk: Layer = eqx.tree_at(
        lambda layer: layer.weight, layer, layer.weight * (lipschitz / jnp.maximum(lipschitz, norm))
    )
    return shrunk


@jax.custom_jvp
def lip_swish(x: Array, sharpness: Array) -> Array:
    """x · sigmoid(βx) / 1.0999, smooth, of slope between −0.1 and 1 (Chen et al. 2019)."""
    return x * (SHRINK * jax.nn.sigmoid(sharpness * x))


@lip_swish.defjvp
def _lip_swish_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    """As JAX would find it, with the slope in one array, which each term of a series is multiplied by."""
    (x, sharpness), (along_x, along_sharpness) = primals, tangents
    gate = jax.nn.sigmoid(sharpness * x)
    gated = x * (SHRINK * gate)
    bent = gated * (1 - gate)  # first, so that no product of large numbers meets this zero
    return gated, (SHRINK * gate + sharpness * bent) * along_x + x * bent * along_sharpness


class Lipschitz(eqx.Module):
    """A network with ‖g(x) − g(y)‖ ≤ bound · ‖x − y‖ for every value of its parameters: a perceptron, or convolutions.

    Every layer is divided by a bound on its norm where that is above its share, and activations are LipSwish (Chen et
    al. 2019, "Residual flows for invertible generative modeling").

    Arguments (of `init`):
        key: a JAX random key.
        n_in: inputs.
        n_out: outputs.
        hidden_sizes: units of each hidden layer.
        lipschitz: the Lipschitz constant, below 1 for a residual map.
        cond_dim: size of the condition, or None; the bound is on the dependence on x alone.
        output_scale: scale of the last layer's weights.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.networks import Lipschitz
        >>> Lipschitz.init(jax.random.key(0), 3, 3, (8,)).lipschitz
        0.97
    """

    layers: tuple[Layer, ...]
    raw_sharpness: Float[Array, " n_hidden"]
    context: Float[Array, "width cond"] | None
    lipschitz: float = eqx.field(static=True)

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        n_in: int,
        n_out: int,
        hidden_sizes: Sequence[int],
        lipschitz: float = 0.97,
        cond_dim: int | None = None,
        output_scale: float = 0.1,
    ) -> Lipschitz:
        """Draw a network to train."""
        key_layers, key_context = jax.random.split(key)
        layers = draw_layers(key_layers, [n_in, *hidden_sizes, n_out], output_scale)
        return cls._of(layers, key_context, lipschitz, cond_dim)

    @classmethod
    def init_convolutional(
        cls,
        key: PRNGKeyArray,
        image_shape: Sequence[int],
        channels: Sequence[int],
        lipschitz: float = 0.97,
        cond_dim: int | None = None,
        output_scale: float = 0.1,
    ) -> Lipschitz:
        """Draw convolutions of 3 x 3 to train, from flat images to flat images of the same shape.

        Arguments:
            key: a JAX random key.
            image_shape: (height, width) or (height, width, channels); rows run through it in C order.
            channels: of each hidden layer.
            lipschitz: the Lipschitz constant.
            cond_dim: size of the condition, or None; it shifts the channels of the first hidden layer.
            output_scale: scale of the last layer's weights.

        Raises:
            ValueError: image_shape is not two or three positive whole numbers.
        """
        height, width, n = image_sides(image_shape)
        sizes = [n, *channels, n]
        key_context, *keys = jax.random.split(key, len(sizes))
        layers = []
        for i, (key_layer, n_in, n_out) in enumerate(zip(keys, sizes[:-1], sizes[1:], strict=True)):
            scale = output_scale if i == len(channels) else 2.0**0.5
            weight = jax.random.normal(key_layer, (n_out, SIDE**2 * n_in)) * scale / (SIDE**2 * n_in) ** 0.5
            layers.append(Convolution(weight, jnp.zeros(n_out), (height, width)))
        return cls._of(tuple(layers), key_context, lipschitz, cond_dim)

    @classmethod
    def _of(cls, layers: tuple[Layer, ...], key: PRNGKeyArray, lipschitz: float, cond_dim: int | None) -> Lipschitz:
        if not lipschitz > 0:
            raise ValueError(f"lipschitz must be above 0; got {lipschitz!r}")
        width = layers[0].bias.shape[0]
        context = None if cond_dim is None else jax.random.normal(key, (width, cond_dim)) / cond_dim**0.5
        return cls(layers, 0.5 * jnp.ones(len(layers) - 1), context, float(lipschitz))

    def fixed_norms(self) -> Lipschitz:
        """The same function with its weights shrunk once and for all, for many evaluations at one set of weights."""
        share = self.lipschitz ** (1 / len(self.layers))
        shrunk: Lipschitz = eqx.tree_at(
            lambda n: n.layers, self, tuple(contracted(layer, share) for layer in self.layers)
        )
        return shrunk

    def raw(self, x: Float[Array, " n_in"], condition: Array | None = None) -> Float[Array, " n_out"]:
        """The network with its weights as they are, which `fixed_norms` has shrunk."""
        sharpness = jax.nn.softplus(self.raw_sharpness)
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i == 0 and self.context is not None and condition is not None:
                shift = self.context @ condition
                x = (x.reshape(-1, len(shift)) + shift).reshape(x.shape)  # of every pixel, if there are any
            if i < len(self.layers) - 1:
                x = lip_swish(x, sharpness[i])
        return x

    def __call__(self, x: Float[Array, " n_in"], condition: Array | None = None) -> Float[Array, " n_out"]:
        return self.fixed_norms().raw(x, condition)
