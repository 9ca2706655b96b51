"""What both estimators share: input checks, columns, splitting, settings, scoring in batches, model files."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_array, check_is_fitted, validate_data

from pushforward.bijections import AbstractBijection, Chain, SolveError
from pushforward.data.columns import Columns, as_float, learn_columns
from pushforward.estimators.build import FlowSpec
from pushforward.training import Checkpoint, Fit, Rows, Settings, make_rows
from pushforward.training.rows import bucket

FloatArray = NDArray[np.float64]
SCORE_ROWS = 4096  # rows of one scoring call
FEWEST_TO_VALIDATE = 50  # below, every row trains
ESTIMATE_DRAWS = 64  # of a log-density that has no closed form
FAR_OUT = 5.0  # widths of the middle 98 % of a column beyond which a row is not held out


class FlowEstimator(BaseEstimator):
    """Base of `FlowDensity` and `FlowMixture`; see there."""

    label_column_: str | None = None  # what a table calls the labels, and what each stands for
    label_names_: tuple[str, ...] | None = None
    _alone = False  # whether one flow is the whole density
    _settings_names = ("max_epochs", "batch_size", "learning_rate", "weight_decay", "patience")

    # -- input ---------------------------------------------------------------------------------------------

    def _check_rows(self, X: Any, reset: bool) -> FloatArray:
        """A float64 table, with messages that name columns."""
        _refuse_text(X)
        checked = validate_data(
            self, X, reset=reset, dtype=np.float64, ensure_min_samples=2 if reset else 1, ensure_all_finite=False
        )
        _refuse_missing(checked, self._names(checked.shape[1]))
        rows: FloatArray = checked
        return rows

    def _names(self, n: int) -> list[str]:
        given = getattr(self, "feature_names_in_", None)
        return [f"x{i}" for i in range(n)] if given is None else [str(name) for name in given]

    def _check_condition(self, condition: Any, n: int, fitting: bool) -> FloatArray | None:
        known: Columns | None = None if fitting else self.condition_columns_
        if condition is None:
            if known is not None:
                raise ValueError(
                    f"this model was fitted with condition= of {known.n} columns ({', '.join(known.names)}); "
                    "give condition= for every row"
                )
            return None
        if not fitting and known is None:
            raise ValueError("this model was fitted without condition=; leave it out")
        table = check_array(condition, dtype=np.float64, input_name="condition")
        if len(table) != n:
            raise ValueError(f"condition has {len(table)} rows, X has {n}; they must agree")
        if known is not None and table.shape[1] != known.n:
            raise ValueError(f"condition has {table.shape[1]} columns; the model was fitted with {known.n}")
        names = _column_names(condition)
        if known is not None and names is not None and names != known.names and known.names != _numbered(known.n):
            raise ValueError(
                f"condition has the columns {', '.join(names)}; the model was fitted with {', '.join(known.names)}, "
                "in that order"
            )
        checked: FloatArray = table
        return checked

    def _learn(self, x: FloatArray, condition: Any, condition_table: FloatArray | None, **kinds: Any) -> None:
        """Set the attributes that describe the columns; `kinds` as `learn_columns` takes them."""
        if (x == x[0]).all():
            raise ValueError(f"all {len(x)} rows are the same, and one point has no density; give rows that differ")
        self.settings_ = self._settings()
        self.columns_ = learn_columns(x, self._names(x.shape[1]), discrete=self.discrete, **kinds)
        self.condition_columns_ = None if condition_table is None else _condition_columns(condition_table, condition)

    def _check_like_before(self, x: FloatArray) -> None:
        """Rows that a warm start goes on with must be of the kind that the columns were learned from."""
        _refuse_fractions(x, self.columns_)
        self._refuse_beyond(x)
        now = self._settings()
        changed = [
            f"{name}={now[name]} (was {before})" for name, before in self.settings_.items() if now[name] != before
        ]
        if changed:
            raise ValueError(
                f"a warm start goes on with the model of the last fit; changed since: {', '.join(changed)}; "
                "set them back, or warm_start=False"
            )

    def _refuse_beyond(self, x: FloatArray) -> None:
        """Rows outside the bounds have no place on the noise side."""
        beyond = ((x < self.columns_.low) | (x > self.columns_.high)).sum(axis=0)
        if beyond.any():
            listed = ", ".join(f"{self.columns_.names[i]!r} ({beyond[i]})" for i in np.flatnonzero(beyond))
            raise ValueError(f"values beyond the bounds of the fit in columns {listed}; drop those rows")

    def _settings(self) -> dict[str, str]:
        """What shapes the model, in words: parameters that a warm start may not change."""
        names = {"flow", "n_layers", "hidden_sizes", "shared_layers", "posterior_hidden_sizes", "bounds", "discrete"}
        names |= {"image_shape", "flow_options"}
        return {name: str(value) for name, value in self.get_params(deep=False).items() if name in names}

    # -- training ------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _unchanged_on_error(self) -> Iterator[None]:
        """A fit that fails leaves the last one as it was."""
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _count(self, name: str) -> int:
        value = getattr(self, name)
        if not isinstance(value, int | np.integer) or value < 1:
            other = ' or "auto"' if name == "n_components" else ""
            raise ValueError(f"{name} must be a whole number of at least 1{other}; got {value!r}")
        return int(value)

    def _spec(self, dim: int, few_rows: bool = False) -> FlowSpec:
        cond_dim = None if self.condition_columns_ is None else self.condition_columns_.n
        return FlowSpec.choose(self.flow, dim, cond_dim, self.n_layers, self.hidden_sizes, self._alone, few_rows)

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _split(self, x: FloatArray, keep: Any, seed: int) -> tuple[Any, Any]:
        """Rows to train on and rows to validate on; rows in `keep` (labelled ones) always train.

        So do rows far outside of all others: a single one would decide the mean over the rows held out.
        """
        n, kept = len(x), _far_out(x)
        free = np.flatnonzero(~(kept if keep is None else kept | keep))
        fraction = float(self.validation_fraction)
        if not 0 <= fraction < 1:
            raise ValueError(f"validation_fraction must be in [0, 1); got {fraction}")
        n_validation = round(fraction * len(free)) if len(free) >= FEWEST_TO_VALIDATE else 0
        order = np.random.default_rng(seed).permutation(free)
        mask = np.zeros(n, dtype=bool)
        mask[order[:n_validation]] = True
        return np.flatnonzero(~mask), np.flatnonzero(mask)

    def _training_settings(self, n: int, defaults: dict[str, Any], **more: Any) -> Settings:
        """The user's settings, and the defaults in place of those left None."""
        given = {name: getattr(self, name) for name in self._settings_names}
        chosen = {**defaults, **{k: v for k, v in given.items() if v is not None}, **(self.training or {}), **more}
        unknown = sorted(set(chosen) - {field.name for field in dataclasses.fields(Settings)})
        if unknown:
            raise ValueError(f"training has unknown settings {unknown}; see pushforward.training.Settings")
        settings = Settings(**chosen)
        if "patience" in chosen:
            return settings
        return dataclasses.replace(settings, patience=max(20, settings.max_epochs // 3))

    def _rows(self, x: FloatArray, condition: FloatArray | None, index: Any, **more: Any) -> Rows:
        """Some rows in standard units, on the device."""
        given = None
        if condition is not None and self.condition_columns_ is not None:
            given = self.condition_columns_.standardize(condition[index])
        return make_rows(self.columns_.standardize(x[index], training=True), given, **more)

    def _standard_condition(self, table: FloatArray | None) -> FloatArray | None:
        """Conditions in standard units."""
        return None if table is None or self.condition_columns_ is None else self.condition_columns_.standardize(table)

    def _keep(self, fit: Fit[Any], flow: Any) -> None:
        """Set the attributes that a fit leaves."""
        self._flow = flow
        self.history_ = fit.history
        self.n_iter_ = len(fit.history)
        self.best_epoch_ = fit.best_epoch
        self.interrupted_ = fit.interrupted
        self.seconds_ = fit.seconds

    @property
    def spec_(self) -> FlowSpec:
        """The recipe of the flow and its sizes."""
        check_is_fitted(self)
        return self._spec(self.columns_.n)

    # -- scoring -------------------------------------------------------------------------------------------

    @property
    def exactness_(self) -> str:
        """What log-densities of the fitted flow are: "exact", "unbiased", "lower bound" or "approximate"."""
        check_is_fitted(self)
        found: str = self._flow.exactness
        return found

    def _score_in_batches(self, function: Callable[..., Any], X: Any, condition: Any) -> list[list[Any]]:
        """Run `function(flow, s, c)` on rows in standard units, a few padded sizes at a time, for every draw.

        Returns:
            For each fixed draw, the outputs as arrays of n rows.
        """
        check_is_fitted(self)
        x = self._check_rows(X, reset=False)
        table = self._check_condition(condition, len(x), fitting=False)
        _refuse_fractions(x, self.columns_)
        s = self.columns_.standardize(x)
        c = self._standard_condition(table)
        return [
            [np.concatenate(parts) for parts in zip(*self._batches(function, s + draw, c), strict=True)]
            for draw in self.columns_.draws()
        ]

    def _batches(self, function: Callable[..., Any], s: FloatArray, c: FloatArray | None) -> Any:
        for start in range(0, len(s), SCORE_ROWS):
            part = slice(start, start + SCORE_ROWS)
            n = len(s[part])
            size = bucket(n)
            outputs = function(self._flow, _padded(s[part], size), None if c is None else _padded(c[part], size))
            yield [np.asarray(out, dtype=np.float64)[:n] for out in jax.tree.leaves(outputs)]

    def _result(self, values: FloatArray, X: Any = None) -> np.ndarray:
        """Results in JAX's dtype, or in single precision where the rows are."""
        require_solved(values)
        single = getattr(X, "dtype", None) == np.float32
        return values.astype(np.float32 if single else np.dtype(jnp.result_type(float)), copy=False)

    def _restored(self, s: Any) -> FloatArray:
        """Rows in the data's units."""
        require_solved(np.asarray(s))
        return self.columns_.restore(s)

    # -- model files ---------------------------------------------------------------------------------------

    def to_state(self) -> dict[str, Any]:
        """Parameters and fitted attributes, for a model file."""
        check_is_fitted(self)
        fitted = {k: v for k, v in vars(self).items() if (k.endswith("_") and not k.startswith("_")) or k == "_flow"}
        for name in ("columns_", "condition_columns_"):
            fitted[name] = None if fitted[name] is None else fitted[name].to_state()
        params = self.get_params(deep=False)
        seed = params["random_state"]
        params["random_state"] = int(seed) if isinstance(seed, int | np.integer) else None
        if isinstance(params["bounds"], Mapping):
            params["bounds"] = [[name, *ends] for name, ends in params["bounds"].items()]
        return {"params": params, "fitted": fitted}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The inverse of `to_state`."""
        params = dict(state["params"])
        bounds = params["bounds"]
        if bounds is not None and all(isinstance(entry, list | tuple) for entry in bounds):  # else a pair for all
            params["bounds"] = {name: (low, high) for name, low, high in bounds}
        estimator = cls(**params)
        for name, value in state["fitted"].items():
            if name in ("columns_", "condition_columns_") and value is not None:
                value = Columns.from_state(value)
            setattr(estimator, name, value)
        return estimator

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the fitted model to a folder; see `pushforward.save`."""
        from pushforward.serialization import save

        save(self, path, overwrite=overwrite)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_flow")

    def _in_units(self, inner: AbstractBijection) -> AbstractBijection:
        return Chain([inner, self.columns_.units_map()])


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


def check_weights(sample_weight: Any, x: FloatArray) -> FloatArray | None:
    """Row weights, non-negative and not all zero, or None for equal ones."""
    if sample_weight is None:
        return None
    weight: FloatArray = _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)
    return weight


def check_components(k: int, n_rows: int, before: int | None) -> None:
    """Refuse more components than rows, and a warm start with another number than before."""
    if n_rows < k:
        raise ValueError(f"{n_rows} rows cannot fill {k} components; lower n_components or add rows")
    if before not in (None, k):
        raise ValueError(f"a warm start goes on with the {before} components of the last fit; got n_components={k}")


def bind(checkpoint: Checkpoint | None, estimator: FlowEstimator, data_hash: str) -> Checkpoint | None:
    """Tie a checkpoint to settings and data, so that resuming on others is refused."""
    if checkpoint is not None:
        params = {k: str(v) for k, v in estimator.get_params(deep=False).items() if k != "verbose"}
        checkpoint.fingerprint = {**checkpoint.fingerprint, "the data": data_hash, **params}
    return checkpoint


def _padded(a: FloatArray, size: int) -> Any:
    filled = np.concatenate([a, np.broadcast_to(a[:1], (size - len(a), a.shape[1]))])
    return as_float(filled)


def _column_names(table: Any) -> tuple[str, ...] | None:
    """The names of a table's columns, or None if it has none."""
    given = getattr(table, "column_names", getattr(table, "columns", None))  # Arrow; pandas, polars
    return None if given is None else tuple(str(name) for name in given)


def _numbered(n: int) -> tuple[str, ...]:
    return tuple(f"c{i}" for i in range(n))


def _far_out(x: FloatArray) -> NDArray[np.bool_]:
    """Rows with a cell many times further from the bulk of its column than the bulk is wide, shape (n,)."""
    low, high = np.quantile(x, (0.01, 0.99), axis=0)
    room = FAR_OUT * (high - low)
    found: NDArray[np.bool_] = ((x < low - room) | (x > high + room)).any(axis=1)
    return found


def _condition_columns(table: FloatArray, condition: Any) -> Columns:
    """Conditions are only shifted and scaled; a constant one is harmless."""
    names = _column_names(condition) or _numbered(table.shape[1])
    spread, zeros = table.std(axis=0), np.zeros(table.shape[1])
    scale = np.where(spread > 0, spread, 1.0)
    return Columns(
        tuple(names),
        zeros > 0,
        zeros - np.inf,
        zeros + np.inf,
        table.mean(axis=0),
        scale,
        zeros,
        zeros,
        zeros,
        zeros + 1,
    )


def _refuse_text(X: Any) -> None:
    """Text and categories: say which columns, and what to do with them."""
    dtypes = getattr(X, "dtypes", None)
    if dtypes is None or not hasattr(X, "columns"):
        return
    numeric = ("int", "float", "uint", "bool", "decimal", "double", "halffloat", "sparse[")
    text = [
        f"{name!r} ({dtype})"
        for name, dtype in zip(X.columns, list(dtypes), strict=True)
        if not str(dtype).lower().startswith(numeric) and str(dtype) != "object"
    ]
    objects = [name for name, dtype in zip(X.columns, list(dtypes), strict=True) if str(dtype) == "object"]
    text += [f"{name!r} (text)" for name in objects if any(isinstance(v, str) for v in X[name])]
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


def _refuse_fractions(x: FloatArray, columns: Columns) -> None:
    broken = (x != np.round(x)).any(axis=0) & columns.whole
    if broken.any():
        listed = ", ".join(repr(columns.names[i]) for i in np.flatnonzero(broken)[:10])
        raise ValueError(
            f"columns that held whole numbers only when the model was fitted hold others now: {listed}; "
            "round them, or fit with discrete='none'"
        )
