"""Sampling from masked autoregressive flows, the direction that is sequential in the dimension."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import masked_flows
from benchmarks.task import Side, Task, Work

Shape = tuple[int, int, tuple[int, ...]]  # dimension, layers, hidden sizes
SMALL: Shape = (43, 5, (512, 512))
LARGE: Shape = (784, 5, (784,))


def _jax(make: Callable[..., Any], shape: Shape, n: int, blocks: int) -> Callable[[bool], Work]:
    def side(quick: bool) -> Work:
        import equinox as eqx
        import jax

        flow = make(*shape)
        sample = eqx.filter_jit(lambda flow, key: flow.sample(key, (n,)))
        units = 1 if quick else blocks

        def block(i: int) -> None:
            for j in range(units):
                jax.block_until_ready(sample(flow, jax.random.key(1000 * i + j)))

        return Work(block, units)

    return side


def _torch(make: Callable[..., Any], draw: Callable[[Any], Any], shape: Shape, blocks: int) -> Callable[[bool], Work]:
    def side(quick: bool) -> Work:
        torch = masked_flows.torch_threads()
        flow = make(*shape).eval()
        units = 1 if quick else blocks

        def block(i: int) -> None:
            with torch.no_grad():
                for _ in range(units):
                    draw(flow)

        return Work(block, units)

    return side


def _sides(
    shape: Shape, n: int, targets: dict[str, float | None], fast: int, slow_rounds: int | None
) -> tuple[Side, ...]:
    """`fast` draws in a block of ours; the PyTorch peers take one, and fewer rounds where one takes many seconds."""
    zuko = _torch(masked_flows.zuko_maf, lambda flow: flow().sample((n,)), shape, 1)
    nflows = _torch(masked_flows.nflows_maf, lambda flow: flow.sample(n), shape, 1)
    return (
        Side("pushforward", _jax(masked_flows.pushforward_maf, shape, n, fast), peer=False),
        Side("flowjax", _jax(masked_flows.flowjax_maf, shape, n, 1), target=targets.get("flowjax")),
        Side("zuko", zuko, target=targets.get("zuko"), rounds=slow_rounds),
        Side("nflows", nflows, target=targets.get("nflows"), rounds=slow_rounds),
    )


ABOUT = (
    "{} independent draws from a freshly drawn MAF with D = {}, {} layers and hidden widths {}; the JAX sides' whole "
    "call is jitted, the PyTorch sides run without gradients. zuko and nflows pass through each network D times, "
    "flowjax scans D passes, this package touches only the units of one degree at each of D steps."
)

TASKS = (
    Task(
        name="maf_sample",
        title="Sampling 1,000 points from a MAF, D = 43",
        about=ABOUT.format("1,000", *SMALL),
        unit="1,000 draws",
        sides=_sides(SMALL, 1000, {"flowjax": 10.0, "zuko": 25.0}, fast=10, slow_rounds=5),
    ),
    Task(
        name="maf_sample_784",
        title="Sampling 100 points from a MAF, D = 784",
        about=ABOUT.format("100", *LARGE),
        unit="100 draws",
        sides=_sides(LARGE, 100, {"flowjax": 40.0}, fast=3, slow_rounds=1),
        rounds=5,
    ),
)
