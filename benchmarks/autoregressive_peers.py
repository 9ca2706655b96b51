"""The same gated PixelCNN and WaveNet in PyTorch, written by hand with channels last."""

from __future__ import annotations

from typing import Any

from benchmarks.masked_flows import torch_threads


def gated_pixel_cnn(channels: int, n_layers: int, first_side: int, side: int) -> Any:
    """Logits of binary images (n, 1, H, W) as a good PyTorch user writes it, convolutions without what masks forbid."""
    torch = torch_threads()
    nn, functional = torch.nn, torch.nn.functional

    def gate(x: Any) -> Any:
        a, b = x.chunk(2, 1)
        return torch.tanh(a) * torch.sigmoid(b)

    class Layer(nn.Module):
        def __init__(self, n_in: int, side: int, first: bool):
            super().__init__()
            self.half, self.first = side // 2, first
            self.vertical = nn.Conv2d(n_in, 2 * channels, (self.half + 1, side))
            self.link = nn.Conv2d(2 * channels, 2 * channels, 1, bias=False)
            self.horizontal = nn.Conv2d(n_in, 2 * channels, (1, self.half + (not first)))
            self.out = nn.Conv2d(channels, 2 * channels, 1)

        def forward(self, above: Any, left: Any) -> tuple[Any, ...]:
            rows = self.vertical(functional.pad(above, (self.half, self.half, self.half, 0)))
            seen = functional.pad(left, (self.half, 0, 0, 0))
            pixels = self.horizontal(seen[..., :-1] if self.first else seen) + self.link(rows)
            added, skip = self.out(gate(pixels)).chunk(2, 1)
            return gate(rows), added, skip

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = Layer(2, first_side, True)
            self.layers = nn.ModuleList(Layer(channels, side, False) for _ in range(n_layers))
            self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(channels, channels, 1), nn.ReLU(), nn.Conv2d(channels, 1, 1))

        def forward(self, x: Any) -> Any:
            seen = torch.cat([2 * x - 1, torch.ones_like(x)], 1).contiguous(memory_format=torch.channels_last)
            above, left, skips = self.first(functional.pad(seen, (0, 0, 1, 0))[..., :-1, :], seen)
            for layer in self.layers:
                above, added, skip = layer(above, left)
                left, skips = left + added, skips + skip
            return self.head(skips)

        def loss(self, x: Any) -> Any:
            return functional.binary_cross_entropy_with_logits(self(x), x, reduction="sum") / len(x)

    return Network().to(memory_format=torch.channels_last)


def wavenet(channels: int, dilations: tuple[int, ...], n_levels: int) -> Any:
    """Logits of series (n, T) of so many levels; products of all steps at once, which are faster here than Conv1d."""
    torch = torch_threads()
    nn, functional = torch.nn, torch.nn.functional

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(2, channels)
            self.inside = nn.ModuleList(nn.Linear(2 * channels, 2 * channels) for _ in dilations)
            self.out = nn.ModuleList(nn.Linear(channels, 2 * channels) for _ in dilations)
            self.head = nn.Sequential(
                nn.ReLU(), nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, n_levels)
            )

        def forward(self, x: Any) -> Any:
            scaled = 2 * x / (n_levels - 1) - 1
            seen = functional.pad(torch.stack([scaled, torch.ones_like(scaled)], -1), (0, 0, 1, 0))[:, :-1]
            series, skips = self.first(seen), 0
            for dilation, inside, out in zip(dilations, self.inside, self.out, strict=True):
                earlier = functional.pad(series, (0, 0, dilation, 0))[:, :-dilation]
                a, b = inside(torch.cat([earlier, series], -1)).chunk(2, -1)
                added, skip = out(torch.tanh(a) * torch.sigmoid(b)).chunk(2, -1)
                series, skips = series + added, skips + skip
            return self.head(skips)

        def loss(self, x: Any) -> Any:
            return functional.cross_entropy(self(x).flatten(0, 1), x.long().flatten(), reduction="sum") / len(x)

    return Network()
