"""Checks of what estimators are given: rows, conditions, weights, labels; messages name columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, check_array, validate_data

from pushforward.bijections import SolveError
from pushforward.checks import check_whole, is_whole
from pushforward.data.columns import Columns, FloatArray


@runtime_checkable
class Frame(Protocol):
    """A table of pandas or polars."""

    columns: Any
    dtypes: Any


@runtime_checkable
class ArrowTable(Protocol):
    """A table of Arrow, whose `columns` are arrays."""

    column_names: Any


def check_rows(estimator: BaseEstimator, X: Any, fitting: bool) -> FloatArray:
    """A float64 table of finite numbers, with the columns that the estimator was fitted on.

    Arguments:
        estimator: whose columns they are; fitting sets their number and names.
        X: shape (n, D).
        fitting: whether the estimator learns from them.

    Raises:
        ValueError: cells that are no finite numbers, or other columns than in `fit`.
    """
    _refuse_text(X)
    rows: FloatArray = validate_data(
        estimator, X, reset=fitting, dtype=np.float64, ensure_min_samples=2 if fitting else 1, ensure_all_finite=False
    )
    _refuse_missing(rows, row_names(estimator, rows.shape[1]))
    return rows


def row_names(estimator: BaseEstimator, n: int) -> list[str]:
    """The names of n columns: those of the table fitted on, or x0, x1, ..."""
    given = vars(estimator).get("feature_names_in_")
    return [f"x{i}" for i in range(n)] if given is None else [str(name) for name in given]


def check_condition(condition: Any, n: int) -> FloatArray | None:
    """Conditions to fit on, a float64 table of n rows, or None.

    Raises:
        ValueError: cells that are no finite numbers, or another number of rows.
    """
    if condition is None:
        return None
    table: FloatArray = check_array(condition, dtype=np.float64, input_name="condition")
    if len(table) != n:
        raise ValueError(f"condition has {len(table)} rows, X has {n}; they must agree")
    return table


def check_known_condition(condition: Any, known: Columns | None, n: int | None = None) -> FloatArray | None:
    """Conditions of a fitted model, a float64 table, or None.

    Arguments:
        condition: shape (m, C).
        known: the columns that the model was fitted with.
        n: rows that there have to be; None for any number.

    Raises:
        ValueError: other columns than in `fit`, cells that are no finite numbers, or another number of rows.
    """
    if condition is None:
        if known is not None:
            raise ValueError(
                f"this model was fitted with condition= of {known.n} columns ({', '.join(known.names)}); "
                "give condition= for every row"
            )
        return None
    if known is None:
        raise ValueError("this model was fitted without condition=; leave it out")
    table = check_condition(condition, len(condition) if n is None else n)
    if table is not None and table.shape[1] != known.n:
        raise ValueError(f"condition has {table.shape[1]} columns; the model was fitted with {known.n}")
    names = column_names(condition)
    if names is not None and names != known.names and known.names != numbered(known.n):
        raise ValueError(
            f"condition has the columns {', '.join(names)}; the model was fitted with {', '.join(known.names)}, "
            "in that order"
        )
    return table


def column_names(table: Any) -> tuple[str, ...] | None:
    """The names of a table's columns, or None if it has none."""
    if isinstance(table, ArrowTable):
        return tuple(str(name) for name in table.column_names)
    return tuple(str(name) for name in table.columns) if isinstance(table, Frame) else None


def numbered(n: int) -> tuple[str, ...]:
    """Names of conditioning columns that have none."""
    return tuple(f"c{i}" for i in range(n))


def check_weights(sample_weight: Any, x: FloatArray) -> FloatArray | None:
    """Row weights, non-negative and not all zero, or None for equal ones."""
    if sample_weight is None:
        return None
    weight: FloatArray = _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)
    return weight


