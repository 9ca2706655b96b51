"""Mixtures of normalizing flows, with a network for the posterior over components."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pushforward import trees
from pushforward.bijections.base import (
    NOISY,
    AbstractMap,
    Identity,
    InexactError,
    merge_cond_shapes,
    only_starts,
    require_bijection,
)
from pushforward.checks import is_concrete
from pushforward.distributions.base import AbstractDistribution, log_mean_exp, safe_logsumexp
from pushforward.distributions.likely import likely_blocks, likely_log_probs
from pushforward.trees import Frozen


class MixtureOfFlows(AbstractDistribution):
    """A variational mixture of normalizing flows: p(x) = Σ_k π_k p_k(x), with q(k|x) from a network.

    Like components are stacked and run under one `vmap`; unlike ones are grouped by structure.
    (Pires & Figueiredo 2020, "Variational mixture of normalizing flows".)

    Arguments:
        components: K flows, or other distributions, of one event shape; or one whose leaves carry a component axis.
        posterior: a module from a point (and its condition after it) to K logits; None for q(k|x) = π.
        log_weights: log π, shape (K,); normalised here. Uniform if None.
        shared: a map under all components, on the data side.
        learn_weights: whether π trains.
        view: a map, not trained, whose noise side the posterior reads, such as the pixels of an image; that of
            `shared` if None.

    Raises:
        ValueError: no component, or shapes that disagree.
        InexactError: log-determinants of a component are estimates, or the shared map is not exact.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.distributions import MixtureOfFlows
        >>> from pushforward import flows
        >>> from pushforward.networks import MLP
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> mixture = MixtureOfFlows([flows.real_nvp(k, 2, n_layers=2) for k in keys], MLP.init(keys[0], 2, 2, (8,)))
        >>> mixture.log_prob(jnp.zeros((5, 2))).shape
        (5,)
    """

    groups: tuple[Any, ...]
    posterior: Callable[[Array], Array] | None
    raw_weights: Array | Frozen[Array]
    shared: AbstractMap
    view: Frozen[AbstractMap] | None
    places: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        components: Sequence[AbstractDistribution] | AbstractDistribution,
        posterior: Callable[[Array], Array] | None = None,
        log_weights: Any = None,
        shared: AbstractMap | None = None,
        learn_weights: bool = True,
        view: AbstractMap | None = None,
    ):
        if view is not None:
            require_bijection(view, "view")
        self.view = None if view is None else Frozen(view)
        self.groups, self.places = _group(components)
        n = len(self.places)
        raw = jnp.zeros(n) if log_weights is None else jnp.asarray(log_weights)
        if raw.shape != (n,):
            raise ValueError(f"log_weights must have shape ({n},), one for each component; got {raw.shape}")
        if is_concrete(raw) and not bool(jnp.isfinite(raw).all()):
            raise ValueError(f"log_weights must be finite; got {raw.tolist()}; leave out components of weight zero")
        self.posterior = posterior
        self.raw_weights = raw if learn_weights else Frozen(raw)
        self.shared = Identity(self.groups[0].shape) if shared is None else shared
        if self.shared.inexactness or any(group.inexactness & NOISY for group in self.groups):
            raise InexactError(
                "a mixture needs an exact shared map, and components without estimated log-determinants, whose noise a "
                "sum of densities turns to bias; got exactness "
                f"{[g.exactness for g in self.groups]} and {self.shared.exactness} of the shared map; "
                'take maps with log_det="exact", or one flow alone'
            )
        if self.shared.noise_shape != self.groups[0].shape:
            raise ValueError(
                f"components have event shape {self.groups[0].shape}, noise of the shared map "
                f"{self.shared.noise_shape}; they must agree"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        return self.shared.shape

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        shapes = [g.cond_shape for g in self.groups if g.cond_shape is not None]
        return shapes[0] if shapes else self.shared.cond_shape

    @property
    def n_components(self) -> int:
        """K."""
        return len(self.places)

    @property
    def log_weights(self) -> Array:
        """log π, normalised, shape (K,)."""
        raw = self.raw_weights.value if isinstance(self.raw_weights, Frozen) else self.raw_weights
        return jax.nn.log_softmax(raw)

    @property
    def components(self) -> list[Any]:
        """The K flows, each with the shared map on its data side."""
        flat = [trees.unstack(group, i) for group in self.groups for i in range(_length(group))]
        flows = [flat[place] for place in self.places]
        return flows if isinstance(self.shared, Identity) else [flow.then(self.shared) for flow in flows]

    def made_of(self) -> list[trees.Outlined]:
        """The components, and the map under them if there is one."""
        parts: list[trees.Outlined] = []
        for group in self.groups:
            parts += [trees.unstack(group, 0)] * _length(group)
        return parts if isinstance(self.shared, Identity) else [*parts, self.shared]

    def _members(self) -> Iterator[tuple[Any, np.ndarray]]:
        """Each group with the numbers of its components."""
        order, start = np.argsort(self.places), 0
        for group in self.groups:
            yield group, order[start : start + _length(group)]
            start += _length(group)

    @property
    def inexactness(self) -> frozenset[str]:
        return frozenset().union(*(group.inexactness for group in self.groups))

    def _inner(self, x: Array, condition: Array | None) -> tuple[Array, Array]:
        return self.shared.inverse_and_log_det(x, None if self.shared.cond_shape is None else condition)

    def _view(self, x: Array, z: Array) -> Array:
        """What the posterior network reads of a point x whose place on the noise side of the shared map is z."""
        return z if self.view is None else self.view.value.inverse(x)

    def seen(self, x: Array, condition: Array | None = None) -> Array:
        """What the posterior network reads of a single point."""
        return self._view(x, self._inner(x, condition)[0])  # compiled, what is not read is not computed

    def seen_logits(self, seen: Array, condition: Array | None = None) -> Array:
        """The posterior network's logits, shape (K,), where it reads `seen`."""
        if self.posterior is None:
            return self.log_weights
        return self.posterior(self.network_input(seen, condition))

    def network_input(self, seen: Array, condition: Array | None = None) -> Array:
        """What the posterior network is given where it reads `seen`, shape (E,): the condition comes after it."""
        seen = seen.reshape(-1)
        return seen if condition is None else jnp.concatenate([seen, condition.reshape(-1)])

    def _joint(self, z: Array, key: PRNGKeyArray | None, condition: Array | None) -> Array:
        """log π_k + log p_k(z) for every k, on the noise side of the shared map.

        Where components draw numbers of their own, what stands for it at one draw, of the same key for all.
        """
        result = [
            eqx.filter_vmap(lambda flow: flow.log_weight(z, key, _given(flow, condition)))(group)
            for group in self.groups
        ]
        return self.log_weights + jnp.concatenate(result)[np.asarray(self.places)]

    def _joint_and_logits(self, x: Array, keys: Array | None, condition: Array | None = None) -> tuple[Array, Array]:
        """log p(x, k) for every k, estimated by a draw for each key if there are keys, and the network's logits."""
        z, log_det = self._inner(x, condition)
        if keys is None:
            joint = self._joint(z, None, condition)
        else:
            joint = log_mean_exp(jax.vmap(lambda key: self._joint(z, key, condition))(keys).T)
        return joint + log_det, self.seen_logits(self._view(x, z), condition)

    def log_weight(self, x: Array, key: PRNGKeyArray | None, condition: Array | None = None) -> Array:
        z, log_det = self._inner(x, condition)
        return safe_logsumexp(self._joint(z, key, condition)) + log_det

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        self._require_exact()
        return self.log_weight(x, None, condition)

    def _sample(self, key: PRNGKeyArray, condition: Array | None = None) -> Array:
        key_k, key_x = jax.random.split(key)
        k = jax.random.categorical(key_k, self.log_weights)
        draws = [
            eqx.filter_vmap(lambda flow: flow._sample(key_x, _given(flow, condition)))(group) for group in self.groups
        ]
        z = jnp.concatenate(draws)[jnp.asarray(self.places)[k]]
        return self.shared.forward(z, None if self.shared.cond_shape is None else condition)

    def draw_each(self, keys: PRNGKeyArray) -> Array:
        """Draws of every component side by side, shape (K, n, *shape), from keys of shape (K, n)."""
        drawn: Array = _draw_components(self, keys, None)
        return drawn

    def joint_and_logits(
        self, x: Any, condition: Any = None, *, key: PRNGKeyArray | None = None, n_samples: int = 1
    ) -> tuple[Array, Array]:
        """What every other quantity of a mixture follows from, for a batch of points.

        Arguments:
            x: shape (n, *shape).
            condition: shape (n, *cond_shape), or None.
            key: a JAX random key, where components have no exact density.
            n_samples: draws of the importance-weighted estimates that stand for such densities.

        Returns:
            log p(x, k), shape (n, K), and the posterior network's logits, shape (n, K).

        Raises:
            ValueError: components have no exact density, and there is no key.
        """
        if self.inexactness and key is None:
            raise ValueError(f"the densities of this mixture are estimates ({self.exactness}); give it a key")
        keys = jax.random.split(key, (len(x), n_samples)) if self.inexactness and key is not None else None
        result: tuple[Array, Array] = _joint_and_logits(self, jnp.asarray(x), keys, condition)
        return result

    def logits(self, x: Any, condition: Any = None) -> Array:
        """The posterior network's logits alone, shape (n, K): what clustering costs."""
        result: Array = _network_logits(self, jnp.asarray(x), condition)
        return result

    def responsibilities(
        self, x: Any, condition: Any = None, *, key: PRNGKeyArray | None = None, n_samples: int = 1
    ) -> Array:
        """The exact posterior p(k|x), shape (n, K); π where no component has any density."""
        joint, _ = self.joint_and_logits(x, condition, key=key, n_samples=n_samples)
        return jnp.exp(self.log_responsibilities(joint))

    def log_responsibilities(self, joint: Array) -> Array:
        """log p(k|x) of points whose log p(x, k) is known up to a constant of each, shape (n, K).

        It is log π where no component has any density: there a point tells nothing of k.

        Arguments:
            joint: log p(x, k), shape (n, K), as `joint_and_logits` gives it.
        """
        nowhere = (joint == -jnp.inf).all(axis=-1, keepdims=True)
        return jax.nn.log_softmax(jnp.where(nowhere, self.log_weights, joint))

    def elbo(self, x: Any, condition: Any = None, *, key: PRNGKeyArray | None = None, n_samples: int = 1) -> Array:
        """The bound Σ_k q(k|x) [log p(x, k) − log q(k|x)] of each point, shape (n,)."""
        return evidence_bound(*self.joint_and_logits(x, condition, key=key, n_samples=n_samples))

    def posterior_gap(
        self, x: Any, condition: Any = None, *, key: PRNGKeyArray | None = None, n_samples: int = 1
    ) -> Array:
        """KL(q(k|x) ‖ p(k|x)) = log p(x) − ELBO(x) of each point, shape (n,), in nats."""
        joint, logits = self.joint_and_logits(x, condition, key=key, n_samples=n_samples)
        return divergence(logits, self.log_responsibilities(joint))

    def calibrate(
        self,
        x: Array,
        condition: Array | None = None,
        weights: Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[MixtureOfFlows, Array]:
        calibrated, joint, _ = self.calibrate_jointly(x, condition, weights, key)
        return calibrated, safe_logsumexp(joint)

    def calibrate_jointly(
        self,
        x: Array,
        condition: Array | None = None,
        weights: Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[MixtureOfFlows, Array, Array]:
        """Calibrate every component on a batch, and give log p(x, k) and logits of it, both (n, K).

        A component's statistics weigh each row by q(k|x) (held fixed) besides the row weights.
        """
        for_shared = None if self.shared.cond_shape is None else condition
        shared, z, log_det = self.shared.calibrate(x, for_shared, weights)
        seen = jax.vmap(self._view)(x, z)
        logits = jax.vmap(self.seen_logits, in_axes=(0, None if condition is None else 0))(seen, condition)
        row_weights = _component_weights(logits, weights)
        groups, result = [], []
        for group, ks in self._members():
            calibrated, log_probs = eqx.filter_vmap(
                lambda flow, w: flow.calibrate(z, _given(flow, condition), w, key), in_axes=(eqx.if_array(0), 1)
            )(group, row_weights[:, ks])
            groups.append(calibrated)
            result.append(log_probs)
        joint = self.log_weights + jnp.concatenate(result)[np.asarray(self.places)].T + log_det[:, None]
        calibrated_self = eqx.tree_at(lambda m: (m.groups, m.shared), self, (tuple(groups), shared))
        return calibrated_self, joint, logits

    def likely_joint_and_logits(
        self, x: Array, condition: Array | None, n_likely: int, wanted: Array | None = None
    ) -> tuple[Array, Array]:
        """log p(x, k) of the components that the posterior network ranks first, -inf for the others; and all logits.

        The cost grows with `n_likely`, not with K. A bound whose q is kept to these components is a bound still:
        `Σ_{k∈S} q(k) [log p(x, k) − log q(k)] ≤ log p(x)` for any q that sums to 1 over S.

        Arguments:
            x: shape (n, *shape).
            condition: shape (n, *cond_shape), or None.
            n_likely: components evaluated at each point.
            wanted: a component of each point that is evaluated whatever its rank, -1 for none, shape (n,); or None.

        Returns:
            Both of shape (n, K).

        Raises:
            ValueError: components are not all alike or not exact, or a part of them reads parameters off every batch.
        """
        if len(self.groups) > 1 or (self.reads_data and not only_starts(self)) or self.inexactness:
            raise ValueError(
                "components evaluated only where they are likely must be alike and exact, and read nothing off each "
                "batch; give n_likely=None"
            )
        axis = None if condition is None else 0
        z, log_det = jax.vmap(self._inner, in_axes=(0, axis))(x, condition)
        logits = jax.vmap(self.seen_logits, in_axes=(0, axis))(jax.vmap(self._view)(x, z), condition)
        ranked = logits
        if wanted is not None:
            ranked = jnp.where(jax.nn.one_hot(wanted, self.n_components, dtype=bool), jnp.inf, logits)
        blocks = likely_blocks(jax.lax.stop_gradient(ranked), n_likely)
        result = likely_log_probs(self.groups[0], z, condition, blocks, self.n_components)
        return self.log_weights + result[:, np.asarray(self.places)] + log_det[:, None], logits

    @property
    def reads_data(self) -> bool:
        """Whether a part of any component reads parameters off data."""
        return self.shared.reads_data or any(group.reads_data for group in self.groups)

    def sample_by_component(self, key: PRNGKeyArray, counts: Sequence[int], condition: Any = None) -> list[Array]:
        """Draws from each component alone.

        Arguments:
            key: a JAX random key.
            counts: how many from each of the K components.
            condition: for each component an array (count, *cond_shape), or None.

        Returns:
            K arrays of shape (count, *shape).
        """
        largest = 1 << max(max(counts) - 1, 0).bit_length()  # one compiled program for like sizes
        table = None
        if condition is not None:
            filled = [np.resize(np.asarray(c), (largest, *np.shape(c)[1:])) if len(c) else None for c in condition]
            some = next(c for c in filled if c is not None)
            table = jnp.asarray(np.stack([np.zeros_like(some) if c is None else c for c in filled]))
        draws = np.asarray(_draw_components(self, jax.random.split(key, (self.n_components, largest)), table))
        return [jnp.asarray(d[:count]) for d, count in zip(draws, counts, strict=True)]


def evidence_bound(joint: Array, logits: Array) -> Array:
    """The bound on log p(x) under q, Σ_k q_k (log p(x, k) − log q_k) over the last axis, with 0·∞ = 0."""
    log_q = jax.nn.log_softmax(logits)
    q = jnp.exp(log_q)
    return (q * jnp.where(q > 0, joint - log_q, 0)).sum(-1)


def divergence(logits: Array, log_p: Array) -> Array:
    """KL(q ‖ p) = Σ_k q_k (log q_k − log p_k) over the last axis, in nats, with 0·∞ = 0.

    Arguments:
        logits: of q, shape (n, K).
        log_p: normalised, shape (n, K).
    """
    return jnp.maximum(-evidence_bound(log_p, logits), 0)


def _group(components: Any) -> tuple[tuple[Any, ...], tuple[int, ...]]:
    """Stack like components; the place of each k among the stacked ones."""
    if isinstance(components, AbstractDistribution):
        return (components,), tuple(range(_length(components)))
    if not components:
        raise ValueError("a mixture needs at least one component; got none")
    if len({flow.shape for flow in components}) > 1:
        raise ValueError(f"components must share one event shape; got {[flow.shape for flow in components]}")
    merge_cond_shapes([flow.bijection for flow in components])
    groups: list[list[int]] = []
    for k, flow in enumerate(components):
        home = next((g for g in groups if trees.like(components[g[0]], flow)), None)
        if home is None:
            groups.append([k])
        else:
            home.append(k)
    stacked = tuple(trees.stack([components[k] for k in group]) for group in groups)
    return stacked, tuple(int(p) for p in np.argsort([k for group in groups for k in group]))


def _length(group: AbstractDistribution) -> int:
    return int(jax.tree.leaves(eqx.filter(group, eqx.is_array))[0].shape[0])


def _given(flow: AbstractDistribution, condition: Array | None) -> Array | None:
    return None if flow.cond_shape is None else condition


def _component_weights(logits: Array, weights: Array | None) -> Array:
    q = jax.lax.stop_gradient(jax.nn.softmax(logits))
    return q if weights is None else q * weights[:, None]


@eqx.filter_jit
def _joint_and_logits(
    mixture: MixtureOfFlows, x: Array, keys: Array | None, condition: Array | None
) -> tuple[Array, Array]:
    axes = (0, None if keys is None else 0, None if condition is None else 0)
    return jax.vmap(mixture._joint_and_logits, in_axes=axes)(x, keys, condition)


@eqx.filter_jit
def _network_logits(mixture: MixtureOfFlows, x: Array, condition: Array | None) -> Array:
    def one(x: Array, condition: Array | None) -> Array:
        return mixture.seen_logits(mixture.seen(x, condition), condition)

    return jax.vmap(one, in_axes=(0, None if condition is None else 0))(x, condition)


@eqx.filter_jit
def _draw_components(mixture: MixtureOfFlows, keys: Array, condition: Array | None) -> Array:
    """Draws (K, n, *shape), `keys` of shape (K, n) and `condition` (K, n, ...)."""
    cond_axis, result = None if condition is None else 0, []

    def draw(flow: AbstractDistribution, keys: Array, condition: Array | None) -> Array:
        def one(key: Array, given: Array | None) -> Array:
            return flow._sample(key, _given(flow, given))

        return jax.vmap(one, in_axes=(0, cond_axis))(keys, condition)

    for group, ks in mixture._members():
        given = None if condition is None else condition[ks]
        result.append(eqx.filter_vmap(draw, in_axes=(eqx.if_array(0), 0, cond_axis))(group, keys[ks], given))
    z = jnp.concatenate(result)[np.asarray(mixture.places)]
    push = jax.vmap(jax.vmap(mixture.shared.forward, in_axes=(0, cond_axis)), in_axes=(0, cond_axis))
    pushed: Array = (
        push(z, condition) if mixture.shared.cond_shape is not None else jax.vmap(jax.vmap(mixture.shared.forward))(z)
    )
    return pushed
