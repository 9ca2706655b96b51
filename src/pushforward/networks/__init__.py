"""What parameterises maps: plain, masked and convolutional networks."""

from pushforward.networks.block_triangular import BlockLinear, BlockTriangular
from pushforward.networks.convolutional import Convolutional, image_sides
from pushforward.networks.linear_chain import LinearChain
from pushforward.networks.made import MADE
from pushforward.networks.mlp import ACTIVATIONS, MLP, Linear, Trunk

__all__ = [
    "ACTIVATIONS",
    "MADE",
    "MLP",
    "BlockLinear",
    "BlockTriangular",
    "Convolutional",
    "Linear",
    "LinearChain",
    "Trunk",
    "image_sides",
]
