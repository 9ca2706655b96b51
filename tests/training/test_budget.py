"""How long training goes on: as the curve of validation losses asks."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pushforward.training import Checkpoint, Settings
from pushforward.training.settings import MARKED, budget, gain
from tests.training.test_engine import one_epoch_a_call, press_ctrl_c
from tests.training.toy import point, rows, run

FAR = rows((5.0,))
SLOW: dict[str, Any] = {"max_epochs": 5, "learning_rate": 0.01, "schedule": "cosine", "more": {"validation": FAR}}


def test_the_gain_is_that_of_the_second_half() -> None:
    assert gain([4.0, 3.0, 2.5, 2.25]) == 0.75 and gain([1.0, 2.0, 3.0, 4.0]) == 0 and gain([]) == 0
    assert gain([math.nan, math.nan, 2.0, 1.0]) == math.inf and gain([3.0, math.nan, 2.0, math.inf]) == 1


def test_budgets_double_while_the_gain_is_marked() -> None:
    settings = Settings(max_epochs=8, most_epochs=24)
    falling = [10.0 - i for i in range(24)]
    assert [budget(settings, falling[:n]) for n in (0, 3, 4, 7, 8, 24)] == [8, 8, 16, 16, 24, 24]
    level = [1.0, 0.5, 0.5, 0.5 - MARKED / 2, *falling]
    assert budget(settings, level) == 8
    assert budget(Settings(max_epochs=8), falling) == 8
    assert budget(Settings(max_epochs=8, most_epochs=2), falling) == 8
    unjudged = [math.nan, math.nan, 2.0, 1.0]  # a first half that does not count says nothing
    assert budget(settings, unjudged) == 8


def test_training_goes_on_while_validation_improves() -> None:
    assert len(run(point(0.0), FAR, **SLOW).history) == 5
    longer = run(point(0.0), FAR, most_epochs=40, **SLOW)
    assert len(longer.history) == 40 and longer.best_loss < run(point(0.0), FAR, **SLOW).best_loss - 1
    near = run(point(5.0), FAR, most_epochs=40, **SLOW)
    assert len(near.history) == 5 and not near.unfinished
    unjudged = run(point(0.0), FAR, most_epochs=40, **{**SLOW, "more": {}})
    assert len(unjudged.history) == 5 and not unjudged.unfinished


def test_a_curve_that_still_falls_is_unfinished() -> None:
    assert run(point(0.0), FAR, **SLOW).unfinished
    assert not run(point(0.0), FAR, **{**SLOW, "max_epochs": 1}).unfinished  # nothing was seen to fall
    settled = run(point(0.0), FAR, **{**SLOW, "max_epochs": 100, "learning_rate": 0.1})
    assert settled.best_epoch > 20 and not settled.unfinished
    stopped = run(point(5.0), FAR, patience=2, **{**SLOW, "max_epochs": 100})
    assert len(stopped.history) < 100 and not stopped.unfinished


def test_resuming_goes_on_for_as_many_epochs_as_an_uninterrupted_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(**more: Any) -> Any:
        return run(point(0.0), FAR, most_epochs=20, **{**SLOW, "more": {"validation": FAR, **more}})

    with monkeypatch.context() as patch:
        one_epoch_a_call(patch)
        press_ctrl_c(patch, call=8)  # when five epochs were more already
        assert len(fit(checkpoint=Checkpoint(tmp_path, epochs=1)).history) == 8
    resumed, whole = fit(checkpoint=Checkpoint(tmp_path, epochs=1, resume=True)), fit()
    assert len(whole.history) == 20 and resumed.history == whole.history
    assert np.array_equal(resumed.model.at, whole.model.at)
