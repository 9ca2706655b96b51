"""Rows of numbers and categories: one column after the other, each given those before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from pushforward.checks import check_sizes, limits
from pushforward.distributions.base import AbstractDistribution
from pushforward.networks import MLP
from pushforward.networks.grouped import GroupedMADE
from pushforward.trees import Frozen

CODE, LOW, HIGH, WIDTH = range(4)
N_MODES = 8
INFINITE = 1e3  # standard units beyond which an edge of a cell is infinite
SEEN = 8.0  # standard units beyond which networks see no difference
LARGEST_LOGIT = 30.0
LEAST_SCALE = 1e-3
STRAY, STRAY_SCALE = 1e-4, 2.0  # share of numbers that come from anywhere, and how far, in standard units
MOST_WIDER = 12.0  # in logarithms, than without a network
BENDS = (-1.0, 0.0, 1.0)  # where what networks see of a number bends


class Layout(NamedTuple):
    """The columns of a row, and how many codes each has.

    A row is an array of shape (D, 4): of every column a code, the lower and the upper edge of the cell of its number,
    and how wide that is. A number that is a point has no width. Codes of numbers count masses from 1; 0 is none of
    them. A code of -1 says nothing of its column; NaN is a gap.

    Arguments:
        n_codes: of each column, at least 1.
        numbers: whether each column has numbers.
    """

    n_codes: tuple[int, ...]
    numbers: tuple[bool, ...]

    @property
    def n_columns(self) -> int:
        """D."""
        return len(self.n_codes)

    @property
    def number_columns(self) -> np.ndarray:
        """The columns that have numbers, shape (N,)."""
        return np.flatnonzero(self.numbers)

    @property
    def code_columns(self) -> np.ndarray:
        """The column of each code, shape (S,)."""
        return np.repeat(np.arange(self.n_columns), self.n_codes)

    @property
    def code_levels(self) -> np.ndarray:
        """Each code within its column, shape (S,)."""
        return np.concatenate([np.arange(n) for n in self.n_codes])

    @property
    def inputs(self) -> tuple[int, ...]:
        """The column of each feature."""
        numbers = np.repeat(self.number_columns, 1 + len(BENDS))
        return tuple(int(c) for c in np.concatenate([self.code_columns, numbers]))

    @property
    def outputs(self) -> tuple[int, ...]:
        """The column that each output of a network is of: codes, shifts, spreads, and three numbers of each mode."""
        numbers, modes = self.number_columns, np.repeat(self.number_columns, N_MODES)
        return tuple(int(c) for c in np.concatenate([self.code_columns, numbers, numbers, modes, modes, modes]))

    @property
    def by_column(self) -> np.ndarray:
        """Which codes are of each column, zeros and ones, shape (S, D)."""
        ours: np.ndarray = (self.code_columns[:, None] == np.arange(self.n_columns)).astype(np.float32)
        return ours

    @property
    def first_codes(self) -> np.ndarray:
        """The code of each number that is no mass, zeros and ones, shape (S, N)."""
        none = (self.code_levels == 0)[:, None] & (self.code_columns[:, None] == self.number_columns)
        first: np.ndarray = none.astype(np.float32)
        return first

    @property
    def by_number(self) -> np.ndarray:
        """Which columns are the numbers, zeros and ones, shape (D, N)."""
        ours: np.ndarray = (np.arange(self.n_columns)[:, None] == self.number_columns).astype(np.float32)
        return ours

    @property
    def by_mode(self) -> np.ndarray:
        """Which modes are of each number, zeros and ones, shape (N, N M)."""
        ours: np.ndarray = np.repeat(np.eye(len(self.number_columns), dtype=np.float32), N_MODES, axis=1)
        return ours

    def codes(self, x: Array) -> Array:
        """Zeros and ones, one for each code, shape (S,); all zero where there is a gap or no code."""
        code = jnp.nan_to_num(x[:, CODE], nan=-1.0)
        return (code[self.code_columns] == self.code_levels).astype(x.dtype)

    def positions(self, x: Array) -> Array:
        """Where the numbers are, in standard units, shape (N,); zero where there is none."""
        x = jnp.nan_to_num(x[self.number_columns])
        low, high = x[:, LOW], x[:, HIGH]
        return jnp.where(low < -INFINITE, high, jnp.where(high > INFINITE, low, (low + high) / 2))

    def features(self, x: Array) -> Array:
        """What networks see of a row, shape (E,)."""
        at = jnp.clip(self.positions(x), -SEEN, SEEN)
        seen = jnp.concatenate([at[:, None], jnp.tanh(2 * (at[:, None] - jnp.asarray(BENDS, x.dtype)))], axis=1)
        return jnp.concatenate([self.codes(x), seen.reshape(-1)])


class Columnwise(eqx.Module):
    """What a network says of every column: logits of codes, and a mixture of logistics for numbers.

    Sums over a column's codes and a number's modes are products with zeros and ones: reductions, gathers and scatters
    of so few entries each take many times as long.

    Arguments:
        logits: shape (S,).
        weights, places, scales: raw, of the modes, one number's after the other's, shape (N M,), in units of `scale`
            around `place`.
        place, log_scale: of numbers, in standard units, shape (N,).
        layout: of the row.
    """

    logits: Array
    weights: Array
    places: Array
    scales: Array
    place: Array
    log_scale: Array
    layout: Layout = eqx.field(static=True)

    @property
    def log_codes(self) -> Array:
        """Log-probabilities of codes, shape (S,)."""
        logits = LARGEST_LOGIT * jnp.tanh(self.logits / LARGEST_LOGIT)
        total = jnp.exp(logits) @ self.layout.by_column
        return logits - _exactly(jnp.log(total), self.layout.by_column.T)

    @property
    def _modes(self) -> tuple[Array, Array]:
        """Places and scales of the modes in units of `scale`, shape (N M,)."""
        start = jnp.tile(jnp.linspace(-1.5, 1.5, N_MODES, dtype=self.places.dtype), len(self.layout.number_columns))
        return start + self.places, LEAST_SCALE + _softplus(self.scales - 0.5)

    def log_probs(self, x: Array) -> Array:
        """Log-probability of every column of a row, shape (D,); zero where there is a gap or no code."""
        layout, log_codes = self.layout, self.log_codes
        of_code = (layout.codes(x) * log_codes) @ layout.by_column
        if not any(layout.numbers):
            return of_code
        row = jnp.nan_to_num(x[layout.number_columns])
        value, none = self._number(row), _exactly(log_codes, layout.first_codes)
        mass, cell = _exactly(of_code, layout.by_number), row[:, WIDTH] > 0
        both = jnp.logaddexp(mass, none + jnp.where(cell, value, -jnp.inf))
        total = jnp.where(row[:, CODE] > 0, jnp.where(cell, both, mass), mass + value)
        total = jnp.where(jnp.isnan(x[layout.number_columns, CODE]), 0, total)
        return jnp.where(jnp.asarray(layout.numbers), _exactly(total, layout.by_number.T), of_code)

    def _number(self, row: Array) -> Array:
        """Log-density of points and log-probability of cells, shape (N,)."""
        unit, by_mode = jnp.exp(self.log_scale), self.layout.by_mode
        places, scales = self._modes
        width = row[:, WIDTH] / unit
        low, high, width, log_unit = (
            _exactly(a, by_mode)
            for a in ((row[:, LOW] - self.place) / unit, (row[:, HIGH] - self.place) / unit, width, self.log_scale)
        )
        a, b, cell = (low - places) / scales, (high - places) / scales, width > 0
        half = jnp.tanh(jnp.where(cell, width / scales, 1.0) / 2)
        share = jnp.where(cell, jnp.log(2 * half / (1 + half)), -jnp.log(scales) - log_unit)  # 1 − exp(−width), or ds
        value = self._summed(self.weights + b - _softplus(b) - _softplus(a) + share) - self._summed(self.weights)
        return jnp.logaddexp(math.log1p(-STRAY) + value, math.log(STRAY) + _stray(row))

    def _summed(self, logs: Array) -> Array:
        """The logarithm of the sum over the modes of each number, shape (N,)."""
        by_mode = self.layout.by_mode
        most = lax.stop_gradient(logs.reshape(-1, N_MODES).max(axis=1))
        return most + jnp.log(jnp.exp(logs - _exactly(most, by_mode)) @ by_mode.T)

    def draw(self, noise: Array, masses: Array) -> Array:
        """A draw of every column by itself, numbers as points, shape (D, 4).

        Arguments:
            masses: where the masses of numbers are, in standard units, for each code, shape (S,).
            noise: uniform on (0, 1), for each column one for its code, its mode and its place, shape (D, 3).
        """
        layout = self.layout
        below = jnp.cumsum(jnp.exp(self.log_codes)) - layout.code_columns  # columns sum to one, each
        code = (below < noise[layout.code_columns, 0]).astype(noise.dtype) @ layout.by_column
        code = jnp.minimum(code, jnp.asarray(layout.n_codes, noise.dtype) - 1)
        x = jnp.zeros((layout.n_columns, 4), noise.dtype).at[:, CODE].set(code)
        if not any(layout.numbers):
            return x
        places, scales = (a.reshape(-1, N_MODES) for a in self._modes)
        shares = jax.nn.softmax(self.weights.reshape(-1, N_MODES))
        of_mode, of_place = noise[layout.number_columns, 1], noise[layout.number_columns, 2]
        stray, of_mode = of_mode < STRAY, (of_mode - STRAY) / (1 - STRAY)
        mode = (jnp.cumsum(shares, axis=1) < of_mode[:, None]).sum(axis=1, keepdims=True)
        mode = jnp.minimum(mode, N_MODES - 1)
        place, scale = (jnp.take_along_axis(a, mode, axis=1)[:, 0] for a in (places, scales))
        z = jnp.log(of_place) - jnp.log1p(-of_place)
        at = self.place + jnp.exp(self.log_scale) * (place + scale * z)
        at = jnp.where(stray, STRAY_SCALE * z, at)
        first = np.searchsorted(layout.code_columns, layout.number_columns)
        coded = code[layout.number_columns]
        at = jnp.where(coded > 0, masses[first + coded.astype(jnp.int32)], at)
        return x.at[layout.number_columns, LOW].set(at).at[layout.number_columns, HIGH].set(at)


def _stray(row: Array) -> Array:
    """As `Columnwise._number`, of numbers of which nothing is known: a value unlike all of training costs no more."""
    a, b, width = row[:, LOW] / STRAY_SCALE, row[:, HIGH] / STRAY_SCALE, row[:, WIDTH] / STRAY_SCALE
    half = jnp.tanh(jnp.where(width > 0, width, 1.0) / 2)
    share = jnp.where(width > 0, jnp.log(2 * half / (1 + half)), -math.log(STRAY_SCALE))
    return b - _softplus(b) - _softplus(a) + share


@jax.custom_jvp
def _softplus(a: Array) -> Array:
    return jnp.maximum(a, 0) + jnp.log(1 + jnp.exp(-jnp.abs(a)))


_softplus.defjvps(lambda tangent, _, a: tangent * jax.nn.sigmoid(a))


def _exactly(a: Array, ones: np.ndarray) -> Array:
    """A product with zeros and ones that only moves entries: in full precision wherever it runs."""
    return jnp.matmul(a, ones.astype(a.dtype), precision=lax.Precision.HIGHEST)


def _noise(key: PRNGKeyArray, layout: Layout, dtype: Any) -> Array:
    return jax.random.uniform(key, (layout.n_columns, 3), dtype, minval=float(limits(dtype).tiny))


class MixedRows(AbstractDistribution):
    """A row of numbers and categories, p(x) = Π_j p(x_j | x_<j), by one masked network.

    Categories and masses, the values of numbers that have a probability of their own, have softmax probabilities, other
    numbers a mixture of logistics: a density at a point, a probability of a cell, whose edges may be infinite. One of
    them is wide and of little weight, for values unlike all before. Exact, one pass of the network; sampling takes D
    passes. The column's number is left out where it takes a mass.

    Arguments:
        network: from features of the row to what is said of every column.
        bias: of the logits of codes, shape (S,).
        linear: what places of numbers are of the numbers before them, shape (N, N), of which the lower triangle counts.
        log_scale: of numbers, shape (N,).
        masses: where the masses of numbers that are on a grid are, in standard units, zero for other codes, shape (S,).
        n_codes, numbers: the `Layout` of the row.
        cond_shape: of a condition that every column is given, or None.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.distributions.mixed import Layout, MixedRows
        >>> rows = MixedRows.init(jax.random.key(0), Layout((2, 1), (False, True)), (8,))
        >>> rows.log_prob(rows.sample(jax.random.key(1), (5,))).shape
        (5,)
    """

    network: GroupedMADE
    bias: Array
    linear: Array
    log_scale: Array
    masses: Frozen[Array]
    n_codes: tuple[int, ...] = eqx.field(static=True)
    numbers: tuple[bool, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] | None = eqx.field(static=True, default=None)

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        layout: Layout,
        hidden_sizes: Sequence[int],
        masses: Any = None,
        cond_dim: int | None = None,
    ) -> MixedRows:
        """Draw a model to train, of which no column hangs on others as yet; without `masses` none is on a grid."""
        sizes, n = check_sizes("hidden_sizes", hidden_sizes), len(layout.number_columns)
        network = GroupedMADE.init(key, layout.inputs, layout.outputs, layout.n_columns, sizes, cond_dim)
        start = (jnp.zeros(len(layout.code_columns)), jnp.zeros((n, n)), jnp.zeros(n))
        return cls(network, *start, _masses(layout, masses), *layout, None if cond_dim is None else (cond_dim,))

    @property
    def layout(self) -> Layout:
        """The columns of a row."""
        return Layout(self.n_codes, self.numbers)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.n_codes), 4)

    def columnwise(self, x: Array, condition: Array | None = None) -> Columnwise:
        """What is said of every column of a row, given those before it."""
        layout = self.layout
        out = self.network(layout.features(x), condition)
        place = jnp.tril(self.linear, -1) @ layout.positions(x)
        return _said(layout, out, self.bias, place, self.log_scale)

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        return self.columnwise(x, condition).log_probs(x).sum()

    def _sample(self, key: PRNGKeyArray, condition: Array | None = None) -> Array:
        noise = _noise(key, self.layout, self.bias.dtype)

        def step(j: Array, x: Array) -> Array:
            return x.at[j].set(self.columnwise(x, condition).draw(noise, self.masses.value)[j])

        row: Array = lax.fori_loop(0, self.layout.n_columns, step, jnp.zeros(self.shape, self.bias.dtype))
        return row


class GapFiller(eqx.Module):
    """q(missing | observed): what is missing of a row, one column after the other, given all that is known by then.

    Arguments:
        network: from features of the row and flags of what is known to what is said of every column.
        bias, linear, log_scale, masses: as of `MixedRows`; of `linear` all but the diagonal counts.
        n_codes, numbers: the `Layout` of the row.
    """

    network: MLP
    bias: Array
    linear: Array
    log_scale: Array
    masses: Frozen[Array]
    n_codes: tuple[int, ...] = eqx.field(static=True)
    numbers: tuple[bool, ...] = eqx.field(static=True)

    @classmethod
    def init(cls, key: PRNGKeyArray, layout: Layout, hidden_sizes: Sequence[int], masses: Any = None) -> GapFiller:
        """Draw a network to train; `masses` as of `MixedRows`."""
        n_in, n = len(layout.inputs) + layout.n_columns, len(layout.number_columns)
        network = MLP.init(key, n_in, len(layout.outputs), hidden_sizes, "silu", 0.01)
        start = (jnp.zeros(len(layout.code_columns)), jnp.zeros((n, n)), jnp.zeros(n))
        return cls(network, *start, _masses(layout, masses), *layout)

    @property
    def layout(self) -> Layout:
        """The columns of a row."""
        return Layout(self.n_codes, self.numbers)

    def columnwise(self, x: Array) -> Columnwise:
        """What is said of every column of a row with gaps, given those that are known."""
        layout = self.layout
        known = (~jnp.isnan(x[:, CODE])).astype(x.dtype)
        out = self.network(jnp.concatenate([layout.features(x), known]))
        off_diagonal = self.linear * (1 - jnp.eye(len(self.linear), dtype=x.dtype))
        place = off_diagonal @ layout.positions(x)
        return _said(layout, out, self.bias, place, self.log_scale)

    def fill(self, key: PRNGKeyArray, x: Array, columns: Array, n: Array | int) -> Array:
        """The row with its gaps filled by a draw, numbers as points, shape (D, 4).

        Arguments:
            key: a JAX random key.
            x: a row with gaps, shape (D, 4).
            columns: where there may be gaps, in the order that they are filled in, shape (D,), of which
            n: are looked at.
        """
        noise = _noise(key, self.layout, x.dtype)

        def step(i: Array, row: Array) -> Array:
            j = columns[i]
            drawn = self.columnwise(row).draw(noise, self.masses.value)[j]
            return row.at[j].set(jnp.where(jnp.isnan(row[j]), drawn, row[j]))

        filled: Array = lax.fori_loop(0, n, step, x)
        return filled

    def log_prob(self, x: Array, filled: Array, columns: Array, n: Array | int) -> Array:
        """log q(missing | observed) of a filled row, of a row x with gaps, a scalar; other arguments as of `fill`."""

        def step(i: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
            row, total = carry
            j = columns[i]
            said = self.columnwise(row).log_probs(filled)[j]
            total = total + jnp.where(jnp.isnan(row[j, CODE]), said, 0)
            return row.at[j].set(filled[j]), total

        total: Array = lax.fori_loop(0, n, step, (x, jnp.zeros((), x.dtype)))[1]
        return total


class RowNetwork(eqx.Module):
    """A plain network on the features of a row: what a mixture's posterior over components is.

    Arguments:
        network: from features to outputs.
        n_codes, numbers: the `Layout` of the row.
    """

    network: MLP
    n_codes: tuple[int, ...] = eqx.field(static=True)
    numbers: tuple[bool, ...] = eqx.field(static=True)

    @classmethod
    def init(cls, key: PRNGKeyArray, layout: Layout, n_out: int, hidden_sizes: Sequence[int]) -> RowNetwork:
        """Draw a network to train."""
        return cls(MLP.init(key, len(layout.inputs), n_out, hidden_sizes, "silu"), *layout)

    def __call__(self, row: Array) -> Array:
        """Outputs of a row, flat, shape (4 D,)."""
        return self.network(Layout(self.n_codes, self.numbers).features(row.reshape(-1, 4)))


def started(model: Any, x: np.ndarray, weight: np.ndarray | None = None) -> Any:
    """A `MixedRows` or `GapFiller` that says of columns what can be said without a network: shares and regressions.

    Arguments:
        model: to start.
        x: rows, shape (n, D, 4); NaN where there are gaps.
        weight: of rows, shape (n,), or None.
    """
    layout: Layout = model.layout
    w = np.ones(len(x)) if weight is None else np.asarray(weight, dtype=np.float64)
    code = np.nan_to_num(x[:, :, CODE], nan=-1.0)
    counts = ((code[:, layout.code_columns] == layout.code_levels) * w[:, None]).sum(axis=0)
    bias = np.log((counts + 0.5) / w.sum())
    numbers = layout.number_columns
    here = np.asarray(jax.vmap(layout.positions)(jnp.asarray(x, jnp.float32)), np.float64)
    known = (code[:, numbers] == 0) * w[:, None]
    linear, log_scale = np.zeros((len(numbers), len(numbers))), np.zeros(len(numbers))
    for i in range(len(numbers)):
        before = here[:, :i] * np.sqrt(known[:, i : i + 1])
        target = here[:, i] * np.sqrt(known[:, i])
        gram = before.T @ before + 1e-6 * max(known[:, i].sum(), 1.0) * np.eye(i)
        slopes = np.linalg.solve(gram, before.T @ target) if isinstance(model, MixedRows) else np.zeros(i)
        rest = (target - before @ slopes) ** 2
        linear[i, :i] = slopes
        log_scale[i] = 0.5 * math.log(max(rest.sum() / max(known[:, i].sum(), 1.0), 1e-10))
    made = tuple(jnp.asarray(a, model.bias.dtype) for a in (bias, linear, log_scale))
    return eqx.tree_at(lambda m: (m.bias, m.linear, m.log_scale), model, made)


def _masses(layout: Layout, masses: Any) -> Frozen[Array]:
    at = np.zeros(len(layout.code_columns)) if masses is None else np.asarray(masses)
    return Frozen(jnp.asarray(at, jnp.result_type(float)))


def _said(layout: Layout, out: Array, bias: Array, place: Array, log_scale: Array) -> Columnwise:
    """What the outputs of a network say of columns, beside what is known without one."""
    n_codes, n, m = len(layout.code_columns), len(layout.number_columns), len(layout.number_columns) * N_MODES
    logits, shift, wider, weights, places, scales = jnp.split(out, np.cumsum([n_codes, n, n, m, m]))
    wider = MOST_WIDER * jnp.tanh(wider / MOST_WIDER)
    here = place + jnp.exp(log_scale) * shift
    return Columnwise(logits + bias, weights, places, scales, here, log_scale + wider, layout)
