"""Every map of the package, each way it is put together: one list that the contract tests run through.

A new public map needs an entry here; the suite fails without one.
"""

import jax
import jax.numpy as jnp
import numpy as np

from pushforward.bijections import (
    PLU,
    ActNorm,
    Affine,
    BatchNorm,
    Bounded,
    CircularShift,
    ConvexCombination,
    DeepSigmoid,
    Dense,
    Exp,
    Gated,
    Gumbel,
    Householder,
    Identity,
    LinearIAF,
    LowRank,
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
    Sylvester,
    Tanh,
    Triangular,
)
from tests.bijections.composed import COMPOSED
from tests.bijections.entries import Entry, deep_sigmoid, edges, floats, mixed_ends, spline, sylvester, triangular
from tests.bijections.imaged import IMAGED

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
            r"< max_log_scale = 1.0": lambda: Affine(floats(0), floats(3), max_log_scale=1.0),
            "max_log_scale must be positive": lambda: Affine(floats(0), floats(1), max_log_scale=0.0),
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
            "scale must have": lambda: Scale(floats(3), max_log_scale=1.0),
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
        "batch_norm_channels",
        lambda key, dim: BatchNorm(jnp.ones(dim), jnp.exp(jax.random.normal(key, (dim,))), shape=(2, dim)),
        bad={"last axes of the event shape": lambda: BatchNorm(floats(0), floats(1), shape=(2, 3))},
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
            "half_width must be positive": lambda: RationalQuadraticSpline(floats(1, 1), floats(1, 1), floats(1), -1.0),
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
            "half_width must be positive": lambda: CircularShift(floats(0), 0.0),
            "shift must be floating": lambda: CircularShift(jnp.arange(2), 1.0),
        },
    ),
    Entry("spline_scalar", lambda key, dim: spline(key, ()), dims=(1,), points=edges),
    *COMPOSED,
    *IMAGED,
]
