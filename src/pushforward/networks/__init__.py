"""What parameterises maps: plain, masked and convolutional networks."""

from pushforward.networks.block_triangular import BlockLinear, BlockTriangular
from pushforward.networks.convolutional import Convolution, Convolutional, image_sides
from pushforward.networks.gaussian import Gaussian
from pushforward.networks.linear_chain import LinearChain
from pushforward.networks.lipschitz import Lipschitz, norm_bound
from pushforward.networks.made import MADE
from pushforward.networks.mlp import ACTIVATIONS, MLP, Linear, Trunk

__all__ = [
    "ACTIVATIONS",
    "MADE",
    "MLP",
    "BlockLinear",
    "BlockTriangular",
    "Convolution",
    "Convolutional",
    "Gaussian",
    "Linear",
    "LinearChain",
    "Lipschitz",
    "Trunk",
    "image_sides",
    "norm_bound",
]
