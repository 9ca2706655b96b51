"""Pytrees of parameters: what trains, what is frozen, how like modules are stacked."""

from __future__ import annotations

import dataclasses
import itertools
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

T = TypeVar("T")
LINE, MOST_PARTS = 100, 8  # characters of a line, and parts of one module, that an outline has


class AbstractModel(eqx.Module):
    """What trains: a module whose floating arrays outside `Frozen` a loss is minimised over."""

    @property
    def reads_data(self) -> bool:
        """Whether a part of it reads parameters off data, so that a loss has to calibrate it."""
        return False


class Outlined(eqx.Module):
    """A module that prints as what it is made of, its sizes and how many numbers train, in a few lines.

    `equinox.tree_pformat` gives every leaf.

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flows.real_nvp(jax.random.key(0), 2, n_layers=2, hidden_sizes=(8,))
        Pushforward(Normal, Scan(Coupling(Affine) × 2), shape (2,), 68 parameters)
    """

    if TYPE_CHECKING:  # whatever a subclass has them as, which it asks for by `equinox.AbstractVar`

        @property
        def shape(self) -> tuple[int, ...]: ...

        @property
        def cond_shape(self) -> tuple[int, ...] | None: ...

    def made_of(self) -> list[Outlined]:
        """The parts that are outlined themselves, in their order; those of the fields unless a class says otherwise."""
        return outlined([getattr(self, field.name) for field in dataclasses.fields(self)])

    def __repr__(self) -> str:
        try:
            parts, n = _counted(self.made_of()), n_parameters(self)
            given = [] if self.cond_shape is None else [f"condition {self.cond_shape}"]
            sizes = ", ".join([f"shape {self.shape}", *given, f"{n:,} parameter{'' if n == 1 else 's'}"])
        except (AttributeError, TypeError, ValueError, IndexError):  # of half a model, whose other leaves are None
            return eqx.tree_pformat(self)
        begin = f"{type(self).__name__}({''.join(f'{part}, ' for part in parts)}"
        if len(begin) + len(sizes) < LINE:
            return f"{begin}{sizes})"
        return textwrap.fill(begin, LINE, subsequent_indent="  ") + f"\n  {sizes})"


def outlined(tree: Any) -> list[Outlined]:
    """The outermost outlined modules of a tree."""
    nodes = jax.tree.leaves(tree, is_leaf=lambda node: isinstance(node, Outlined))
    return [node for node in nodes if isinstance(node, Outlined)]


def _counted(parts: Sequence[Outlined]) -> list[str]:
    """Parts in words, each with its own; neighbours that are alike once, and of many the first and the last."""
    texts = []
    for part in parts:
        inside = ", ".join(_counted(part.made_of()))
        texts.append(f"{type(part).__name__}({inside})" if inside else type(part).__name__)
    runs = [(text, len(list(run))) for text, run in itertools.groupby(texts)]
    told = [text if n == 1 else f"{text} × {n}" for text, n in runs]
    return (
        told if len(told) <= MOST_PARTS else [*told[: MOST_PARTS - 2], f"… {len(told) - MOST_PARTS + 1} more", told[-1]]
    )


class Frozen(eqx.Module, Generic[T]):
    """A value that is part of a model but must not train: masks, orders, signs, statistics.

    Read it as `value`, through which no gradient reaches its arrays: in any training loop that of a frozen leaf is
    exactly zero. What decays weights besides wants `trainable` as its mask. `equinox.tree_at` replaces `content`.

    Arguments:
        content: any pytree of arrays.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.trees import Frozen
        >>> jax.grad(lambda held: (2 * held.value).sum())(Frozen(jnp.ones(2))).content.tolist()
        [0.0, 0.0]
    """

    content: T

    @property
    def value(self) -> T:
        """The content, its floating arrays without gradients."""
        return stop_gradient(self.content)


def is_frozen(node: Any) -> bool:
    """Whether `node` is wrapped as frozen."""
    return isinstance(node, Frozen)


