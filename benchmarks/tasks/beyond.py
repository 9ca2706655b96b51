"""Residual and continuous flows: a training step beside a RealNVP's and the peers', and what an inverse is worth."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from benchmarks.data import normals
from benchmarks.masked_flows import torch_threads
from benchmarks.task import Side, Task, Work

DIM, BATCH, LEARNING_RATE = 16, 512, 5e-4
LAYERS, HIDDEN = 8, (64, 64)  # of residual flows
COUPLINGS = 9  # of a RealNVP with as many parameters
BOUND, TERMS = 0.97, 4
VELOCITY, TOLERANCE = (64, 64), 1e-5


def _real_nvp() -> Any:
    import jax

    from pushforward import flows

    return flows.real_nvp(jax.random.key(0), DIM, n_layers=COUPLINGS, hidden_sizes=HIDDEN)


def _residual() -> Any:
    import jax

    from pushforward import flows

    return flows.residual(jax.random.key(0), DIM, n_layers=LAYERS, hidden_sizes=HIDDEN, lipschitz=BOUND)


def _continuous() -> Any:
    import jax

    from pushforward import flows

    return flows.continuous(
        jax.random.key(0), DIM, hidden_sizes=VELOCITY, activation="elu", log_det="unbiased", tolerance=TOLERANCE
    )


def _steps(build: Callable[[], Any]) -> Callable[[bool], Work]:
    """Adam on the package's own loss, one compiled call a step."""

    def make(quick: bool) -> Work:
        import equinox as eqx
        import jax
        import optax

        from pushforward import trees

        x = jax.numpy.asarray(normals(BATCH, DIM))
        # what is read off data is read once: from then on it trains
        flow = eqx.filter_jit(build().calibrate)(x, key=jax.random.key(0))[0]
        params, rest = trees.partition(flow)
        optimizer = optax.adam(LEARNING_RATE)
        units = 2 if quick else 40

        def loss(params: Any, rest: Any, x: Any, key: Any) -> Any:
            return -trees.combine(params, rest).calibrate(x, key=key)[1].mean()

        @eqx.filter_jit(donate="all-except-first")
        def step(fixed: Any, params: Any, state: Any, key: Any) -> Any:
            gradient = eqx.filter_grad(loss)(params, *fixed, key)
            updates, state = optimizer.update(gradient, state)
            return eqx.apply_updates(params, updates), state

        carry = [params, optimizer.init(params)]

        def block(i: int) -> dict[str, float]:
            for j in range(units):
                carry[:] = step((rest, x), *carry, jax.random.key(1000 * i + j))
            jax.block_until_ready(jax.tree.leaves(carry[0]))
            return {"parameters": float(trees.n_parameters(trees.combine(carry[0], rest)))}

        return Work(block, units)

    return make


def _torch_steps(build: Callable[[Any], tuple[Any, Callable[[Any], Any]]]) -> Callable[[bool], Work]:
    """The loop of PyTorch users; `build` gives a module and its log-density."""

    def make(quick: bool) -> Work:
        torch = torch_threads()
        flow, log_prob = build(torch)
        optimizer = torch.optim.Adam(flow.parameters(), lr=LEARNING_RATE)
        x = torch.from_numpy(normals(BATCH, DIM))
        units = 1 if quick else 5

        def block(i: int) -> dict[str, float]:
            for _ in range(units):
                loss = -log_prob(x).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            return {"parameters": float(sum(p.numel() for p in flow.parameters() if p.requires_grad))}

        return Work(block, units)

    return make


def _normflows(torch: Any) -> tuple[Any, Callable[[Any], Any]]:
    import normflows as nf

    layers: list[Any] = []
    for _ in range(LAYERS):
        network = nf.nets.LipschitzMLP([DIM, *HIDDEN, DIM], lipschitz_const=BOUND, init_zeros=False)
        layers += [nf.flows.Residual(network, n_exact_terms=2, geom_p=0.5), nf.flows.ActNorm(DIM)]
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(DIM, trainable=False), layers)
    return flow, flow.log_prob


def _torchflows(torch: Any) -> tuple[Any, Callable[[Any], Any]]:
    from torchflows.bijections.base import BijectiveComposition
    from torchflows.bijections.finite.autoregressive.layers import ElementwiseAffine
    from torchflows.bijections.finite.residual.iterative import ResFlowBlock, SpectralLinear
    from torchflows.flows import Flow

    layers: list[Any] = [ElementwiseAffine((DIM,))]
    for _ in range(LAYERS):  # its own network has as many layers as units
        sizes = (DIM, *HIDDEN, DIM)
        parts = [part for a, b in pairwise(sizes) for part in (SpectralLinear(a, b, c=BOUND), torch.nn.Tanh())]
        layers += [ResFlowBlock((DIM,), g=torch.nn.Sequential(*parts[:-1]), p=1 / TERMS), ElementwiseAffine((DIM,))]
    flow = Flow(BijectiveComposition(layers=layers))
    return flow.train(), flow.log_prob


def _zuko(torch: Any) -> tuple[Any, Callable[[Any], Any]]:
    import zuko

    flow = zuko.flows.CNF(DIM, hidden_features=VELOCITY, atol=TOLERANCE, rtol=TOLERANCE, exact=False)
    return flow, lambda x: flow().log_prob(x)


SAME = f"D = {DIM}, batch {BATCH}, float32, Adam {LEARNING_RATE:g} on the mean of −log p or its estimate."
TASKS = (
    Task(
        name="residual_step",
        title="A training step: residual flow",
        about=(
            f"{SAME} {LAYERS} residual layers of {HIDDEN[0]}×{HIDDEN[1]} with a scale and shift after each, Lipschitz "
            f"bound {BOUND:g}, one probe, {TERMS} terms of the series on average, two of them always where the library "
            f"lets one choose; beside them a RealNVP of {COUPLINGS} couplings of {HIDDEN[0]}×{HIDDEN[1]}, which has as "
            "many parameters: the residual step may take four times as long. normflows and torchflows take five steps "
            "of power iteration for every matrix; torchflows' own network has as many layers as units, so it is given "
            "one of the same widths."
        ),
        unit="step",
        sides=(
            Side("pushforward, residual", _steps(_residual), peer=False),
            Side("pushforward, RealNVP", _steps(_real_nvp), peer=False, target=0.25),
            Side("normflows", _torch_steps(_normflows), target=3.0),
            Side("torchflows", _torch_steps(_torchflows), target=3.0),
        ),
    ),
    Task(
        name="continuous_step",
        title="A training step: continuous flow",
        about=(
            f"{SAME} One velocity of {VELOCITY[0]}×{VELOCITY[1]} with ELU, tolerance {TOLERANCE:g} relative and "
            "absolute, trace along one random probe. zuko's solver is Dormand and Prince's of order 5 with the adjoint "
            "equation; this package's is Tsitouras's of order 5 through the steps that were taken."
        ),
        unit="step",
        sides=(
            Side("pushforward", _steps(_continuous), peer=False),
            Side("zuko", _torch_steps(_zuko), target=1.0),
        ),
    ),
)
