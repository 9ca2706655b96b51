"""Maps that are made of other maps, for the registry."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from pushforward.bijections import (
    PLU,
    ActNorm,
    Affine,
    BatchNorm,
    BlockAutoregressive,
    Chain,
    Concatenate,
    ConditionalCoupling,
    Continuous,
    Exp,
    Fixed,
    Gated,
    Identity,
    Invert,
    MaskedAutoregressive,
    Permute,
    Planar,
    Recomputed,
    Reshape,
    Residual,
    Scale,
    Scan,
    Shift,
    Tanh,
    TemporalAutoregressive,
    Triangular,
    Untrained,
    Vmap,
    as_map,
    from_functions,
    split,
)
from pushforward.networks import MADE, MLP, BlockTriangular, Lipschitz
from pushforward.serialization import register
from tests.bijections.entries import (
    Entry,
    Key,
    amortized,
    autoregressive,
    block_autoregressive,
    coupling,
    deep_sigmoid,
    floats,
    layers,
    scalar_affine,
    spline,
    temporal,
)


def continuous(key: Key, dim: int, **options: Any) -> Continuous:
    """A tolerance that either precision can reach."""
    options.setdefault("tolerance", 1e-10 if jax.config.jax_enable_x64 else 1e-5)
    return Continuous(MLP.init(key, dim + 1, dim, (8,), "tanh", 1.0), dim, "exact", **options)


@register(name="tests.Shifted")
class Shifted(eqx.Module):
    """Registered, so that a map of it can be saved."""

    shift: jax.Array

    def __call__(self, z: Any) -> Any:
        return 2 * z + self.shift


@register(name="tests.Bijector")
class Bijector(eqx.Module):
    """As of distrax, of single numbers."""

    rate: jax.Array
    event_ndims_in: int = eqx.field(static=True, default=0)

    def forward_and_log_det(self, z: Any) -> Any:
        return self.rate * z, jnp.broadcast_to(jnp.log(jnp.abs(self.rate)), z.shape)

    def inverse_and_log_det(self, x: Any) -> Any:
        return x / self.rate, jnp.broadcast_to(-jnp.log(jnp.abs(self.rate)), x.shape)


KEY = jax.random.key(0)


def floats_affine(dim: int) -> Affine:
    """A shift and a scale, softly bounded."""
    return Affine(jnp.zeros(dim), jnp.ones(dim), max_log_scale=2.0)


COMPOSED = [
    Entry(
        "chain",
        lambda key, dim: Chain([Triangular.init(key, dim), spline(key, (dim,)), Permute.init(key, dim)]),
        bad={
            "at least one": lambda: Chain([]),
            r"maps 1 and 2 of the Chain do not fit: Exp makes event shape \(2,\), Tanh takes \(3,\)": lambda: Chain(
                [Identity((2,)), Exp((2,)), Tanh((3,))]
            ),
        },
    ),
    Entry(
        "stack",
        lambda key, dim: layers(key, dim, 3),
        bad={
            "share their first axis": lambda: Scan(Shift(floats(0)[0])),
            r"takes event shape \(4,\) and makes \(2, 2\)": lambda: Scan(Reshape((4,), (2, 2))),
        },
    ),
    Entry("stack_deep", lambda key, dim: layers(key, dim, 10), dims=(3,)),
    Entry(
        "amortized",
        lambda key, dim: amortized(key, Chain([Triangular.init(key, dim), layers(key, dim, 2)])),
        shake=0.1,  # three maps, each as far from the identity as one alone, flatten space beyond single precision
        bad={
            r"the network gives shape \(3,\).*ask for \(2,\)": lambda: amortized(
                jax.random.key(0), Affine(floats(0), floats(1)), n_out=3
            ),
            "Permute has no trainable numbers": lambda: amortized(jax.random.key(0), Permute([1, 0])),
            r"takes a condition of shape \(1,\), not \(2,\)": lambda: amortized(
                jax.random.key(0), coupling(jax.random.key(0), 2, scalar_affine(), 1)
            ),
            "Amortized cannot calibrate.* ActNorm would keep": lambda: amortized(jax.random.key(0), ActNorm.init((2,))),
        },
    ),
    # the inner map sees the condition too
    Entry(
        "conditional_coupling",
        lambda key, dim: ConditionalCoupling(autoregressive(key, dim, scalar_affine(), 3), 1, "last"),
        bad={
            "kept must be one of": lambda: ConditionalCoupling(amortized(KEY, floats_affine(2)), 2, "middle"),
            "n_kept must be a whole number of at least 1; got 0": lambda: ConditionalCoupling(Exp((2,)), 0),
            "3 kept numbers need a map of vectors": lambda: ConditionalCoupling(amortized(KEY, floats_affine(2)), 3),
            r"points of shape \(3,\); got \(7,\)": lambda: ConditionalCoupling(Exp((2,)), 1).forward(jnp.zeros(7)),
            "needs a condition of shape": lambda: ConditionalCoupling(amortized(KEY, floats_affine(2)), 1).forward(
                jnp.zeros(3)
            ),
        },
    ),
    Entry("conditional_coupling_first", lambda key, dim: ConditionalCoupling(amortized(key, floats_affine(dim)), 1)),
    Entry("conditional_coupling_unseen", lambda key, dim: ConditionalCoupling(spline(key, (dim,)), 1)),
    Entry("amortized_coupling", lambda key, dim: amortized(key, coupling(key, dim, scalar_affine(), 2)), dims=(3,)),
    Entry("amortized_planar", lambda key, dim: amortized(key, Planar.init(key, dim)), reach=(10.0, 1e4)),
    Entry(
        "invert",
        lambda key, dim: Invert(PLU.init(key, dim)),
        bad={
            r"ActNorm, BatchNorm would keep the numbers.* as Invert\(Fixed\(": lambda: Invert(
                Chain([ActNorm.init((2,)), BatchNorm.init(2)])
            ),
        },
    ),
    Entry(
        "reshape",
        lambda key, dim: Chain([Reshape((2 * dim,), (2, dim)), Shift(jnp.ones((2, dim))), Reshape((2, dim), (dim, 2))]),
        bad={
            r"\(4,\) holds 4, \(3,\) 3": lambda: Reshape((4,), (3,)),
            "noise_shape must be a tuple": lambda: Reshape(4, (4,)),
        },
    ),
    Entry("reshape_alone", lambda key, dim: Reshape((2 * dim,), (2, dim))),
    Entry("invert_reshape", lambda key, dim: Invert(Reshape((2 * dim,), (2, dim)))),
    # parts that are unlike, and a condition that one of them takes
    Entry(
        "concatenate",
        lambda key, dim: Concatenate([spline(key, (dim,)), amortized(key, floats_affine(dim))]),
        bad={
            "needs at least one": lambda: Concatenate([]),
            "as many axes": lambda: Concatenate([Exp((2,)), Exp((2, 2))]),
            "agree on every axis but axis=0": lambda: Concatenate([Exp((2, 3)), Exp((2, 2))], 0),
            "axis must be one of the 1 axes": lambda: Concatenate([Exp((2,))], 1),
        },
    ),
    # half of the numbers leave
    Entry(
        "split",
        lambda key, dim: split(Triangular.init(key, dim), dim),
        bad={
            "n_leaving must be": lambda: split(Exp((2,)), 0),
            "axis must be one of the 2 axes": lambda: split(Exp((2, 3)), 1, axis=2),
        },
    ),
    Entry("split_rows", lambda key, dim: split(Vmap(Triangular.init(key, dim), 1), 1, axis=0)),
    Entry(
        "vmap",
        lambda key, dim: Vmap(amortized(key, Triangular.init(key, dim)), 2),
        bad={
            "axis_size must be": lambda: Vmap(Exp((2,)), 0),
            "axis must be one of the 2 axes": lambda: Vmap(Exp((2,)), 3, axis=2),
        },
    ),
    Entry(
        "vmap_last", lambda key, dim: Vmap(Chain([Triangular.init(key, dim), Reshape((dim,), (dim, 1))]), 2, axis=-1)
    ),
    Entry(
        "functions",
        lambda key, dim: from_functions(Shifted(jax.random.normal(key, (dim,))), shape=(dim,)),
    ),
    Entry("foreign", lambda key, dim: as_map(Bijector(jnp.exp(0.5 * jax.random.normal(key))), (dim,))),
    Entry("invert", lambda key, dim: Invert(PLU.init(key, dim))),
    Entry("fixed", lambda key, dim: Fixed(BatchNorm.init(dim))),
    Entry("recomputed", lambda key, dim: Recomputed(PLU.init(key, dim))),
    Entry(
        "untrained",
        lambda key, dim: Untrained(PLU.init(key, dim)),
        bad={"reads parameters off data": lambda: Untrained(BatchNorm.init(2))},
    ),
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
    # far out, a small gate divides the rounding of what the network says
    Entry(
        "gated_iaf",
        lambda key, dim: Invert(autoregressive(key, dim, Invert(Gated(floats(0)[0], floats(0.8)[0])), 2)),
        dims=(3,),
        reach=(100.0, 1e4),
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
        "residual",
        lambda key, dim: Residual(Lipschitz.init(key, dim, dim, (8,), 0.9), dim, "exact"),
        bad={
            "bound must be below 1": lambda: Residual(Lipschitz.init(jax.random.key(0), 2, 2, (8,), 1.0), 2),
            "log_det must be one of": lambda: Residual(Lipschitz.init(jax.random.key(0), 2, 2, (8,)), 2, "guessed"),
            "lipschitz must be above 0": lambda: Lipschitz.init(jax.random.key(0), 2, 2, (8,), 0.0),
        },
    ),
    Entry(
        "residual_conditional",
        lambda key, dim: Residual(Lipschitz.init(key, dim, dim, (8,), 0.9, 2), dim, "exact", cond_dim=2),
    ),
    Entry(
        "continuous",
        lambda key, dim: continuous(key, dim),
        dims=(1, 2),
        reach=(10.0, 100.0),
        bad={
            "velocity must give 3 numbers": lambda: Continuous(MLP.init(jax.random.key(0), 4, 2, (8,)), 3),
            "adjoint must be one of": lambda: continuous(jax.random.key(0), 2, adjoint="none"),
            "tolerance must lie between 0 and 1": lambda: continuous(jax.random.key(0), 2, tolerance=0.0),
        },
    ),
    Entry(
        "continuous_direct", lambda key, dim: continuous(key, dim, adjoint="direct"), dims=(1, 2), reach=(10.0, 100.0)
    ),
    Entry(
        "temporal",
        lambda key, dim: temporal(key, dim, scalar_affine()),
        bad={
            r"shape must be \(T, D\)": lambda: TemporalAutoregressive.init(jax.random.key(0), (3, 2, 2)),
            "window must be": lambda: temporal(jax.random.key(0), 2, scalar_affine(), 0),
            "scalar": lambda: temporal(jax.random.key(0), 2, Exp((2,))),
            r"gives shape \(8,\); 2 columns of Affine ask for \(4,\)": lambda: TemporalAutoregressive(
                MLP.init(jax.random.key(0), 2, 8, ()), scalar_affine(), (3, 2)
            ),
        },
    ),
    Entry(
        "coupling_multiplicative",
        lambda key, dim: coupling(key, dim, Scale(jnp.ones(()), max_log_scale=2.0), None),
        dims=(3,),
    ),
    Entry(
        "coupling_deep_sigmoid",
        lambda key, dim: coupling(key, dim, deep_sigmoid(key, ()), None),
        dims=(3,),
        reach=(1.0, 10.0),
    ),
]
