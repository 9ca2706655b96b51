"""What parameterises maps: plain, masked, convolutional and causal networks."""

from pushforward.networks.block_triangular import BlockLinear, BlockTriangular
from pushforward.networks.causal import AbstractCausalNetwork, ChannelHead
from pushforward.networks.convolutional import Convolution, Convolutional, image_sides
from pushforward.networks.gaussian import Gaussian
from pushforward.networks.grouped import GroupedMADE
from pushforward.networks.images import Convolve, PlainConvolutions, ResidualConvolutions, SpreadNetwork, convolve
from pushforward.networks.linear_chain import LinearChain
from pushforward.networks.lipschitz import Lipschitz, norm_bound
from pushforward.networks.made import MADE
from pushforward.networks.masked import MaskedConvolution
from pushforward.networks.mlp import ACTIVATIONS, MLP, Linear, Trunk
from pushforward.networks.pixel_cnn import GatedLayer, GatedPixelCNN, VerticalConvolution
from pushforward.networks.rows import row_network
from pushforward.networks.wavenet import DilatedLayer, WaveNet

__all__ = [
    "ACTIVATIONS",
    "MADE",
    "MLP",
    "AbstractCausalNetwork",
    "BlockLinear",
    "BlockTriangular",
    "ChannelHead",
    "Convolution",
    "Convolutional",
    "Convolve",
    "DilatedLayer",
    "GatedLayer",
    "GatedPixelCNN",
    "Gaussian",
    "GroupedMADE",
    "Linear",
    "LinearChain",
    "Lipschitz",
    "MaskedConvolution",
    "PlainConvolutions",
    "ResidualConvolutions",
    "SpreadNetwork",
    "Trunk",
    "VerticalConvolution",
    "WaveNet",
    "convolve",
    "image_sides",
    "norm_bound",
    "row_network",
]
