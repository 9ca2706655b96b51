"""Classes beside components: which stand for which, so that they share a colour and lie along a diagonal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike

from pushforward.plots.marks import COLOURS, GREY, colours


@dataclass(frozen=True)
class Classes:
    """Classes of rows, each in the colour of the component that stands for it.

    Arguments:
        names: of the classes.
        group: the class of each row, -1 where it is unknown, shape (n,).
        component: which component stands for each class, or None; the classes are matched one to one to components,
            so that most rows are in the component of their class.
        shades: the colour of each class: that of its component, and one of its own where it has none.
    """

    names: tuple[str, ...]
    group: Int[np.ndarray, " n"]
    component: tuple[int | None, ...]
    shades: tuple[Any, ...]

    @classmethod
    def matched(cls, classes: ArrayLike | None, components: Int[np.ndarray, " n"], k: int) -> Classes:
        """Match classes to the components that the same rows are in.

        Arguments:
            classes: of any kind that sorts, shape (n,), unknown where None or a negative number; None for none at all.
            components: shape (n,).
            k: how many components there are.

        Raises:
            ValueError: there are not n.
        """
        names, group = groups(classes, len(components))
        known = group >= 0
        counts = contingency_table(group[known], components[known], len(names), k)
        pairs = [(i, j) for i, j in assignment(counts) if counts[i, j]]
        component = tuple(dict(pairs).get(i) for i in range(len(names)))
        rest = iter(_further_colours(k, component.count(None)))
        palette = colours(k)
        shades = tuple(next(rest) if j is None else palette[j] for j in component)
        return cls(tuple(names), group, component, shades)

    def dots(self) -> list[Any]:
        """The colour of each row, grey where its class is unknown."""
        return [GREY if g < 0 else self.shades[g] for g in self.group]

    @property
    def heading(self) -> str:
        """What the key is of."""
        return "component = class" if self.names else "component"

    def key(self, k: int) -> tuple[list[str], list[Any]]:
        """Texts and colours of a key of components and classes both."""
        texts = [str(j) for j in range(k)]
        for name, j in zip(self.names, self.component, strict=True):
            if j is not None:
                texts[j] = f"{j} = {name}"
        each = zip(self.names, self.component, self.shades, strict=True)
        alone = [(name, shade) for name, j, shade in each if j is None]
        texts += [f"none = {name}" for name, _ in alone]
        shades = [*colours(k), *(shade for _, shade in alone)]
        if (self.group < 0).any():
            texts.append("unlabelled row" if self.names else "row of the data")
            shades.append(GREY)
        return texts, shades


def groups(classes: ArrayLike | None, n: int) -> tuple[list[str], Int[np.ndarray, " n"]]:
    """Names of classes of any kind that sorts, and the number of each row's; -1 where it is unknown (None, or -1).

    Raises:
        ValueError: there are not n.
    """
    if classes is None:
        return [], np.full(n, -1)
    given = np.asarray(classes)
    if given.shape != (n,):
        raise ValueError(f"classes has shape {given.shape}; expected one for each row, ({n},)")
    unknown = given < 0 if np.issubdtype(given.dtype, np.signedinteger) else np.zeros(n, bool)
    names, index = np.unique(given[~unknown], return_inverse=True)
    group = np.full(n, -1)
    group[~unknown] = index
    return [str(name) for name in names], group


def contingency_table(
    group: Int[np.ndarray, " n"], components: Int[np.ndarray, " n"], n_classes: int, k: int
) -> Int[np.ndarray, "c k"]:
    """How many rows of each class each component has."""
    counts = np.zeros((n_classes, k), dtype=int)
    np.add.at(counts, (group, components), 1)
    return counts


def assignment(counts: Int[np.ndarray, "c k"]) -> list[tuple[int, int]]:
    """The one-to-one matching of classes to components that holds the most rows, as pairs, in the order of classes."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(-counts)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True)]


def diagonal_order(counts: Int[np.ndarray, "c k"]) -> list[int]:
    """Components in an order that puts the matching on the diagonal; the others by their main class."""
    matched = [j for _, j in assignment(counts)]
    rest = [j for j in range(counts.shape[1]) if j not in set(matched)]
    return [*matched, *sorted(rest, key=lambda j: (int(counts[:, j].argmax()), -int(counts[:, j].max())))]


def _further_colours(k: int, more: int) -> list[Any]:
    """Colours that none of k components has."""
    if k + more <= len(COLOURS):
        return list(colours(k + more)[k:])
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    return [to_rgb(colour) for colour in colormaps["tab20b"](np.arange(more) % 20)]
