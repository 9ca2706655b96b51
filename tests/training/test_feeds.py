"""Data on the device: sizes, padding, and that an epoch visits every row once."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward.objectives import Rows
from pushforward.training import Resident, Steps
from pushforward.training.feeds import bucket


def test_padded_sizes_are_few_and_never_half_again_too_large() -> None:
    assert [bucket(n) for n in (1, 64, 65, 96, 97, 128, 129, 200, 1000)] == [64, 64, 96, 96, 128, 128, 192, 256, 1024]
    sizes = [bucket(n) for n in range(1, 5000)]
    assert all(n <= size for n, size in enumerate(sizes, 1))
    assert all(size <= 1.5 * n for n, size in enumerate(sizes, 1) if n > 64)
    assert len(set(sizes)) <= 14


def test_padding_repeats_a_real_row_at_weight_zero() -> None:
    x = np.arange(10.0).reshape(5, 2)
    data = Rows(x, condition=x[:, :1], label=np.array([0, 1, -1, 0, 1]))
    feed = Resident.of(data, [1, 2, 3, 4, 0])
    rows = feed.data
    assert rows.x.shape == (64, 2) and rows.condition.shape == (64, 1) and rows.label.shape == (64,)
    assert (np.asarray(rows.x)[5:] == x[0]).all() and (np.asarray(rows.condition)[5:] == 0).all()
    np.testing.assert_allclose(feed.weight[:5], [0.5, 1, 1.5, 2, 0])  # mean 1
    assert not feed.weight[5:].any()
    assert int(feed.n_rows) == 5 and rows.label.dtype == jnp.int32 and rows.partner is None


def test_floating_data_take_the_dtype_of_jax_and_others_keep_theirs(float64: None) -> None:
    feed = Resident.of({"pixels": np.ones((3, 2), np.uint8), "x": np.ones((3, 1), np.float32)})
    assert feed.data["x"].dtype == np.float64 and feed.data["pixels"].dtype == np.uint8


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ({"x": np.ones((3, 1)), "y": np.ones(4)}, {}, r"as many rows each; got \['x'\]: 3, \['y'\]: 4"),
        ({}, {}, "no arrays"),
        ({"x": np.ones(())}, {}, "first axis of rows"),
        (np.ones((0, 2)), {}, "no rows"),
        (np.ones((3, 2)), {"weight": np.ones(2)}, r"weight must have shape \(3,\), one for each row; got shape \(2,\)"),
    ],
)
def test_data_without_common_rows_are_refused(data: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Resident.of(data, **options)


def test_each_restart_has_its_own_arrays() -> None:
    starts = np.stack([np.zeros(5, int), np.ones(5, int)])
    feed = Resident.of(Rows(np.zeros((5, 1))), own=Rows(None, start=starts))
    own = feed.restart_data()
    first, second = own._replace(start=own.start[0]), own._replace(start=own.start[1])
    assert feed.data.start is None and feed.of_restart(first).data.start.shape == (64,)
    assert not feed.of_restart(first).data.start.any() and feed.of_restart(second).data.start.all()


def test_steps_hold_nothing() -> None:
    feed = Steps(3)
    assert feed.batch(None, jnp.asarray(0), 1, jnp.asarray(0.0))[0] is None
    assert [int(n) for n in feed.n_batches(1)] == [0, 3]


@jax.jit
def epoch(feed: Resident, key: Any) -> Any:
    """The batches of one epoch, room for the most there could be; x holds the numbers of rows."""
    order = feed.start_epoch(key, BATCH)

    def one(i: Any) -> Any:
        rows, weight = feed.batch(order, i, BATCH, jnp.array(0.0))
        return rows.x[:, 0], weight, rows.label

    first, second = feed.n_batches(BATCH)
    return jax.lax.map(one, jnp.arange(feed.capacity // BATCH + 2)), first, second


BATCH = 16


@pytest.mark.parametrize(("n", "n_leading"), [(64, 0), (70, 0), (70, 5), (70, 32), (96, 33), (80, 80), (65, 64)])
def test_an_epoch_visits_every_row_once_leading_ones_first_and_keeps_the_last_short_batch(
    n: int, n_leading: int
) -> None:
    numbers = np.arange(n)
    labels = np.where(numbers < n_leading, 1, -1)
    rows = Resident.of(Rows(numbers[:, None], label=labels), n_leading=n_leading)
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
    rows = Resident.of(Rows(np.arange(80)[:, None], label=np.zeros(80, int)))
    orders = [np.asarray(epoch(rows, jax.random.key(seed))[0][0])[:5] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])
    assert not np.array_equal(np.sort(orders[0].ravel()), orders[0].ravel())