def check_labels(y: Any, n: int, k: int | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The labels that occur, and those of n rows as component numbers; None for both if there are none.

    Arguments:
        y: shape (n,), -1 where unlabelled; or None.
        n: rows.
        k: components; None for any number.

    Raises:
        ValueError: labels that are not whole numbers, of another length, or out of -1..K-1.
    """
    if y is None:
        return None, None
    given = np.asarray(y)
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.shape != (n,):
        raise ValueError(f"y has shape {given.shape}; expected one label for each of the {n} rows")
    try:
        label = given.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"labels must be whole numbers with -1 for unlabelled; got dtype {given.dtype}; "
            "number them first, with sklearn.preprocessing.LabelEncoder for example"
        ) from error
    if not (np.isfinite(label).all() and (label == np.round(label)).all()):
        raise ValueError("labels must be whole numbers, with -1 (not NaN) for unlabelled rows")
    most = (n if k is None else k) - 1
    out = label[(label < -1) | (label > most)]
    if len(out):
        raise ValueError(
            f"labels out of range: {sorted({int(v) for v in out})[:10]}; with n_components={k or 'auto'} they must be "
            f"-1 (unlabelled) or 0..{most}"
        )
    component = label.astype(int)
    classes = np.unique(component[component >= 0])
    return (None, None) if len(classes) == 0 else (classes, component)


def check_n_components(value: Any) -> int | None:
    """K, or None for "auto".

    Raises:
        ValueError: it is neither a whole number of at least 1 nor "auto".
    """
    if isinstance(value, str) and value == "auto":
        return None
    if not is_whole(value, 1):
        raise ValueError(f'n_components must be a whole number of at least 1 or "auto"; got {value!r}')
    return int(value)


def check_components(k: int, n_rows: int, before: int | None) -> None:
    """Refuse more components than rows, and a warm start with another number than before.

    Raises:
        ValueError: k is either.
    """
    if n_rows < k:
        raise ValueError(f"{n_rows} rows cannot fill {k} components; lower n_components or add rows")
    if before not in (None, k):
        raise ValueError(f"a warm start goes on with the {before} components of the last fit; got n_components={k}")


def check_component(component: Any, k: int) -> int | None:
    """The number of one of k components, or None for all.

    Raises:
        ValueError: there is no such component.
    """
    if component is None:
        return None
    if not is_whole(component, 0) or component >= k:
        raise ValueError(f"component must be a whole number in 0..{k - 1}; got {component!r}")
    return int(component)


def check_draws(n: Any) -> int:
    """How many rows to draw.

    Raises:
        ValueError: it is no whole number of at least 1.
    """
    return check_whole("n", n, 1)


def check_whole_columns(x: FloatArray, columns: Columns) -> None:
    """Refuse fractions in columns that held whole numbers only.

    Raises:
        ValueError: there are some.
    """
    broken = (x != np.round(x)).any(axis=0) & columns.integer
    if broken.any():
        listed = ", ".join(repr(columns.names[i]) for i in np.flatnonzero(broken)[:10])
        raise ValueError(
            f"columns that held whole numbers only when the model was fitted hold others now: {listed}; "
            "round them, or fit with discrete='none'"
        )


def check_inside(x: FloatArray, columns: Columns) -> None:
    """Refuse rows outside the bounds, which have no place on the noise side.

    Raises:
        ValueError: there are some.
    """
    beyond = ((x < columns.low) | (x > columns.high)).sum(axis=0)
    if beyond.any():
        listed = ", ".join(f"{columns.names[i]!r} ({beyond[i]})" for i in np.flatnonzero(beyond))
        raise ValueError(f"values beyond the bounds of the fit in columns {listed}; drop those rows")


def check_like_before(x: FloatArray, columns: Columns, now: dict[str, str], before: dict[str, str]) -> None:
    """Rows and settings that a warm start goes on with must be of the kind that the last fit had.

    Arguments:
        x: shape (n, D).
        columns: of the last fit.
        now, before: what shapes the model, in words, by the name of the parameter.

    Raises:
        ValueError: they are not.
    """
    check_whole_columns(x, columns)
    check_inside(x, columns)
    changed = [f"{name}={now[name]} (was {value})" for name, value in before.items() if now[name] != value]
    if changed:
        raise ValueError(
            f"a warm start goes on with the model of the last fit; changed since: {', '.join(changed)}; "
            "set them back, or warm_start=False"
        )


def require_solved(values: np.ndarray) -> None:
    """Refuse rows that a map gave up on, or whose numbers are beyond the dtype: both are NaN.

    Raises:
        SolveError: there are such rows.
    """
    lost = int(np.isnan(values).reshape(len(values), -1).any(axis=1).sum())
    if lost:
        raise SolveError(
            f"the flow has no number for {lost} of {len(values)} rows, because an equation of it did not converge or "
            "values overflowed; look for extreme values among them, or fit again with a stronger weight_decay, so that "
            "the flow stretches less"
        )


def _refuse_text(X: Any) -> None:
    """Text and categories: say which columns, and what to do with them."""
    if not isinstance(X, Frame):
        return
    dtypes: Iterable[Any] = list(X.dtypes)
    numeric = ("int", "float", "uint", "bool", "decimal", "double", "halffloat", "sparse[")
    text = [
        f"{name!r} ({dtype})"
        for name, dtype in zip(X.columns, dtypes, strict=True)
        if not str(dtype).lower().startswith(numeric) and str(dtype) != "object"
    ]
    objects = [name for name, dtype in zip(X.columns, dtypes, strict=True) if str(dtype) == "object"]
    table: Any = X
    text += [f"{name!r} (text)" for name in objects if any(isinstance(v, str) for v in table[name])]
    if text:
        raise ValueError(
            f"columns that are not numbers: {', '.join(text)}; leave them out, encode them as numbers, "
            "or pass them encoded through condition="
        )


def _refuse_missing(x: FloatArray, names: list[str]) -> None:
    bad = ~np.isfinite(x)
    if not bad.any():
        return
    per_column = bad.sum(axis=0)
    listed = ", ".join(f"{names[i]!r} ({per_column[i]})" for i in np.flatnonzero(per_column)[:10])
    more = "" if (per_column > 0).sum() <= 10 else ", …"
    raise ValueError(
        f"Input X contains NaN or infinity: {int(bad.any(axis=1).sum())} rows, in columns {listed}{more}; "
        "drop or impute those rows first"
    )
