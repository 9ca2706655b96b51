"""Draws under rules that a user states: what breaks them is drawn again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pushforward.data.duck import rows_where
from pushforward.data.sources import DataError
from pushforward.training.feeds import bucket

if TYPE_CHECKING:
    import pyarrow as pa

FEWEST_AT_ONCE, MOST_AT_ONCE = 1024, 16_384  # rows of one draw
LEAST, LEAST_SHARE = 20_000, 1 / 5000  # rows, after which fewer than such a share of them is too few to go on


class Draws(NamedTuple):
    """Rows that were drawn.

    Arguments:
        rows: an array of shape (n, D), or an Arrow table of n rows.
        components: of a mixture, shape (n,), or None.
    """

    rows: Any
    components: Any = None

    def take(self, which: np.ndarray) -> Draws:
        """Some of them, by number."""
        rows = self.rows[which] if isinstance(self.rows, np.ndarray) else self.rows.take(which)
        return Draws(rows, None if self.components is None else self.components[which])


def draw_where(
    draw: Callable[[int, int], Draws], as_table: Callable[[Any], pa.Table], n: int, where: str, seed: int
) -> Draws:
    """As many draws as are asked for that keep to a rule.

    Arguments:
        draw: from how many and a seed to draws.
        as_table: rows as a table of Arrow, its columns called what the user calls them.
        n: how many to keep.
        where: an expression of SQL, as of `data.duck.rows_where`.
        seed: of all draws.

    Raises:
        DataError: the rule is no such expression, or so few draws keep to it that it would take for ever.
    """
    at_once = int(np.clip(bucket(n), FEWEST_AT_ONCE, MOST_AT_ONCE))
    seeds = np.random.SeedSequence(seed)
    parts: list[Draws] = []
    kept = drawn = 0
    while kept < n:
        some = draw(at_once, int(seeds.spawn(1)[0].generate_state(1)[0]))
        which = rows_where(as_table(some.rows), where)
        parts.append(some.take(which[: n - kept]))
        kept, drawn = kept + len(which), drawn + at_once
        if kept < n and drawn >= LEAST and kept < drawn * LEAST_SHARE:
            raise DataError(
                f"where={where!r}: {kept:,} of {drawn:,} rows drawn keep to it ({kept / drawn:.2%}), and at least one "
                f"in {1 / LEAST_SHARE:,.0f} has to; ask for less, or draw the other columns given= some values"
            )
    return _joined(parts)


def _joined(parts: list[Draws]) -> Draws:
    import pyarrow as pa

    rows = [part.rows for part in parts]
    whole = np.concatenate(rows) if isinstance(rows[0], np.ndarray) else pa.concat_tables(rows)
    components = [part.components for part in parts if part.components is not None]
    return Draws(whole, np.concatenate(components) if components else None)