def trainable(tree: T) -> T:
    """Which leaves of a model train: True at floating arrays outside `Frozen`, False at all others.

    It is a filter for `equinox.partition`, and a mask for what optax applies to some leaves only, such as the weight
    decay of `optax.adamw(1e-3, mask=trainable)`.

    Arguments:
        tree: a model, or what `equinox.filter` leaves of it.

    Returns:
        A tree of the same structure.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.trees import Frozen, trainable
        >>> trainable({"w": jnp.ones(2), "mask": Frozen(jnp.ones(2))})
        {'mask': Frozen(content=False), 'w': True}
    """

    def marked(node: Any) -> Any:
        return jax.tree.map(lambda _: False, node) if is_frozen(node) else eqx.is_inexact_array(node)

    marks: T = jax.tree.map(marked, tree, is_leaf=is_frozen)
    return marks


def partition(tree: T, where: Callable[[T], Any] | None = None) -> tuple[T, T]:
    """Split a model into what trains (floating arrays outside `Frozen`) and the rest.

    Arguments:
        tree: a model.
        where: picks the only part of it that trains; all of it if None.

    Returns:
        `(trainable, rest)`, two trees with None in the other's places; `combine` joins them again.
    """
    trainable, rest = eqx.partition(tree, eqx.is_inexact_array, is_leaf=is_frozen)
    if where is not None:
        nothing = jax.tree.map(lambda _: False, trainable)
        chosen = eqx.tree_at(where, nothing, jax.tree.map(lambda _: True, where(trainable)))
        trainable, others = eqx.partition(trainable, chosen)
        rest = eqx.combine(others, rest)
    return trainable, rest


def combine(trainable: T, rest: T) -> T:
    """Join the two halves that `partition` gave, in that order."""
    joined: T = eqx.combine(trainable, rest)
    return joined


def stack(modules: Sequence[T]) -> T:
    """Stack like modules leaf by leaf along a new first axis.

    Raises:
        ValueError: the modules differ in structure or in the shape of a leaf.
    """
    if not modules:
        raise ValueError("cannot stack an empty sequence of modules; give at least one")
    arrays = [eqx.partition(m, eqx.is_array) for m in modules]
    first = arrays[0]
    if not all(like(m, modules[0]) for m in modules[1:]):
        raise ValueError(
            "only modules of the same structure, static fields and leaf shapes stack; "
            "put unlike modules into a Chain (or a list of components) instead"
        )
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(a for a, _ in arrays))
    joined: T = eqx.combine(stacked, first[1])
    return joined


def like(a: Any, b: Any) -> bool:
    """Whether two modules share structure, static fields, leaf shapes and dtypes, so that they stack."""
    structure: Any = jax.tree.structure(a)
    if structure != jax.tree.structure(b):
        return False

    def same(u: Any, v: Any) -> bool:
        if eqx.is_array(u) and eqx.is_array(v):
            return bool(u.shape == v.shape and u.dtype == v.dtype)
        return bool(u == v)

    return all(same(u, v) for u, v in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def unstack(stacked: T, index: Any) -> T:
    """The module at `index` along the first axis of every array leaf."""
    arrays, static = eqx.partition(stacked, eqx.is_array)
    joined: T = eqx.combine(jax.tree.map(lambda leaf: leaf[index], arrays), static)
    return joined


def stop_gradient(tree: T) -> T:
    """`tree` without gradients into its own numbers; those into what it is given stay."""
    held: T = jax.tree.map(lambda leaf: lax.stop_gradient(leaf) if eqx.is_inexact_array(leaf) else leaf, tree)
    return held


def n_parameters(tree: Any) -> int:
    """The number of trainable numbers in a model."""
    return sum(leaf.size for leaf in jax.tree.leaves(partition(tree)[0]))


def offset(template: T, offsets: Float[Array, " p"]) -> T:
    """`template` with `offsets` added to its trainable leaves, read in the order of its pytree.

    Zero offsets give the template itself; this is how a network's output parameterises any map.

    Arguments:
        template: a module with p trainable numbers.
        offsets: shape (p,).
    """
    trainable, rest = partition(template)
    flat, unravel = ravel_pytree(trainable)
    moved: T = unravel(flat + offsets.astype(flat.dtype))
    return combine(moved, rest)


def repeat(module: T, n: int) -> T:
    """`module` with every array leaf repeated along a new first axis of length n."""
    arrays, static = eqx.partition(module, eqx.is_array)
    joined: T = eqx.combine(jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (n, *leaf.shape)), arrays), static)
    return joined
