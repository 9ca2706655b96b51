"""What a training step costs as components grow in number: only those likely at a row are evaluated there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.data import normals
from benchmarks.task import Side, Task, Work

DIM, WIDTH, LAYERS, BATCH, LEARNING_RATE, LIKELY = 16, 64, 6, 1024, 1e-3, 8
STEPS = 10


def _side(n_components: int, n_likely: int | None) -> Callable[[bool], Work]:
    def side(quick: bool) -> Work:
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
            keys = jax.random.split(key, n_components)
            recipe = lambda key: flows.real_nvp(key, DIM, n_layers=LAYERS, hidden_sizes=(WIDTH,))  # noqa: E731
            # a posterior that tells rows apart from the start, as a trained one does
            network = MLP.init(key, DIM, n_components, (WIDTH, WIDTH), output_scale=1.0)
            return MixtureOfFlows(eqx.filter_vmap(recipe)(keys), network)

        steps = 2 if quick else STEPS
        mixture, rows = draw(jax.random.key(0)), Resident.of(Rows(normals(steps * BATCH, DIM)))
        zero = jnp.asarray(0)
        loss = MixtureBound(jnp.asarray(1.0), anneal_epochs=zero, start_epochs=zero, n_likely=n_likely)
        settings = Settings(max_epochs=1, batch_size=BATCH, learning_rate=LEARNING_RATE)

        def block(i: int) -> dict[str, float]:
            fit = train(mixture, loss, rows, key=jax.random.key(i), settings=settings)
            return {"loss": fit.history[-1]["train_loss"]}

        return Work(block, steps)

    return side


TASKS = (
    Task(
        name="large_k",
        title="A training step of K = 256 components, against one of 16",
        about=(
            f"Mixtures of RealNVPs, D = {DIM}, {LAYERS} layers of width {WIDTH}, batch {BATCH}, Adam. With K = 256 the "
            f"{LIKELY} components that the posterior network ranks first are evaluated at each row (the bound with q "
            "kept to them); with K = 16 all are. The step of K = 256 may cost six times that of 16: 0.167 here."
        ),
        unit="step",
        sides=(
            Side(f"K = 256, {LIKELY} likely", _side(256, LIKELY), peer=False),
            Side("K = 16, all", _side(16, None), peer=False, target=1 / 6),
            Side("K = 256, all", _side(256, None), peer=False, rounds=3),
        ),
        rounds=5,
    ),
)
