"""Whether rows keep to how columns follow from others, and what they ask of gaps where they do not tell them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pushforward.data.cells import DAY, FloatArray
from pushforward.data.rules import Rule, gaps, tolerance

if TYPE_CHECKING:
    from pushforward.data.fields import Field

ROUNDED = 1e-4  # of the terms of a sum, that rows may be off which were rounded since


class Demand(NamedTuple):
    """What a column that is known asks of others that it follows from, where they are missing and it tells them not.

    Arguments:
        field: the column that is known.
        rule: how it follows from the others.
        own: its values, shape (n,).
        rows: where it asks something, shape (n,).
    """

    field: Field
    rule: Rule
    own: Any
    rows: NDArray[np.bool_]

    def take(self, places: NDArray[np.intp]) -> Demand:
        """Of some rows."""
        return Demand(self.field, self.rule, self.own[places], self.rows[places])

    def broken(self, values: Mapping[str, Any]) -> NDArray[np.bool_]:
        """Which rows do not do what is asked, shape (n,).

        Arguments:
            values: of the other columns, without gaps.
        """
        expected = self.rule.apply(values, self.field.is_number)
        return self.rows & (gaps(expected) | breaks(self.field, self.rule, values, self.own, expected))


def breaks(field: Field, rule: Rule, values: Mapping[str, Any], own: Any, expected: Any) -> NDArray[np.bool_]:
    """Which values of a column are not those that the others have it, shape (n,); of gaps it tells nothing.

    Arguments:
        field: the column.
        rule: how it follows.
        values: of the others.
        own: its values, shape (n,).
        expected: as the rule has them, shape (n,).
    """
    if not field.is_number:
        return np.array([a != b for a, b in zip(own, expected, strict=True)], dtype=bool)
    share = field.rounding if field.kind == "date" else ROUNDED
    allowed = tolerance(rule, values, field.step, share) if rule.factors else 0.0
    with np.errstate(invalid="ignore"):  # where numbers are infinite
        return np.asarray(~(abs(own - expected) <= allowed), dtype=bool)


def settled(field: Field, rule: Rule, values: Mapping[str, Any], completing: bool) -> FloatArray:
    """What a column adds to log-densities by whether it follows from the others, shape (n,).

    Arguments:
        field: the column.
        rule: how it follows.
        values: of all columns, gaps filled in that others tell.
        completing: whether what is given is taken as following.
    """
    own, expected = values[field.name], rule.apply(values, field.is_number)
    known = ~gaps(own) & ~gaps(expected)
    broken = known & breaks(field, rule, values, own, expected)
    if field.is_number:
        room = max(field.reach[1] - field.reach[0], field.step) / (DAY if field.kind == "date" else 1.0)
    else:
        room = max(len(field.levels) - 1.0, 1.0)
    rare = rule.exceptions > 0 and not completing
    log_broken = math.log(rule.exceptions) - math.log(room) if rare else -math.inf
    return np.where(broken, log_broken, np.where(known, math.log1p(-rule.exceptions), 0.0))
