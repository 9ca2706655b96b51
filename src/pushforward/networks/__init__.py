"""What parameterises maps: plain, masked, convolutional and causal networks."""

from pushforward.networks.block_triangular import BlockLinear, BlockTriangular
from pushforward.networks.causal import AbstractCausalNetwork, ChannelHead
from pushforward.networks.convolutional import Convolution, Convolutional, image_sides
from pushforward.networks.gated_pixel_cnn import GatedLayer, GatedPixelCNN, VerticalConvolution
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
from pushforward.networks.lagged import Lagged, LaggedHead
from pushforward.networks.linear_chain import LinearChain
from pushforward.networks.lipschitz import Lipschitz, norm_bound
from pushforward.networks.made import MADE
from pushforward.networks.masked import MaskedConvolution
from pushforward.networks.mlp import ACTIVATIONS, MLP, Linear, Trunk
from pushforward.networks.pixel_cnn import MaskedBlock, PixelCNN
from pushforward.networks.pixel_rnn import DiagonalBiLSTM, DiagonalLayer, RowLayer, RowLSTM
from pushforward.networks.raster import AbstractRasterLayer, AbstractRasterNetwork
from pushforward.networks.rows import moments_network, row_network
from pushforward.networks.wavenet import DilatedLayer, WaveNet

__all__ = [
    "ACTIVATIONS",
    "MADE",
    "MLP",
    "AbstractCausalNetwork",
    "AbstractRasterLayer",
    "AbstractRasterNetwork",
    "BlockLinear",
    "BlockTriangular",
    "ChannelHead",
    "Convolution",
    "Convolutional",
    "Convolve",
    "DiagonalBiLSTM",
    "DiagonalLayer",
    "DilatedLayer",
    "GatedLayer",
    "GatedPixelCNN",
    "Gaussian",
    "GroupedMADE",
    "Lagged",
    "LaggedHead",
    "Linear",
    "LinearChain",
    "Lipschitz",
    "MaskedBlock",
    "MaskedConvolution",
    "PixelCNN",
    "PlainConvolutions",
    "ResidualConvolutions",
    "RowConvolutions",
    "RowLSTM",
    "RowLayer",
    "SpreadNetwork",
    "Trunk",
    "VerticalConvolution",
    "WaveNet",
    "convolve",
    "image_sides",
    "moments_network",
    "norm_bound",
    "row_network",
]
