"""Coupling layers of any map: one end of a vector is the condition of a map of the other."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections.base import AbstractMap, require_map
from pushforward.checks import check_whole

ENDS = ("first", "last")


class ConditionalCoupling(AbstractMap):
    """A coupling layer of any map: the kept coordinates are the condition of a map of the others.

    Its log-determinant is the inner map's. Each direction costs what the inner map's does. `Coupling` is the kind whose
    inner map is scalar (Dinh et al. 2017; in general, Papamakarios et al. 2021, section 3.1.2).

    Arguments:
        bijection: a map of event shape (D,) whose condition is the kept coordinates, and this layer's own condition
            after them, shape (n_kept + C,); or one that takes no condition, and sees neither.
        n_kept: kept coordinates, K; the layer's event shape is (D + K,).
        kept: "first" or "last": the end of the vector where they are.

    Raises:
        ValueError: the map's points are no vectors, its condition has no room for the kept coordinates, or `n_kept` or
            `kept` is not as said.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward import flows
        >>> from pushforward.bijections import ConditionalCoupling
        >>> inside = flows.maf(jax.random.key(0), 3, cond_dim=2, n_layers=1).bijection
        >>> layer = ConditionalCoupling(inside, 2, "last")
        >>> layer.shape, layer.forward(jnp.arange(5.0))[3:].tolist()
        ((5,), [3.0, 4.0])
    """

    bijection: AbstractMap
    n_kept: int = eqx.field(static=True)
    kept: str = eqx.field(static=True)

    def __init__(self, bijection: AbstractMap, n_kept: int, kept: str = "first"):
        require_map(bijection)
        self.n_kept = check_whole("n_kept", n_kept, 1)
        if kept not in ENDS:
            raise ValueError(f"kept must be one of {ENDS}, the end of the vector that is kept; got {kept!r}")
        given = bijection.cond_shape
        vectors = len(bijection.shape) == 1 and bijection.noise_shape == bijection.shape
        if not vectors or (given is not None and (len(given) != 1 or given[0] < n_kept)):
            raise ValueError(
                f"{n_kept} kept numbers need a map of vectors whose condition is a vector of at least as many; "
                f"got a map from {bijection.noise_shape} to {bijection.shape}, with condition shape {given}"
            )
        self.bijection, self.kept = bijection, kept

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.bijection.shape[0] + self.n_kept,)

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        rest = 0 if self.bijection.cond_shape is None else self.bijection.cond_shape[0] - self.n_kept
        return (rest,) if rest else None

    @property
    def inexactness(self) -> frozenset[str]:
        return self.bijection.inexactness

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self._moved(z, condition, self.bijection.forward_and_log_det)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self._moved(x, condition, self.bijection.inverse_and_log_det)

    def forward_and_log_weight(
        self, z: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        return self._moved(z, condition, lambda z, given: self.bijection.forward_and_log_weight(z, key, given))

    def inverse_and_log_weight(
        self, x: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        return self._moved(x, condition, lambda x, given: self.bijection.inverse_and_log_weight(x, key, given))

    def forward_batch(
        self, z: Array, key: PRNGKeyArray | None = None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        return self._moved(z, condition, lambda z, given: self.bijection.forward_batch(z, key, given))

    def inverse_batch(
        self, x: Array, key: PRNGKeyArray | None = None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        return self._moved(x, condition, lambda x, given: self.bijection.inverse_batch(x, key, given))

    def calibrate(
        self,
        x: Array,
        condition: Array | None = None,
        weights: Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[ConditionalCoupling, Array, Array]:
        kept, moved, given = self._split(x, condition)
        bijection, z, log_weight = self.bijection.calibrate(moved, given, weights, key)
        return eqx.tree_at(lambda m: m.bijection, self, bijection), self._join(kept, z), log_weight

    def _moved(
        self, point: Array, condition: Array | None, direction: Callable[[Array, Array | None], tuple[Array, Array]]
    ) -> tuple[Array, Array]:
        """A point or a batch whose moved part has gone a direction of the inner map, and what that gives beside it."""
        kept, moved, given = self._split(point, condition)
        moved, log_weight = direction(moved, given)
        return self._join(kept, moved), log_weight

    def _split(self, point: Array, condition: Array | None) -> tuple[Array, Array, Array | None]:
        """The kept coordinates, the others, and the condition of the inner map; of one point or a batch."""
        if point.shape[-1:] != self.shape:
            raise ValueError(f"this map takes points of shape {self.shape}; got {point.shape}")
        at = self.n_kept if self.kept == "first" else self.bijection.shape[0]
        ends = point[..., :at], point[..., at:]
        kept, moved = ends if self.kept == "first" else ends[::-1]
        if self.bijection.cond_shape is None:
            return kept, moved, None
        if self.cond_shape is None:
            return kept, moved, kept
        if condition is None:
            raise ValueError(f"this map needs a condition of shape {self.cond_shape}; got none")
        return kept, moved, jnp.concatenate([kept, condition], axis=-1)

    def _join(self, kept: Array, moved: Array) -> Array:
        return jnp.concatenate([kept, moved] if self.kept == "first" else [moved, kept], axis=-1)
