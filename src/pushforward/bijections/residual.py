"""Residual maps: the identity plus a contraction."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from pushforward import trees
from pushforward.bijections._implicit import along, implicit
from pushforward.bijections._linalg import inverse_and_log_det
from pushforward.bijections.base import AbstractMap
from pushforward.checks import check_whole, limits
from pushforward.networks import Lipschitz

EXACT_UP_TO = 4  # coordinates up to which the whole Jacobian costs no more than a series
SURE_TERMS = 2  # of the series, that are always taken
GOES_ON = 2 / 3  # chance of each further term, so that there are 4 on average
MOST_TERMS = 80  # a run of as many has a chance of 10⁻¹⁴
STEPS = 2000  # of the fixed point, which a contraction by 0.97 needs for 1e-6 even from far away
STEP, GAP = 4, 32  # the last step and the equation's gap that are allowed, in units of rounding
LOOKED_AT, ROUNDING = 64, 1e-3  # points where a network of one's own is looked at
LOG_DETS = ("exact", "unbiased", "truncated")
MAKES = {"exact": frozenset[str](), "unbiased": frozenset({"unbiased"}), "truncated": frozenset({"approximate"})}


@runtime_checkable
class Contraction(Protocol):
    """A network that stretches no distance by more than a stated constant."""

    @property
    def lipschitz(self) -> float: ...

    def fixed_norms(self) -> Any:
        """The same with its norms computed, to be evaluated often."""

    def raw(self, z: Array, condition: Array | None, /) -> Array:
        """Its value, for a network whose norms are computed."""


class Residual(AbstractMap):
    """x = z + g(z) for a network g of Lipschitz constant below 1 (Behrmann et al. 2019; Chen et al. 2019).

    Forward costs one pass and a log-determinant: of the whole Jacobian ("exact"), of D passes; or from the series
    log|det(I + J)| = Σ_k (−1)^{k+1} tr(Jᵏ)/k with traces by one random probe (Hutchinson), cut off after `n_terms`
    ("truncated") or after a random number of terms that are weighted to be right in the mean ("unbiased"). Inverse is a
    fixed-point iteration to the precision of the dtype, at most 2,000 steps, with implicit gradients; a point where it
    does not converge comes out as NaN.

    Arguments:
        network: g, a `networks.Lipschitz`, whose bound holds whatever its parameters are; or a module with `lipschitz`,
            `fixed_norms` and `raw` as it has them, which is looked at in a few points.
        dim: D.
        log_det: "exact", "unbiased" or "truncated"; None for exact up to 4 coordinates and unbiased beyond.
        n_terms: of the truncated series.
        cond_dim: size of the condition, or None.

    Raises:
        ValueError: the network's bound is not below 1 or does not hold, its sizes do not fit, or the log-determinant
            is of no known kind.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.bijections import Residual
        >>> from pushforward.networks import Lipschitz
        >>> layer = Residual(Lipschitz.init(jax.random.key(0), 2, 2, (8,)), 2)
        >>> z = jnp.array([0.5, -1.0])
        >>> bool(jnp.allclose(layer.inverse(layer.forward(z)), z, atol=1e-5)), layer.exactness
        (True, 'exact')
    """

    network: Lipschitz
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] | None = eqx.field(static=True)
    log_det: str = eqx.field(static=True)
    n_terms: int = eqx.field(static=True)

    def __init__(
        self,
        network: Any,
        dim: int,
        log_det: str | None = None,
        n_terms: int = 10,
        cond_dim: int | None = None,
    ):
        _check_contraction(network, dim, cond_dim)
        chosen = ("exact" if dim <= EXACT_UP_TO else "unbiased") if log_det is None else log_det
        if chosen not in LOG_DETS:
            raise ValueError(f"log_det must be one of {LOG_DETS}, or None; got {log_det!r}")
        self.network, self.log_det, self.n_terms = network, chosen, check_whole("n_terms", n_terms, 1)
        self.shape = (dim,)
        self.cond_shape = None if cond_dim is None else (cond_dim,)

    @property
    def inexactness(self) -> frozenset[str]:
        return MAKES[self.log_det]

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        network = self.network.fixed_norms()
        jacobian = jax.jacfwd(network.raw)(z, condition)
        log_det: Array = jnp.linalg.slogdet(jnp.eye(z.size, dtype=z.dtype) + jacobian)[1]
        return z + network.raw(z, condition), log_det

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        z = self.inverse(x, condition)
        return z, -self.forward_and_log_det(z, condition)[1]

    def forward(self, z: Array, condition: Array | None = None) -> Array:
        return z + self.network(z, condition)

    def inverse(self, x: Array, condition: Array | None = None) -> Array:
        return self.solve(x, condition)[0]

    def forward_and_log_weight(
        self, z: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        if not self.inexactness:
            return self.forward_and_log_det(z, condition)
        return self._forward_and_estimate(z, condition, *self._draws(key, z))

    def inverse_and_log_weight(
        self, x: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        z = self.inverse(x, condition)
        return z, -self.forward_and_log_weight(z, key, condition)[1]

    def forward_batch(
        self, z: Array, key: PRNGKeyArray | None = None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        """As for any map, with one number of terms for the whole batch, which would else run to the largest of all."""
        if not self.inexactness:
            return super().forward_batch(z, key, condition)
        axes = (0, None if condition is None else 0, 0, None)
        return jax.vmap(self._forward_and_estimate, in_axes=axes)(z, condition, *self._draws(key, z))

    def inverse_batch(
        self, x: Array, key: PRNGKeyArray | None = None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        z = jax.vmap(self.inverse, in_axes=(0, None if condition is None else 0))(x, condition)
        return z, -self.forward_batch(z, key, condition)[1]

    def solve(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        """The z with z + g(z) = x.

        Arguments:
            x: shape (D,).
            condition: shape `cond_shape`, or None.

        Returns:
            z of shape (D,), NaN where the iteration did not converge, and the number of steps it took, a whole number.
        """
        given = (self.network.fixed_norms(), x, condition)
        z, n_steps = _fixed_point(*given)
        # rounding can keep the steps of a solved point above any tolerance, so what counts is whether it solves
        (network, at, given_condition), here = trees.stop_gradient((given, z))
        gap = jnp.abs(here + network.raw(here, given_condition) - at).max()
        eps = float(limits(x.dtype).eps)
        solved = gap <= GAP * eps * (1 + jnp.abs(at).max() + jnp.abs(here).max())
        return jnp.where(solved, z, jnp.nan), n_steps

    def _draws(self, key: PRNGKeyArray | None, z: Array) -> tuple[Array, Array]:
        """A probe for each point of z, and one number of terms."""
        if key is None:
            raise ValueError("the log-determinant of this Residual is estimated; give it a key")
        key_probe, key_terms = jax.random.split(key)
        probe = jax.random.rademacher(key_probe, z.shape, z.dtype)
        if self.log_det == "truncated":
            return probe, jnp.asarray(self.n_terms)
        more = jax.random.geometric(key_terms, 1 - GOES_ON) - 1
        return probe, jnp.minimum(SURE_TERMS + more, MOST_TERMS)

    def _forward_and_estimate(
        self, z: Array, condition: Array | None, probe: Array, n_terms: Array
    ) -> tuple[Array, Array]:
        goes_on, most = (GOES_ON, MOST_TERMS) if self.log_det == "unbiased" else (1.0, self.n_terms)
        moved, log_det = with_series(self.network.fixed_norms(), z, condition, probe, n_terms, goes_on, most)
        return z + moved, log_det


def _iterate(network: Lipschitz, x: Array, condition: Array | None) -> tuple[Array, Array]:
    """z with z + g(z) = x for a network whose norms are computed, as far as it comes, and the steps it took."""

    def step(z: Array, given: Any) -> Array:
        network, x, condition = given
        result: Array = x - network.raw(z, condition)
        return result

    eps = float(limits(x.dtype).eps)
    solver: Any = optx.FixedPointIteration(STEP * eps, STEP * eps)
    result: Any = optx.fixed_point(step, solver, x, (network, x, condition), max_steps=STEPS, throw=False)
    return result.value, result.stats["num_steps"]


def _iterate_derivative(value: Any, arguments: Any, tangents: Any) -> tuple[Array, None]:
    """(I + J) dz = dx − dg, with dg of all but z."""
    (z, _), (network, _, condition), (network_dot, x_dot, condition_dot) = value, arguments, tangents
    moves = along(lambda network, given: network.raw(z, given), (network, condition), (network_dot, condition_dot))
    jacobian = jax.jacfwd(lambda z: network.raw(z, condition))(z)
    inverse = inverse_and_log_det(jnp.eye(z.size, dtype=z.dtype) + jacobian)[0]
    return inverse @ (-moves if x_dot is None else x_dot - moves), None


_fixed_point = implicit(_iterate, _iterate_derivative)  # whose derivative optimistix' own rule loses in a scan


def with_series(
    network: Lipschitz,
    z: Array,
    condition: Array | None,
    probe: Array,
    n_terms: Array,
    goes_on: float,
    most: int = MOST_TERMS,
) -> tuple[Array, Array]:
    """g(z) of the network g, and log|det(I + J)| by terms of its power series along a probe, J the Jacobian at z.

    Value and gradient come from the same vectors: with u_k = (Jᵀ)ᵏ v the value is Σ_k (−1)^{k+1} u_kᵀv / k and the
    gradient that of wᵀ J v for the fixed w = Σ_k (−1)ᵏ u_k, so nothing is kept from term to term (Chen et al. 2019,
    equation 8). A derivative of that gradient goes through w too. Terms beyond the sure ones are divided by their
    chance of being taken.

    Arguments:
        network: the contraction, its norms fixed.
        z: shape (D,).
        condition: of the network, or None.
        probe: v, of independent entries with mean 0 and variance 1, shape (D,).
        n_terms: how many, a whole number.
        goes_on: the chance of each further term after the sure ones; 1 for a series that is cut off.
        most: how many terms there can be.

    Returns:
        g(z), shape (D,), and a scalar.
    """
    moved, stretched = jax.jvp(lambda z: network.raw(z, condition), (z,), (probe,))  # g(z), and J v
    held, at, given, along_probe = trees.stop_gradient((network, z, condition, stretched))
    _, vjp = jax.vjp(lambda z: held.raw(z, given), at)

    def body(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        k, u, value, w = state  # k terms are in; u = (Jᵀ)ᵏ⁻¹ v
        u = vjp(u)[0]
        share = _share(k, goes_on, z.dtype)
        return k + 1, u, value + share / (k + 1) * jnp.vdot(u, along_probe), w + share * u

    start = (jnp.ones((), jnp.int32), probe, jnp.vdot(probe, along_probe), probe)
    _, _, value, w = lax.while_loop(lambda state: state[0] < n_terms, body, start)
    return moved, _estimate(value, stretched, w, (network, z, condition, probe), n_terms, goes_on, most)


def _share(k: Array, goes_on: float, dtype: Any) -> Array:
    """The weight of (Jᵀ)ᵏ v in w: its sign, by the chance that term k + 1 is taken."""
    chance = goes_on ** jnp.maximum(k + 1 - SURE_TERMS, 0)
    return (1 - 2 * (k % 2)).astype(dtype) / jnp.asarray(chance, dtype)


def _estimate_derivative(value: Array, arguments: Any, tangents: Any) -> Array | None:
    """wᵀ d(J v), whose own derivative knows what w depends on."""
    _, _, w, *given = arguments
    stretched_dot = tangents[1]
    return None if stretched_dot is None else jnp.vdot(_weights(w, *given), stretched_dot)


def _weights_derivative(w: Array, arguments: Any, tangents: Any) -> Array:
    """The tangent of w, through as many terms as there can be, so that reverse mode can follow it."""
    _, given, n_terms, goes_on, most = arguments

    def series(network: Lipschitz, z: Array, condition: Array | None, probe: Array) -> Array:
        _, vjp = jax.vjp(lambda z: network.raw(z, condition), z)

        def body(state: tuple[Array, Array], k: Array) -> tuple[tuple[Array, Array], None]:
            u = vjp(state[0])[0]
            return (u, state[1] + jnp.where(k < n_terms, _share(k, goes_on, z.dtype), 0) * u), None

        total: Array = lax.scan(body, (probe, probe), jnp.arange(1, most))[0][1]
        return total

    moved: Array = along(series, given, tangents[1])
    return moved


# the estimate as it was found, and w, each with the derivative that belongs to it
_estimate = implicit(lambda value, *_: value, _estimate_derivative)
_weights = implicit(lambda w, *_: w, _weights_derivative)


def _check_contraction(network: Any, dim: int, cond_dim: int | None) -> None:
    """Refuse a network that is none, a bound of 1 or more or not kept in some points, and sizes that do not fit.

    Raises:
        ValueError: one of these fails.
    """
    if not isinstance(network, Contraction):
        raise ValueError(
            "network must be a networks.Lipschitz, or like one have lipschitz, fixed_norms and raw; got a "
            f"{type(network).__name__}"
        )
    if not network.lipschitz < 1:
        raise ValueError(f"the network's Lipschitz bound must be below 1 to be undone; got {network.lipschitz!r}")
    condition = None if cond_dim is None else jnp.zeros(cond_dim)
    try:
        result = eqx.filter_eval_shape(network.raw, jnp.zeros(dim), condition).shape
    except (TypeError, ValueError) as error:
        raise ValueError(f"the network does not take {dim} numbers: {error}") from error
    if result != (dim,):
        raise ValueError(f"the network must map {dim} numbers to as many; it gives shape {result}")
    if isinstance(network, Lipschitz) or any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(network)):
        return
    points = jnp.concatenate([jnp.zeros((1, dim)), jax.random.normal(jax.random.key(0), (LOOKED_AT, dim))])
    slopes = jax.vmap(lambda z: jax.jacfwd(network.fixed_norms().raw)(z, condition))(points)
    steepest = float(jnp.linalg.norm(slopes, 2, axis=(-2, -1)).max())
    if not steepest <= network.lipschitz * (1 + ROUNDING):
        raise ValueError(
            f"the network is no contraction: it stretches {steepest:.3g} times where its bound is "
            f"{network.lipschitz:.3g}; take a networks.Lipschitz, or divide the network by its norm"
        )
