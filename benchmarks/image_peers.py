"""The same RealNVP of images in PyTorch, by hand with channels last and of normflows' parts; its residual flow too.

Each function gives the module and its log-density of images, shape (n, 1, side, side).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from benchmarks.masked_flows import torch_threads

Built = tuple[Any, Callable[[Any], Any]]


def real_nvp_by_hand(side: int, levels: int, layers: int, width: int, blocks: int) -> Built:
    """A multi-scale RealNVP as a good PyTorch user writes it, of as many numbers as this package's."""
    torch = torch_threads()
    nn, functional = torch.nn, torch.nn.functional

    def convolution(n_in: int, n_out: int) -> Any:
        return nn.utils.parametrizations.weight_norm(nn.Conv2d(n_in, n_out, 3, padding=1))

    class Network(nn.Module):
        def __init__(self, channels: int):
            super().__init__()
            self.first, self.last = convolution(channels, width), nn.Conv2d(width, 2 * channels, 1)
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.ReLU(), convolution(width, width), nn.ReLU(), convolution(width, width))
                for _ in range(blocks)
            )
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)

        def forward(self, x: Any) -> Any:
            x = self.first(x)
            for block in self.blocks:
                x = x + block(x)
            return self.last(functional.relu(x)).chunk(2, 1)

    class Coupling(nn.Module):
        def __init__(self, mask: Any, channels: int):
            super().__init__()
            self.network = Network(channels)
            self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))
            self.log_scale = nn.Parameter(torch.zeros(1, channels, 1, 1))
            self.register_buffer("mask", mask)

        def forward(self, x: Any) -> Any:
            log_det = -self.log_scale.sum() * x.shape[2] * x.shape[3]
            x = (x - self.bias) * torch.exp(-self.log_scale)
            log_scale, shift = self.network(x * self.mask)
            log_scale = log_scale * (1 - self.mask)
            moved = (x - shift) * torch.exp(-log_scale)
            return torch.where(self.mask.bool(), x, moved), log_det - log_scale.sum((1, 2, 3))

    def couplings(mask: Any, channels: int, n: int) -> Any:
        return nn.ModuleList(Coupling(1 - mask if i % 2 else mask, channels) for i in range(n))

    def board(side: int) -> Any:
        rows = torch.arange(side)
        return (1.0 - (rows[:, None] + rows) % 2)[None, None]

    def half(channels: int) -> Any:
        return (torch.arange(channels) < channels // 2).float()[None, :, None, None]

    class RealNVP(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.boards, self.channels = nn.ModuleList(), nn.ModuleList()
            for level in range(levels):
                channels = 2**level
                self.boards.append(couplings(board(side >> level), channels, layers))
                self.channels.append(couplings(half(4 * channels), 4 * channels, layers))
            self.boards.append(couplings(board(side >> levels), 2**levels, layers + 1))

        def log_prob(self, x: Any) -> Any:
            total = -0.5 * x[0].numel() * math.log(2 * math.pi)
            x = x.contiguous(memory_format=torch.channels_last)
            for level, boards in enumerate(self.boards):
                for layer in boards:
                    x, log_det = layer(x)
                    total = total + log_det
                if level < levels:
                    x = functional.pixel_unshuffle(x, 2).contiguous(memory_format=torch.channels_last)
                    for layer in self.channels[level]:
                        x, log_det = layer(x)
                        total = total + log_det
                    left, x = x.chunk(2, 1)
                    total = total - 0.5 * left.square().sum((1, 2, 3))
            return total - 0.5 * x.square().sum((1, 2, 3))

    flow = RealNVP().to(memory_format=torch.channels_last)
    return flow, flow.log_prob


def real_nvp_of_normflows(side: int, levels: int, layers: int, width: int, blocks: int) -> Built:
    """Its own couplings and residual networks, which part the pixels of a board and have plain weights."""
    torch = torch_threads()
    import normflows as nf

    def couplings(mode: str, channels: int, kept: int, n: int) -> list[Any]:
        """Noise first; its sum of log-determinants has to begin with one of a coupling, as those have a batch axis."""
        made: list[Any] = []
        for i in range(n):
            network = nf.nets.ConvResidualNet(kept, 2 * kept, width, num_blocks=blocks)
            torch.nn.init.zeros_(network.final_layer.weight)  # exponentials of random scales overflow
            torch.nn.init.zeros_(network.final_layer.bias)
            flipped = mode + "_inv" if i % 2 else mode
            made += [nf.flows.ActNorm((channels, 1, 1)), nf.flows.AffineCouplingBlock(network, split_mode=flipped)]
        return made

    bases, parts, merges = [], [], []
    for level in reversed(range(levels + 1)):  # noise first
        channels, size = 2**level, side >> level
        boards = couplings("checkerboard", channels, channels, layers + (level == levels))
        if level < levels:  # what left here joins, after it the channels' couplings
            within = couplings("channel", 4 * channels, 2 * channels, layers)
            parts.append([*within, nf.flows.Squeeze(), *boards])
            merges.append(nf.flows.Merge())
            bases.append(nf.distributions.DiagGaussian((2 * channels, size // 2, size // 2), trainable=False))
        else:
            parts.append(boards)
            bases.append(nf.distributions.DiagGaussian((channels, size, size), trainable=False))
    flow = nf.MultiscaleFlow(bases, parts, merges, class_cond=False)
    return flow, lambda x: flow.log_prob(x, None)


def residual_of_normflows(
    side: int, levels: int, layers: int, width: int, n_dense: int, dense: int, bound: float
) -> Built:
    """Its residual blocks of Lipschitz convolutions over scales, then of perceptrons, two hidden layers in each."""
    torch = torch_threads()
    import normflows as nf

    def block(network: Any, shape: tuple[int, ...]) -> list[Any]:
        return [nf.flows.Residual(network, n_exact_terms=2, geom_p=0.5), nf.flows.ActNorm((shape[0], 1, 1))]

    parts: list[Any] = []
    for level in reversed(range(levels + 1)):  # noise first
        shape = (4**level, side >> level, side >> level)
        dim = math.prod(shape)
        for _ in range(n_dense if level == levels else 0):
            network = nf.nets.LipschitzMLP([dim, dense, dense, dim], lipschitz_const=bound, init_zeros=False)
            parts += block(torch.nn.Sequential(torch.nn.Flatten(), network, torch.nn.Unflatten(1, shape)), shape)
        for _ in range(layers):
            sizes = [shape[0], width, width, shape[0]]
            parts += block(nf.nets.LipschitzCNN(sizes, [3, 3, 3], lipschitz_const=bound, init_zeros=False), shape)
        if level > 0:
            parts.append(nf.flows.Squeeze())
    base = nf.distributions.DiagGaussian((4**levels, side >> levels, side >> levels), trainable=False)
    flow = nf.NormalizingFlow(base, parts)
    return flow, flow.log_prob
