"""The engine: best weights, restarts, steps gone wrong, Ctrl-C, few compilations."""

import signal
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward import trees
from pushforward.bijections import BatchNorm
from pushforward.distributions import Normal, Pushforward
from pushforward.flows import real_nvp
from pushforward.objectives import NegativeLogLikelihood, Rows
from pushforward.training import Resident, Settings, TrainingError, TrainingWarning, engine, epochs, train
from pushforward.training.epochs import State
from tests.compilations import compilations
from tests.training.toy import Distance, Point, point, points, rows, run, table


def test_the_point_reaches_the_mean_and_the_history_tells_of_it() -> None:
    data = table((1.0, -1.0))
    fit = run(point(0.0, 0.0), Resident.of(data), max_epochs=100, schedule="cosine")
    np.testing.assert_allclose(fit.model.at, data.mean(axis=0), atol=0.02)
    assert [entry["epoch"] for entry in fit.history] == list(range(1, 101))
    assert all(entry["validation_loss"] is None for entry in fit.history)
    floor = 0.5 * data.var(axis=0).sum()
    assert fit.history[0]["train_loss"] > fit.history[-1]["train_loss"] == pytest.approx(floor, rel=0.01)
    # without validation the last weights are kept
    assert fit.best_epoch == 100 and fit.best_loss == fit.history[-1]["train_loss"]
    assert not fit.interrupted and fit.bad_steps == 0 and fit.seconds > 0


def past_the_best() -> Any:
    """Training pulls the point to 5; held-out rows like it best at 1, on its way."""
    return run(
        point(0.0), rows((5.0,)), max_epochs=200, patience=7, learning_rate=0.02, more={"validation": rows((1.0,))}
    )


def test_the_best_weights_are_kept_and_patience_ends_training() -> None:
    fit = past_the_best()
    losses = [entry["validation_loss"] for entry in fit.history]
    assert fit.best_epoch == int(np.argmin(losses)) + 1
    assert fit.best_loss == min(losses)
    assert len(fit.history) == fit.best_epoch + 7
    held_out = table((1.0,))
    assert fit.best_loss == pytest.approx(0.5 * float(np.mean((held_out - np.asarray(fit.model.at)) ** 2)), rel=1e-5)
    assert abs(float(fit.model.at[0]) - held_out.mean()) < 0.1


def test_epochs_of_the_start_do_not_count() -> None:
    fit = run(
        point(0.0),
        rows((5.0,)),
        max_epochs=60,
        patience=7,
        learning_rate=0.02,
        start_epochs=50,
        more={"validation": rows((1.0,))},
    )
    assert fit.best_epoch == 51 and len(fit.history) == 58  # the best of those that count is the first


def test_equal_seeds_give_equal_bits_and_others_other_orders() -> None:
    fits = [run(point(0.0, 0.0), rows(), seed=seed) for seed in (3, 3, 4)]
    assert np.array_equal(fits[0].model.at, fits[1].model.at)
    assert fits[0].history == fits[1].history
    assert not np.array_equal(fits[0].model.at, fits[2].model.at)


def test_padding_changes_nothing() -> None:
    """With whole batches, so that the order of rows plays no part."""
    data = rows(n=80)
    longer = jax.tree.map(lambda a: jnp.concatenate([a, a[-1:]]) if a.ndim else a, data)
    assert longer.data.shape[0] == data.data.shape[0] + 1
    fits = [run(point(0.0, 0.0), d, batch_size=96, max_epochs=20) for d in (data, longer)]
    np.testing.assert_allclose(fits[0].model.at, fits[1].model.at, rtol=1e-5)


def test_a_row_of_weight_two_counts_as_the_row_twice() -> None:
    data = table((1.0, -1.0), n=60)
    weight = np.ones(60)
    weight[:10] = 2
    fits = [
        run(point(0.0, 0.0), d, batch_size=96, max_epochs=20)
        for d in (Resident.of(data, weight=weight), Resident.of(np.concatenate([data, data[:10]])))
    ]
    np.testing.assert_allclose(fits[0].model.at, fits[1].model.at, rtol=1e-4)
    assert fits[0].best_loss == pytest.approx(fits[1].best_loss, rel=1e-4)


def test_leading_epochs_see_the_leading_rows_alone() -> None:
    data = Resident.of(np.concatenate([np.full((20, 1), 3.0), np.full((60, 1), -3.0)]), n_leading=20)
    fit = run(point(0.0), data, max_epochs=40, leading_epochs=40)
    assert float(fit.model.at[0]) == pytest.approx(3, abs=0.1)
    assert run(point(0.0), data, max_epochs=40).model.at[0] < 0


