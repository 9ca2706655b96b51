"""Run scikit-learn's conformance suite on one estimator, and print what became of each check as JSON.

Started by `test_sklearn.py` in an interpreter of its own: the suite passes wrong types on purpose, which the type
checks of the other tests would catch first.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any
from unittest import SkipTest

import jax
from sklearn.utils.estimator_checks import estimator_checks_generator

import pushforward as pf

# Reasons in the words of those who read reports of checks.
STOCHASTIC = {
    "check_sample_weight_equivalence_on_dense_data": (
        "weights enter the loss exactly (and rows of weight zero are dropped), but rows are shuffled into minibatches "
        "and split into training and validation at random by their number, so a row of weight two and the row twice "
        "agree in expectation only, as in other estimators trained by stochastic gradients"
    )
}
# `fit(X, y)` is semi-supervised: y names the component of each labelled row. These checks set n_components to 1 or 2
# and give three classes, which no component can stand for. That y is ignored otherwise is shown by running all of
# them without y.
LABELLED = dict.fromkeys(
    [
        "check_dict_unchanged",
        "check_dont_overwrite_parameters",
        "check_dtype_object",
        "check_estimators_dtypes",
        "check_estimators_fit_returns_self",
        "check_estimators_overwrite_params",
        "check_f_contiguous_array_estimator",
        "check_fit2d_1feature",
        "check_fit2d_predict1d",
        "check_fit_score_takes_y",
        "check_methods_sample_order_invariance",
        "check_methods_subset_invariance",
        "check_n_features_in_after_fitting",
        "check_positive_only_tag_during_fit",
        "check_readonly_memmap_input",
        "check_sample_weights_list",
        "check_sample_weights_not_an_array",
        "check_sample_weights_not_overwritten",
        "check_sample_weights_pandas_series",
        "check_sample_weights_shape",
    ],
    "more labels than components are refused, on purpose",
)


class Unlabelled(pf.FlowMixture):
    """The mixture as a clusterer: like scikit-learn's own, it looks at no labels."""

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        return super().fit(X, None, sample_weight)


def run(estimator: Any, expected: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Status and exception of each check; a check that runs several times has its worst status.

    The stochastic ones are skipped: they train for long, and nothing follows from how they fail.
    """
    found: dict[str, tuple[str, str]] = {}
    for one, check in estimator_checks_generator(estimator, expected_failed_checks=dict(STOCHASTIC), mark="skip"):
        name = getattr(check, "__wrapped__", check).func.__name__
        status, exception = "passed", ""
        try:
            check(one)
        except SkipTest as error:
            status, exception = "skipped", repr(error)
        except Exception as error:
            status, exception = "xfail" if name in expected else "failed", repr(error)
        if found.get(name, ("passed", ""))[0] == "passed":
            found[name] = (status, exception)
    return found


if __name__ == "__main__":
    # each check has a table of another shape, so nearly all of the time goes into compiling
    jax.config.update("jax_disable_most_optimizations", True)
    small: dict[str, Any] = {"flow": "real_nvp", "n_layers": 1, "hidden_sizes": (8,), "max_epochs": 2}
    small["validation_fraction"] = 0.0  # compiles less
    few = {**small, "refine_posterior": False, "init": "spectral", "consistency": 0.0, "posterior_hidden_sizes": (8,)}
    runs = {
        "density": lambda: [run(pf.FlowDensity(**small), {})],
        "default": lambda: [run(pf.FlowDensity(max_epochs=2, hidden_sizes=(8,)), {})],  # takes gaps and texts too
        "outliers": lambda: [run(pf.FlowOutlierDetector(**small), {})],
        "mixture": lambda: [
            run(Unlabelled(2, **few), {}),
            run(pf.FlowMixture(2, **few), LABELLED),
        ],
    }
    print(json.dumps(runs[sys.argv[1]]()))
