"""Estimators in other processes."""

import subprocess
import sys

import pytest

FORKED = """
import multiprocessing, warnings
import numpy as np
import pushforward as pf

warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(60, 2))
model = pf.FlowDensity("real_nvp", n_layers=1, hidden_sizes=(4,), max_epochs=1, random_state=0)
{used}
jobs = dict(score=lambda: model.score_samples(X), sample=lambda: model.sample(3), fit=lambda: model.fit(X))


def tell(name):
    try:
        jobs[name]()
    except RuntimeError as error:
        return name + ": " + str(error)


with multiprocessing.get_context("fork").Pool(1) as pool:
    for name in {asked}:
        print(pool.apply_async(tell, (name,)).get(timeout=60))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize(
    ("used", "asked"),
    [("model.fit(X)", ["score", "sample", "fit"]), ("import jax; jax.numpy.ones(2) + 1", ["fit"])],
    ids=["by us", "by others"],
)
def test_a_forked_process_says_how_to_start_workers_in_place_of_hanging(used: str, asked: list[str]) -> None:
    code = FORKED.format(used=used, asked=asked)
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    lines = said.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == asked
    assert all('multiprocessing.get_context("spawn"), or joblib with its own backend, "loky"' in line for line in lines)


CROSS_VALIDATED = """
import numpy as np
from sklearn.model_selection import cross_val_score
import pushforward as pf

X = np.random.default_rng(0).normal(size=(90, 2))
{used}
print(*cross_val_score(pf.FlowDensity(max_epochs=2, random_state=0), X, cv=3, n_jobs={n_jobs}, error_score="raise"))
"""


@pytest.mark.long
def test_folds_may_be_fitted_side_by_side() -> None:
    """By joblib's own backend, loky, also where JAX has run before; with the scores of one process."""
    used = "pf.FlowDensity(max_epochs=1).fit(X)"
    scores = []
    for code in (CROSS_VALIDATED.format(used=used, n_jobs=2), CROSS_VALIDATED.format(used="", n_jobs=1)):
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=500, check=True)
        scores.append([float(score) for score in ran.stdout.split()])
    assert len(scores[0]) == 3 and scores[0] == pytest.approx(scores[1], rel=1e-4)