def test_averaged_weights_are_what_is_kept() -> None:
    plain, averaged = (run(point(0.0), rows((5.0,)), averaging=a) for a in (0.0, 0.9))
    assert 0 < float(averaged.model.at[0]) < float(plain.model.at[0])


STARTS = ((0.0,), (0.9,), (4.0,))


def test_restarts_side_by_side_equal_each_alone_and_the_best_wins() -> None:
    options: Any = {"max_epochs": 30, "patience": 3, "learning_rate": 0.05}
    validation = {"validation": rows((1.0,), seed=1)}
    together = run(points(*STARTS), rows((1.0,)), more={**validation, "n_restarts": 3}, **options)
    keys = jax.random.split(jax.random.key(0), 3)
    settings = Settings(batch_size=16, **options)
    alone = [
        train(point(*at), Distance(), rows((1.0,)), key=key, settings=settings, **validation)
        for at, key in zip(STARTS, keys, strict=True)
    ]
    assert len({len(fit.history) for fit in alone}) > 1  # patience of their own
    np.testing.assert_allclose(together.losses, [fit.best_loss for fit in alone], rtol=1e-5)
    winner = alone[int(np.argmin(together.losses))]
    assert together.restart == int(np.argmin([fit.best_loss for fit in alone]))
    np.testing.assert_allclose(together.model.at, winner.model.at, rtol=1e-5)
    assert together.best_epoch == winner.best_epoch
    assert len(together.history) == len(winner.history)
    for mine, theirs in zip(together.history, winner.history, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("n_restarts", [pytest.param(1, marks=pytest.mark.long), 2])
def test_few_parameters_are_packed_and_train_as_many_that_are_not(
    monkeypatch: pytest.MonkeyPatch, n_restarts: int
) -> None:
    def fitted() -> Any:
        jax.clear_caches()
        keys = jax.random.split(jax.random.key(0), n_restarts)
        flows = eqx.filter_vmap(lambda key: real_nvp(key, 2, n_layers=2, hidden_sizes=(4,)))(keys)
        return train(
            trees.unstack(flows, 0) if n_restarts == 1 else flows,
            NegativeLogLikelihood(),
            Resident.of(Rows(table((1.0, -1.0)))),
            key=jax.random.key(1),
            settings=Settings(max_epochs=3, batch_size=16, averaging=0.9, weight_decay=0.01, clip_norm=1.0),
            validation=Resident.of(Rows(table((1.0, -1.0), seed=1))),
            n_restarts=n_restarts,
        )

    packed = fitted()
    monkeypatch.setattr(epochs, "MOST_PACKED", 0)
    leaves = fitted()
    jax.clear_caches()
    assert packed.losses == pytest.approx(leaves.losses, rel=1e-5)
    for mine, theirs in zip(jax.tree.leaves(packed.restarts), jax.tree.leaves(leaves.restarts), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)


def broken_rows(n_broken: int) -> Resident:
    data = table((1.0, -1.0), n=80)
    data[:n_broken] = 1e4
    return Resident.of(data)


def test_a_gradient_that_is_not_finite_skips_its_step_and_is_reported() -> None:
    with pytest.warns(TrainingWarning, match="5 training steps were skipped.*learning_rate or a clip_norm"):
        fit = run(point(0.0, 0.0), broken_rows(1), loss=Distance(1e3), max_epochs=5)
    assert fit.bad_steps == 5  # one batch of every epoch
    assert np.isfinite(fit.model.at).all() and float(fit.model.at[0]) > 0.5
    assert all(np.isfinite(entry["train_loss"]) for entry in fit.history)


def test_too_many_in_a_row_end_with_advice() -> None:
    message = r"not finite for 7 steps in a row \(epoch 2\); try a smaller learning_rate \(now 0.1\), a clip_norm"
    with pytest.raises(TrainingError, match=message):
        run(point(0.0, 0.0), broken_rows(80), loss=Distance(1e3), max_bad_steps=7)


@pytest.mark.long
def test_a_restart_that_fails_leaves_the_others_alone() -> None:
    fit = run(points((np.nan, 0.0), (0.0, 0.0)), rows(), more={"n_restarts": 2}, max_bad_steps=3, max_epochs=20)
    assert fit.restart == 1 and fit.bad_steps == 0 and np.isfinite(fit.model.at).all()


@pytest.mark.long
def test_a_loss_that_is_never_finite_on_held_out_rows_is_reported() -> None:
    with pytest.warns(TrainingWarning, match="finite after no epoch"):
        run(point(0.0, 0.0), rows(), loss=Distance(1e3), more={"validation": broken_rows(1)})


def press_ctrl_c(monkeypatch: pytest.MonkeyPatch, call: int, times: int = 1) -> None:
    """Press Ctrl-C during the nth call of compiled epochs."""
    real, made = engine.run_epochs, []

    def pressed(*args: Any) -> Any:
        made.append(1)
        for _ in range(times if len(made) == call else 0):
            signal.raise_signal(signal.SIGINT)
        return real(*args)

    monkeypatch.setattr(engine, "run_epochs", pressed)


def one_epoch_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_next_chunk", lambda *_: 1)


def test_ctrl_c_ends_after_the_call_with_the_best_weights_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    one_epoch_a_call(monkeypatch)
    press_ctrl_c(monkeypatch, call=3)
    before = signal.getsignal(signal.SIGINT)
    more = {"validation": rows((1.0,), seed=1)}
    cut = run(point(0.0), rows((1.0,)), max_epochs=20, more=more)
    assert cut.interrupted and signal.getsignal(signal.SIGINT) is before
    whole = run(point(0.0), rows((1.0,)), max_epochs=3, more=more)
    assert cut.history == whole.history and len(cut.history) == 3
    assert np.array_equal(cut.model.at, whole.model.at)


def test_a_second_ctrl_c_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start us with it ignored
    try:
        press_ctrl_c(monkeypatch, call=1, times=2)
        with pytest.raises(KeyboardInterrupt):
            run(point(0.0), rows((1.0,)))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_training_works_outside_the_main_thread() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert len(pool.submit(run, point(0.0), rows((1.0,))).result().history) == 5


def test_calls_of_many_epochs_equal_calls_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    many = run(point(0.0), rows((1.0,)), max_epochs=30)
    one_epoch_a_call(monkeypatch)
    one = run(point(0.0), rows((1.0,)), max_epochs=30)
    assert many.history == one.history and np.array_equal(many.model.at, one.model.at)


def test_like_shaped_fits_and_other_settings_compile_nothing_anew() -> None:
    def fit(n: int, **settings: Any) -> None:
        data = {"validation": rows((1.0, 0.0), n=10 + n // 10, seed=n)}
        run(point(0.0, 0.1), rows((3.0, 2.0), n=n, seed=n), more=data, **settings)

    fit(70)
    with compilations() as compiled:
        fit(90, max_epochs=7, learning_rate=0.3, patience=2, weight_decay=0.1, decay_form="decoupled", clip_norm=1.0)
        fit(80, max_epochs=3, schedule="cosine", warmup_steps=5, weight_decay=0.2, start_epochs=1, max_bad_steps=3)
    assert compiled == []
    with compilations() as compiled:
        fit(300)
    assert "jit(run_epochs)" in compiled  # the count counts


def test_a_fitted_density_has_the_statistics_of_all_training_rows() -> None:
    data = table((5.0,), n=80, spread=3.0)
    flow = Pushforward(Normal.standard((1,)), BatchNorm.init(1))
    fit = train(
        flow,
        NegativeLogLikelihood(),
        Resident.of(Rows(data)),
        key=jax.random.key(0),
        settings=Settings(max_epochs=2, batch_size=16),
        validation=Resident.of(Rows(data[:20])),
    )
    norm = fit.model.bijection
    np.testing.assert_allclose(norm.mean.value, data.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(norm.variance.value, data.var(axis=0), rtol=1e-4)
    # validation, too, is by the statistics of the training rows
    assert fit.best_loss == pytest.approx(-float(fit.model.log_prob(data[:20]).mean()), rel=1e-5)


def test_frozen_leaves_stay() -> None:
    class Held(eqx.Module):
        at: jax.Array
        held: trees.Frozen

    model = Held(jnp.zeros(1), trees.Frozen(jnp.ones(1)))
    fit = run(model, rows((5.0,)), weight_decay=1.0)  # type: ignore[arg-type]
    assert fit.model.held.value.tolist() == [1.0] and float(fit.model.at[0]) > 0


def test_the_state_keeps_a_buffer_of_its_own_for_every_leaf() -> None:
    """Donation would otherwise hand one buffer in twice."""
    params = jnp.ones(3)
    state: State = engine._start_state(Point(params), jax.random.key(0), True, False)
    pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state) if eqx.is_inexact_array(leaf)]
    assert len(set(pointers)) == len(pointers)
    assert params.unsafe_buffer_pointer() not in pointers


def test_training_warns_of_nothing_when_nothing_is_wrong() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(point(0.0, 0.0), rows())
