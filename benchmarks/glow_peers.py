"""The same Glow in PyTorch, written by hand with channels last, and of normflows' parts."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.masked_flows import torch_threads


def by_hand(side: int, levels: int, steps: int, width: int) -> Any:
    """A Glow as a good PyTorch user writes it: `log_prob` of images (n, 1, side, side), and `sample`."""
    torch = torch_threads()
    nn, functional = torch.nn, torch.nn.functional

    def moments(n_in: int, n_out: int) -> Any:
        layer = nn.Conv2d(n_in, 2 * n_out, 3, padding=1)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        return layer

    class Step(nn.Module):
        def __init__(self, channels: int):
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))
            self.log_scale = nn.Parameter(torch.zeros(1, channels, 1, 1))
            permutation, lower, upper = torch.linalg.lu(torch.linalg.qr(torch.randn(channels, channels))[0])
            self.lower, self.upper = nn.Parameter(lower.tril(-1)), nn.Parameter(upper.triu(1))
            self.log_diagonal = nn.Parameter(upper.diag().abs().log())
            for name, value in (("permutation", permutation), ("sign", upper.diag().sign())):
                self.register_buffer(name, value)
            self.register_buffer("eye", torch.eye(channels))
            half = channels // 2
            self.net = nn.Sequential(
                nn.Conv2d(half, width, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(width, width, 1),
                nn.ReLU(),
                moments(width, half),
            )

        def weight(self) -> Any:
            lower = self.lower.tril(-1) + self.eye
            upper = self.upper.triu(1) + torch.diag(self.sign * self.log_diagonal.exp())
            return self.permutation @ lower @ upper

        def inverse(self, x: Any) -> Any:
            pixels = x.shape[2] * x.shape[3]
            x = (x - self.bias) * torch.exp(-self.log_scale)
            x = functional.conv2d(x, self.weight()[:, :, None, None])
            log_det = (self.log_diagonal.sum() - self.log_scale.sum()) * pixels
            moved, kept = x.chunk(2, 1)
            log_scale, shift = self.net(kept).chunk(2, 1)
            return torch.cat([(moved - shift) * torch.exp(-log_scale), kept], 1), log_det - log_scale.sum((1, 2, 3))

        def forward(self, z: Any) -> Any:
            moved, kept = z.chunk(2, 1)
            log_scale, shift = self.net(kept).chunk(2, 1)
            x = torch.cat([moved * torch.exp(log_scale) + shift, kept], 1)
            x = functional.conv2d(x, torch.linalg.inv(self.weight())[:, :, None, None])
            return x * torch.exp(self.log_scale) + self.bias

    class Glow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.levels, self.splits, channels = nn.ModuleList(), nn.ModuleList(), 1
            for level in range(levels):
                self.levels.append(nn.ModuleList(Step(4 * channels) for _ in range(steps)))
                channels = 2 * channels
                if level < levels - 1:
                    self.splits.append(moments(channels, channels))

        def log_prob(self, x: Any) -> Any:
            total = -0.5 * x[0].numel() * math.log(2 * math.pi)
            for level, parts in enumerate(self.levels):
                x = functional.pixel_unshuffle(x, 2).contiguous(memory_format=torch.channels_last)
                for step in parts:
                    x, log_det = step.inverse(x)
                    total = total + log_det
                if level < levels - 1:
                    left, x = x.chunk(2, 1)
                    log_scale, shift = self.splits[level](x).chunk(2, 1)
                    noise = (left - shift) * torch.exp(-log_scale)
                    total = total - log_scale.sum((1, 2, 3)) - 0.5 * noise.square().sum((1, 2, 3))
            return total - 0.5 * x.square().sum((1, 2, 3))

        def sample(self, n: int) -> Any:
            size = side >> levels
            x = torch.randn(n, 2 ** (levels + 1), size, size).contiguous(memory_format=torch.channels_last)
            for level in reversed(range(levels)):
                if level < levels - 1:
                    log_scale, shift = self.splits[level](x).chunk(2, 1)
                    x = torch.cat([torch.randn_like(x) * torch.exp(log_scale) + shift, x], 1)
                for step in reversed(self.levels[level]):
                    x = step(x)
                x = functional.pixel_shuffle(x, 2)
            return x

    return Glow().to(memory_format=torch.channels_last)


def of_normflows(side: int, levels: int, steps: int, width: int) -> Any:
    """Its own blocks, whose first level leaves noise without moments read off what stays."""
    torch_threads()
    import normflows as nf

    bases, blocks, merges = [], [], []
    for level in range(levels):  # noise first
        depth = levels - level
        channels = 2 ** (depth + 1)
        blocks.append(
            [nf.flows.GlowBlock(channels, width, split_mode="channel", scale_map="exp") for _ in range(steps)]
            + [nf.flows.Squeeze()]
        )
        size = side >> depth
        shape = (channels if level == 0 else channels // 2, size, size)
        bases.append(nf.distributions.DiagGaussian(shape, trainable=False))
        if level > 0:
            merges.append(nf.flows.Merge())
    return nf.MultiscaleFlow(bases, blocks, merges, class_cond=False)
