"""Looking which columns of a table follow exactly from others: relabelled, told by one other, or sums."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pushforward.data.cells import FloatArray
from pushforward.data.fields import Field
from pushforward.data.rules import Rule, gaps, tolerance

EVIDENCE = 100.0  # nats that rows say more than that the columns have so many of each value
MOST_VALUES, REPEATED = 1000, 5  # of a column that others are told by: at most, and rows for each of them on average
FEW_VALUES = 20  # up to so many, numbers on a line may be there by accident
MOST_TERMS = 8  # of a sum
FEWEST_ROWS, MOST_ROWS = 50, 2000  # without gaps, that sums are looked for in; those found are checked on all rows
MOST_MISSING = 0.5  # share of gaps of a column that sums are looked for in
ROOM = 0.6  # of a cell, that the best line may be away from sums that are rounded
DIGITS = 12  # of factors
CLEAR = 1e-3  # of a column's spread, that rounding may leave open at most


class Coded(NamedTuple):
    """A column as numbers of its values.

    Arguments:
        codes: shape (n,), -1 for gaps.
        values: what each of them stands for.
        counts: rows of each.
    """

    codes: NDArray[Any]
    values: list[Any]
    counts: NDArray[Any]


def follow(fields: Sequence[Field], values: Mapping[str, Any], said: Collection[str]) -> list[Field]:
    """The columns of a table, those with a rule that follow from others exactly.

    A column is told by another one if each value of that one has one value of it beside it, gaps beside gaps, more
    often than could be by accident; and it is a sum if that holds on every row without a gap.

    Arguments:
        fields: of all columns.
        values: of each that is not left out, on its grid, or levels.
        said: columns that are to be modelled in any case.
    """
    rules = _copies(fields, values, said)
    used = {name for rule in rules.values() for name in rule.of}
    for kinds in (("real", "positive", "whole"), ("date",)):
        group = [f for f in fields if f.kind in kinds and f.name not in rules and f.missing <= MOST_MISSING]
        rules |= _sums(group, values, {*said, *used})
    n = len(next(iter(values.values()), ()))
    found = {name: dataclasses.replace(rule, exceptions=0.5 / (n + 1)) for name, rule in rules.items()}
    return [dataclasses.replace(f, rule=found.get(f.name)) for f in fields]


def _copies(fields: Sequence[Field], values: Mapping[str, Any], said: Collection[str]) -> dict[str, Rule]:
    """Columns that one other tells, by their names.

    Of two that tell each other the category stands, of which every value is known, and else the first.
    """
    coded = {field.name: _coded(values[field.name]) for field in fields if field.name in values}
    used = [field for field in fields if field.name in coded]
    order = sorted(used, key=lambda f: (-len(coded[f.name].values), f.is_number))
    sources: list[Field] = []
    rules: dict[str, Rule] = {}
    for field in order:
        own = coded[field.name]
        for source in [] if field.name in said else reversed(sources):
            pairs = _told_by(own, coded[source.name])
            if pairs is not None:
                rules[field.name] = Rule((source.name,), pairs)
                break
        if field.name not in rules and _tells(field, own):
            sources.append(field)
    return rules


def _coded(values: Any) -> Coded:
    gap = gaps(values)
    known = np.asarray(values, dtype=object if not _is_float(values) else None)[~gap]
    if _is_float(values):
        distinct, codes, counts = np.unique(known, return_inverse=True, return_counts=True)
        levels = distinct.tolist()
    else:
        places = {level: i for i, level in enumerate(dict.fromkeys(known.tolist()))}
        codes = np.array([places[level] for level in known.tolist()], dtype=int)
        levels, counts = list(places), np.bincount(codes, minlength=len(places))
    every = np.full(len(gap), -1)
    every[~gap] = codes
    return Coded(every, levels, counts)


def _is_float(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind == "f"


def _tells(field: Field, own: Coded) -> bool:
    """Whether others may be told by a column: few values, each seen several times; of numbers, none besides those."""
    n = len(own.values)
    known = not field.is_number or len(field.levels) == n
    return bool(known and 2 <= n <= MOST_VALUES and REPEATED * n <= own.counts.sum())


def _told_by(own: Coded, source: Coded) -> tuple[tuple[Any, Any], ...] | None:
    """Values of another column and what stands beside each; None where that is not one, or may be by accident."""
    if len(own.values) < 2 or not ((own.codes < 0) == (source.codes < 0)).all():
        return None
    known = own.codes >= 0
    a, b = source.codes[known], own.codes[known]
    beside = np.zeros(len(source.values), dtype=int)
    beside[a] = b
    if not (beside[a] == b).all():
        return None
    surprise = -np.log(own.counts / own.counts.sum())
    if ((source.counts - 1) * surprise[beside]).sum() < EVIDENCE:
        return None
    return tuple((value, own.values[i]) for value, i in zip(source.values, beside.tolist(), strict=True))


def _sums(group: Sequence[Field], values: Mapping[str, Any], fixed: Collection[str]) -> dict[str, Rule]:
    """Columns of numbers that are sums of others, or multiples of one, by their names.

    Columns are gone through from the finest grid to the coarsest, and each is told by those before it or stands.
    """
    fields = sorted(group, key=lambda field: (field.step, field.rounding))
    x = _complete(fields, values)
    if x is None:
        fields = [field for field in fields if not field.missing]
        x = _complete(fields, values)
    rules: dict[str, Rule] = {}
    if x is None:
        return rules
    centred = x - x.mean(axis=0)
    basis, standing = np.empty((len(x), len(fields)), order="F"), list[int]()
    for j, field in enumerate(fields):
        if len(x) < 3 * len(standing) + FEWEST_ROWS:
            break
        size, known = np.linalg.norm(centred[:, j]), basis[:, : len(standing)]
        rest = centred[:, j] - known @ (known.T @ centred[:, j])
        rest -= known @ (known.T @ rest)  # twice is enough
        length = np.linalg.norm(rest)
        if standing and size and abs(rest).max() <= max(ROOM * field.step, 1e-6 * size):
            line = np.linalg.lstsq(centred[:, standing], centred[:, j])[0]
            rule = _rule(fields, j, standing, line, x)
            found = None if rule is None else _with_rule(rules, fields, field.name, rule, values, fixed)
            if found is not None:
                rules = found
                standing = [j if fields[i].name in rules else i for i in standing]
                continue
        if length > 1e-9 * size:
            basis[:, len(standing)] = rest / length
            standing.append(j)
    return rules


def _complete(fields: Sequence[Field], values: Mapping[str, Any]) -> FloatArray | None:
    """Rows without gaps, some of them, shape (n, D); None where they are too few."""
    if len(fields) < 2:
        return None
    x = np.column_stack([values[field.name] for field in fields])
    x = x[~np.isnan(x).any(axis=1)]
    if len(x) < FEWEST_ROWS:
        return None
    some: FloatArray = x[np.unique(np.linspace(0, len(x) - 1, MOST_ROWS).astype(int))]
    return some


def _rule(fields: Sequence[Field], j: int, standing: Sequence[int], line: FloatArray, x: FloatArray) -> Rule | None:
    """The rule that the factors of the best line are near: each 1 or -1, or one of any size; None for others."""
    scales = x[:, list(standing)].std(axis=0) / max(x[:, j].std(), 1e-300)
    terms = [(i, float(c)) for i, c, scale in zip(standing, line, scales, strict=True) if abs(c * scale) > 1e-3]
    of, values = tuple(fields[i].name for i, _ in terms), {field.name: x[:, i] for i, field in enumerate(fields)}
    if len(terms) == 1:
        if len(np.unique(x[:, j])) <= FEW_VALUES:
            return None
        factors: list[tuple[float, ...]] = [
            (_short(terms[0][1], digits),) for digits in range(1, DIGITS + 1)
        ]  # the shortest that does
    elif 2 <= len(terms) <= MOST_TERMS and all(abs(abs(c) - 1) < 0.05 for _, c in terms):
        factors = [tuple(float(np.sign(c)) for _, c in terms)]
    else:
        return None
    for some in factors:
        rest = x[:, j] - Rule(of, (), some).apply(values, True)
        mean, step = float(rest.mean()), fields[j].step
        nearest = [round(mean / step) * step] if step else []
        for constant in (0.0, *nearest, *(_short(mean, digits) for digits in range(1, DIGITS + 1))):
            rule = Rule(of, (), some, constant)
            if (abs(rest - constant) <= tolerance(rule, values, step, fields[j].rounding)).all():
                return rule
    return None


def _short(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _with_rule(
    rules: Mapping[str, Rule],
    fields: Sequence[Field],
    name: str,
    rule: Rule,
    values: Mapping[str, Any],
    fixed: Collection[str],
) -> dict[str, Rule] | None:
    """Rules with one more, of which all hold on all rows; None where there is no such one.

    It is of the total of the parts where there is one, so that parts below zero never come of it.
    """
    known = {field.name: field for field in fields}
    plus = [other for other, factor in zip(rule.of, rule.factors, strict=True) if factor == 1]
    options = [(name, rule)]
    if len(plus) == 1 and len(rule.of) > 1:
        parts = (name, *(other for other in rule.of if other != plus[0]))
        options.insert(0, (plus[0], Rule(parts, (), (1.0,) * len(parts), -rule.constant)))
    for target, option in options:
        changed = {other: _put_in(before, target, option) for other, before in rules.items()} | {target: option}
        anew = {other: now for other, now in changed.items() if rules.get(other) != now}
        if target not in fixed and all(_holds(now, values, known[other]) for other, now in anew.items()):
            return changed
    return None


def _put_in(rule: Rule, name: str, meaning: Rule) -> Rule:
    """A sum with another sum in the place of one of its columns."""
    terms = dict(zip(rule.of, rule.factors, strict=True))
    factor = terms.pop(name, 0.0)
    if not factor:
        return rule
    for other, c in zip(meaning.of, meaning.factors, strict=True):
        terms[other] = terms.get(other, 0.0) + factor * c
    terms = {other: c for other, c in terms.items() if c}
    return Rule(tuple(terms), (), tuple(terms.values()), rule.constant + factor * meaning.constant)


def _holds(rule: Rule, values: Mapping[str, Any], field: Field) -> bool:
    """Whether all rows of a table keep the rule of a column, and are enough that it is no accident."""
    own, missing = values[field.name], np.sum([gaps(values[other]) for other in rule.of], axis=0)
    known = ~gaps(own)
    if (known & (missing > 1)).any():  # which the column would tell something of, and could not
        return False
    whole = known & (missing == 0)
    some = {other: values[other][whole] for other in rule.of}
    allowed = tolerance(rule, some, field.step, field.rounding)
    if not (abs(own[whole] - rule.apply(some, True)) <= allowed).all():
        return False
    if not field.step and allowed.max(initial=0) > CLEAR * own[whole].std():  # as of points far from zero
        return False
    _, counts = np.unique(own[whole], return_counts=True)
    return float(-(counts * np.log(counts / counts.sum())).sum()) >= EVIDENCE
