"""Columns that repeat others: the rows lie in a plane, where no density is."""

from __future__ import annotations

import warnings

import jax.numpy as jnp
import numpy as np

from pushforward.clustering import subsample
from pushforward.data.columns import Columns, FloatArray

MOST_LOOKED = 2_000  # rows that are looked at first; what they say is checked on all
PART = 1e-6  # share of a column's spread below which another has no part in it
CLOSEST = 4  # roundings of a column's spread that another has to differ by


def refuse_repeats(x: FloatArray, columns: Columns) -> None:
    """Refuse continuous columns that follow from others exactly, and say which whole-number ones are copies.

    A column is a copy of another also where it has other units, as degrees Celsius and Fahrenheit. Columns that agree
    more closely than JAX's floating dtype tells apart count as copies. Columns with noise (whole numbers, tied values)
    have a density even so: of these copies are said by a warning, and sums are let be.

    Arguments:
        x: rows in the data's units, shape (n, D).
        columns: what they were taken to be.

    Raises:
        ValueError: a continuous column follows from other continuous columns.
    """
    n, dim = x.shape
    spread = x.std(axis=0)
    numbers = np.flatnonzero(spread > 0)
    if n <= 2 * dim or len(numbers) < 2:
        return
    centre = x.mean(axis=0)
    rounding = CLOSEST * float(np.finfo(np.dtype(jnp.result_type(float))).eps)
    # values far from zero hold their differences the less exactly
    room = rounding + 2 * CLOSEST * np.finfo(np.float64).eps * np.abs(x).max(axis=0)[numbers] / spread[numbers]
    scaled = (x[:, numbers] - centre[numbers]) / spread[numbers]
    noisy = columns.width[numbers] > 0
    refused, nearly = [], False
    for place, (parts, difference) in _dependent(scaled, room).items():
        named = [repr(columns.names[i]) for i in numbers[parts]]
        name = repr(columns.names[numbers[place]])
        text = f"{name} {'is a copy of' if len(parts) == 1 else 'follows from'} {', '.join(named)}"
        if not noisy[place] and not noisy[parts].any():
            exact = difference <= room[place] - rounding
            nearly = nearly or not exact
            refused.append(text if exact else f"{text} up to {difference:.1g} of its spread")
        elif len(parts) == 1:
            warnings.warn(
                f"columns that repeat others: {text}; it says nothing new, and densities count it as if it did; "
                "leave one of them out",
                stacklevel=4,
            )
    if refused:
        precise = ", or run in double precision (JAX_ENABLE_X64=1), which tells them apart" if nearly else ""
        raise ValueError(
            "columns that follow from others have no density of their own: "
            f"{'; '.join(refused)}; leave them out{precise}"
        )


def _dependent(scaled: FloatArray, room: FloatArray) -> dict[int, tuple[np.ndarray, float]]:
    """Columns that follow from earlier ones: from which, and up to which share of their spread.

    Arguments:
        scaled: columns in standard units, shape (n, D).
        room: share of its spread by which a column may differ and still follow, shape (D,).
    """
    looked = scaled[subsample(len(scaled), MOST_LOOKED, np.random.default_rng(0))]
    looked = looked - looked.mean(axis=0)
    left = np.abs(np.diagonal(np.linalg.qr(looked, mode="r"))) / np.sqrt(len(looked))
    suspects = np.flatnonzero(left <= 10 * room)
    free = np.setdiff1d(np.arange(scaled.shape[1]), suspects)
    found = {}
    for place in suspects:
        earlier = free[free < place]
        share = np.linalg.lstsq(looked[:, earlier], looked[:, place], rcond=None)[0]
        parts = earlier[np.abs(share) > PART]
        share = np.linalg.lstsq(looked[:, parts], looked[:, place], rcond=None)[0]
        difference = float((scaled[:, place] - scaled[:, parts] @ share).std())
        if difference <= room[place]:
            found[int(place)] = (parts, difference)
    return found
