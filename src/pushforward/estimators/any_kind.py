"""What estimators do with tables as people have them, beside tables of numbers."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from pushforward.checks import check_choice
from pushforward.data.columns import FloatArray
from pushforward.data.fields import Encoded, Fields
from pushforward.data.settling import Demand
from pushforward.data.sources import DataError, listing
from pushforward.distributions import GapFiller, tempered
from pushforward.distributions.mixed import CODE
from pushforward.estimators import completing, filling, mixed, mixed_tables
from pushforward.estimators.build import FlowSpec
from pushforward.estimators.conditional import ConditionalDensity, conditional_density
from pushforward.estimators.containers import as_missing
from pushforward.estimators.frames import container_of, in_kind
from pushforward.estimators.images import as_images, bits_per_dim
from pushforward.estimators.preparing import Table, bind, draw_seed, shaping, split_rows
from pushforward.estimators.rejecting import Draws, draw_where
from pushforward.estimators.scoring import in_precision
from pushforward.estimators.state import FlowEstimator
from pushforward.estimators.validation import check_draws
from pushforward.processes import before_computing
from pushforward.training import Checkpoint, Fit

if TYPE_CHECKING:
    import pyarrow as pa

Method = TypeVar("Method", bound=Callable[..., Any])
MISSING = ("marginal", "level", "refuse")
# parameters of tables of numbers alone, and where they stand when nobody sets them
PLAIN: dict[str, Any] = {"bounds": None, "discrete": "auto", "warm_start": False, "n_init": 1, "n_layers": None}
PLAIN |= {
    "flow_options": None,
    "image_shape": None,
    "dequantise": "uniform",
    "shared_layers": 0,
    "n_likely": None,
    "init": "auto",
}


def check_width(n: int, known: int) -> None:
    """Refuse arrays of another number of columns than before.

    Raises:
        ValueError: n is not the known number.
    """
    if n != known:
        raise ValueError(f"X has {n} columns; the model was fitted on {known}")


def _of_numbers(estimator: Any) -> bool:
    """Whether an estimator was fitted to numbers alone, or not yet at all.

    Raises:
        AttributeError: it was fitted to more than numbers.
    """
    if isinstance(vars(estimator).get("columns_"), Fields):
        raise AttributeError(
            "this model was fitted to categories, dates or gaps among numbers, and no map takes these to noise and "
            "back; score_samples, sample and impute are what it has"
        )
    if "_flow" in vars(estimator) and estimator.columns_.flat:
        raise AttributeError(
            "this model gives each pixel in turn the probabilities of its levels, and no map takes its images to noise "
            "and back; score_samples, sample and impute are what it has"
        )
    return True


numbers_alone: Callable[[Method], Method] = available_if(_of_numbers)  # a method that other models have not


class AnyKindEstimator(FlowEstimator):
    """An estimator that takes categories, dates and gaps as well; its `columns_` are `Fields` where there were any."""

    columns: Any
    columns_: Any
    missing: str
    validation_fraction: float
    filler_: Any = None  # a `GapFiller`, of tables of more than numbers

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        takes = isinstance(self.flow, str) and self.flow == "auto"  # flows by name take numbers alone
        tags.input_tags.allow_nan = tags.input_tags.categorical = tags.input_tags.string = takes
        return tags

    @property
    def _is_mixed(self) -> bool:
        """Whether the table fitted on was more than numbers."""
        check_is_fitted(self)
        return isinstance(self.columns_, Fields)

    @property
    def _is_of_levels(self) -> bool:
        """Whether the model gives each pixel of images in turn the probabilities of its levels."""
        return not self._is_mixed and self.columns_.flat

    @property
    def exactness_(self) -> str:
        check_is_fitted(self)
        said = super().exactness_
        if self.image_shape_ is not None and said == "exact" and self.columns_.cell.any() and not self.columns_.flat:
            return "lower bound"  # the mean over draws within cells, of its logarithm
        gaps = self._is_mixed and any(f.missing and None not in f.levels for f in self.columns_.modelled)
        return f"{said}; of rows with gaps, importance-weighted estimates" if gaps else said

    def describe(self) -> dict[str, Any]:
        """As of every estimator; of more than numbers, what stands in the place of a flow."""
        told = super().describe()
        if not self._is_mixed:
            return told
        return told | {"flow": "none: each column given those before it, by one masked network", "flow_chosen": False}

    def _takes(self, X: Any) -> bool:
        """Whether a table to fit on is to be taken as mixed."""
        check_choice("missing", self.missing, MISSING)
        if self.columns is not None:
            return True
        if self.image_shape is not None or not isinstance(self.flow, str) or self.flow != "auto":
            return False
        return mixed_tables.is_mixed(as_images(X))

    def _learn_mixed(
        self, X: Any, sample_weight: Any, condition: Any
    ) -> tuple[Encoded, FloatArray | None, NDArray[np.bool_]]:
        """Rows to fit on, encoded, their weights, and which of all rows they are; sets what describes the columns.

        Raises:
            DataError: there are too few rows, none of the columns can be modelled, or a parameter is of tables of
                numbers alone.
        """
        before_computing()
        if condition is not None:
            raise DataError("condition= goes with tables of numbers; give those columns among the others")
        for name, plain in PLAIN.items():
            if getattr(self, name, plain) != plain:
                raise DataError(
                    f"{name}= goes with tables of numbers alone; leave it out, or say columns={{name: kind}}"
                )
        if not isinstance(self.flow, str) or self.flow != "auto":
            raise DataError(
                f"flow={self.flow!r} is of tables of numbers; of one with categories, dates or gaps leave it at 'auto'"
            )
        table = mixed_tables.as_table(X)
        if len(table) < 2:
            raise DataError(f"the table has {len(table)} rows; expected at least 2")
        self.columns_ = mixed_tables.learn_mixed(table, self.columns, self.missing)
        self.condition_columns_, self.settings_, self.image_shape_ = None, shaping(self), None
        self.container_ = container_of(X)
        self.n_features_in_ = table.num_columns
        self.filler_ = None
        for name in ("feature_names_in_", "spread_"):
            self.__dict__.pop(name, None)
        if self.container_ is not None:
            self.feature_names_in_ = np.array(table.column_names, dtype=object)
        rows = self._encoded(table)
        known: NDArray[np.bool_] = np.asarray(~np.isnan(rows.x[:, :, CODE]).all(axis=1))
        weight = None if sample_weight is None else np.asarray(as_missing(sample_weight), dtype=np.float64)
        weight = np.full(known.shape, weight) if weight is not None and weight.ndim == 0 else weight
        if weight is not None and (weight.shape != known.shape or not (weight >= 0).all() or not weight.any()):
            raise DataError("sample_weight must be a number of at least 0 for each row, and not all of them zero")
        kept: NDArray[np.bool_] = known if weight is None else known & (weight > 0)
        if not kept.any():
            raise DataError("no row has a value in any column that is modelled; there is nothing to learn from")
        weight = None if weight is None else weight[kept] / weight[kept].mean()  # of which only ratios count
        return Encoded(rows.x[kept], rows.log_extra[kept]), weight, kept

    def _encoded(self, X: Any) -> Encoded:
        """Rows of a table, encoded.

        Raises:
            DataError: a column is missing, or holds something else; there are gaps, and they are refused.
        """
        return self._without_refused(self.columns_.encode_values(self._values(X)))

    def _values(self, X: Any) -> dict[str, Any]:
        """Values of a table by column.

        Raises:
            DataError: a column is missing, or holds something else.
        """
        table: pa.Table = mixed_tables.as_table(X)
        if not len(table):
            raise DataError("the table has no rows; give one at least")
        if self.container_ is None and table.column_names[-1:] == [f"x{table.num_columns - 1}"]:
            check_width(table.num_columns, self.n_features_in_)
        absent = [name for name in self.columns_.names if name not in table.column_names]
        if absent:
            raise DataError(
                f"the table lacks the columns {listing(list(map(repr, absent)))}, which the model was fitted on"
            )
        values: dict[str, Any] = self.columns_.read(table)
        return values

    def _without_refused(self, rows: Encoded) -> Encoded:
        """Encoded rows as they are.

        Raises:
            DataError: there are gaps, and they are refused.
        """
        gaps = np.isnan(rows.x[:, :, CODE])
        if self.missing == "refuse" and gaps.any():
            named = [field.name for j, field in enumerate(self.columns_.modelled) if gaps[:, j].any()]
            raise DataError(
                f"{int(gaps.any(axis=1).sum())} rows have gaps, in {listing(named)}; missing='refuse' takes none"
            )
        return rows

    def _fit_mixed(self, X: Any, sample_weight: Any, condition: Any, checkpoint: Checkpoint | None) -> Self:
        """Fit one distribution of rows."""
        rows, weight, _ = self._learn_mixed(X, sample_weight, condition)
        seed, checkpoint = draw_seed(self.random_state), bind(checkpoint, self, Table(rows.x, weight=weight))
        split = split_rows(np.zeros((len(rows.x), 1)), self.validation_fraction, seed)
        fit, filler = mixed.fit_rows(self, self.columns_, rows.x, weight, split, seed, checkpoint)
        self._keep_mixed(fit, filler)
        return self

    def _keep_mixed(self, fit: Fit[Any], filler: GapFiller) -> None:
        self.filler_ = filler
        self.spec_ = FlowSpec("mixed_rows", len(self.columns_.names), None, 1, None)
        self._keep(fit, fit.model)

    def _log_density_mixed(self, X: Any) -> FloatArray:
        return mixed.log_density(self.columns_, self._flow, self.filler_, self._encoded(X))

    def _decoded(self, drawn: FloatArray, random_state: Any) -> pa.Table:
        """Encoded draws, shape (n, D, 4), as a table of Arrow."""
        seed = draw_seed(self.random_state if random_state is None else random_state)
        table: pa.Table = self.columns_.decode(drawn[:, :, CODE], mixed.middle(drawn), seed)
        return table

    def bits_per_dim(self, X: Any, condition: Any = None, n_samples: int | None = None) -> np.ndarray:
        """Negative log-probability of every image in bits for each pixel and channel, the lower the better.

        Pixels are whole numbers, or levels that repeat, whose probability is estimated by draws within their cells; or
        shares between bounds, which count as 256 levels. A uniform density has 8 bits of bytes.

        Parameters:
            X: images or rows.
            condition: shape (n, C), if the model was fitted with one.
            n_samples: draws within cells, of which one gives a bound and more a tighter one; None for 8.

        Returns:
            Shape (n,).

        Raises:
            ValueError: the model is of no images, or pixels are numbers without levels and bounds.
        """
        check_is_fitted(self)
        if self.image_shape_ is None:
            raise ValueError(
                "bits per dimension are of images; fit with image_shape=(height, width), or on an array of images"
            )
        return in_precision(bits_per_dim(self.columns_, self._log_density(X, condition, n_samples)))

    @abstractmethod
    def _log_density(self, X: Any, condition: Any, n_samples: int | None) -> FloatArray:
        """Log-densities of rows in the data's units, float64; of whole numbers, from so many draws within cells."""

    def cooled(self, temperature: float) -> Self:
        """A copy with noise of another scale, for samples more usual (below 1) or less; densities change with it.

        Parameters:
            temperature: what the scale is multiplied by, at every level of a flow.

        Raises:
            ValueError: the table was more than numbers, or the flow's noise has no scale.
        """
        check_is_fitted(self)
        if self._is_mixed:
            raise ValueError("temperature= goes with tables of numbers and images alone; leave it at 1")
        cooled: Self = copy.copy(self)
        cooled._flow = tempered(self._flow, temperature)
        return cooled

    @abstractmethod
    def _drawn(self, n: int, random_state: Any, condition: Any = None, component: int | None = None) -> Draws:
        """Draws of a table of Arrow, of more than numbers, or else of an array."""

    def _in_kind(self, rows: Any) -> Any:
        """Draws as the kind of table that was fitted on, or asked for."""
        if self._is_mixed:
            return in_kind(rows, self.container_, self._output)
        return self._in_container(rows)

    def _drawn_where(self, n: int, where: str, random_state: Any, component: int | None = None, **beside: Any) -> Draws:
        """Draws that keep to a rule.

        Arguments:
            where: an expression of SQL.
            beside: what does not go together with it.

        Raises:
            ValueError: that is there nevertheless, or the rule is none, or kept by hardly any draw.
        """
        for name, value in beside.items():
            if value is not None:
                raise ValueError(f"where= and {name}= do not go together; draw, and choose among the draws")
        seed = draw_seed(self.random_state if random_state is None else random_state)
        return draw_where(
            lambda m, seed: self._drawn(m, seed, component=component), self._with_names, check_draws(n), where, seed
        )

    def _with_names(self, rows: Any) -> pa.Table:
        """Draws as a table of Arrow, of the names and types that a user sees."""
        made = rows if self._is_mixed or self.image_shape_ is not None else self._in_container(rows)
        if isinstance(made, np.ndarray):
            import pyarrow as pa

            return pa.table({name: made[:, i] for i, name in enumerate(self.columns_.names)})
        return mixed_tables.as_table(made)

    def impute(self, X: Any, n_samples: int = 1, random_state: Any = None, condition: Any = None) -> Any:
        """Rows, their gaps filled in by draws from p(missing | observed), as the kind of table that `fit` was given.

        Of images by a recipe of `flows.PIXEL_RECIPES`, missing pixels are NaN. Draws are exact where all known pixels
        come before all missing ones, line by line, as where the lower half is missing. Elsewhere they are one of 32
        proposals, drawn by how likely each makes the known pixels after missing ones, with a warning where few do; a
        mixture refuses such images.

        Parameters:
            X: rows with gaps, in the columns of the table fitted on; or images.
            n_samples: how many times.
            random_state: seed; the estimator's own if None.
            condition: shape (n, C), if the model, of images, was fitted with one.

        Returns:
            A table of as many rows, or a list of `n_samples` of them where that is more than one.

        Raises:
            ValueError: the table fitted on held numbers alone, without a gap, so that nothing was learned to fill them.
        """
        n_samples, seed = check_draws(n_samples), draw_seed(self.random_state if random_state is None else random_state)
        if self._is_of_levels:
            drawn = [self._in_container(x) for x in filling.completed(self, self._flow, X, n_samples, condition, seed)]
            return drawn[0] if n_samples == 1 else drawn
        self._require_mixed("impute")
        values = self._values(X)
        rows = self._without_refused(self.columns_.encode_values(values, completing=True))
        tables = self._filled(rows, self.columns_.demands(values), n_samples, seed)
        made = [self._over_gaps(mixed_tables.as_table(X), x, seed, X) for x in tables]
        return made[0] if len(made) == 1 else made

    def _over_gaps(self, known: pa.Table, x: FloatArray, seed: int, like: Any = None) -> Any:
        """A table with its gaps filled from encoded rows, as the kind of table that was fitted on."""
        filled = self.columns_.decode(x[:, :, CODE], mixed.middle(x), seed)
        return in_kind(mixed_tables.over_gaps(known, filled), self.container_, self._output, like)

    def _filled(self, rows: Encoded, demands: list[Demand], n: int, seed: int) -> FloatArray:
        return completing.impute_rows(self.columns_, self._flow, self.filler_, rows.x, demands, n, seed)

    def _complete_rows(self, n: int, given: Any, random_state: Any, condition: Any = None) -> Any:
        """Draws of what a table of known columns leaves open, n for each of its rows, one row's after the other."""
        seed = draw_seed(self.random_state if random_state is None else random_state)
        if self._is_of_levels:
            drawn = filling.completed(self, self._flow, given, check_draws(n), condition, seed)
            return self._in_container(drawn.swapaxes(0, 1).reshape(-1, self.columns_.n))
        self._require_mixed("sample(given=...)")
        known = mixed_tables.as_table(given)
        wide, (rows, demands) = (
            mixed_tables.widened(known, self.columns_),
            mixed_tables.encode_given(self.columns_, known),
        )
        tables = self._filled(rows, demands, check_draws(n), seed)
        x = tables.swapaxes(0, 1).reshape(-1, *rows.x.shape[1:])
        return self._over_gaps(wide.take(np.repeat(np.arange(len(wide)), n)), x, seed)

    def conditional_density(
        self, column: str, given: Any, values: Any = None, n_values: int = 201
    ) -> ConditionalDensity:
        """The density of one column given others, row by row, on a grid of its values.

        Parameters:
            column: whose density it is, by name.
            given: rows of the other columns, or of some of them; what else is open is averaged over.
            values: where to evaluate, in the units of the column; levels, of a category. None for all levels, or for
                `n_values` numbers over the range of the table.
            n_values: of a grid of numbers.

        Returns:
            A `ConditionalDensity`.

        Raises:
            ValueError: the table fitted on held numbers alone, or there is no such column.
        """
        self._require_mixed("conditional_density")
        return conditional_density(
            self.columns_, self._flow, self.filler_, column, mixed_tables.as_table(given), values, n_values
        )

    def _require_mixed(self, asked: str) -> None:
        if not self._is_mixed:
            raise ValueError(
                f"{asked} needs a model that knows how to fill gaps, and the table fitted on held numbers alone and "
                "had none; fit with columns={} to have it learn that"
                if self.image_shape_ is None
                else f"{asked} needs a model that draws one pixel after the other; fit flow='gated_pixel_cnn' or "
                f"another of flows.PIXEL_RECIPES"
            )
