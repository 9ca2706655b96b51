"""What scikit-learn and model files ask of every estimator: parameters and fitted attributes, in memory and on disk."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Self

import equinox as eqx
import jax
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from pushforward.checks import check_choice
from pushforward.data.columns import Columns, FloatArray
from pushforward.data.fields import Fields
from pushforward.estimators.build import FlowSpec, flow_text
from pushforward.estimators.frames import OUTPUTS, Container, in_container
from pushforward.networks import image_sides
from pushforward.training import Fit
from pushforward.training.interrupts import acknowledged

# of models saved before there were these
MISSING: dict[str, Any] = {"label_column_": None, "label_names_": None, "container_": None, "image_shape_": None}
NAMED: dict[str, type[Any]] = {"spec_": FlowSpec, "container_": Container}  # written by the names of their fields


class FlowEstimator(BaseEstimator, ABC):
    """Base of the estimators: what a fit leaves, and how it is saved."""

    flow: Any
    n_layers: int | None
    image_shape: Any
    random_state: Any
    columns_: Columns
    condition_columns_: Columns | None
    settings_: dict[str, str]
    spec_: FlowSpec
    seconds_: float
    label_column_: str | None
    label_names_: tuple[str, ...] | None
    container_: Container | None
    image_shape_: tuple[int, int, int] | None  # of rows that are images
    _output: str | None = None  # what set_output was told

    @abstractmethod
    def _recipe(self, dim: int, cond_dim: int | None, few_rows: bool = False) -> FlowSpec:
        """The recipe and sizes that the parameters ask for."""

    def _keep(self, fit: Fit[Any], flow: Any) -> None:
        """Set the attributes that a fit leaves."""
        self._flow = flow
        self.history_ = fit.history
        self.n_iter_ = len(fit.history)
        self.best_epoch_ = fit.best_epoch
        self.interrupted_ = fit.interrupted
        self.label_column_ = self.label_names_ = None
        if fit.unfinished:
            n = self.n_iter_
            again = (
                ""
                if isinstance(vars(self).get("columns_"), Fields)
                else ", or set warm_start=True and fit again to go on"
            )
            warnings.warn(
                f"the validation loss still falls after all {n} epochs, so more are likely to fit better: give "
                f"max_epochs={4 * n}{again}",
                ConvergenceWarning,
                stacklevel=3,
            )

    def __sklearn_is_fitted__(self) -> bool:
        return "_flow" in vars(self)

    @property
    def exactness_(self) -> str:
        """What log-densities of the fitted flow are: "exact", "unbiased", "lower bound" or "approximate"."""
        check_is_fitted(self)
        exactness: str = self._flow.exactness
        return exactness

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose what `sample` and `inverse_transform` give, and `transform` where there is one.

        Parameters:
            transform: "pandas", "polars", or "default" for arrays; None leaves the choice as it is. Without a choice,
                rows come as the table fitted on did, and noise as an array, unless scikit-learn's `transform_output`
                says otherwise.

        Returns:
            The estimator.

        Raises:
            ValueError: there is no such choice.
        """
        if transform is not None:
            self._output = check_choice("transform", transform, OUTPUTS)
        return self

    def __sklearn_clone__(self) -> Self:
        copied: Self = super().__sklearn_clone__()
        return copied.set_output(transform=self._output)

    def _in_container(self, rows: FloatArray, like: Any = None) -> Any:
        """Rows as a table of the kind fitted on, or asked for; `like` are the rows that they are made of."""
        return in_container(rows, self.columns_, self.container_, self._output, like)

    def describe(self) -> dict[str, Any]:
        """What the fitted model is, as words, numbers and tuples of them: the fields of `service.Description`.

        Model files hold it as well, so that it can be told without the model.
        """
        check_is_fitted(self)
        given = self.condition_columns_
        return {
            "kind": "density",
            "columns": self.columns_.facts(),
            "image_shape": self.image_shape_,
            "time": None,
            "given": () if given is None else given.names,
            "components": (),
            "label_column": self.label_column_,
            "label_names": self.label_names_ or (),
            "flow": flow_text(self.spec_.flow),
            "flow_chosen": isinstance(self.flow, str) and self.flow == "auto",
            "exactness": self.exactness_,
            "threshold": None,
            "centre": None,
            "epochs": int(self.n_iter_),
            "best_epoch": int(self.best_epoch_),
            "seconds": float(self.seconds_),
            "interrupted": bool(self.interrupted_),
        }

    def to_state(self) -> dict[str, Any]:
        """Parameters and fitted attributes, for a model file; of a flow that is no name, only how it is called.

        The description is for readers of the file: `from_state` has no use for it.
        """
        check_is_fitted(self)
        fitted = {k: v for k, v in vars(self).items() if (k.endswith("_") and not k.startswith("_")) or k == "_flow"}
        for name in ("columns_", "condition_columns_"):
            fitted[name] = None if fitted[name] is None else fitted[name].to_state()
        fitted["container_"] = None if self.container_ is None else self.container_._asdict()
        fitted["spec_"] = self.spec_._replace(flow=flow_text(self.spec_.flow))._asdict()
        params = self.get_params(deep=False)
        seed = params["random_state"]
        params["random_state"] = int(seed) if isinstance(seed, int | np.integer) else None
        params["flow"] = flow_text(params["flow"])
        if isinstance(params["bounds"], Mapping):
            params["bounds"] = [[name, *ends] for name, ends in params["bounds"].items()]
        return {"description": self.describe(), "params": params, "fitted": fitted, "output": self._output}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The inverse of `to_state`."""
        params = dict(state["params"])
        bounds = params["bounds"]
        if bounds is not None and all(isinstance(entry, list | tuple) for entry in bounds):  # else a pair for all
            params["bounds"] = {name: (low, high) for name, low, high in bounds}
        estimator = cls(**params)
        for name, value in (MISSING | state["fitted"]).items():
            if name in ("columns_", "condition_columns_") and value is not None:
                value = (Fields if "all" in value else Columns).from_state(value)
            elif name in ("_flow", "spread_"):
                value = as_precise(value)
            elif name in NAMED and value is not None:
                value = NAMED[name](**value)
            setattr(estimator, name, value)
        if estimator.image_shape is not None:  # which models of before did not keep as fitted
            estimator.image_shape_ = image_sides(estimator.image_shape)
        if "spec_" not in state["fitted"]:
            given = estimator.condition_columns_
            chosen = estimator._recipe(estimator.columns_.n, None if given is None else given.n)
            estimator.spec_ = chosen._replace(n_layers=estimator.n_layers)  # how many were chosen is not told
        return estimator.set_output(transform=state.get("output"))

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the fitted model to a folder; see `pushforward.save`."""
        from pushforward.serialization import save

        save(self, path, overwrite=overwrite)


def as_precise(flow: Any) -> Any:
    """A flow in the precision of this process, which may be another than it was fitted in."""

    def cast(leaf: Any) -> Any:
        return leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype)) if eqx.is_array(leaf) else leaf

    return jax.tree.map(cast, flow)


@contextlib.contextmanager
def unchanged_on_error(estimator: Any) -> Iterator[None]:
    """A fit that fails leaves the last one as it was; one that does not says how long all of it took."""
    before, began = estimator.__dict__.copy(), time.monotonic()
    try:
        with acknowledged():
            yield
        estimator.seconds_ = time.monotonic() - began
    except BaseException:
        estimator.__dict__.clear()
        estimator.__dict__.update(before)
        raise
