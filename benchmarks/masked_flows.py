"""The same masked autoregressive flow in this package and in its peers.

Everywhere: affine transformers, ReLU, a standard normal base, the widths given, float32, the library's own defaults
for everything else. All peers mask dense weights, so the arithmetic is the same up to how each one does it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any


def torch_threads() -> Any:
    """PyTorch on all cores."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(0)
    return torch


def pushforward_maf(dim: int, n_layers: int, hidden_sizes: Sequence[int], seed: int = 0) -> Any:
    import jax

    import pushforward as pf

    return pf.flows.maf(jax.random.key(seed), dim, n_layers=n_layers, hidden_sizes=tuple(hidden_sizes))


def flowjax_maf(dim: int, n_layers: int, hidden_sizes: Sequence[int], seed: int = 0) -> Any:
    """Hidden sizes must be equal, as flowjax has one width."""
    import jax
    import jax.numpy as jnp
    from flowjax.bijections import Affine
    from flowjax.distributions import Normal
    from flowjax.flows import masked_autoregressive_flow

    (width,) = set(hidden_sizes)
    return masked_autoregressive_flow(
        jax.random.key(seed),
        base_dist=Normal(jnp.zeros(dim)),
        transformer=Affine(),
        flow_layers=n_layers,
        nn_width=width,
        nn_depth=len(hidden_sizes),
    )


def zuko_maf(dim: int, n_layers: int, hidden_sizes: Sequence[int]) -> Any:
    import zuko

    return zuko.flows.MAF(features=dim, transforms=n_layers, hidden_features=tuple(hidden_sizes))


def nflows_maf(dim: int, n_layers: int, hidden_sizes: Sequence[int]) -> Any:
    """Feed-forward MADEs: nflows counts the first hidden layer apart from its blocks, and has one width."""
    from nflows.distributions.normal import StandardNormal
    from nflows.flows.base import Flow
    from nflows.transforms import CompositeTransform, MaskedAffineAutoregressiveTransform, ReversePermutation

    (width,) = set(hidden_sizes)
    layers = []
    for _ in range(n_layers):
        made = MaskedAffineAutoregressiveTransform(
            dim, width, num_blocks=len(hidden_sizes) - 1, use_residual_blocks=False
        )
        layers += [ReversePermutation(dim), made]
    return Flow(CompositeTransform(layers), StandardNormal([dim]))
