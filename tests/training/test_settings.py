"""Settings: what is refused, and what each means in one step."""

import dataclasses
import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pushforward.training import Settings
from pushforward.training.epochs import ease, initial_state, learning_rate, update
from pushforward.training.settings import hyper


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("max_epochs", 0, "a whole number of at least 1"),
        ("max_epochs", 2**31, "a whole number of at least 1 and at most 2147483647"),
        ("batch_size", 0, "a whole number of at least 1"),
        ("max_bad_steps", 0, "a whole number of at least 1"),
        ("warmup_steps", -1, "a whole number of at least 0"),
        ("start_epochs", -1, "a whole number of at least 0"),
        ("leading_epochs", -1, "a whole number of at least 0"),
        ("learning_rate", 0.0, "positive and finite"),
        ("learning_rate", math.inf, "positive and finite"),
        ("learning_rate", math.nan, "positive and finite"),
        ("clip_norm", -1.0, "positive"),
        ("clip_norm", math.nan, "positive"),
        ("weight_decay", -1.0, "zero or more, and finite"),
        ("weight_decay", math.inf, "zero or more, and finite"),
        ("weight_decay", math.nan, "zero or more, and finite"),
        ("averaging", 1.0, r"in \[0, 1\)"),
        ("averaging", math.nan, r"in \[0, 1\)"),
        ("patience", 0, "a whole number of at least 1 .*, or None"),
        ("schedule", "linear", "one of .*'cosine'"),
        ("decay_form", "L2", "one of .*'decoupled'"),
    ],
)
def test_a_setting_out_of_range_is_named(name: str, value: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be {expected}.*; got {value!r}$"):
        Settings(**{name: value})


COUNTS = {"max_epochs", "most_epochs", "start_epochs", "leading_epochs"}
COUNTS |= {"batch_size", "max_bad_steps", "patience", "warmup_steps"}
RATES = {"learning_rate", "weight_decay", "easing", "clip_norm", "averaging"}


def test_every_number_is_a_count_or_a_rate() -> None:
    numeric = {f.name for f in dataclasses.fields(Settings) if not isinstance(f.default, str)}
    assert numeric == COUNTS | RATES


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", sorted(COUNTS))
@pytest.mark.parametrize("value", [2.5, 2.0, True, "7", math.nan, np.float64(3)])
def test_counts_are_whole_numbers(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be a whole number of .*; got {re.escape(repr(value))}$"):
        Settings(**{name: value})


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", sorted(RATES))
@pytest.mark.parametrize("value", ["x", "0.5", None, True, 1j, [0.5]])
def test_rates_are_numbers(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be a number, .*; got {re.escape(repr(value))}$"):
        Settings(**{name: value})


@pytest.mark.usefixtures("unchecked")
def test_numbers_of_numpy_are_numbers() -> None:
    given = {name: np.int64(3) for name in COUNTS} | {name: np.float32(0.5) for name in RATES}
    assert Settings(**given) == Settings(**{name: float(v) if name in RATES else int(v) for name, v in given.items()})
    assert Settings(weight_decay=1, clip_norm=math.inf).clip_norm == math.inf


UPDATE = jax.jit(update)


def step(gradient: float, at: float = 1.0, value: float = 0.0, times: int = 1, **settings: Any) -> Any:
    """The state after some steps of the same gradient, learning rate 0.1."""
    chosen = hyper(Settings(**settings))
    state = initial_state(jnp.array(at), jax.random.key(0), settings.get("averaging", 0) > 0)
    for _ in range(times):
        state = UPDATE(state, jnp.array(value), jnp.array(gradient), chosen, jnp.array(0.1))
    return state


def test_a_plain_step_is_adams() -> None:
    state = step(-3.0)
    assert float(state.params) == pytest.approx(1.1, rel=1e-5)
    assert float(state.moments.mu) == pytest.approx(-0.3, rel=1e-5)


def test_l2_adds_to_the_gradient_and_decoupled_decay_shrinks_beside_it() -> None:
    # the gradient −½ turns into +½ under the prior's +1·θ; decoupled, the step +1 meets the shrinkage −1
    l2, decoupled = (step(-0.5, weight_decay=1.0, decay_form=form) for form in ("l2", "decoupled"))
    assert float(l2.params) == pytest.approx(0.9, rel=1e-5)
    assert float(l2.moments.mu) == pytest.approx(0.05, rel=1e-5)
    assert float(decoupled.params) == pytest.approx(1.0, rel=1e-5)
    assert float(decoupled.moments.mu) == pytest.approx(-0.05, rel=1e-5)


def test_decay_eases_over_the_first_half_of_the_epochs() -> None:
    chosen = hyper(Settings(max_epochs=10, weight_decay=0.5, easing=100.0))
    strengths = [float(ease(chosen, jnp.array(step), jnp.array(4)).l2) for step in (0, 10, 20, 30)]
    np.testing.assert_allclose(strengths, [50.0, 5.0, 0.5, 0.5], rtol=1e-5)
    assert float(ease(hyper(Settings(weight_decay=0.5)), jnp.array(0), jnp.array(4)).l2) == 0.5


def test_gradients_are_clipped_before_the_prior_is_added() -> None:
    assert float(step(-30.0, clip_norm=2.0).moments.mu) == pytest.approx(-0.2, rel=1e-5)
    assert float(step(-1.0, clip_norm=2.0).moments.mu) == pytest.approx(-0.1, rel=1e-5)
    assert float(step(-30.0, clip_norm=2.0, weight_decay=3.0).moments.mu) == pytest.approx(0.1, rel=1e-5)


@pytest.mark.parametrize(("gradient", "value"), [(np.nan, 0.0), (np.inf, 0.0), (1.0, np.nan), (1.0, -np.inf)])
def test_a_step_that_is_not_finite_is_skipped_and_counted(gradient: float, value: float) -> None:
    state = step(gradient, value=value, times=2, averaging=0.5)
    assert float(state.params) == 1 and float(state.average) == 1 and float(state.moments.mu) == 0
    assert int(state.bad_steps) == 2 and int(state.bad_in_a_row) == 2 and int(state.step) == 2
    again = UPDATE(state, jnp.array(0.0), jnp.array(1.0), hyper(Settings()), jnp.array(0.1))
    assert int(again.bad_steps) == 2 and int(again.bad_in_a_row) == 0
    assert float(again.params) == pytest.approx(0.9, rel=1e-5)


def test_the_average_forgets_the_first_weights_and_follows_the_others() -> None:
    state = step(-1.0, times=3, averaging=0.9)  # weights 1.1, 1.2, 1.3
    average = 1.0
    for i, at in enumerate((1.1, 1.2, 1.3)):
        keep = min(0.9, (i + 1) / (i + 10))
        average = keep * average + (1 - keep) * at
    assert float(state.average) == pytest.approx(average, rel=1e-5)


def test_schedules() -> None:
    def rates(**settings: Any) -> Any:
        chosen = hyper(Settings(max_epochs=10, learning_rate=0.5, **settings))
        return [float(learning_rate(chosen, jnp.array(i), jnp.array(4))) for i in (0, 1, 20, 40)]

    assert rates() == [0.5] * 4
    np.testing.assert_allclose(rates(warmup_steps=4), [0.125, 0.25, 0.5, 0.5])
    cosine = optax.cosine_decay_schedule(0.5, 40)
    np.testing.assert_allclose(rates(schedule="cosine"), [float(cosine(i)) for i in (0, 1, 20, 40)], atol=1e-7)
