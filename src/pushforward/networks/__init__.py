"""What parameterises maps: plain, masked and convolutional networks."""

from pushforward.networks.block_triangular import BlockLinear, BlockTriangular
from pushforward.networks.convolutional import Convolution, Convolutional, image_sides
from pushforward.networks.gaussian import Gaussian
from pushforward.networks.grouped import GroupedMADE
from pushforward.networks.images import Convolve, PlainConvolutions, ResidualConvolutions, SpreadNetwork, convolve
from pushforward.networks.linear_chain import LinearChain
from pushforward.networks.lipschitz import Lipschitz, norm_bound
from pushforward.networks.made import MADE
from pushforward.networks.mlp import ACTIVATIONS, MLP, Linear, Trunk
from pushforward.networks.rows import row_network

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
    "SpreadNetwork",
    "Trunk",
    "convolve",
    "image_sides",
    "norm_bound",
    "row_network",
]
