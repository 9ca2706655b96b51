"""Continuous maps: a point moves with a velocity for a unit of time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections.base import AbstractMap

EXACT_UP_TO = 4  # coordinates up to which the trace is taken exactly by default
MOST_STEPS = 4096
MOST_DIRECT_STEPS = 256  # where every step is kept for derivatives of any order
STAGES = 6  # evaluations of a step: of the seven, one is the next step's first
LOG_DETS = {"exact": frozenset[str](), "unbiased": frozenset({"unbiased"})}
ADJOINTS = ("checkpointed", "backsolve", "direct")


class Continuous(AbstractMap):
    """x = z(1) where dz/dt = v(t, z) and z(0) = z; d log p/dt = −tr ∂v/∂z (Chen et al. 2018; Grathwohl et al. 2019).

    Each direction solves the equation by an adaptive Runge-Kutta method of fifth order (Tsitouras) to a tolerance. The
    trace is exact, of D passes, or along one random probe that stays for the whole solve (Hutchinson), of one. A point
    whose solve takes more than 4,096 steps comes out as NaN.

    Arguments:
        velocity: a module from z, t and the condition, shape (D + 1 + C,), to D numbers.
        dim: D.
        log_det: "exact" or "unbiased"; None for exact up to 4 coordinates and unbiased beyond.
        tolerance: of each step, relative and absolute.
        adjoint: how derivatives are taken: "checkpointed", through the steps that were taken, exact for these;
            "backsolve", by a second equation back in time, of constant memory and accurate to the tolerance; or
            "direct", as "checkpointed" but slower and of 256 steps at most, and alone of the three in forward mode
            (`jax.jvp`, `jax.jacfwd`, `jax.hessian`) too.
        cond_dim: size of the condition, or None.

    Raises:
        ValueError: an option is of no known kind, or the velocity does not give D numbers.
        ImportError: diffrax is not installed.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.bijections import Continuous
        >>> from pushforward.networks import MLP
        >>> layer = Continuous(MLP.init(jax.random.key(0), 3, 2, (8,), "tanh", 1.0), 2)
        >>> z = jnp.array([0.5, -1.0])
        >>> bool(jnp.allclose(layer.inverse(layer.forward(z)), z, atol=1e-3)), layer.exactness
        (True, 'exact')
    """

    velocity: Callable[[Array], Array]
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] | None = eqx.field(static=True)
    log_det: str = eqx.field(static=True)
    tolerance: float = eqx.field(static=True)
    adjoint: str = eqx.field(static=True)

    def __init__(
        self,
        velocity: Callable[[Array], Array],
        dim: int,
        log_det: str | None = None,
        tolerance: float = 1e-5,
        adjoint: str = "checkpointed",
        cond_dim: int | None = None,
    ):
        chosen = ("exact" if dim <= EXACT_UP_TO else "unbiased") if log_det is None else log_det
        for name, value, known in (("log_det", chosen, tuple(LOG_DETS)), ("adjoint", adjoint, ADJOINTS)):
            if value not in known:
                raise ValueError(f"{name} must be one of {known}; got {value!r}")
        if not 0 < tolerance < 1:
            raise ValueError(f"tolerance must lie between 0 and 1; got {tolerance!r}")
        values = eqx.filter_eval_shape(velocity, jnp.zeros(dim + 1 + (cond_dim or 0))).shape
        if values != (dim,):
            raise ValueError(f"velocity must give {dim} numbers; got shape {values}")
        self.velocity, self.log_det, self.tolerance, self.adjoint = velocity, chosen, float(tolerance), adjoint
        self.shape = (dim,)
        self.cond_shape = None if cond_dim is None else (cond_dim,)

    @property
    def inexactness(self) -> frozenset[str]:
        return LOG_DETS[self.log_det]

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self.solve(z, condition, backward=False)[:2]

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self.solve(x, condition, backward=True)[:2]

    def forward_and_log_weight(
        self, z: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        return self.solve(z, condition, backward=False, probe=self._probe(z, key))[:2]

    def inverse_and_log_weight(
        self, x: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        return self.solve(x, condition, backward=True, probe=self._probe(x, key))[:2]

    def forward_batch(
        self, z: Array, key: PRNGKeyArray | None = None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        """As for any map, in one solve, whose steps keep the error of all points together to the tolerance."""
        return self.solve(z, condition, backward=False, probe=self._probe(z, key))[:2]

    def inverse_batch(
        self, x: Array, key: PRNGKeyArray | None = None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        """As for any map, in one solve, whose steps keep the error of all points together to the tolerance."""
        return self.solve(x, condition, backward=True, probe=self._probe(x, key))[:2]

    def _probe(self, point: Array, key: PRNGKeyArray | None) -> Array | None:
        if not self.inexactness:
            return None
        if key is None:
            raise ValueError("the log-determinant of this Continuous map is estimated; give it a key")
        return jax.random.rademacher(key, point.shape, point.dtype)

    def solve(
        self, point: Array, condition: Array | None = None, *, backward: bool, probe: Array | None = None
    ) -> tuple[Array, Array, Array]:
        """Where a point is after a unit of time, or a batch of points that share their steps.

        Arguments:
            point: shape (D,), or (n, D).
            condition: shape `cond_shape`, or (n, *cond_shape), or None.
            backward: whether from data to noise.
            probe: along which the trace is taken, as `point`; None for the whole trace.

        Returns:
            The other point, the log-determinant, and how often the velocity was evaluated, a whole number.
        """
        import diffrax  # an extra: only who uses it needs it

        if self.cond_shape is None:
            condition = None  # of other parts of a chain

        def moves(t: Array, state: tuple[Array, Array], given: Any) -> tuple[Array, Array]:
            velocity, condition = given
            move = partial(_move, velocity, t)
            if state[0].ndim > 1:
                move = jax.vmap(move, in_axes=(0, *(None if part is None else 0 for part in (condition, probe))))
            return move(state[0], condition, probe)

        kinds: dict[str, Any] = {
            "checkpointed": diffrax.RecursiveCheckpointAdjoint,
            "backsolve": diffrax.BacksolveAdjoint,
            "direct": diffrax.DirectAdjoint,
        }
        start, end = (1.0, 0.0) if backward else (0.0, 1.0)
        parts = jax.tree.leaves(eqx.filter((self.velocity, condition), eqx.is_inexact_array))
        point = point.astype(jnp.result_type(point, *parts))  # a solver keeps the type that it starts with
        try:
            values = diffrax.diffeqsolve(
                diffrax.ODETerm(cast(Any, moves)),
                diffrax.Tsit5(),
                start,
                end,
                None,
                (point, jnp.zeros(point.shape[:-1], point.dtype)),
                args=(self.velocity, condition),
                stepsize_controller=diffrax.PIDController(self.tolerance, self.tolerance),
                adjoint=kinds[self.adjoint](),
                max_steps=MOST_DIRECT_STEPS if self.adjoint == "direct" else MOST_STEPS,
                throw=False,
            )
        except TypeError as error:
            if "forward-mode" not in str(error):
                raise
            raise TypeError(
                f"a Continuous map with adjoint={self.adjoint!r} has derivatives in reverse mode alone; for forward "
                'mode (jax.jvp, jax.jacfwd, jax.hessian) build it with adjoint="direct"'
            ) from error
        done = values.result == diffrax.RESULTS.successful
        end_point, log_det = (jnp.where(done, leaf[-1], jnp.nan) for leaf in values.ys)
        return end_point, log_det, values.stats["num_steps"] * STAGES


def _move(
    velocity: Callable[[Array], Array], t: Array, z: Array, condition: Array | None, probe: Array | None
) -> tuple[Array, Array]:
    """The velocity of a point, and the rate of its log-determinant."""

    def v(z: Array) -> Array:
        parts = [z, jnp.reshape(t, (1,)).astype(z.dtype)]
        out: Array = velocity(jnp.concatenate(parts if condition is None else [*parts, condition]))
        return out

    if probe is None:
        return v(z), jnp.trace(jax.jacfwd(v)(z))
    probe = probe.astype(z.dtype)
    value, along = jax.jvp(v, (z,), (probe,))
    return value, jnp.vdot(probe, along)
