"""A training step of the thesis's MNIST mixture: five MAFs on 784 pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import masked_flows
from benchmarks.data import normals
from benchmarks.limits import products_and_adam
from benchmarks.task import Side, Task, Work

DIM, COMPONENTS, LAYERS, HIDDEN, POSTERIOR, BATCH = 784, 5, 5, (200,), 512, 100
LEARNING_RATE, WEIGHT_DECAY = 1e-4, 1e-6
STEPS, ROWS = 100, 10_000


def _torch(make: Callable[..., Any], log_prob: Callable[[Any, Any], Any]) -> Callable[[bool], Work]:
    """The mixture as PyTorch users write it: a list of flows, looped over."""

    def side(quick: bool) -> Work:
        torch = masked_flows.torch_threads()
        nn, functional = torch.nn, torch.nn.functional
        flows = nn.ModuleList(make(DIM, LAYERS, HIDDEN) for _ in range(COMPONENTS))
        posterior = nn.Sequential(nn.Linear(DIM, POSTERIOR), nn.ReLU(), nn.Linear(POSTERIOR, COMPONENTS))
        log_weights = nn.Parameter(torch.zeros(COMPONENTS))
        parameters = [*flows.parameters(), *posterior.parameters(), log_weights]
        optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        data = torch.from_numpy(normals(ROWS, DIM))
        steps = 4 if quick else STEPS

        def block(i: int) -> dict[str, float]:
            order = torch.randperm(ROWS)[: steps * BATCH]
            for rows in order.split(BATCH):
                x = data[rows]
                log_q = functional.log_softmax(posterior(x), dim=1)
                log_p = torch.stack([log_prob(flow, x) for flow in flows], dim=1)
                joint = log_p + functional.log_softmax(log_weights, dim=0)
                loss = -(log_q.exp() * (joint - log_q)).sum(1).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            return {"last loss": loss.item()}

        return Work(block, steps)

    return side


def _pushforward(quick: bool) -> Work:
    """Epochs of the training engine, components under one vmap."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from pushforward import flows
    from pushforward.distributions import MixtureOfFlows
    from pushforward.networks import MLP
    from pushforward.objectives import MixtureBound, Rows
    from pushforward.training import Resident, Settings, train

    @eqx.filter_jit
    def draw(key: Any) -> Any:
        keys = jax.random.split(key, COMPONENTS)
        recipe = lambda key: flows.maf(key, DIM, n_layers=LAYERS, hidden_sizes=HIDDEN)  # noqa: E731
        return MixtureOfFlows(eqx.filter_vmap(recipe)(keys), MLP.init(key, DIM, COMPONENTS, (POSTERIOR,)))

    key = jax.random.key(0)
    steps = 4 if quick else STEPS
    mixture, rows = draw(key), Resident.of(Rows(normals(ROWS, DIM)[: steps * BATCH]))
    loss = MixtureBound(temperature=jnp.asarray(1.0), anneal_epochs=jnp.asarray(0), start_epochs=jnp.asarray(0))
    settings = Settings(max_epochs=1, batch_size=BATCH, learning_rate=LEARNING_RATE, weight_decay=WEIGHT_DECAY)

    def block(i: int) -> dict[str, float]:
        fit = train(mixture, loss, rows, key=jax.random.key(i), settings=settings)
        return {"last loss": fit.history[-1]["train_loss"]}

    return Work(block, steps)


def _limit(quick: bool) -> Work:
    steps = 4 if quick else STEPS
    return products_and_adam(DIM, LAYERS, HIDDEN, BATCH, steps, steps, n_flows=COMPONENTS)


TASKS = (
    Task(
        name="mnist_step",
        title="A training step of the mixture of MAFs on 784 pixels",
        about=(
            f"One step of Adam ({LEARNING_RATE:g}, weight decay {WEIGHT_DECAY:g}) on the bound of the thesis's MNIST "
            f"mixture: K = {COMPONENTS} MAFs of {LAYERS} blocks with one hidden layer of {HIDDEN[0]}, posterior "
            f"network ({POSTERIOR}), batch {BATCH}; synthetic rows, as the arithmetic does not depend on them. Every "
            "side runs whole epochs of its training loop, shuffling included; the PyTorch sides loop over the "
            "components. *Products and Adam alone* is what the machine allows: the same dense products and updates, "
            "and nothing else."
        ),
        unit="step",
        sides=(
            Side("pushforward", _pushforward, peer=False),
            Side("products and Adam alone", _limit, peer=False),
            Side("zuko", _torch(masked_flows.zuko_maf, lambda flow, x: flow().log_prob(x)), target=1.7),
            Side("nflows", _torch(masked_flows.nflows_maf, lambda flow, x: flow.log_prob(x)), target=1.7),
        ),
    ),
)
