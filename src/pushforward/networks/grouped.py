"""A masked network over groups of inputs and outputs, one group for each column of a table."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pushforward.networks.made import hidden_degrees
from pushforward.networks.mlp import Linear, activation, conditioned, draw_layers


class GroupedMADE(eqx.Module):
    """A MADE (Germain et al. 2015) whose inputs and outputs come in groups: those of group i see the groups before.

    Arguments (of `init`):
        key: a JAX random key.
        inputs: the group of each input, counted from 0.
        outputs: the group of each output.
        n_groups: D.
        hidden_sizes: units of each hidden layer, at least one layer.
        cond_dim: size of a condition that all outputs see, or None.
        activation: name of an activation.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.networks.grouped import GroupedMADE
        >>> network = GroupedMADE.init(jax.random.key(0), (0, 0, 1), (0, 1, 1, 1), 2, (16,))
        >>> network(jnp.ones(3)).shape
        (4,)
    """

    layers: tuple[Linear, ...]
    context: Array | None
    inputs: tuple[int, ...] = eqx.field(static=True)
    outputs: tuple[int, ...] = eqx.field(static=True)
    n_groups: int = eqx.field(static=True)
    activation: str = eqx.field(static=True, default="silu")

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        inputs: Sequence[int],
        outputs: Sequence[int],
        n_groups: int,
        hidden_sizes: Sequence[int],
        cond_dim: int | None = None,
        activation: str = "silu",
    ) -> GroupedMADE:
        """Draw a network to train, whose outputs are near zero."""
        n_in = len(inputs)
        first, *others = draw_layers(key, [n_in + (cond_dim or 0), *hidden_sizes, len(outputs)], 0.01)
        context = None if cond_dim is None else first.weight[:, n_in:]
        layers = (Linear(first.weight[:, :n_in], first.bias), *others)
        return cls(layers, context, tuple(inputs), tuple(outputs), n_groups, activation)

    def masks(self) -> list[np.ndarray]:
        """Which connections there are, of every layer."""
        widths = [layer.bias.shape[-1] for layer in self.layers[:-1]]
        hidden = [hidden_degrees(width, self.n_groups, self.context is not None) for width in widths]
        degrees = [np.asarray(self.inputs) + 1, *hidden]
        seen_by = [*hidden, np.asarray(self.outputs)]
        return [out[:, None] >= into[None, :] for into, out in zip(degrees, seen_by, strict=True)]

    def __call__(self, x: Array, condition: Array | None = None) -> Array:
        act, out = activation(self.activation), x
        biases = conditioned([layer.bias for layer in self.layers], self.context, condition)
        for i, (layer, mask, bias) in enumerate(zip(self.layers, self.masks(), biases, strict=True)):
            out = jnp.where(jnp.asarray(mask), layer.weight, 0) @ (act(out) if i else out) + bias
        return out
