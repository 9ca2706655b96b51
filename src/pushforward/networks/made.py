"""MADE: a masked network whose i-th output sees only inputs before i, whole or one degree at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import NDArray

from pushforward.networks.mlp import Linear, activation, conditioned, draw_layers

IntArray: TypeAlias = NDArray[np.int_]
LEAVES = 8  # a sweep is halved until its parts are this many, or 8 steps long
WIDE = 128  # layers of at least so many units run in two parts, without the connections that the masks forbid


def hidden_degrees(width: int, dim: int, conditional: bool) -> NDArray[np.int_]:
    """Degrees of a hidden layer, sorted and evenly spread, so that the units of one degree are neighbours.

    A unit of degree m sees the inputs 1..m; units of degree 0 see only the condition.
    """
    lowest = 0 if conditional else min(1, dim - 1)
    return lowest + (np.arange(width) * (dim - lowest)) // width


class MADE(eqx.Module):
    """Masked autoencoder for distribution estimation (Germain et al. 2015), inputs in their natural order.

    Output i (a vector of n_params numbers) depends on the inputs before i and on the whole condition.

    Arguments (of `init`):
        key: a JAX random key.
        dim: D, the number of inputs.
        n_params: numbers given out for each input.
        hidden_sizes: units of each hidden layer, at least one layer.
        cond_dim: size of the condition, or None.
        activation: name of an activation.

    Raises:
        ValueError: no hidden layer, or a size below one.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.networks import MADE
        >>> MADE.init(jax.random.key(0), 3, 2, (16,))(jnp.ones(3)).shape
        (3, 2)
    """

    layers: tuple[Linear, ...]
    context: Float[Array, "width cond"] | None
    dim: int = eqx.field(static=True)
    n_params: int = eqx.field(static=True)
    activation: str = eqx.field(static=True, default="relu")

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        dim: int,
        n_params: int,
        hidden_sizes: Sequence[int],
        cond_dim: int | None = None,
        activation: str = "relu",
        output_scale: float = 0.01,
    ) -> MADE:
        """Draw a network to train."""
        hidden = tuple(hidden_sizes)
        if not hidden or min(hidden) < 1 or dim < 1 or n_params < 1:
            raise ValueError(
                f"MADE needs dim and n_params ≥ 1 and at least one hidden layer of at least one unit; "
                f"got dim={dim}, n_params={n_params}, hidden_sizes={hidden}"
            )
        sizes = [dim, *hidden, dim * n_params]
        if cond_dim is None:
            return cls(draw_layers(key, sizes, output_scale), None, dim, n_params, activation)
        # the condition is one more group of inputs, which every unit sees
        first, *others = draw_layers(key, [dim + cond_dim, *sizes[1:]], output_scale)
        layers = (Linear(first.weight[:, :dim], first.bias), *others)
        return cls(layers, first.weight[:, dim:], dim, n_params, activation)

    @property
    def degrees(self) -> list[NDArray[np.int_]]:
        """Degrees of the inputs and of each hidden layer."""
        widths = [layer.bias.shape[-1] for layer in self.layers[:-1]]
        hidden = [hidden_degrees(w, self.dim, self.context is not None) for w in widths]
        return [np.arange(1, self.dim + 1), *hidden]

    def masked_weights(self) -> list[Array]:
        """The weights of every layer with forbidden connections set to zero."""
        degrees = self.degrees
        seen_by = [*degrees[1:], np.repeat(np.arange(self.dim), self.n_params)]
        return [
            jnp.where(jnp.asarray(out)[:, None] >= jnp.asarray(into)[None, :], layer.weight, 0)
            for layer, into, out in zip(self.layers, degrees, seen_by, strict=True)
        ]

    def biases(self, condition: Array | None) -> list[Array]:
        """The bias of every layer, the first with the condition's part added."""
        return conditioned([layer.bias for layer in self.layers], self.context, condition)

    def __call__(self, x: Float[Array, " dim"], condition: Array | None = None) -> Float[Array, "dim n_params"]:
        return self.pre_activations(x, condition)[-1].reshape(self.dim, self.n_params)

    def pre_activations(self, x: Array, condition: Array | None = None) -> list[Array]:
        """What every layer computes before its activation; the last entry is the output, flat."""
        act, edges = activation(self.activation), self.edges()
        outs: list[Array] = []
        for i, (weight, bias) in enumerate(zip(self.masked_weights(), self.biases(condition), strict=True)):
            seen = act(outs[-1]) if outs else x
            outs.append(_two_parts(weight, seen, int(edges[i + 1][self.dim // 2]), int(edges[i][self.dim // 2])) + bias)
        return outs

    def edges(self) -> list[IntArray]:
        """Where the nodes of each step start: inputs, hidden layers, outputs; D + 1 numbers each."""
        steps = np.arange(self.dim + 1)
        return [steps, *(np.searchsorted(d, steps) for d in self.degrees[1:]), steps * self.n_params]

    def blocks(self) -> list[tuple[Array, int]]:
        """For each hidden layer, where the units of degree 0..D start, and how many to touch at once.

        A block may reach into neighbouring degrees: a unit touched before its inputs are complete is
        touched again when they are, and one touched after gets the same value, so nothing needs padding.
        """
        result = []
        for degrees in self.degrees[1:]:
            starts = np.searchsorted(degrees, np.arange(self.dim + 1))
            size = max(int(np.bincount(degrees).max()), 1)
            result.append((jnp.asarray(np.minimum(starts, len(degrees) - size), dtype=jnp.int32), size))
        return result


def _two_parts(weight: Array, seen: Array, rows: int, columns: int) -> Array:
    """`weight @ seen`, whose first `rows` rows see only the first `columns` columns."""
    if min(weight.shape) < WIDE:
        return weight @ seen
    return jnp.concatenate([weight[:rows, :columns] @ seen[:columns], weight[rows:] @ seen])


def sweep(network: MADE, update: Any, z: Array, first_bias: Array) -> Array:
    """Run x_i = update(z_i, output_i(x_{<i})) for i = 0..D-1, touching each hidden unit about once.

    The steps are halved again and again: what the first half gives to the second is one product for each layer, and
    only the last few steps go one by one, looking at their own units alone. This costs the arithmetic of one pass
    over the connections that the masks leave, where D passes would be naive.
    Points are columns here: their units of one degree are then neighbours in memory.

    Arguments:
        network: the masked network, on x.
        update: (z_i, params_i) -> x_i, on one point.
        z: n points, shape (D, n).
        first_bias: bias of the first layer with the condition's part, shape (width, n) or (width, 1).

    Returns:
        x, shape (D, n).
    """
    dim, weights, edges = network.dim, network.masked_weights(), network.edges()
    one_by_one = max(8, -(-dim // LEAVES))

    def block(level: int, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
        """Weights from the nodes of some steps at a level to those of others at the next."""
        below, above = edges[level], edges[level + 1]
        return weights[level][above[rows[0]] : above[rows[1]], below[columns[0]] : below[columns[1]]]

    def solve(a: int, b: int, pre: list[Array]) -> list[Array]:
        """Values of inputs and hidden units of steps a..b-1, given what all steps before give to every layer."""
        if b - a <= one_by_one:
            local = [block(level, (a, b), (a, b)) for level in range(len(weights))]
            return _steps(network, update, z[a:b], local, pre, [e[a : b + 1] - e[a] for e in edges])
        middle = (a + b) // 2
        cuts = [e[middle] - e[a] for e in edges[1:]]
        left = solve(a, middle, [p[:cut] for p, cut in zip(pre, cuts, strict=True)])
        given = [block(level, (middle, b), (a, middle)) @ values for level, values in enumerate(left)]
        right = solve(middle, b, [p[cut:] + g for p, cut, g in zip(pre, cuts, given, strict=True)])
        return [jnp.concatenate(halves) for halves in zip(left, right, strict=True)]

    return solve(0, dim, [first_bias, *(layer.bias[:, None] for layer in network.layers[1:])])[0]


def _steps(
    network: MADE, update: Any, z: Array, weights: list[Array], pre: list[Array], edges: list[IntArray]
) -> list[Array]:
    """The same one step at a time, each layer a few rows at once: a row touched too early is touched again in time."""
    act, n_params, n_steps = activation(network.activation), network.n_params, len(z)
    sizes, starts = [], []
    for e in edges[1:-1]:
        widest = 4 * -(-int(np.diff(e).max()) // 4)  # products of fewer rows are slower than those of four
        sizes.append(min(int(e[-1]), widest))
        starts.append(jnp.asarray(np.minimum(e[:-1], e[-1] - sizes[-1]), dtype=jnp.int32))

    def step(carry: tuple[Array, list[Array]], now: Any) -> tuple[tuple[Array, list[Array]], None]:
        x, hidden = carry
        i, z_i, at = now
        below, new = x, []
        for h, weight, p, start, size in zip(hidden, weights, pre, at, sizes, strict=False):
            rows = lax.dynamic_slice_in_dim(weight, start, size) @ below + lax.dynamic_slice_in_dim(p, start, size)
            below = lax.dynamic_update_slice_in_dim(h, act(rows), start, 0)
            new.append(below)
        out = lax.dynamic_slice_in_dim(weights[-1], i * n_params, n_params) @ below
        params = out + lax.dynamic_slice_in_dim(pre[-1], i * n_params, n_params)
        x_i = jax.vmap(update, in_axes=(0, 1))(z_i, params)
        return (lax.dynamic_update_slice_in_dim(x, x_i[None], i, 0), new), None

    hidden = [jnp.zeros((int(e[-1]), z.shape[1]), z.dtype) for e in edges[1:-1]]
    (x, hidden), _ = lax.scan(step, (jnp.zeros_like(z), hidden), (jnp.arange(n_steps), z, starts))
    return [x, *hidden]


def transposed_solve(network: MADE, pre: list[Array], diagonal: Array, slopes: Array, g: Array) -> Array:
    """Solve Jᵀλ = g for the triangular Jacobian J of z_i = τ⁻¹(x_i; output_i(x_{<i})), in one reverse sweep.

    Arguments:
        network: the masked network, on x.
        pre: its pre-activations at x.
        diagonal: dz_i/dx_i at fixed parameters, shape (D,).
        slopes: dz_i/dparams_i, shape (D, n_params).
        g: right-hand side, shape (D,).

    Returns:
        λ, shape (D,).
    """
    act = activation(network.activation)
    weights, blocks = network.masked_weights(), network.blocks()
    act_slopes = [jax.jvp(act, (a,), (jnp.ones_like(a),))[1] for a in pre[:-1]]
    by_input = [weight.T for weight in weights]

    def step(carry: tuple[Array, Array, list[Array]], i: Array) -> tuple[tuple[Array, Array, list[Array]], None]:
        solved, cotangent, hidden = carry
        above, now = cotangent.reshape(-1), []
        for h, rows, slope, (starts, size) in reversed(
            list(zip(hidden, by_input[1:], act_slopes, blocks, strict=True))
        ):
            start = starts[i + 1]
            block = lax.dynamic_slice_in_dim(rows, start, size) @ above
            block = block * lax.dynamic_slice_in_dim(slope, start, size)
            above = lax.dynamic_update_slice_in_dim(h, block, start, 0)
            now.append(above)
        solved_i = (g[i] - by_input[0][i] @ above) / diagonal[i]
        solved = lax.dynamic_update_slice_in_dim(solved, solved_i[None], i, 0)
        cotangent = lax.dynamic_update_slice_in_dim(cotangent, (solved_i * slopes[i])[None], i, 0)
        return (solved, cotangent, now[::-1]), None

    start_state = (jnp.zeros_like(g), jnp.zeros_like(slopes), [jnp.zeros_like(a) for a in pre[:-1]])
    (solved, _, _), _ = lax.scan(step, start_state, jnp.arange(network.dim), reverse=True)
    return solved
