"""Flows of one's own: a callable, a built flow, and what files keep of them."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.base import clone

import pushforward as pf
from pushforward.bijections import Affine
from pushforward.distributions import Normal, Pushforward
from tests.estimators.small import CENTRES, SMALL, blobs

X, Y = blobs()
QUICK: dict[str, Any] = {name: SMALL[name] for name in ("max_epochs", "validation_fraction", "random_state")}
SMALL_MIXTURE: dict[str, Any] = {**QUICK, "posterior_hidden_sizes": (8,), "refine_posterior": False}


def gaussian(key: Any, dim: int) -> Pushforward:
    """Takes neither layers nor conditions."""
    return Pushforward(Normal.standard((dim,)), Affine(jnp.zeros(dim), jnp.ones(dim)))


def layered(key: Any, dim: int, *, cond_dim: int | None = None, n_layers: int = 2, n_bins: int = 4) -> Pushforward:
    return pf.flows.spline_coupling(key, dim, cond_dim=cond_dim, n_layers=n_layers, hidden_sizes=(4,), n_bins=n_bins)


def test_a_callable_is_given_what_it_takes() -> None:
    model = pf.FlowDensity(gaussian, **QUICK).fit(X)
    assert clone(model).flow is gaussian and model.spec_.flow is gaussian
    assert np.isfinite(model.score_samples(X)).all()
    few = pf.FlowDensity(layered, n_layers=1, flow_options={"n_bins": 3}, **QUICK).fit(X)
    assert (few.spec_.n_layers, few.spec_.options) == (1, (("n_bins", 3),))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flow": gaussian, "n_layers": 2}, "flow=<gaussian> does not take n_layers; leave it out"),
        ({"flow": layered, "flow_options": {"bins": 3}}, "flow=<layered> does not take bins"),
        ({"flow": lambda key, dim: 3}, "flow=<<lambda>> must give a Pushforward; it gave a int"),
        ({"flow": gaussian(None, 3)}, r"flow=<Pushforward> has shape \(3,\) .* the table asks for \(2,\) and None"),
        ({"flow": gaussian(None, 2), "hidden_sizes": (4,)}, "flow=<Pushforward> does not take hidden_sizes"),
    ],
)
def test_what_does_not_fit_is_named(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pf.FlowDensity(**options, **QUICK).fit(X)


def test_components_start_as_copies_of_a_built_flow_at_their_parts() -> None:
    mixture = pf.FlowMixture(3, flow=gaussian(None, 2), **(SMALL_MIXTURE | {"max_epochs": 1})).fit(X)
    means = mixture.sample(300, component=0)[0].mean(axis=0)
    assert np.linalg.norm(CENTRES - means, axis=1).min() < 0.5
    assert len(np.unique(mixture.predict(X))) == 3


@pytest.mark.long
def test_conditions_reach_a_callable_or_are_refused() -> None:
    condition = X[:, :1]
    model = pf.FlowDensity(layered, **QUICK).fit(X, condition=condition)
    assert model.sample(3, condition=condition[:4]).shape == (3, 4, 2)
    with pytest.raises(ValueError, match="flow=<gaussian> does not take cond_dim"):
        pf.FlowDensity(gaussian, **QUICK).fit(X, condition=condition)


@pytest.mark.long
def test_layers_of_a_callable_may_be_shared() -> None:
    assert np.isfinite(pf.FlowMixture(2, flow=layered, shared_layers=1, **SMALL_MIXTURE).fit(X).score(X))
    with pytest.raises(ValueError, match="shared_layers must be 0 with flow=<gaussian>, which takes no n_layers"):
        pf.FlowMixture(2, flow=gaussian, shared_layers=1, **SMALL_MIXTURE).fit(X)


@pytest.mark.parametrize("flow", [gaussian, gaussian(None, 2)], ids=["callable", "built"])
def test_files_keep_what_a_flow_was_called_and_its_numbers(flow: Any, tmp_path: Path) -> None:
    model = pf.FlowDensity(flow, **QUICK).fit(X)
    model.save(tmp_path / "model")
    loaded = pf.load(tmp_path / "model")
    assert loaded.flow == loaded.spec_.flow == ("<gaussian>" if flow is gaussian else "<Pushforward>")
    np.testing.assert_array_equal(loaded.score_samples(X), model.score_samples(X))
    with pytest.raises(ValueError, match=r"fitted with flow=<.*>, which model files do not keep; give it again"):
        loaded.fit(X)
    loaded.set_params(warm_start=True).fit(X)  # which needs no recipe


def test_a_warm_start_tells_flows_of_ones_own_apart() -> None:
    built, other = gaussian(None, 2), gaussian(None, 2)
    model = pf.FlowDensity(built, warm_start=True, **QUICK).fit(X).fit(X)
    with pytest.raises(ValueError, match="goes on with the flow of the last fit; flow=<Pushforward> is another one"):
        model.set_params(flow=other).fit(X)


def test_a_checkpoint_is_an_argument_of_fit(tmp_path: Path) -> None:
    def kept(resume: bool) -> Any:
        return pf.training.Checkpoint(tmp_path / "state", epochs=1, resume=resume)

    for make in (pf.FlowDensity, pf.FlowOutlierDetector):
        first = make(flow=gaussian, **QUICK).fit(X, checkpoint=kept(False))
        again = make(flow=gaussian, **QUICK).fit(X, checkpoint=kept(True))
        np.testing.assert_array_equal(first.score_samples(X), again.score_samples(X))
    with pytest.raises(ValueError, match="the data changed since it was written"):
        pf.FlowOutlierDetector(flow=gaussian, **QUICK).fit(2 * X, checkpoint=kept(True))


def test_checkpoints_tell_functions_apart_that_look_alike(tmp_path: Path) -> None:
    def kept(resume: bool) -> Any:
        return pf.training.Checkpoint(tmp_path / "state", epochs=1, resume=resume)

    def make(activation: str) -> Any:
        def flow(key: Any, dim: int, **options: Any) -> Any:
            return pf.flows.real_nvp(key, dim, n_layers=1, hidden_sizes=(4,), activation=activation)

        return flow

    pf.FlowDensity(make("tanh"), **QUICK).fit(X, checkpoint=kept(False))
    pf.FlowDensity(make("tanh"), **QUICK).fit(X, checkpoint=kept(True))
    with pytest.raises(ValueError, match="the model changed since it was written"):
        pf.FlowDensity(make("relu"), **QUICK).fit(X, checkpoint=kept(True))


@pytest.mark.long
def test_states_of_old_files_are_filled() -> None:
    model = pf.FlowMixture(2, flow=gaussian, **SMALL_MIXTURE).fit(X)
    assert model.label_column_ is None and model.label_names_ is None
    state = pf.FlowMixture(2, **SMALL_MIXTURE, n_layers=1, hidden_sizes=(4,)).fit(X).to_state()
    for name in ("spec_", "label_column_", "label_names_"):
        del state["fitted"][name]
    old = pf.FlowMixture.from_state(state)
    assert old.label_column_ is None and (old.spec_.flow, old.spec_.n_layers) == ("real_nvp", 1)


def test_one_pass_assigns_and_scores() -> None:
    model = pf.FlowMixture(2, flow=gaussian, **SMALL_MIXTURE).fit(X)
    component, probabilities, log_density = model.assign(X)
    np.testing.assert_array_equal(component, model.predict(X))
    np.testing.assert_array_equal(probabilities, model.predict_proba(X))
    np.testing.assert_array_equal(log_density, model.score_samples(X))


@pytest.mark.long
def test_conditional_draws_have_one_shape() -> None:
    condition = X[:, :1]
    model = pf.FlowMixture(2, flow=layered, **SMALL_MIXTURE).fit(X, condition=condition)
    rows, component = model.sample(3, condition=condition[:5])
    assert rows.shape == (3, 5, 2) and component.shape == (3, 5)
    alone = model.sample(3, component=1, condition=condition[:1])
    assert alone[0].shape == (3, 1, 2) and (alone[1] == 1).all()


@pytest.mark.parametrize("flow", ["glow", "indexed_real_nvp_image"])
def test_a_named_flow_says_what_it_needs(flow: str) -> None:
    rows = np.random.default_rng(0).normal(size=(20, 4))
    for model in (pf.FlowDensity(flow), pf.FlowMixture(2, flow=flow)):
        with pytest.raises(ValueError, match=rf"flow='{flow}' needs image_shape: give image_shape=, or .* \(n, height"):
            model.fit(rows)
