"""PixelRNN: recurrent networks over an image's rows or diagonals, whose outputs see the pixels before their own."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from pushforward.networks._views import convolve_at, product
from pushforward.networks.causal import Reach, nothing, reach_at, shifted_reach
from pushforward.networks.masked import MaskedConvolution, Rows
from pushforward.networks.raster import AbstractRasterLayer, AbstractRasterNetwork

ROW_TAPS = ((0, -1), (0, 0), (0, 1))  # of the row above, where a Row LSTM's state comes from


def cell(gates: Array, memory: Array) -> tuple[Array, Array]:
    """State and memory of an LSTM, from its gates side by side: output, forget, input, content."""
    out, forget, into, content = jnp.split(gates, 4, axis=-1)
    memory = jax.nn.sigmoid(forget) * memory + jax.nn.sigmoid(into) * jnp.tanh(content)
    return jax.nn.sigmoid(out) * jnp.tanh(memory), memory


def gate_bias(channels: int) -> Array:
    """Biases that let an LSTM remember at the start."""
    return jnp.zeros(4 * channels).at[channels : 2 * channels].set(1)


class RowKept(NamedTuple):
    """What a Row LSTM keeps: what its convolution does, state and memory of the row so far, and of the row above."""

    inputs: Rows
    state: Array
    memory: Array
    told: Array
    memory_above: Array


class RowLayer(AbstractRasterLayer):
    """A Row LSTM: every pixel's gates see the pixels to its left by a convolution, and three states of the row above.

    Arguments:
        inputs: masked (B) convolution of one row, from 2 h channels to the 4 h gates.
        states: of the row above to the gates, shape (3, h, 4 h).
        out: to what is added to the layer's input, shape (h, 2 h).
        out_bias: shape (2 h,).
    """

    inputs: MaskedConvolution
    states: Float[Array, "taps h four_h"]
    out: Float[Array, "h two_h"]
    out_bias: Float[Array, " two_h"]

    @classmethod
    def init(cls, key: PRNGKeyArray, channels: int) -> RowLayer:
        """Draw a layer to train."""
        keys, h = jax.random.split(key, 3), channels
        inputs = MaskedConvolution.init(keys[0], 2 * h, 4 * h, 3, True, rows=1, scale=1.0)
        return cls(
            eqx.tree_at(lambda c: c.bias, inputs, gate_bias(h)),
            jax.random.normal(keys[1], (3, h, 4 * h)) * (1 / (3 * h)) ** 0.5,
            jax.random.normal(keys[2], (h, 2 * h)) * (1 / h) ** 0.5,
            jnp.zeros(2 * h),
        )

    def _from_above(self, row: Array) -> Array:
        """What the states of the row above give to the gates."""
        return convolve_at(row[None], self.states, ROW_TAPS)[0]

    def __call__(self, image: Array) -> Array:
        """The image with what this layer adds; one step of the recursion a row."""

        def row(above: tuple[Array, Array], inputs: Array) -> tuple[tuple[Array, Array], Array]:
            state, memory = cell(inputs + self._from_above(above[0]), above[1])
            return (state, memory), state

        nothing = jnp.zeros((image.shape[1], self.out.shape[0]), image.dtype)
        _, states = lax.scan(row, (nothing, nothing), self.inputs(image))
        return image + product(states, self.out) + self.out_bias

    def start(self, width: int) -> RowKept:
        """What is kept before the first row."""
        nothing = jnp.zeros((width, self.out.shape[0]), self.out.dtype)
        gates = jnp.zeros((width, self.states.shape[-1]), self.out.dtype)
        return RowKept(self.inputs.start(width), nothing, nothing, gates, nothing)

    def row(self, kept: RowKept) -> RowKept:
        """What is kept before a row."""
        told = self._from_above(kept.state)
        return RowKept(self.inputs.row(kept.inputs), kept.state, kept.memory, told, kept.memory)

    def step(self, kept: RowKept, column: Array, x: Array) -> tuple[RowKept, Array]:
        """What is kept after a pixel, and the pixel with what this layer adds."""
        inputs, gates = self.inputs.step(kept.inputs, column, x)
        told, memory = (lax.dynamic_index_in_dim(a, column, 0, keepdims=False) for a in (kept.told, kept.memory_above))
        state, memory = cell(gates + told, memory)
        states, memories = (
            lax.dynamic_update_slice_in_dim(row, here[None], column, 0)
            for row, here in ((kept.state, state), (kept.memory, memory))
        )
        return kept._replace(inputs=inputs, state=states, memory=memories), x + state @ self.out + self.out_bias

    def reach(self, seen: Reach) -> Reach:
        """What is seen through it."""
        states = self.inputs.reach(seen)
        for r in range(1, len(states)):
            above = nothing(*seen.shape[:2])
            above[r - 1] = states[r - 1]
            states[r] |= reach_at(above, tuple((-1, j) for _, j in ROW_TAPS))[r]
        return seen | states


class RowLSTM(AbstractRasterNetwork):
    """Row LSTM: rows from the top, each one step of a recursion.

    (van den Oord et al. 2016, "Pixel recurrent neural networks"). What a pixel sees of the rows above is a triangle, so
    there are blind spots on both of its sides (`sees`).

    Arguments (of `init`):
        key: a JAX random key.
        shape: (H, W, C).
        n_features: E, numbers in which a value comes.
        n_params: P, numbers that are said of a value.
        channels: h, of states; images between layers have 2 h.
        n_layers: how many.
        first_side: of the first kernel, odd, at least 3.
        cond_dim: size of a condition, or None.

    Raises:
        ValueError: a size is out of its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.networks import RowLSTM
        >>> network = RowLSTM.init(jax.random.key(0), (4, 5, 1), 2, 1, channels=4, n_layers=2)
        >>> network(jnp.zeros((4, 5, 1, 2))).shape
        (4, 5, 1, 1)
    """

    @staticmethod
    def layer() -> type[RowLayer]:
        return RowLayer


class DiagonalKept(NamedTuple):
    """What a Diagonal BiLSTM keeps: of the row so far, both directions' states of the one above, if there is one."""

    inputs: Array
    states: Array
    above: Array
    left: Array
    memory: Array
    from_right: Array
    begun: Array


