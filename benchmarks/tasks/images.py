"""Glow on images of MNIST's size: a training step, densities and samples, one architecture on all sides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import glow_peers
from benchmarks.data import normals
from benchmarks.task import Side, Task, Work

SIDE, LEVELS, STEPS, WIDTH, BATCH, LEARNING_RATE = 28, 2, 8, 64, 64, 1e-3
UNITS = 20  # steps or batches of a block


def _glow() -> Any:
    import equinox as eqx
    import jax

    from pushforward import flows

    @eqx.filter_jit
    def draw(key: Any) -> Any:
        return flows.glow(
            key, SIDE**2, image_shape=(SIDE, SIDE), n_levels=LEVELS, n_layers=STEPS, hidden_sizes=(WIDTH, WIDTH)
        )

    return draw(jax.random.key(0))


def _pushforward_step(quick: bool) -> Work:
    """Epochs of the training engine."""
    import jax

    from pushforward.objectives import NegativeLogLikelihood, Rows
    from pushforward.training import Resident, Settings, train

    units = 2 if quick else UNITS
    flow, rows = _glow(), Resident.of(Rows(normals(units * BATCH, SIDE**2)))
    settings = Settings(max_epochs=1, batch_size=BATCH, learning_rate=LEARNING_RATE)

    def block(i: int) -> dict[str, float]:
        fit = train(flow, NegativeLogLikelihood(), rows, key=jax.random.key(i), settings=settings)
        return {"last loss": fit.history[-1]["train_loss"]}

    return Work(block, units)


def _pushforward_calls(work: str) -> Callable[[bool], Work]:
    def make(quick: bool) -> Work:
        import equinox as eqx
        import jax

        flow, x = _glow(), jax.numpy.asarray(normals(BATCH, SIDE**2))

        @eqx.filter_jit
        def call(flow: Any, key: Any) -> Any:
            return flow.log_prob(x) if work == "density" else flow.sample(key, (BATCH,))

        units = 1 if quick else UNITS

        def block(i: int) -> None:
            for j in range(units):
                jax.block_until_ready(call(flow, jax.random.key(1000 * i + j)))

        return Work(block, units)

    return make


def _torch(make_flow: Callable[..., Any], work: str) -> Callable[[bool], Work]:
    def make(quick: bool) -> Work:
        flow = make_flow(SIDE, LEVELS, STEPS, WIDTH)
        import torch

        x = torch.from_numpy(normals(UNITS * BATCH, SIDE**2)).reshape(-1, 1, SIDE, SIDE)
        normflows = make_flow is glow_peers.of_normflows
        log_prob = (lambda x: flow.log_prob(x, None)) if normflows else flow.log_prob
        log_prob(x[:BATCH])  # what reads its start off data
        optimizer = torch.optim.Adam(flow.parameters(), lr=LEARNING_RATE)
        units = 2 if quick else UNITS

        def steps() -> None:
            for rows in torch.randperm(units * BATCH).split(BATCH):
                loss = -log_prob(x[rows]).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

        def block(i: int) -> None:
            if work == "step":
                return steps()
            with torch.no_grad():
                for _ in range(units):
                    log_prob(x[:BATCH]) if work == "density" else flow.sample(BATCH)
            return None

        return Work(block, units)

    return make


ABOUT = (
    f"Glow of {LEVELS} levels of {STEPS} steps on {SIDE} x {SIDE} pixels of one channel, networks of 3 x 3, 1 x 1 and "
    f"3 x 3 convolutions of width {WIDTH}, batch {BATCH}, float32; synthetic images, as the arithmetic does not depend "
    "on them. By hand is eager PyTorch with channels last; normflows is its own GlowBlock, whose noise that leaves "
    "early has no moments."
)
TARGETS = {"by hand": 0.8, "normflows": 1.3}
WHAT = {
    "step": ("A training step of Glow", "One step of Adam on the mean of −log p, in whole epochs of the engine. "),
    "density": ("Log-densities of Glow", f"{BATCH} log-densities. "),
    "sample": ("Samples of Glow", f"{BATCH} samples. "),
}

TASKS = tuple(
    Task(
        name=f"glow_{work}",
        title=title,
        about=about + ABOUT,
        unit="step" if work == "step" else "batch",
        sides=(
            Side("pushforward", _pushforward_step if work == "step" else _pushforward_calls(work), peer=False),
            *(
                Side(name, _torch(make, work), target=TARGETS[name] if work == "step" else None)
                for name, make in (("by hand", glow_peers.by_hand), ("normflows", glow_peers.of_normflows))
            ),
        ),
    )
    for work, (title, about) in WHAT.items()
)
