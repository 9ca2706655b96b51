"""Checks of what estimators are given: rows, conditions, weights, labels; messages name columns."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, check_array, validate_data

from pushforward.bijections import SolveError
from pushforward.checks import check_whole, is_whole
from pushforward.data.columns import Columns, FloatArray
from pushforward.data.sources import is_unnamed
from pushforward.estimators.containers import as_missing, column_names, refuse_text
from pushforward.processes import before_computing


def check_rows(estimator: BaseEstimator, X: Any, fitting: bool, gaps: bool = False) -> FloatArray:
    """A float64 table of finite numbers, with the columns that the estimator was fitted on.

    Arguments:
        estimator: whose columns they are; fitting sets their number and names.
        X: shape (n, D).
        fitting: whether the estimator learns from them.
        gaps: whether cells may be NaN.

    Raises:
        ValueError: cells that are no finite numbers, or other columns than in `fit`.
    """
    before_computing()
    of_table = fitting and vars(estimator).get("image_shape") is None
    refuse_text(X, "leave flow= at 'auto', which takes them as they are" if of_table else "")
    rows: FloatArray = validate_data(
        estimator,
        as_missing(X),
        reset=fitting,
        dtype=np.float64,
        ensure_min_samples=2 if fitting else 1,
        ensure_all_finite=False,
    )
    names = row_names(estimator, rows.shape[1])
    _refuse_missing(np.where(np.isnan(rows), 0, rows) if gaps else rows, names)
    unnamed = [name for name in names if is_unnamed(name)]
    if fitting and unnamed:
        warnings.warn(
            f"columns without a name are modelled as all others: {', '.join(map(repr, unnamed))}; leave out what only "
            "numbers the rows (pandas.read_csv takes index_col=0), or give the column a name",
            stacklevel=4,
        )
    return rows


def row_names(estimator: BaseEstimator, n: int) -> list[str]:
    """The names of n columns: those of the table fitted on, or x0, x1, ..."""
    given = vars(estimator).get("feature_names_in_")
    return [f"x{i}" for i in range(n)] if given is None else [str(name) for name in given]


def check_condition(condition: Any, n: int) -> FloatArray | None:
    """Conditions to fit on, a float64 table of n rows, or None.

    Arguments:
        condition: shape (n, C), or (n,) for one column.
        n: rows that there have to be.

    Raises:
        ValueError: cells that are no finite numbers, another shape, or another number of rows.
    """
    if condition is None:
        return None
    table = _condition_table(condition)
    if len(table) != n:
        raise ValueError(f"condition has {len(table)} rows, X has {n}; they must agree")
    return table


def _condition_table(condition: Any, n_columns: int | None = None) -> FloatArray:
    """Conditions as a float64 table; numbers in a row are one column, where there is only one.

    Arguments:
        condition: shape (n, C), or (n,) for one column.
        n_columns: C; None where it is not known yet.
    """
    refuse_text(condition)
    given = as_missing(condition)
    shape = np.shape(given)
    if len(shape) == 1 and n_columns in (None, 1):
        given = np.asarray(given).reshape(-1, 1)
    elif len(shape) != 2:
        columns = "C" if n_columns is None else n_columns
        also = ", or (n,) for its one column" if n_columns in (None, 1) else ""
        raise ValueError(f"condition has shape {shape}; expected a row of numbers for each row, (n, {columns}){also}")
    table: FloatArray = check_array(given, dtype=np.float64, input_name="condition")
    return table


def check_known_condition(condition: Any, known: Columns | None, n: int | None = None) -> FloatArray | None:
    """Conditions of a fitted model, a float64 table, or None.

    Arguments:
        condition: shape (m, C), or (m,) if C is 1.
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
    table = _condition_table(condition, known.n)
    if n is not None and len(table) != n:
        raise ValueError(f"condition has {len(table)} rows, X has {n}; they must agree")
    if table.shape[1] != known.n:
        raise ValueError(f"condition has {table.shape[1]} columns; the model was fitted with {known.n}")
    names = column_names(condition)
    if names is not None and names != known.names and known.names != numbered(known.n):
        raise ValueError(
            f"condition has the columns {', '.join(names)}; the model was fitted with {', '.join(known.names)}, "
            "in that order"
        )
    return table


def numbered(n: int) -> tuple[str, ...]:
    """Names of conditioning columns that have none."""
    return tuple(f"c{i}" for i in range(n))


def check_weights(sample_weight: Any, x: FloatArray) -> FloatArray | None:
    """Row weights, non-negative and not all zero, or None for equal ones."""
    if sample_weight is None:
        return None
    weight: FloatArray = _check_sample_weight(as_missing(sample_weight), x, dtype=np.float64, ensure_non_negative=True)
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
    given = np.asarray(as_missing(y))
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
    beyond = ((x < columns.lowest) | (x > columns.high)).sum(axis=0)
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