class DiagonalLayer(AbstractRasterLayer):
    """A Diagonal BiLSTM: every pixel's gates see its input and the states to its left and above it.

    A second direction sees the states to the right and above; its states are moved down a row before both are added,
    else it would see the future. A row is moved by its number, so that a column is a diagonal, which one step of the
    recursion computes; moving is padding and a change of shape, no gather, whose transpose would be slow.

    Arguments:
        inputs: to the gates of both directions, shape (2, 2 h, 4 h).
        biases: shape (2, 4 h).
        states: from the state beside and the one above to the gates, shape (2, 2 h, 4 h).
        out: to what is added to the layer's input, shape (h, 2 h).
        out_bias: shape (2 h,).
    """

    inputs: Float[Array, "directions two_h four_h"]
    biases: Float[Array, "directions four_h"]
    states: Float[Array, "directions two_h four_h"]
    out: Float[Array, "h two_h"]
    out_bias: Float[Array, " two_h"]

    @classmethod
    def init(cls, key: PRNGKeyArray, channels: int) -> DiagonalLayer:
        """Draw a layer to train."""
        keys, h = jax.random.split(key, 3), channels
        return cls(
            jax.random.normal(keys[0], (2, 2 * h, 4 * h)) * (0.5 / h) ** 0.5,
            jnp.stack([gate_bias(h)] * 2),
            jax.random.normal(keys[1], (2, 2 * h, 4 * h)) * (0.5 / h) ** 0.5,
            jax.random.normal(keys[2], (h, 2 * h)) * (0.5 / h) ** 0.5,
            jnp.zeros(2 * h),
        )

    def __call__(self, image: Array) -> Array:
        """The image with what this layer adds; one step of the recursions a diagonal, both directions at once."""
        height, width, _ = image.shape
        both = jnp.stack([image, image[:, ::-1]])
        gates = jax.vmap(product)(both, self.inputs) + self.biases[:, None, None]
        skewed = jax.vmap(skew)(gates)  # (direction, row, diagonal, gate)
        h = self.out.shape[0]

        def diagonal(before: tuple[Array, Array], at: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
            (state, memory), (gates, inside) = before, at
            above = jnp.pad(state, ((0, 0), (1, 0), (0, 0)))[:, :-1]
            told = jnp.einsum("drs,dsg->drg", jnp.concatenate([state, above], axis=-1), self.states)
            state, memory = cell(gates + told, memory)
            return (jnp.where(inside, state, 0), jnp.where(inside, memory, 0)), state

        nothing = jnp.zeros((2, height, h), image.dtype)
        inside = (jnp.arange(height + width - 1)[:, None] >= jnp.arange(height))[..., None]
        _, states = lax.scan(diagonal, (nothing, nothing), (jnp.moveaxis(skewed, 2, 0), inside))
        left, right = jax.vmap(lambda s: unskew(s, width))(jnp.moveaxis(states, 0, 2))
        right = jnp.pad(right[:-1, ::-1], ((1, 0), (0, 0), (0, 0)))
        return image + product(left + right, self.out) + self.out_bias

    def start(self, width: int) -> DiagonalKept:
        """What is kept before the first row."""
        h = self.out.shape[0]
        inputs, states = jnp.zeros((width, 2 * h), self.out.dtype), jnp.zeros((width, h), self.out.dtype)
        return DiagonalKept(inputs, states, states, states[0], states[0], states, jnp.zeros((), self.out.dtype))

    def row(self, kept: DiagonalKept) -> DiagonalKept:
        """What is kept before a row: the second direction runs over the row above, whole by now, if there is one."""
        gates = kept.inputs @ self.inputs[1] + self.biases[1]

        def pixel(right: tuple[Array, Array], at: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
            gates, above = at
            state, memory = cell(gates + jnp.concatenate([right[0], above]) @ self.states[1], right[1])
            return (state, memory), state

        nothing = jnp.zeros_like(kept.left)
        _, from_right = lax.scan(pixel, (nothing, nothing), (gates, kept.from_right), reverse=True)
        from_right, begun = kept.begun * from_right, jnp.ones_like(kept.begun)
        return kept._replace(above=kept.states, left=nothing, memory=nothing, from_right=from_right, begun=begun)

    def step(self, kept: DiagonalKept, column: Array, x: Array) -> tuple[DiagonalKept, Array]:
        """What is kept after a pixel, and the pixel with what this layer adds."""
        above, right = (lax.dynamic_index_in_dim(a, column, 0, keepdims=False) for a in (kept.above, kept.from_right))
        told = jnp.concatenate([kept.left, above]) @ self.states[0]
        state, memory = cell(x @ self.inputs[0] + self.biases[0] + told, kept.memory)
        inputs, states = (
            lax.dynamic_update_slice_in_dim(row, here[None], column, 0)
            for row, here in ((kept.inputs, x), (kept.states, state))
        )
        kept = kept._replace(inputs=inputs, states=states, left=state, memory=memory)
        return kept, x + (state + right) @ self.out + self.out_bias

    def reach(self, seen: Reach) -> Reach:
        """What is seen through it."""
        height, width, _ = seen.shape
        left, right = seen.copy(), seen.copy()
        for r in range(height):
            for c in range(width):
                back = width - 1 - c
                for states, at, beside in ((left, c, c - 1), (right, back, back + 1)):
                    states[r, at] |= states[r - 1, at] if r else False
                    states[r, at] |= states[r, beside] if 0 <= beside < width else False
        return left | shifted_reach(right, -1, 0)


class DiagonalBiLSTM(AbstractRasterNetwork):
    """Diagonal BiLSTM: diagonals, each one step of a recursion, from the left and from the right; all pixels are seen.

    (van den Oord et al. 2016, "Pixel recurrent neural networks"). As published, the last pixel of the row above is
    a blind spot: the first convolution leaves a pixel out of what the layers are given there, and nothing lies to the
    right of the last. So the layers run over one more column, of nothing, whose left neighbour it is.

    Arguments (of `init`):
        key: a JAX random key.
        shape: (H, W, C).
        n_features: E, numbers in which a value comes.
        n_params: P, numbers that are said of a value.
        channels: h, of states; images between layers have 2 h.
        n_layers: how many.
        first_side: of the first kernel, odd, at least 3.
        cond_dim: size of a condition, or None.

    Raises:
        ValueError: a size is out of its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.networks import DiagonalBiLSTM
        >>> network = DiagonalBiLSTM.init(jax.random.key(0), (4, 5, 1), 2, 1, channels=4, n_layers=2)
        >>> network(jnp.zeros((4, 5, 1, 2))).shape
        (4, 5, 1, 1)
    """

    @staticmethod
    def layer() -> type[DiagonalLayer]:
        return DiagonalLayer

    @property
    def width(self) -> int:
        return self.sides[1] + 1

    def features(self, x: Array, condition: Array | None = None) -> Array:
        return super().features(jnp.pad(x, ((0, 0), (0, 1), (0, 0), (0, 0))), condition)[:, :-1]

    def row(self, state: Any, above: Array) -> Any:
        ended, _ = self.step(state, jnp.asarray(self.sides[1]), above[-1])
        begun = state[1].begun[0] > 0
        state = jax.tree.map(lambda a, b: jnp.where(begun, a, b), ended, state)
        return super().row(state, jnp.pad(above, ((0, 1), (0, 0), (0, 0))))

    def reach(self) -> Reach:
        height, width, _ = self.sides
        seen = super().reach().reshape(height, width + 1, height, width + 1)
        return seen[:, :-1, :, :-1].reshape(height, width, -1)


def skew(image: Float[Array, "h w c"]) -> Float[Array, "h d c"]:
    """Every row moved to the right by its number, zeros around: columns are diagonals, H + W − 1 of them."""
    height, width, n = image.shape
    padded = jnp.pad(image, ((0, 0), (0, height), (0, 0))).reshape(-1, n)
    return padded[: height * (height + width - 1)].reshape(height, -1, n)


def unskew(skewed: Float[Array, "h d c"], width: int) -> Float[Array, "h w c"]:
    """The image that was skewed."""
    height, _, n = skewed.shape
    flat = jnp.pad(skewed.reshape(-1, n), ((0, height), (0, 0)))
    return flat.reshape(height, -1, n)[:, :width]
