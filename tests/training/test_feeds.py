"""Data on the device: sizes, padding, and that an epoch visits every row once."""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward import flows
from pushforward.objectives import AbstractLoss, NegativeLogLikelihood, Rows, weighted_mean
from pushforward.training import AbstractFeed, Resident, Steps, train
from pushforward.training.feeds import bucket
from tests.compilations import compilations
from tests.training.toy import point, points, rows, run, table


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
        ({"a": np.ones(3), "b": (np.ones(4),)}, {}, r"same number of rows; got data\['a'\]: 3, data\['b'\]\[0\]: 4"),
        (np.ones((3, 2)), {"weight": np.ones(2)}, r"weight has shape \(2,\); expected \(3,\)"),
        (np.ones((3, 2)), {"weight": [1.0, -1.0, 1.0]}, "weight must be finite and not negative"),
        (np.ones((3, 2)), {"weight": np.zeros(3)}, "somewhere positive"),
        (np.ones((3, 2)), {"n_leading": 4}, "n_leading must be a whole number of at least 0 and at most 3; got 4"),
        (np.ones((0, 2)), {}, "data has no rows"),
        ([[1.0, 2.0]], {}, r"data\[0\]\[0\] has shape \(\); expected an array with rows"),
        (None, {}, r"holds no arrays; .* training.Steps\(n\)"),
        ({"name": np.array(["x"])}, {}, r"data\['name'\] must hold numbers; got dtype <U1"),
        (Rows(np.ones((3, 2))), {"own": Rows(None, start=np.ones((2, 4)))}, "own has 4 rows .* and data 3"),
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


class Towards(AbstractLoss):
    """Half the mean squared distance to each model's own goal, and to the rows' where there is none."""

    def __call__(self, model: Any, batch: Any, key: Any) -> Any:
        goal = batch.data["x"] if batch.data["goal"] is None else batch.data["goal"]
        return weighted_mean(((goal - model.at) ** 2).sum(axis=1) / 2, batch.weight)


def test_models_side_by_side_have_arrays_of_their_own() -> None:
    data, goals = {"x": np.zeros((70, 1)), "goal": None}, np.array([1.0, -2.0, 3.0])
    own = {"x": None, "goal": np.tile(goals[:, None, None], (1, 70, 1))}
    feed = Resident.of(data, own=own)
    options: Any = {"loss": Towards(), "max_epochs": 60}
    many = run(points((0.0,), (0.0,), (0.0,)), feed, more={"n_restarts": 3}, **options)
    np.testing.assert_allclose(many.restarts.at[:, 0], goals, atol=0.05)
    alone = Resident.of(data, own={"x": None, "goal": own["goal"][1:2]})
    assert float(run(point(0.0), alone, **options).model.at[0]) == pytest.approx(-2, abs=0.05)
    with pytest.raises(ValueError, match=r"own has arrays for \[3\] restarts; expected 2"):
        run(points((0.0,), (0.0,)), feed, more={"n_restarts": 2}, **options)


def test_restarts_of_one_model_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.at has shape \(2,\); stack that many models by trees.stack"):
        run(point(0.0, 0.0), rows(), more={"n_restarts": 3})


def test_a_loss_of_tables_says_that_it_wants_rows() -> None:
    feed = Resident.of(np.zeros((5, 2)))
    with pytest.raises(TypeError, match=r"the feed gives a \w+; make the feed of objectives.Rows"):
        train(flows.real_nvp(jax.random.key(0), 2, n_layers=1), NegativeLogLikelihood(), feed, key=jax.random.key(0))


class Generated(AbstractFeed):
    """Normal draws around a mean, made from the key of the epoch and the number of the step; they never run out."""

    mean: Any
    n_rows: int = 20 * 16
    capacity: int = 16

    def start_epoch(self, key: Any, batch_size: int) -> Any:
        return key

    def n_batches(self, batch_size: int) -> Any:
        return 0, self.n_rows // batch_size

    def batch(self, order: Any, i: Any, batch_size: int, epoch: Any) -> Any:
        draws = jax.random.normal(jax.random.fold_in(order, i), (batch_size, len(self.mean)))
        return self.mean + draws, jnp.ones(batch_size)

    def everything(self) -> Any:
        return self.batch(jax.random.key(0), 0, self.capacity, jnp.inf)


def test_a_feed_may_make_its_rows() -> None:
    feed = Generated(jnp.array([2.0, -1.0]))
    settings: Any = {"max_epochs": 30, "schedule": "cosine", "more": {"validation": feed}}
    fit = run(point(0.0, 0.0), feed, **settings)
    np.testing.assert_allclose(fit.model.at, [2.0, -1.0], atol=0.1)
    assert len(fit.history) == 30 and fit.best_loss == pytest.approx(1.0, abs=0.2)
    assert fit.history == run(point(0.0, 0.0), feed, **settings).history


class Streamed(Resident):
    """Rows of a file, a block of them on the device at a time."""

    file: str = eqx.field(static=True, kw_only=True)

    def chunk(self, epoch: int) -> Any:
        blocks = np.load(self.file, mmap_mode="r")
        return Streamed.of(blocks[epoch % len(blocks)], file=self.file), 1


def test_a_feed_may_stream_its_rows_and_like_blocks_share_one_program(tmp_path: Path) -> None:
    blocks = np.stack([table(m, n=64, seed=i) for i, m in enumerate((2.0, 4.0, 6.0))])
    np.save(tmp_path / "rows.npy", blocks)
    feed = Streamed.of(blocks[0], file=str(tmp_path / "rows.npy"))
    with compilations() as compiled:
        fit = run(point(0.0), feed, max_epochs=60, learning_rate=0.05)
    assert compiled.count("jit(run_epochs)") == 1
    assert float(fit.model.at[0]) == pytest.approx(4, abs=1.0)
    losses = [entry["train_loss"] for entry in fit.history]
    assert len(losses) == 60 and max(losses[-3:]) > 1.5  # blocks differ


def test_a_streamed_feed_to_judge_by_is_read_anew_too(tmp_path: Path) -> None:
    blocks = np.stack([table(m, n=64, seed=i) for i, m in enumerate((2.0, 4.0, 6.0))])
    np.save(tmp_path / "rows.npy", blocks)
    feed = Streamed.of(blocks[0], file=str(tmp_path / "rows.npy"))
    fit = run(point(4.0), rows(), max_epochs=6, learning_rate=1e-9, more={"validation": feed})
    losses = [entry["validation_loss"] for entry in fit.history]
    assert losses[:3] == pytest.approx(losses[3:]) and losses[1] < min(losses[0], losses[2]) - 1
