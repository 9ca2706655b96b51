"""Gated PixelCNN and WaveNet: a training step beside PyTorch, and draws that keep what they computed beside others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import autoregressive_peers
from benchmarks.task import Side, Task, Work

SIDE, CHANNELS, LAYERS, FIRST, KERNEL = 28, 64, 7, 7, 3
STEPS, DILATIONS, LEVELS = 2048, tuple(2**i for i in range(10)), 256
BATCH = {"gated_pixel_cnn": 64, "wavenet": 16}
DRAWN, UNITS, LEARNING_RATE = 16, 4, 1e-3  # draws at once; steps of a block
SLOW = 12  # places that a block draws without what was computed before


def _rows(name: str, n: int) -> np.ndarray:
    """Binary images (n, 28, 28, 1), or series of 256 levels (n, 2048, 1)."""
    draws = np.random.default_rng(0)
    if name == "gated_pixel_cnn":
        return (draws.random((n, SIDE, SIDE, 1)) < 0.2).astype(np.float32)
    return draws.integers(0, LEVELS, (n, STEPS, 1)).astype(np.float32)


def _model(name: str) -> Any:
    import equinox as eqx
    import jax

    from pushforward.distributions import Autoregressive, Bernoulli, Categorical
    from pushforward.networks import GatedPixelCNN, WaveNet

    @eqx.filter_jit
    def draw(key: Any) -> Any:
        if name == "gated_pixel_cnn":
            sizes = {"channels": CHANNELS, "n_layers": LAYERS, "first_side": FIRST, "side": KERNEL}
            return Autoregressive.init(key, GatedPixelCNN, (SIDE, SIDE, 1), Bernoulli(), **sizes)
        sizes = {"channels": CHANNELS, "dilations": DILATIONS}
        return Autoregressive.init(key, WaveNet, (STEPS, 1), Categorical(LEVELS), **sizes)

    return draw(jax.random.key(0))


def _pushforward_step(name: str) -> Callable[[bool], Work]:
    def make(quick: bool) -> Work:
        import jax

        from pushforward.objectives import NegativeLogLikelihood, Rows
        from pushforward.training import Resident, Settings, train

        units = 1 if quick else UNITS
        model, rows = _model(name), Resident.of(Rows(_rows(name, units * BATCH[name])))
        settings = Settings(max_epochs=1, batch_size=BATCH[name], learning_rate=LEARNING_RATE)

        def block(i: int) -> dict[str, float]:
            fit = train(model, NegativeLogLikelihood(), rows, key=jax.random.key(i), settings=settings)
            return {"last loss": fit.history[-1]["train_loss"]}

        return Work(block, units)

    return make


def _torch_step(name: str) -> Callable[[bool], Work]:
    def make(quick: bool) -> Work:
        if name == "gated_pixel_cnn":
            network = autoregressive_peers.gated_pixel_cnn(CHANNELS, LAYERS, FIRST, KERNEL)
        else:
            network = autoregressive_peers.wavenet(CHANNELS, DILATIONS, LEVELS)
        import torch

        units = 1 if quick else UNITS
        x = torch.from_numpy(_rows(name, units * BATCH[name]))[..., 0]
        x = x[:, None] if name == "gated_pixel_cnn" else x
        optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)

        def block(i: int) -> dict[str, float]:
            for rows in torch.randperm(len(x)).split(BATCH[name]):
                loss = network.loss(x[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            return {"last loss": float(loss.detach())}

        return Work(block, units)

    return make


def _cached(name: str) -> Callable[[bool], Work]:
    def make(quick: bool) -> Work:
        import jax

        model = _model(name)

        def block(i: int) -> None:
            jax.block_until_ready(model.sample(jax.random.key(i), (DRAWN,)))

        return Work(block, SIDE**2 if name == "gated_pixel_cnn" else STEPS)

    return make


def _uncached(name: str) -> Callable[[bool], Work]:
    """A place after the other, each by a whole pass over what it sees and no more."""

    def make(quick: bool) -> Work:
        import equinox as eqx
        import jax
        import jax.numpy as jnp

        model = _model(name)
        if name == "gated_pixel_cnn":  # all columns, and the rows above that the vertical stack sees
            window = model.resized(FIRST // 2 + LAYERS * (KERNEL // 2) + 1, SIDE)
        else:
            window = model.resized(model.network.receptive_field + 1)
        units = 1 if quick else SLOW

        @eqx.filter_jit
        def draw(window: Any, keys: Any) -> Any:
            def place(seen: Any, keys: Any) -> Any:
                def one(seen: Any, key: Any) -> Any:
                    encode = window.value.encode
                    for _ in window.shape:
                        encode = jax.vmap(encode)
                    params = window.network(encode(seen))
                    value = window.value.sample(params.reshape(-1, params.shape[-1])[-1], key)
                    return jnp.roll(seen.reshape(-1), -1).at[-1].set(value).reshape(seen.shape)

                return jax.vmap(one)(seen, keys), None

            return jax.lax.scan(place, jnp.zeros((DRAWN, *window.shape)), keys)[0]

        def block(i: int) -> None:
            keys = jax.random.split(jax.random.key(i), (units, DRAWN))
            jax.block_until_ready(draw(window, keys))

        return Work(block, units)

    return make


SIZES = {
    "gated_pixel_cnn": (
        f"Gated PixelCNN of {LAYERS} layers of {CHANNELS} channels after a first one of {FIRST} x {FIRST}, on binary "
        f"images of {SIDE} x {SIDE}"
    ),
    "wavenet": (
        f"WaveNet of {len(DILATIONS)} layers of {CHANNELS} channels, dilations to {max(DILATIONS)}, on series of "
        f"{STEPS:,} steps of {LEVELS} levels"
    ),
}
FASTER = {"gated_pixel_cnn": 50.0, "wavenet": 100.0}

TASKS = tuple(
    task
    for name, title in (("gated_pixel_cnn", "gated PixelCNN"), ("wavenet", "WaveNet"))
    for task in (
        Task(
            name=f"{name}_step",
            title=f"A training step of {title}",
            about=f"One step of Adam on the mean of −log p, batch {BATCH[name]}, float32, in whole epochs of the "
            f"engine. {SIZES[name]}. By hand is eager PyTorch, channels last, no arithmetic on what masks forbid.",
            unit="step",
            sides=(
                Side("pushforward", _pushforward_step(name), peer=False),
                Side("by hand", _torch_step(name), target=1.0),
            ),
        ),
        Task(
            name=f"{name}_sample",
            title=f"Draws of {title}, a place of {DRAWN}",
            about=f"{SIZES[name]}; {DRAWN} draws at once, time for each place of all of them. Uncached is a compiled "
            "loop whose every step passes over the receptive field alone.",
            unit="place",
            sides=(
                Side("pushforward", _cached(name), peer=False),
                Side("uncached", _uncached(name), peer=False, target=FASTER[name]),
            ),
        ),
    )
)
