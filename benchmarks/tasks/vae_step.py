"""A training step of a variational autoencoder: what a planar posterior adds to the plain one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.data import SEED
from benchmarks.masked_flows import torch_threads
from benchmarks.task import Side, Task, Work

DIM, LATENT, LAYERS, HIDDEN, BATCH, LEARNING_RATE = 784, 40, 10, (300, 300), 100, 1e-3
STEPS = 100


def _greys(n: int) -> np.ndarray:
    """Values in [0, 1], drawn to 0 or 1 anew in every batch."""
    return np.random.default_rng(SEED).random((n, DIM), dtype=np.float32)


def _pushforward(posterior: str) -> Callable[[bool], Work]:
    """Epochs of the training engine."""

    def side(quick: bool) -> Work:
        import jax

        import pushforward as pf
        from pushforward.training import Settings

        steps = 4 if quick else STEPS
        model = pf.vae(jax.random.key(0), DIM, latent_dim=LATENT, posterior=posterior, hidden_sizes=HIDDEN)
        settings = Settings(max_epochs=1, batch_size=BATCH, learning_rate=LEARNING_RATE)
        data = _greys(steps * BATCH)

        def block(i: int) -> dict[str, float]:
            fit = pf.fit_vae(model, data, key=jax.random.key(i), settings=settings)
            return {"last loss": fit.history[-1]["train_loss"]}

        return Work(block, steps)

    return side


def _torch(n_layers: int) -> Callable[[bool], Work]:
    """The same as PyTorch users write it: a loop over planar maps whose parameters the encoder gives."""

    def side(quick: bool) -> Work:
        torch = torch_threads()
        nn, functional = torch.nn, torch.nn.functional
        width, narrow = HIDDEN
        trunk = nn.Sequential(nn.Linear(DIM, width), nn.SiLU(), nn.Linear(width, narrow), nn.SiLU())
        heads = nn.Linear(narrow, 2 * LATENT + n_layers * (2 * LATENT + 1))
        decoder = nn.Sequential(
            nn.Linear(LATENT, narrow), nn.SiLU(), nn.Linear(narrow, width), nn.SiLU(), nn.Linear(width, DIM)
        )
        parameters = [*trunk.parameters(), *heads.parameters(), *decoder.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE)
        steps = 4 if quick else STEPS
        data = torch.from_numpy(_greys(steps * BATCH))

        def energy(x: Any) -> Any:
            mean, log_scale, rest = heads(trunk(x)).split([LATENT, LATENT, n_layers * (2 * LATENT + 1)], dim=1)
            noise = torch.randn_like(mean)
            z = mean + log_scale.exp() * noise
            log_q = -(noise**2 / 2 + math.log(2 * math.pi) / 2 + log_scale).sum(1)
            for layer in rest.reshape(len(x), n_layers, 2 * LATENT + 1).unbind(1):
                w, u, b = layer.split([LATENT, LATENT, 1], dim=1)
                along = (w * u).sum(1, keepdim=True)
                u = u + (functional.softplus(along) - 1 - along) * w / (w**2).sum(1, keepdim=True)
                height = torch.tanh((w * z).sum(1, keepdim=True) + b)
                z = z + u * height
                log_q = log_q - torch.log1p((1 - height**2) * (w * u).sum(1, keepdim=True)).squeeze(1)
            log_prior = -(z**2 / 2 + math.log(2 * math.pi) / 2).sum(1)
            error = functional.binary_cross_entropy_with_logits(decoder(z), x, reduction="none").sum(1)
            return (error + log_q - log_prior).mean()

        def block(i: int) -> dict[str, float]:
            for rows in torch.randperm(len(data)).split(BATCH):
                loss = energy(torch.bernoulli(data[rows]))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            return {"last loss": loss.item()}

        return Work(block, steps)

    return side


TASKS = (
    Task(
        name="vae_step",
        title=f"A training step of an autoencoder with a planar posterior of {LAYERS} maps",
        about=(
            f"One step of Adam ({LEARNING_RATE:g}) on the evidence lower bound, one draw for each row: {DIM} pixels "
            f"drawn to 0 or 1 anew in every batch of {BATCH}, encoder and decoder of {HIDDEN[0]} and {HIDDEN[1]} "
            f"units, {LATENT} latent numbers, linear heads for the moments and for {LAYERS} planar maps. The plain "
            "sides have the same networks and no flow; the planar one may cost 1.5 times the plain one, so that the "
            f"plain one takes at least {1 / 1.5:.2f} of its time."
        ),
        unit="step",
        sides=(
            Side(f"pushforward, planar {LAYERS}", _pushforward("planar"), peer=False),
            Side("pushforward, no flow", _pushforward("none"), peer=False, target=round(1 / 1.5, 2)),
            Side(f"PyTorch, planar {LAYERS}", _torch(LAYERS)),
            Side("PyTorch, no flow", _torch(0)),
        ),
    ),
)
