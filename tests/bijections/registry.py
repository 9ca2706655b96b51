"""Every map of the package, each way it is put together: one list that the contract tests run through.

A new public map needs an entry here; the suite fails without one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pushforward import trees
from pushforward.bijections import (
    PLU,
    AbstractBijection,
    ActNorm,
    Affine,
    Amortized,
    BatchNorm,
    BlockAutoregressive,
    Bounded,
    Chain,
    CircularShift,
    ConvexCombination,
    Coupling,
    DeepSigmoid,
    Dense,
    Exp,
    Fixed,
    Gated,
    Gumbel,
    Householder,
    Identity,
    Invert,
    LinearIAF,
    LowRank,
    MaskedAutoregressive,
    Orthogonal,
    OrthonormalColumns,
    Permute,
    Planar,
    PReLU,
    Radial,
    RationalQuadraticSpline,
    Scale,
    Shift,
    Sigmoid,
    Softplus,
    Stack,
    Sylvester,
    Tanh,
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
    make: Callable[[Key, int], AbstractBijection]
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
    identity = RationalQuadraticSpline.init(shape, n_bins=5, bound=3.0, ends=ends)
    return trees.offset(identity, 0.7 * jax.random.normal(key, (trees.n_parameters(identity),)))


def edges(bijection: RationalQuadraticSpline) -> list[jax.Array]:
    """Every knot, of the noise and of the data side."""
    raw = (bijection.raw_widths, bijection.raw_heights)
    return [knots for r in raw for knots in jnp.moveaxis(_knots(r, bijection.bound), -1, 0)]


def coupling(key: Key, dim: int, transformer: AbstractBijection, cond_dim: int | None) -> Coupling:
    mask = np.arange(dim) % 2 == 1
    n_out = int((~mask).sum()) * trees.n_parameters(transformer)
    return Coupling(mask, MLP.init(key, int(mask.sum()) + (cond_dim or 0), n_out, (8,)), transformer, cond_dim)


def autoregressive(key: Key, dim: int, transformer: AbstractBijection, cond_dim: int | None) -> MaskedAutoregressive:
    made = MADE.init(key, dim, trees.n_parameters(transformer), (8, 8), cond_dim)
    return MaskedAutoregressive(made, transformer, np.arange(dim)[::-1])


def scalar_affine() -> Affine:
    return Affine(jnp.zeros(()), jnp.ones(()), bound=2.0)


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


def block_autoregressive(key: Key, dim: int, cond_dim: int | None) -> BlockAutoregressive:
    return BlockAutoregressive(BlockTriangular.init(key, dim, (4, 3), cond_dim))


def layers(key: Key, dim: int, n: int) -> Stack:
    keys = jax.random.split(key, n)
    return Stack(trees.stack([Chain([Triangular.init(k, dim), Permute.init(k, dim)]) for k in keys]))


def amortized(key: Key, bijection: AbstractBijection, n_out: int | None = None) -> Amortized:
    """Its numbers given by a network of a condition of size 2."""
    n_params = trees.n_parameters(bijection) if n_out is None else n_out
    return Amortized(bijection, MLP.init(key, 2, n_params, (8,), output_scale=0.3), (2,))


def sylvester(r: Any, s: Any) -> Sylvester:
    return Sylvester(Permute([1, 0]), floats(*r), floats(*s), floats(0, 0))


eye, ones, zeros = np.eye(2), np.ones(2), np.zeros(2)

ENTRIES = [
    Entry("identity", lambda key, dim: Identity((dim,))),
    Entry(
        "shift",
        lambda key, dim: Shift(jax.random.normal(key, (dim,))),
        bad={"floating": lambda: Shift(jnp.arange(2)), "finite": lambda: Shift(floats(np.nan))},
    ),
    Entry(
        "affine",
        lambda key, dim: Affine(jnp.ones(dim), jax.random.normal(key, (dim,))),
        bad={
            "nonzero": lambda: Affine(floats(0), floats(0)),
            "scale must be floating": lambda: Affine(floats(0), jnp.arange(1)),
            "shift must be floating": lambda: Affine(jnp.arange(1), floats(1)),
            "scale must be finite": lambda: Affine(floats(0), floats(np.inf)),
            "shift must be finite": lambda: Affine(floats(np.nan), floats(1)),
        },
    ),
    Entry(
        "affine_bounded",
        lambda key, dim: Affine(jnp.ones(dim), jnp.exp(jax.random.uniform(key, (dim,), minval=-1.5, maxval=1.5)), 2.0),
        bad={
            r"< bound = 1.0": lambda: Affine(floats(0), floats(3), bound=1.0),
            "bound must be positive": lambda: Affine(floats(0), floats(1), bound=0.0),
        },
    ),
    Entry("affine_scalar", lambda key, dim: Affine(jnp.ones(()), jax.random.normal(key, ())), dims=(1,)),
    Entry("affine_matrix", lambda key, dim: Affine(jnp.ones((2, dim)), jax.random.normal(key, (dim,))), dims=(3,)),
    Entry(
        "scale",
        lambda key, dim: Scale(jax.random.normal(key, (dim,))),
        bad={
            "scale must be floating": lambda: Scale(jnp.arange(1)),
            "nonzero": lambda: Scale(floats(0)),
            "scale must have": lambda: Scale(floats(3), bound=1.0),
        },
    ),
    Entry(
        "gated",
        lambda key, dim: Gated(jax.random.normal(key, (dim,)), jnp.full(dim, 0.3)),
        bad={
            "gate must be strictly between 0.001 and 1": lambda: Gated(floats(0), floats(1)),
            "value must be finite": lambda: Gated(floats(np.nan), floats(0.5)),
        },
    ),
    Entry(
        "dense",
        Dense.init,
        bad={
            "nonsingular": lambda: Dense(floats([1, 2], [2, 4]), floats(0, 0)),
            "square": lambda: Dense(floats([1, 2]), floats(0, 0)),
            "shift must have shape": lambda: Dense(floats([1, 0], [0, 1]), floats(0)),
        },
    ),
    Entry(
        "triangular",
        Triangular.init,
        bad={
            "above the diagonal": lambda: Triangular(floats([1, 2], [0, 1]), floats(0, 0)),
            "positive": lambda: Triangular(floats([1, 0], [2, -1]), floats(0, 0)),
        },
    ),
    Entry(
        "plu",
        PLU.init,
        bad={
            "permutation": lambda: PLU([0, 0], floats(*eye), floats(*0 * eye), floats(*ones), floats(*zeros)),
            "unit diagonal": lambda: PLU([0, 1], floats(*2 * eye), floats(*0 * eye), floats(*ones), floats(*zeros)),
            "on and below": lambda: PLU([0, 1], floats(*eye), floats(*eye), floats(*ones), floats(*zeros)),
            "nonzero": lambda: PLU([0, 1], floats(*eye), floats(*0 * eye), floats(*zeros), floats(*zeros)),
        },
    ),
    Entry(
        "low_rank",
        lambda key, dim: LowRank.init(key, dim, 2),
        bad={
            "diagonal of base must be positive": lambda: LowRank(
                floats(1, -1), floats([1], [1]), floats(1), floats(0, 0)
            ),
            "weights must be positive": lambda: LowRank(floats(1, 1), floats([1], [1]), floats(0), floats(0, 0)),
            "one row for each": lambda: LowRank(floats(1, 1), floats([1]), floats(1), floats(0, 0)),
        },
    ),
    Entry(
        "low_rank_triangular",
        lambda key, dim: LowRank(
            triangular(key, dim), 0.3 * jax.random.normal(key, (dim, 2)), floats(1, 2), jnp.ones(dim)
        ),
        bad={
            # T = [[1, 0], [4, 1]] and V = (1, 1)ᵀ/√2 sum to a singular matrix
            "nonsingular": lambda: LowRank(floats([1, 0], [4, 1]), floats([1], [1]) / 2**0.5, floats(1), floats(0, 0)),
            "lower triangular": lambda: LowRank(floats([1, 4], [0, 1]), floats([1], [1]), floats(1), floats(0, 0)),
        },
    ),
    Entry(
        "householder",
        lambda key, dim: Householder.init(key, dim, 4),
        bad={
            "vectors must be floating": lambda: Householder(jnp.ones((1, 2), int)),
            "one row for each reflection": lambda: Householder(floats(1, 2)),
            "vectors must be finite": lambda: Householder(floats([np.inf, 0])),
        },
    ),
    # a vector of zeros reflects nothing
    Entry("householder_zero", lambda key, dim: Householder(floats(*np.zeros((2, dim)))), shake=0.0),
    Entry(
        "orthogonal",
        Orthogonal.init,
        bad={
            "orthogonal, matrixᵀ matrix = I": lambda: Orthogonal(floats([1, 0], [1, 1])),
            "square matrix": lambda: Orthogonal(floats([1, 0])),
        },
    ),
    Entry(
        "linear_iaf",
        LinearIAF.init,
        bad={
            "one on it": lambda: LinearIAF(floats([2, 0], [0, 1])),
            "zero above the diagonal": lambda: LinearIAF(floats([1, 3], [0, 1])),
            "square matrix": lambda: LinearIAF(floats([1, 0])),
        },
    ),
    Entry(
        "convex_combination",
        lambda key, dim: ConvexCombination.init(key, dim, 3),
        bad={
            "one on them": lambda: ConvexCombination(floats(0), floats([[2, 0], [0, 1]])),
            r"logits must have shape \(1,\)": lambda: ConvexCombination(floats(0, 0), floats([[1, 0], [0, 1]])),
            r"shape \(K, D, D\)": lambda: ConvexCombination(floats(0), floats([1, 0], [0, 1])),
        },
    ),
    # further out than the reach, wᵀx has no digits left for the tanh
    Entry(
        "planar",
        Planar.init,
        reach=(10.0, 1e4),
        bad={
            "wᵀu must be above −1": lambda: Planar(floats(2, 0), floats(-0.5, 3), floats(0)[0]),
            r"u must have shape \(2,\)": lambda: Planar(floats(2, 0), floats(1), floats(0)[0]),
            "b must have shape": lambda: Planar(floats(2, 0), floats(1, 0), floats(0)),
            "w must be finite": lambda: Planar(floats(np.inf, 0), floats(1, 0), floats(0)[0]),
        },
    ),
    Entry(
        "planar_no_direction",
        lambda key, dim: Planar(jnp.zeros(dim), jnp.ones(dim), jnp.ones(())),
        shake=0.0,
    ),
    Entry(
        "radial",
        Radial.init,
        points=lambda radial: [radial.centre],
        bad={
            "alpha must be positive": lambda: Radial(floats(0), floats(0)[0], floats(1)[0]),
            r"alpha \+ beta must be positive, beta > −alpha": lambda: Radial(floats(0), floats(1)[0], floats(-1)[0]),
            r"centre must have shape \(D,\)": lambda: Radial(floats(0)[0], floats(1)[0], floats(1)[0]),
        },
    ),
    Entry(
        "sylvester_orthogonal",
        lambda key, dim: Sylvester.init(key, OrthonormalColumns.init(key, dim, max(1, dim - 1))),
        reach=(10.0, 1e4),
        bad={
            "of orthonormal columns": lambda: OrthonormalColumns(floats([1], [1])),
            "M ≤ D": lambda: OrthonormalColumns(floats([1, 0])),
            "r_ii s_ii must be above −1": lambda: sylvester([[-2, 0], [0, 1]], eye),
            "diagonal of s must be nonzero": lambda: sylvester(eye, [[0, 1], [0, 1]]),
            "r must be upper triangular": lambda: sylvester([[1, 0], [1, 1]], eye),
            r"s must have shape \(2, 2\)": lambda: sylvester(eye, [[1, 0]]),
        },
    ),
    Entry(
        "sylvester_householder",
        lambda key, dim: Sylvester.init(key, Householder.init(key, dim, 3)),
        reach=(10.0, 1e4),
    ),
    Entry("sylvester_triangular", lambda key, dim: Sylvester.init(key, Permute.init(key, dim)), reach=(10.0, 1e4)),
    Entry("exp", lambda key, dim: Exp((dim,)), reach=(80.0, 700.0), outside=(0.0, -1.0, -1e4)),
    Entry("sigmoid", lambda key, dim: Sigmoid((dim,)), reach=(8.0, 20.0), outside=(0.0, 1.0, -1e4, 1e4)),
    Entry("softplus", lambda key, dim: Softplus((dim,)), reach=(80.0, 700.0), outside=(0.0, -1.0, -1e4)),
    Entry("tanh", lambda key, dim: Tanh((dim,)), reach=(4.0, 10.0), outside=(-1.0, 1.0, -1e4, 1e4)),
    Entry("gumbel", lambda key, dim: Gumbel((dim,)), reach=(4.0, 6.0), tail=80.0, outside=(0.0, 1.0, -1e4, 1e4)),
    Entry(
        "deep_sigmoid",
        lambda key, dim: deep_sigmoid(key, (dim,)),
        bad={
            "slopes must be positive": lambda: DeepSigmoid(floats(0), floats(0), floats(1)),
            "weights must be shares that sum to 1": lambda: DeepSigmoid(floats(1, 1), floats(0, 0), floats(1, 1)),
            "weights must be above": lambda: DeepSigmoid(floats(1, 1), floats(0, 0), floats(1, 0)),
            r"offsets must have shape \(2,\)": lambda: DeepSigmoid(floats(1, 1), floats(0), floats(1, 0)),
            "at least one unit": lambda: DeepSigmoid(floats(1)[0], floats(1)[0], floats(1)[0]),
        },
    ),
    Entry("deep_sigmoid_scalar", lambda key, dim: deep_sigmoid(key, ()), dims=(1,)),
    Entry(
        "prelu_shared",
        lambda key, dim: PReLU(jnp.exp(jax.random.normal(key)), (2, dim)),
        bad={
            "positive": lambda: PReLU(floats(0)[0], (2,)),
            "event shape": lambda: PReLU(floats(1, 1, 1), (2,)),
            "floating": lambda: PReLU(1, (2,)),
        },
    ),
    Entry("prelu", lambda key, dim: PReLU(jnp.exp(jax.random.normal(key, (dim,))), (dim,))),
    Entry(
        "permute",
        Permute.init,
        bad={
            "permutation": lambda: Permute([0, 2]),
            "integers": lambda: Permute(floats(0, 1)),
            r"shape \(D,\)": lambda: Permute([[0, 1]]),
        },
    ),
    Entry(
        "batch_norm",
        lambda key, dim: BatchNorm(jax.random.normal(key, (dim,)), jnp.exp(jax.random.normal(key, (dim,)))),
        bad={
            "not negative": lambda: BatchNorm(floats(0), floats(-1)),
            "variance must have shape": lambda: BatchNorm(floats(0), floats(1, 1)),
            "epsilon": lambda: BatchNorm(floats(0), floats(1), epsilon=0.0),
        },
    ),
    Entry(
        "act_norm",
        lambda key, dim: ActNorm(jax.random.normal(key, (dim,)), jnp.exp(jax.random.normal(key, (dim,)))),
        bad={
            "scale must be finite and positive": lambda: ActNorm(floats(0), floats(0)),
            r"one entry for each channel of the event shape \(4, 3\)": lambda: ActNorm(floats(0), floats(1), (4, 3)),
            r"scale must have shape \(1,\)": lambda: ActNorm(floats(0), floats(1, 1)),
            "shift must be finite": lambda: ActNorm(floats(np.nan), floats(1)),
        },
    ),
    Entry(
        "act_norm_channels",
        lambda key, dim: ActNorm(jax.random.normal(key, (dim,)), jnp.full(dim, 2.0), (2, dim)),
    ),
    Entry(
        "bounded",
        mixed_ends,
        dims=(1, 4),
        reach=(7.0, 20.0),
        outside=(-1.0, -1e4),
        bad={"below high": lambda: Bounded(floats(1), floats(0))},
    ),
    Entry(
        "spline",
        lambda key, dim: spline(key, (dim,)),
        points=edges,
        bad={
            "widths must be above": lambda: RationalQuadraticSpline(floats(0, 2), floats(1, 1), floats(1), 1.0),
            "heights must be bins that sum": lambda: RationalQuadraticSpline(
                floats(1, 1), floats(1, 2), floats(1), 1.0
            ),
            "derivatives must be above": lambda: RationalQuadraticSpline(floats(1, 1), floats(1, 1), floats(0), 1.0),
            "derivatives must have shape": lambda: RationalQuadraticSpline(
                floats(1, 1), floats(1, 1), floats(1, 1), 1.0
            ),
            "bound must be positive": lambda: RationalQuadraticSpline(floats(1, 1), floats(1, 1), floats(1), -1.0),
            "2 to 999 bins": lambda: RationalQuadraticSpline(floats(2), floats(2), jnp.zeros(0), 1.0),
        },
    ),
    Entry(
        "spline_bounded",
        lambda key, dim: spline(key, (dim,), "bounded"),
        reach=(3.0, 3.0),
        tail=3.0,
        points=edges,
        support=(-3.0, 3.0),
        outside=(-3.5, 3.5, -1e4, 1e4),
        bad={
            "ends must be one of": lambda: RationalQuadraticSpline.init((), ends="open"),
            r"derivatives must have shape \(3,\)": lambda: RationalQuadraticSpline(
                floats(1, 1), floats(1, 1), floats(1), 1.0, "bounded"
            ),
        },
    ),
    Entry(
        "spline_circular",
        lambda key, dim: spline(key, (dim,), "circular"),
        reach=(3.0, 3.0),
        tail=3.0,
        points=edges,
        support=(-3.0, 3.0),
        outside=(-3.5, 3.5, -1e4, 1e4),
    ),
    Entry(
        "circular_shift",
        lambda key, dim: CircularShift(jax.random.normal(key, (dim,)), 3.0),
        reach=(2.9, 2.9),  # at the seam, rounding moves a point to the other end
        tail=2.9,
        support=(-3.0, 3.0),
        outside=(-3.5, 3.5, -1e4, 1e4),
        bad={
            "bound must be positive": lambda: CircularShift(floats(0), 0.0),
            "shift must be floating": lambda: CircularShift(jnp.arange(2), 1.0),
        },
    ),
    Entry("spline_scalar", lambda key, dim: spline(key, ()), dims=(1,), points=edges),
    Entry(
        "chain",
        lambda key, dim: Chain([Triangular.init(key, dim), spline(key, (dim,)), Permute.init(key, dim)]),
        bad={
            "at least one": lambda: Chain([]),
            "share one event shape": lambda: Chain([Exp((2,)), Exp((3,))]),
        },
    ),
    Entry(
        "stack",
        lambda key, dim: layers(key, dim, 3),
        bad={"share their first axis": lambda: Stack(Shift(floats(0)[0]))},
    ),
    Entry("stack_deep", lambda key, dim: layers(key, dim, 10), dims=(3,)),
    Entry(
        "amortized",
        lambda key, dim: amortized(key, Chain([Triangular.init(key, dim), layers(key, dim, 2)])),
        bad={
            r"the network gives shape \(3,\).*ask for \(2,\)": lambda: amortized(
                jax.random.key(0), Affine(floats(0), floats(1)), n_out=3
            ),
            "Permute has no trainable numbers": lambda: amortized(jax.random.key(0), Permute([1, 0])),
            r"takes a condition of shape \(1,\), not \(2,\)": lambda: amortized(
                jax.random.key(0), coupling(jax.random.key(0), 2, scalar_affine(), 1)
            ),
        },
    ),
    # the inner map sees the condition too
    Entry("amortized_coupling", lambda key, dim: amortized(key, coupling(key, dim, scalar_affine(), 2)), dims=(3,)),
    Entry("amortized_planar", lambda key, dim: amortized(key, Planar.init(key, dim)), reach=(10.0, 1e4)),
    Entry("invert", lambda key, dim: Invert(PLU.init(key, dim))),
    Entry("fixed", lambda key, dim: Fixed(BatchNorm.init(dim))),
    Entry(
        "coupling",
        lambda key, dim: coupling(key, dim, scalar_affine(), 2),
        bad={"scalar": lambda: coupling(jax.random.key(0), 2, Exp((2,)), None)},
    ),
    # far out the network's bins are so uneven that rounding in a knot shows; values stay finite
    Entry("coupling_spline", lambda key, dim: coupling(key, dim, spline(key, ()), None), dims=(3,), reach=(1.0, 50.0)),
    Entry(
        "autoregressive",
        lambda key, dim: autoregressive(key, dim, scalar_affine(), 2),
        bad={
            "permutation": lambda: MaskedAutoregressive(
                MADE.init(jax.random.key(0), 2, 2, (4,)), scalar_affine(), [0, 0]
            )
        },
    ),
    Entry("autoregressive_spline", lambda key, dim: autoregressive(key, dim, spline(key, ()), None), reach=(1.0, 50.0)),
    Entry(
        "autoregressive_deep_sigmoid",
        lambda key, dim: autoregressive(key, dim, Invert(deep_sigmoid(key, ())), 2),
        dims=(3,),
        reach=(1.0, 10.0),
    ),
    Entry(
        "gated_iaf",
        lambda key, dim: Invert(autoregressive(key, dim, Invert(Gated(floats(0)[0], floats(0.8)[0])), 2)),
        dims=(3,),
    ),
    Entry(
        "block_autoregressive",
        lambda key, dim: block_autoregressive(key, dim, 2),
        reach=(10.0, 1e4),
        bad={
            "network must be a BlockTriangular": lambda: BlockAutoregressive(MLP.init(jax.random.key(0), 2, 2, ())),
            "at least one hidden layer": lambda: BlockTriangular.init(jax.random.key(0), 2, ()),
        },
    ),
    Entry(
        "coupling_multiplicative",
        lambda key, dim: coupling(key, dim, Scale(jnp.ones(()), bound=2.0), None),
        dims=(3,),
    ),
    Entry(
        "coupling_deep_sigmoid",
        lambda key, dim: coupling(key, dim, deep_sigmoid(key, ()), None),
        dims=(3,),
        reach=(1.0, 10.0),
    ),
]
