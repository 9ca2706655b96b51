"""What pairs teach: agreement by hand and at its limits, contrast against NumPy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from pushforward.objectives import Batch, Contrast, Embedding, Rows, agreement

RNG = np.random.default_rng(0)
SURE = 60.0 * jnp.eye(3)


def entropy(shares: Any) -> float:
    return float(-(shares * np.log(np.maximum(shares, 1e-300))).sum())


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_agreement_by_hand(balance: float) -> None:
    logits, others, weight = RNG.normal(size=(6, 3)), RNG.normal(size=(6, 3)), RNG.uniform(size=6)
    q, p = softmax(logits, axis=1), softmax(others, axis=1)
    joint = sum(w * np.outer(a, b) for w, a, b in zip(weight / weight.sum(), q, p, strict=True))
    joint = (joint + joint.T) / 2
    expected = (1 + balance) * entropy(joint.sum(axis=0)) - entropy(joint)
    found = agreement(jnp.asarray(logits), jnp.asarray(others), jnp.asarray(weight), balance)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_agreement_at_its_limits() -> None:
    one, weight = jnp.tile(SURE[:1], (3, 1)), jnp.ones(3)
    np.testing.assert_allclose(agreement(SURE, SURE, weight, 1.0), np.log(3), rtol=1e-5)
    np.testing.assert_allclose(agreement(SURE, SURE, weight, 0.0), 0, atol=1e-6)
    np.testing.assert_allclose(agreement(one, one, weight, 1.0), 0, atol=1e-6)  # all rows in one component
    assert agreement(SURE, jnp.roll(SURE, 1, axis=0), weight, 0.5) < -0.1  # sure of what is not so


def test_rows_of_no_weight_do_not_count() -> None:
    weight = jnp.array([1.0, 1.0, 0.0])
    np.testing.assert_allclose(
        agreement(SURE, SURE[jnp.array([0, 1, 0])], weight), agreement(SURE[:2], SURE[:2], weight[:2]), rtol=1e-5
    )


def batch(x: Any, partner: Any, weight: Any) -> Batch:
    arrays = [jnp.asarray(a, jnp.float32) for a in (x, weight)]
    near = None if partner is None else jnp.asarray(partner, jnp.float32)
    return Batch(Rows(arrays[0], partner=near), arrays[1], jnp.asarray(0.0))


def test_contrast_by_hand() -> None:
    x, partner = RNG.normal(size=(2, 4, 3))
    model = Embedding(lambda v: 2 * v)
    found = Contrast(temperature=0.5)(model, batch(x, partner, np.ones(4)), jax.random.key(0))
    rows = np.concatenate([x, partner])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    alike = rows @ rows.T / 0.5
    np.fill_diagonal(alike, -np.inf)
    expected = np.mean([logsumexp(alike[i]) - alike[i, (i + 4) % 8] for i in range(8)])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.long
def test_contrast_leaves_padding_out() -> None:
    x, partner = RNG.normal(size=(2, 4, 3))
    model, weight = Embedding(lambda v: v), np.array([1.0, 1.0, 1.0, 0.0])

    def loss(x: Any, partner: Any, weight: Any) -> Any:
        return Contrast()(model, batch(x, partner, weight), jax.random.key(0))

    np.testing.assert_allclose(loss(x, partner, weight), loss(x[:3], partner[:3], weight[:3]), rtol=1e-5)
    slope = jax.grad(
        lambda scale: Contrast()(Embedding(lambda v: v * scale + 1), batch(x, partner, weight), jax.random.key(0))
    )(1.0)
    assert np.isfinite(slope)


def test_contrast_needs_partners() -> None:
    with pytest.raises(ValueError, match="needs rows with a partner each"):
        Contrast()(Embedding(lambda v: v), batch(np.ones((2, 3)), None, np.ones(2)), jax.random.key(0))
