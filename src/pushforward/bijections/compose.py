"""Maps that combine maps: Chain, Scan, Invert."""

import abc
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections.base import (
    AbstractMap,
    merge_cond_shapes,
    require_map,
    require_no_statistics,
)
from pushforward.bijections.foreign import as_map, map_name
from pushforward.trees import Outlined, unstack

UNROLL = 8  # stacks up to this depth are unrolled: faster steps, and compile time is still bounded


Step = Callable[[Any, Array, Any], tuple[Any, Array, Array]]  # of (part, x, key): what the part gives, x, log-weight


def split_key(key: PRNGKeyArray | None, n: int) -> Any:
    """n keys, or None if there is no key, which exact maps do without."""
    return None if key is None else jax.random.split(key, n)


class AbstractComposition(AbstractMap):
    """A map made of maps whose log-weights add, with log-determinants where all parts are exact.

    A subclass guarantees `_parts`, what `calibrate` replaces, and `_through`.
    """

    @abc.abstractmethod
    def _parts(self) -> Any:
        """The parts as they are stored."""

    @abc.abstractmethod
    def _through(self, x: Array, key: PRNGKeyArray | None, step: Step, reverse: bool) -> tuple[Any, Array, Array]:
        """Carry x and the sum of log-weights through the parts; also what each part gives, as the parts are stored."""

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self._through(z, None, lambda part, z, key: (None, *part.forward_and_log_det(z, condition)), False)[1:]

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self._through(x, None, lambda part, x, key: (None, *part.inverse_and_log_det(x, condition)), True)[1:]

    def forward_and_log_weight(
        self, z: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        def step(part: Any, z: Array, key: Any) -> tuple[None, Array, Array]:
            return None, *part.forward_and_log_weight(z, key, condition)

        return self._through(z, key, step, False)[1:]

    def inverse_and_log_weight(
        self, x: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        def step(part: Any, x: Array, key: Any) -> tuple[None, Array, Array]:
            return None, *part.inverse_and_log_weight(x, key, condition)

        return self._through(x, key, step, True)[1:]

    def forward_batch(
        self, z: Array, key: PRNGKeyArray | None = None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        def step(part: Any, z: Array, key: Any) -> tuple[None, Array, Array]:
            return None, *part.forward_batch(z, key, condition)

        return self._through(z, key, step, False)[1:]

    def inverse_batch(
        self, x: Array, key: PRNGKeyArray | None = None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        def step(part: Any, x: Array, key: Any) -> tuple[None, Array, Array]:
            return None, *part.inverse_batch(x, key, condition)

        return self._through(x, key, step, True)[1:]

    def calibrate(
        self,
        x: Array,
        condition: Array | None = None,
        weights: Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Self, Array, Array]:
        def step(part: Any, x: Array, key: Any) -> tuple[Any, Array, Array]:
            result: tuple[Any, Array, Array] = part.calibrate(x, condition, weights, key)
            return result

        parts, z, total = self._through(x, key, step, True)
        return eqx.tree_at(lambda c: c._parts(), self, parts), z, total


class Chain(AbstractComposition):
    """The composition f_K ∘ … ∘ f_1 of maps; log-determinants add.

    Both directions cost the sum of the parts' costs.

    Arguments:
        bijections: the maps in forward order, first f_1; each makes what the next one takes. Those of other
            libraries that do not say their shape take that of their neighbour; see `as_map`.

    Raises:
        ValueError: no map is given, or event shapes of neighbours or condition shapes disagree.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Affine, Chain, Exp
        >>> chain = Chain([Affine(jnp.zeros(2), jnp.full(2, 2.0)), Exp((2,))])
        >>> chain.forward(jnp.zeros(2)).tolist()
        [1.0, 1.0]
    """

    bijections: tuple[AbstractMap, ...]

    def __init__(self, bijections: Sequence[Any]):
        bijections = _as_maps(tuple(bijections))
        if not bijections:
            raise ValueError("a Chain needs at least one bijection; use Identity(shape) for the empty chain")
        for i, (first, second) in enumerate(itertools.pairwise(bijections)):
            if first.shape != second.noise_shape:
                raise ValueError(
                    f"maps {i} and {i + 1} of the Chain do not fit: {map_name(first)} makes event shape "
                    f"{first.shape}, {map_name(second)} takes {second.noise_shape}"
                )
        merge_cond_shapes(bijections)
        self.bijections = bijections

    def made_of(self) -> list[Outlined]:
        """The maps one after another, those of inner chains too."""
        parts: list[Outlined] = []
        for part in self.bijections:
            parts += part.made_of() if isinstance(part, Chain) else [part]
        return parts

    @property
    def domain(self) -> tuple[Any, Any]:
        return self.bijections[0].domain

    @property
    def codomain(self) -> tuple[Any, Any]:
        """That of the last map, which is right where the one before it reaches all that the last one takes."""
        return self.bijections[-1].codomain

    @property
    def shape(self) -> tuple[int, ...]:
        return self.bijections[-1].shape

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return self.bijections[0].noise_shape

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        return merge_cond_shapes(self.bijections)

    @property
    def inexactness(self) -> frozenset[str]:
        return frozenset().union(*(b.inexactness for b in self.bijections))

    def _parts(self) -> tuple[AbstractMap, ...]:
        return self.bijections

    def _through(self, x: Array, key: PRNGKeyArray | None, step: Step, reverse: bool) -> tuple[Any, Array, Array]:
        n = len(self.bijections)
        event = self.shape if reverse else self.noise_shape
        total, keys = jnp.zeros(x.shape[: x.ndim - len(event)], x.dtype), split_key(key, n)
        result: dict[int, Any] = {}
        for i in reversed(range(n)) if reverse else range(n):
            result[i], x, log_weight = step(self.bijections[i], x, None if keys is None else keys[i])
            total = total + log_weight
        return tuple(result[i] for i in range(n)), x, total


def _as_maps(parts: tuple[Any, ...]) -> tuple[AbstractMap, ...]:
    """Maps in a row; those of other libraries take the shape of what is before them, or else after them."""
    shape = next((part.noise_shape for part in parts if isinstance(part, AbstractMap)), None)
    maps: list[AbstractMap] = []
    for part in parts:
        maps.append(as_map(part, shape))
        shape = maps[-1].shape
    return tuple(maps)


class Scan(AbstractComposition):
    """A chain of like layers whose leaves are stacked along a first axis and scanned.

    Compile time does not grow with depth beyond a short unrolled stack.

    Arguments:
        layers: one map, of one event shape for noise and data, whose array leaves carry a first axis of length L, first
            layer f_1; `trees.stack` or `eqx.filter_vmap` of a constructor makes it.

    Raises:
        ValueError: the array leaves do not share their first axis, or the layers change the event shape.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward import trees
        >>> from pushforward.bijections import Affine, Scan
        >>> layers = trees.stack([Affine(jnp.zeros(2), jnp.full(2, s)) for s in (2.0, 3.0)])
        >>> Scan(layers).forward(jnp.ones(2)).round(4).tolist()
        [6.0, 6.0]
    """

    layers: AbstractMap

    def __init__(self, layers: AbstractMap):
        require_map(layers)
        if layers.noise_shape != layers.shape:
            raise ValueError(
                f"layers of a Scan must take what they make; {type(layers).__name__} takes event shape "
                f"{layers.noise_shape} and makes {layers.shape}; use a Chain"
            )
        lengths = {leaf.shape[:1] for leaf in jax.tree.leaves(eqx.filter(layers, eqx.is_array))}
        if len(lengths) != 1 or lengths == {()}:
            raise ValueError(f"the leaves of a Scan must share their first axis; got lengths {sorted(lengths)}")
        self.layers = layers

    @property
    def shape(self) -> tuple[int, ...]:
        return self.layers.shape

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        return self.layers.cond_shape

    @property
    def domain(self) -> tuple[Any, Any]:
        first: AbstractMap = unstack(self.layers, 0)
        return first.domain

    @property
    def codomain(self) -> tuple[Any, Any]:
        last: AbstractMap = unstack(self.layers, -1)
        return last.codomain

    def __len__(self) -> int:
        return int(jax.tree.leaves(eqx.filter(self.layers, eqx.is_array))[0].shape[0])

    @property
    def inexactness(self) -> frozenset[str]:
        return self.layers.inexactness

    def made_of(self) -> list[Outlined]:
        """Each of the layers."""
        return [self.layers] * len(self)

    def _parts(self) -> AbstractMap:
        return self.layers

    def _through(self, x: Array, key: PRNGKeyArray | None, step: Step, reverse: bool) -> tuple[Any, Array, Array]:
        arrays, static = eqx.partition(self.layers, eqx.is_array)
        total = jnp.zeros(x.shape[: x.ndim - len(self.shape)], x.dtype)
        keys = split_key(key, len(self))

        def body(carry: tuple[Array, Array], given: Any) -> tuple[tuple[Array, Array], Any]:
            leaves, key = given
            out, x, log_weight = step(eqx.combine(leaves, static), carry[0], key)
            return (x, carry[1] + log_weight), eqx.filter(out, eqx.is_array)

        if len(self) > UNROLL or (self.layers.forward_is_sequential and not reverse):
            (x, total), outs = lax.scan(body, (x, total), (arrays, keys), reverse=reverse)
            return eqx.combine(outs, static), x, total

        # split, not sliced: under a vmap over components a scan, unrolled too, would transpose every stacked weight
        leaves, structure = jax.tree.flatten(arrays)
        parts = [[jnp.squeeze(part, 0) for part in lax.split(leaf, (1,) * len(self), axis=0)] for leaf in leaves]
        body = jax.jit(body)  # traced once for all layers
        carry, result = (x, total), []
        for i in reversed(range(len(self))) if reverse else range(len(self)):
            layer = jax.tree.unflatten(structure, [part[i] for part in parts])
            carry, out = body(carry, (layer, None if keys is None else keys[i]))
            result.append(out)
        stacked = jax.tree.map(lambda *o: jnp.stack(o), *(result[::-1] if reverse else result))
        return eqx.combine(stacked, static), *carry


class Invert(AbstractMap):
    """A map run the other way: its forward is the inner map's inverse.

    Each direction costs what the inner map's other direction costs.

    Arguments:
        bijection: any map that reads no parameters off data: those are read on the way from data to noise, which is the
            inner map's other direction.

    Raises:
        ValueError: a part of the map reads data and is not `Fixed`.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Exp, Invert
        >>> Invert(Exp(())).forward(jnp.array(1.0)).item()
        0.0
    """

    bijection: AbstractMap

    def __init__(self, bijection: AbstractMap):
        require_map(bijection)
        require_no_statistics(bijection, "Invert")
        self.bijection = bijection

    @property
    def shape(self) -> tuple[int, ...]:
        return self.bijection.noise_shape

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return self.bijection.shape

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        return self.bijection.cond_shape

    @property
    def domain(self) -> tuple[Any, Any]:
        return self.bijection.codomain

    @property
    def codomain(self) -> tuple[Any, Any]:
        return self.bijection.domain

    @property
    def inexactness(self) -> frozenset[str]:
        return self.bijection.inexactness

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self.bijection.inverse_and_log_det(z, condition)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self.bijection.forward_and_log_det(x, condition)

    def forward_and_log_weight(
        self, z: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        return self.bijection.inverse_and_log_weight(z, key, condition)

    def inverse_and_log_weight(
        self, x: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        return self.bijection.forward_and_log_weight(x, key, condition)

    def forward_batch(
        self, z: Array, key: PRNGKeyArray | None = None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        return self.bijection.inverse_batch(z, key, condition)

    def inverse_batch(
        self, x: Array, key: PRNGKeyArray | None = None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        return self.bijection.forward_batch(x, key, condition)
