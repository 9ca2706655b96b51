"""The thesis's pinwheel mixture, fitted whole: this package against PyTorch, looped over components and stacked."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.data import pinwheel
from benchmarks.masked_flows import torch_threads
from benchmarks.task import Side, Task, Work

POINTS, COMPONENTS, LAYERS, HIDDEN, POSTERIOR = 2560, 5, 8, 16, 3
BATCH, EPOCHS, QUICK_EPOCHS, LEARNING_RATE = 512, 400, 20, 1e-3
SCALE_BOUND = 3.0  # log-scales are 3 tanh(s / 3), as in this package
LOG_2_PI = math.log(2 * math.pi)


def _torch_modules() -> tuple[Any, Any]:
    """The flow and the mixture as a PyTorch user writes them."""
    import torch
    from torch import nn

    class Coupling(nn.Module):
        """The kept coordinate gives shift and log-scale of the other; data to noise."""

        def __init__(self, kept: int):
            super().__init__()
            self.kept = kept
            self.net = nn.Sequential(nn.Linear(1, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2))

        def forward(self, x: Any) -> tuple[Any, Any]:
            halves = list(x.split(1, dim=1))
            shift, scale = self.net(halves[self.kept]).chunk(2, dim=1)
            log_scale = SCALE_BOUND * torch.tanh(scale / SCALE_BOUND)
            moved = 1 - self.kept
            halves[moved] = (halves[moved] - shift) * torch.exp(-log_scale)
            return torch.cat(halves, dim=1), -log_scale.squeeze(1)

    class RealNVP(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(Coupling(i % 2) for i in range(LAYERS))
            self.base = torch.distributions.Normal(torch.zeros(2), torch.ones(2), validate_args=False)

        def log_prob(self, x: Any) -> Any:
            log_det = torch.zeros(len(x))
            for layer in self.layers:
                x, new = layer(x)
                log_det = log_det + new
            return self.base.log_prob(x).sum(1) + log_det

    class Mixture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.components = nn.ModuleList(RealNVP() for _ in range(COMPONENTS))
            self.posterior = nn.Sequential(nn.Linear(2, POSTERIOR), nn.ReLU(), nn.Linear(POSTERIOR, COMPONENTS))
            self.logits = nn.Parameter(torch.zeros(COMPONENTS))

        def elbo(self, x: Any) -> Any:
            log_q = torch.log_softmax(self.posterior(x), dim=1)
            log_p = torch.stack([flow.log_prob(x) for flow in self.components], dim=1)
            return (log_q.exp() * (log_p + torch.log_softmax(self.logits, dim=0) - log_q)).sum(1)

    return torch, Mixture


def _stacked_modules() -> tuple[Any, Any]:
    """The same mixture with all components in batched products, to be compiled: what an expert would write."""
    import torch
    from torch import nn

    def uniform(*shape: int, fan_in: int) -> Any:
        return nn.Parameter(torch.empty(shape).uniform_(-(fan_in**-0.5), fan_in**-0.5))

    class Mixture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w1 = uniform(LAYERS, COMPONENTS, 1, HIDDEN, fan_in=1)
            self.b1 = uniform(LAYERS, COMPONENTS, 1, HIDDEN, fan_in=1)
            self.w2 = uniform(LAYERS, COMPONENTS, HIDDEN, 2, fan_in=HIDDEN)
            self.b2 = uniform(LAYERS, COMPONENTS, 1, 2, fan_in=HIDDEN)
            self.posterior = nn.Sequential(nn.Linear(2, POSTERIOR), nn.ReLU(), nn.Linear(POSTERIOR, COMPONENTS))
            self.logits = nn.Parameter(torch.zeros(COMPONENTS))

        def elbo(self, x: Any) -> Any:
            log_q = torch.log_softmax(self.posterior(x), dim=1)
            halves = [half.expand(COMPONENTS, -1, -1) for half in x.split(1, dim=1)]
            log_p = torch.zeros(COMPONENTS, len(x))
            for i in range(LAYERS):
                kept, moved = i % 2, 1 - i % 2
                hidden = torch.relu(torch.baddbmm(self.b1[i], halves[kept], self.w1[i]))
                shift, scale = torch.baddbmm(self.b2[i], hidden, self.w2[i]).chunk(2, dim=2)
                log_scale = SCALE_BOUND * torch.tanh(scale / SCALE_BOUND)
                halves[moved] = (halves[moved] - shift) * torch.exp(-log_scale)
                log_p = log_p - log_scale.squeeze(2)
            z = torch.cat(halves, dim=2)
            log_p = (log_p - 0.5 * (z * z + LOG_2_PI).sum(2)).T
            return (log_q.exp() * (log_p + torch.log_softmax(self.logits, dim=0) - log_q)).sum(1)

    return torch, Mixture


def _torch(modules: Any, compiled: bool) -> Any:
    """A fresh mixture each fit, Adam, batches of a shuffled tensor."""

    def side(quick: bool) -> Work:
        torch_threads()
        torch, mixture = modules()
        model, data = mixture(), torch.from_numpy(pinwheel(POINTS))

        def loss_of(x: Any) -> Any:
            return -model.elbo(x).mean()

        if compiled:
            loss_of = torch.compile(loss_of)

        def block(i: int) -> dict[str, float]:
            torch.manual_seed(i)
            model.load_state_dict(mixture().state_dict())  # the same object, so that nothing is compiled again
            optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
            for _ in range(QUICK_EPOCHS if quick else EPOCHS):
                for x in data[torch.randperm(POINTS)].split(BATCH):
                    loss = loss_of(x)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            with torch.no_grad():
                return {"final ELBO (nats)": model.elbo(data).mean().item()}

        return Work(block, 1)

    return side


def _pushforward(quick: bool) -> Work:
    """Components under one vmap, epochs compiled."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from pushforward import flows
    from pushforward.distributions import MixtureOfFlows
    from pushforward.networks import MLP
    from pushforward.objectives import MixtureBound, Rows
    from pushforward.training import Resident, Settings, train

    data = pinwheel(POINTS)
    loss = MixtureBound(temperature=jnp.asarray(1.0), anneal_epochs=jnp.asarray(0), start_epochs=jnp.asarray(0))
    settings = Settings(QUICK_EPOCHS if quick else EPOCHS, batch_size=BATCH, learning_rate=LEARNING_RATE)

    @eqx.filter_jit
    def draw(key: Any) -> Any:
        keys = jax.random.split(key, COMPONENTS)
        recipe = lambda key: flows.real_nvp(key, 2, n_layers=LAYERS, hidden_sizes=(HIDDEN,))  # noqa: E731
        return MixtureOfFlows(eqx.filter_vmap(recipe)(keys), MLP.init(key, 2, COMPONENTS, (POSTERIOR,)))

    def block(i: int) -> dict[str, float]:
        key = jax.random.key(i)
        fit = train(draw(key), loss, Resident.of(Rows(data)), key=key, settings=settings)
        return {"final ELBO (nats)": float(fit.model.elbo(data).mean())}

    return Work(block, 1)


TASKS = (
    Task(
        name="pinwheel_fit",
        title="Fitting the thesis's pinwheel mixture",
        about=(
            f"The whole fit, data to model: {POINTS} points, K = {COMPONENTS}, each component {LAYERS} affine coupling "
            f"layers with one hidden layer of {HIDDEN} (8 for scale, 8 for shift), posterior network ({POSTERIOR}), "
            f"Adam {LEARNING_RATE:g}, batch {BATCH}, {EPOCHS} epochs. *PyTorch* is the same model written as a loop "
            "over components and layers; *PyTorch stacked* has all components in batched products under "
            "`torch.compile`, as an expert would write it. The first block is the cold fit, compilation included. "
            "Starting weights are each library's own, so the bounds reached differ; no side is tuned."
        ),
        unit="fit",
        sides=(
            Side("pushforward", _pushforward, peer=False),
            Side("PyTorch", _torch(_torch_modules, compiled=False), target=8.0),
            Side("PyTorch stacked", _torch(_stacked_modules, compiled=True)),
        ),
        rounds=5,
    ),
)
