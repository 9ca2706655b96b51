"""A plain multilayer perceptron."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


@jax.custom_jvp
def elu(x: Array) -> Array:
    """x above 0, eˣ − 1 below (Clevert et al. 2016), right to the rounding of 1."""
    return jnp.maximum(x, 0) + (jnp.exp(jnp.minimum(x, 0)) - 1)


@elu.defjvp
def _elu_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """Value, slope and the slope's slope from one exponential, where jax.nn.elu's take a costlier eˣ − 1 each."""
    (x,), (along,) = primals, tangents
    slope = jnp.exp(jnp.minimum(x, 0))
    return jnp.maximum(x, 0) + (slope - 1), slope * along


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
    "gelu": jax.nn.gelu,
    "elu": elu,
    "softplus": jax.nn.softplus,
    "leaky_relu": jax.nn.leaky_relu,
}


def activation(name: str) -> Callable[[Array], Array]:
    """The activation of that name; models store the name, never the function.

    Raises:
        ValueError: no activation has that name.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}; choose one of {sorted(ACTIVATIONS)}")
    return ACTIVATIONS[name]


class Linear(eqx.Module):
    """`weight @ x + bias`.

    Arguments:
        weight: shape (n_out, n_in).
        bias: shape (n_out,).
    """

    weight: Float[Array, "n_out n_in"]
    bias: Float[Array, " n_out"]

    def __call__(self, x: Float[Array, " n_in"]) -> Float[Array, " n_out"]:
        return self.weight @ x + self.bias


def conditioned(biases: list[Array], context: Array | None, condition: Array | None) -> list[Array]:
    """The biases of a network's layers, the first with the condition's part added.

    Arguments:
        biases: one for each layer.
        context: weights of the condition in the first layer, or None for a network that takes none.
        condition: shape (C,) or None.

    Raises:
        ValueError: the network needs a condition, and there is none.
    """
    if context is None:
        return biases
    if condition is None:
        raise ValueError(f"this network needs a condition of shape {context.shape[-1:]}; got none")
    return [biases[0] + context @ condition, *biases[1:]]


def draw_layers(key: PRNGKeyArray, sizes: Sequence[int], output_scale: float) -> tuple[Linear, ...]:
    """Draw the layers of a network: He's scale inside, a small one at the end, biases zero.

    Arguments:
        key: a JAX random key.
        sizes: units from input to output; an input of size 0 is allowed.
        output_scale: scale of the last layer's weights.
    """
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    # one draw for all layers: each separate one would add to compile time
    flat = jax.random.normal(key, (sum(a * b for a, b in shapes),))
    layers, start = [], 0
    for i, (n_out, n_in) in enumerate(shapes):
        scale = output_scale if i == len(shapes) - 1 else 2.0**0.5
        weight = flat[start : start + n_out * n_in].reshape(n_out, n_in) * (scale / max(n_in, 1) ** 0.5)
        layers.append(Linear(weight, jnp.zeros(n_out)))
        start += n_out * n_in
    return tuple(layers)


class MLP(eqx.Module):
    """A multilayer perceptron on one point, whose output starts near zero.

    Arguments (of `init`):
        key: a JAX random key.
        n_in: inputs; 0 is allowed (the output is then a learned constant).
        n_out: outputs.
        hidden_sizes: units of each hidden layer.
        activation: a name in `ACTIVATIONS`.
        output_scale: scale of the last layer's weights; 0 starts at exactly zero.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.networks import MLP
        >>> MLP.init(jax.random.key(0), 3, 2, (8,))(jnp.ones(3)).shape
        (2,)
    """

    layers: tuple[Linear, ...]
    activation: str = eqx.field(static=True, default="relu")

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        n_in: int,
        n_out: int,
        hidden_sizes: Sequence[int],
        activation: str = "relu",
        output_scale: float = 0.01,
    ) -> MLP:
        """Draw a network to train."""
        return cls(draw_layers(key, [n_in, *hidden_sizes, n_out], output_scale), activation)

    def __call__(self, x: Float[Array, " n_in"]) -> Float[Array, " n_out"]:
        act = activation(self.activation)
        for layer in self.layers[:-1]:
            x = act(layer(x))
        return self.layers[-1](x)


class Trunk(eqx.Module):
    """A perceptron whose every layer is activated: features of one point that several linear heads share.

    Arguments (of `init`):
        key: a JAX random key.
        n_in: inputs.
        sizes: units of each layer, at least one layer; the last are the features.
        activation: a name in `ACTIVATIONS`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.networks import Trunk
        >>> Trunk.init(jax.random.key(0), 3, (8, 4))(jnp.ones(3)).shape
        (4,)
    """

    layers: tuple[Linear, ...]
    activation: str = eqx.field(static=True, default="relu")

    @classmethod
    def init(cls, key: PRNGKeyArray, n_in: int, sizes: Sequence[int], activation: str = "relu") -> Trunk:
        """Draw a network to train."""
        return cls(draw_layers(key, [n_in, *sizes], 2.0**0.5), activation)

    def __call__(self, x: Float[Array, " n_in"]) -> Float[Array, " n_out"]:
        act = activation(self.activation)
        for layer in self.layers:
            x = act(layer(x))
        return x
