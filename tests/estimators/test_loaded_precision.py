"""Models of one precision, used in the other."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pushforward as pf
from tests.estimators.small import blobs, density

X, _ = blobs()


@pytest.mark.long
def test_models_of_double_precision_go_on_in_single(tmp_path: Path, float64: None) -> None:
    fitted = density().fit(X)
    fitted.save(tmp_path / "model")
    expected = fitted.score_samples(X)
    with jax.enable_x64(False):
        loaded = pf.load(tmp_path / "model")
        leaves = [leaf for leaf in jax.tree.leaves(loaded.model_) if isinstance(leaf, jax.Array)]
        assert {leaf.dtype for leaf in leaves} <= {jnp.dtype("float32"), jnp.dtype("int32"), jnp.dtype("bool")}
        np.testing.assert_allclose(loaded.score_samples(X), expected, atol=1e-4)
        loaded.set_params(warm_start=True).fit(X)
        assert np.isfinite(loaded.sample(5, random_state=0)).all()
