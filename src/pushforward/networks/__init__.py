"""What parameterises maps: plain, masked and convolutional networks."""

from pushforward.networks.block_triangular import BlockLinear, BlockTriangular
from pushforward.networks.convolutional import Convolution, Convolutional, image_sides
from pushforward.networks.gaussian import Gaussian
from pushforward.networks.grouped import GroupedMADE
from pushforward.networks.images import (
    Convolve,
    PlainConvolutions,
    ResidualConvolutions,
    RowConvolutions,
    SpreadNetwork,
    convolve,
)
from pushforward.networks.linear_chain import LinearChain
from pushforward.networks.lipschitz import Lipschitz, norm_bound
from pushforward.networks.made import MADE
from pushforward.networks.mlp import ACTIVATIONS, MLP, Linear, Trunk
from pushforward.networks.rows import moments_network, row_network

__all__ = [
    "ACTIVATIONS",
    "MADE",
    "MLP",
    "BlockLinear",
    "BlockTriangular",
    "Convolution",
    "Convolutional",
    "Convolve",
    "Gaussian",
    "GroupedMADE",
    "Linear",
    "LinearChain",
    "Lipschitz",
    "PlainConvolutions",
    "ResidualConvolutions",
    "RowConvolutions",
    "SpreadNetwork",
    "Trunk",
    "convolve",
    "image_sides",
    "moments_network",
    "norm_bound",
    "row_network",
]
