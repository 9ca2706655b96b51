"""Tables on the device: sizes, padding, and that an epoch visits every row once."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward.training import make_rows, with_neighbours
from pushforward.training.rows import Rows, bucket, n_batches, shuffled, take_batch


def test_padded_sizes_are_few_and_never_half_again_too_large() -> None:
    assert [bucket(n) for n in (1, 64, 65, 96, 97, 128, 129, 200, 1000)] == [64, 64, 96, 96, 128, 128, 192, 256, 1024]
    sizes = [bucket(n) for n in range(1, 5000)]
    assert all(n <= size for n, size in enumerate(sizes, 1))
    assert all(size <= 1.5 * n for n, size in enumerate(sizes, 1) if n > 64)
    assert len(set(sizes)) <= 14


def test_padding_repeats_a_real_row_at_weight_zero() -> None:
    x = np.arange(10.0).reshape(5, 2)
    rows = make_rows(x, condition=x[:, :1], label=[0, 1, -1, 0, 1], weight=[1, 2, 3, 4, 0])
    assert rows.x.shape == (64, 2) and rows.condition.shape == (64, 1) and rows.label.shape == (64,)
    assert (np.asarray(rows.x)[5:] == x[0]).all() and (np.asarray(rows.condition)[5:] == 0).all()
    np.testing.assert_allclose(rows.weight[:5], [0.5, 1, 1.5, 2, 0])  # mean 1
    assert not rows.weight[5:].any()
    assert int(rows.n) == 5 and rows.label.dtype == jnp.int32


def test_dtypes_follow_jax(float64: None) -> None:
    assert make_rows(np.ones((3, 1))).x.dtype == np.float64
    assert make_rows(np.ones((3, 1)), dtype=np.float32).x.dtype == np.float32


@jax.jit
def epoch(rows: Rows, key: Any) -> Any:
    """The batches of one epoch, room for the most there could be; x holds the numbers of rows."""
    order = shuffled(rows, key, BATCH)

    def one(i: Any) -> Any:
        batch = take_batch(rows, None, order, i, BATCH, jnp.array(0.0))
        return batch.x[:, 0], batch.weight, batch.label

    first, second = n_batches(rows, BATCH)
    return jax.lax.map(one, jnp.arange(rows.x.shape[0] // BATCH + 2)), first, second


BATCH = 16


@pytest.mark.parametrize(("n", "n_leading"), [(64, 0), (70, 0), (70, 5), (70, 32), (96, 33), (80, 80), (65, 64)])
def test_an_epoch_visits_every_row_once_leading_ones_first_and_keeps_the_last_short_batch(
    n: int, n_leading: int
) -> None:
    numbers = np.arange(n)
    rows = make_rows(numbers[:, None], label=np.where(numbers < n_leading, 1, -1), n_leading=n_leading)
    (x, weight, label), first, second = epoch(rows, jax.random.key(n))
    first, second = int(first), int(second)
    assert first == -(-n_leading // BATCH) and second == -(-(n - n_leading) // BATCH)
    visited = [np.asarray(x[i])[np.asarray(weight[i]) > 0] for i in range(first + second)]
    assert all(len(v) > 0 for v in visited)
    np.testing.assert_array_equal(np.sort(np.concatenate(visited)), numbers)
    leading = np.concatenate([*visited[:first], []])
    np.testing.assert_array_equal(np.sort(leading), np.arange(n_leading))
    labels = np.asarray(label[: first + second])[np.asarray(weight[: first + second]) > 0]
    assert (labels[: len(leading)] == 1).all() and (labels[len(leading) :] == -1).all()


def test_every_epoch_has_an_order_of_its_own() -> None:
    rows = make_rows(np.arange(80)[:, None])
    orders = [np.asarray(epoch(rows, jax.random.key(seed))[0][0])[:5] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])
    assert not np.array_equal(np.sort(orders[0].ravel()), orders[0].ravel())


def test_partners_are_neighbours_and_take_turns() -> None:
    x = np.arange(10.0)[:, None]
    neighbours = np.stack([(np.arange(10) + 1) % 10, (np.arange(10) + 2) % 10], axis=1)
    rows = with_neighbours(make_rows(x), neighbours)
    order = jnp.arange(20)
    steps = []
    for epoch in (0.0, 1.0, np.inf):
        batch = take_batch(rows, None, order, jnp.asarray(0), 10, jnp.asarray(epoch))
        assert batch.partner is not None
        steps.append(((batch.partner - batch.x)[:, 0] % 10).tolist())
    assert steps == [[1.0] * 10, [2.0] * 10, [1.0] * 10]
