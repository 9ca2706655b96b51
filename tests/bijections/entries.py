"""What a map under test is, and ways to put maps together for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pushforward import trees
from pushforward.bijections import (
    AbstractMap,
    Affine,
    Amortized,
    BlockAutoregressive,
    Bounded,
    Chain,
    Coupling,
    DeepSigmoid,
    MaskedAutoregressive,
    Permute,
    RationalQuadraticSpline,
    Scan,
    Sylvester,
    TemporalAutoregressive,
    Triangular,
)
from pushforward.bijections.spline import _knots
from pushforward.networks import MADE, MLP, BlockTriangular

Key = Any


def no_points(bijection: Any) -> list[Any]:
    return []


@dataclass(frozen=True, eq=False)  # compared by identity: a static argument of compiled functions
class Entry:
    """A map under test.

    Attributes:
        name: for the test's name.
        make: from a key and a size to the map, in JAX's default floating dtype.
        dims: the sizes to run.
        reach: largest |z| at which float32 and float64 still hold the digits for a round trip.
        tail: largest |z| at which values and gradients must be finite.
        points: from the map to noise points (event shape each) that a test must not miss: kinks, edges.
        shake: scale of what is added to the raw leaves, as training might.
        support: ends of the noise and of the data, where both are bounded by the same ones.
        outside: values of a coordinate outside the image of the map; empty where it is the whole line.
        bad: what the message must say, to a call that must raise ValueError.
    """

    name: str
    make: Callable[[Key, int], AbstractMap]
    dims: Sequence[int] = (1, 3)
    reach: tuple[float, float] = (1e4, 1e4)
    tail: float = 1e4
    points: Callable[[Any], list[Any]] = no_points
    shake: float = 0.3
    support: tuple[float, float] = (-np.inf, np.inf)
    outside: Sequence[float] = ()
    bad: dict[str, Callable[[], Any]] = field(default_factory=dict)


def floats(*values: Any) -> jax.Array:
    return jnp.asarray(np.array(values, dtype=float))


def triangular(key: Key, dim: int) -> jax.Array:
    return Triangular.init(key, dim).matrix


def spline(key: Key, shape: tuple[int, ...], ends: str = "identity") -> RationalQuadraticSpline:
    """Bins and slopes that differ by a factor of a few."""
    identity = RationalQuadraticSpline.init(shape, n_bins=5, half_width=3.0, ends=ends)
    return trees.offset(identity, 0.7 * jax.random.normal(key, (trees.n_parameters(identity),)))


def edges(bijection: RationalQuadraticSpline) -> list[jax.Array]:
    """Every knot, of the noise and of the data side."""
    raw = (bijection.raw_widths, bijection.raw_heights)
    return [knots for r in raw for knots in jnp.moveaxis(_knots(r, bijection.half_width), -1, 0)]


def coupling(key: Key, dim: int, transformer: AbstractMap, cond_dim: int | None) -> Coupling:
    mask = np.arange(dim) % 2 == 1
    n_out = int((~mask).sum()) * trees.n_parameters(transformer)
    return Coupling(mask, MLP.init(key, int(mask.sum()) + (cond_dim or 0), n_out, (8,)), transformer, cond_dim)


def autoregressive(key: Key, dim: int, transformer: AbstractMap, cond_dim: int | None) -> MaskedAutoregressive:
    made = MADE.init(key, dim, trees.n_parameters(transformer), (8, 8), cond_dim)
    return MaskedAutoregressive(made, transformer, np.arange(dim)[::-1])


def scalar_affine() -> Affine:
    return Affine(jnp.zeros(()), jnp.ones(()), max_log_scale=2.0)


def mixed_ends(key: Key, dim: int) -> Bounded:
    low = np.resize([-1.0, 0.5, -np.inf, -np.inf], dim)
    high = np.resize([2.0, np.inf, 3.0, np.inf], dim)
    return Bounded(floats(*low), floats(*high))


def deep_sigmoid(key: Key, shape: tuple[int, ...]) -> DeepSigmoid:
    slopes, offsets, weights = jax.random.split(key, 3)
    size = (*shape, 4)
    return DeepSigmoid(
        jnp.exp(0.5 * jax.random.normal(slopes, size)),
        jax.random.normal(offsets, size),
        0.1 + 0.6 * jax.nn.softmax(jax.random.normal(weights, size)),
    )


def temporal(key: Key, dim: int, transformer: AbstractMap, window: int = 1) -> TemporalAutoregressive:
    """Two steps: the least in which one hangs on another, and as many numbers as a test's points have."""
    network = MLP.init(key, window * dim, dim * trees.n_parameters(transformer), (8,), output_scale=0.3)
    return TemporalAutoregressive(network, transformer, (2, dim), window)


def block_autoregressive(key: Key, dim: int, cond_dim: int | None) -> BlockAutoregressive:
    return BlockAutoregressive(BlockTriangular.init(key, dim, (4, 3), cond_dim))


def layers(key: Key, dim: int, n: int) -> Scan:
    keys = jax.random.split(key, n)
    return Scan(trees.stack([Chain([Triangular.init(k, dim), Permute.init(k, dim)]) for k in keys]))


def amortized(key: Key, bijection: AbstractMap, n_out: int | None = None) -> Amortized:
    """Its numbers given by a network of a condition of size 2."""
    n_params = trees.n_parameters(bijection) if n_out is None else n_out
    return Amortized(bijection, MLP.init(key, 2, n_params, (8,), output_scale=0.3), (2,))


def sylvester(r: Any, s: Any) -> Sylvester:
    return Sylvester(Permute([1, 0]), floats(*r), floats(*s), floats(0, 0))
