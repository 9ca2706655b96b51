"""Invertible maps x = f(z) that keep track of volume, one family a file."""

from pushforward.bijections.act_norm import ActNorm
from pushforward.bijections.affine import Affine, Gated, Scale, Shift, affine_transformer
from pushforward.bijections.amortized import Amortized
from pushforward.bijections.autoregressive import MaskedAutoregressive, shuffle_orders
from pushforward.bijections.base import (
    AbstractBijection,
    AbstractDataMap,
    AbstractMap,
    Fixed,
    Identity,
    InexactError,
    SolveError,
    require_bijection,
)
from pushforward.bijections.batch_norm import BatchNorm
from pushforward.bijections.block_autoregressive import BlockAutoregressive
from pushforward.bijections.bounded import Bounded
from pushforward.bijections.circular import CircularShift
from pushforward.bijections.compose import Chain, Invert, Scan
from pushforward.bijections.conditional_coupling import ConditionalCoupling
from pushforward.bijections.continuous import Continuous
from pushforward.bijections.convolution import Convolution1x1
from pushforward.bijections.coupling import Coupling, coupling_masks, stacked_couplings
from pushforward.bijections.deep_sigmoid import DeepSigmoid
from pushforward.bijections.dequantise import Dequantise
from pushforward.bijections.elementwise import Exp, Gumbel, PReLU, Sigmoid, Softplus, Tanh
from pushforward.bijections.foreign import Foreign, as_map
from pushforward.bijections.functions import Functions, from_functions
from pushforward.bijections.householder import Householder, Orthogonal
from pushforward.bijections.image_coupling import ImageCoupling, checkerboard
from pushforward.bijections.indexed import Indexed
from pushforward.bijections.linear import PLU, Dense, LowRank, Triangular
from pushforward.bijections.linear_iaf import ConvexCombination, LinearIAF
from pushforward.bijections.parts import Concatenate, Vmap, split
from pushforward.bijections.permute import Permute
from pushforward.bijections.planar import Planar, Radial
from pushforward.bijections.recomputed import Recomputed
from pushforward.bijections.reshape import Reshape
from pushforward.bijections.residual import Residual
from pushforward.bijections.sequential import AbstractSequential
from pushforward.bijections.spline import RationalQuadraticSpline
from pushforward.bijections.squeeze import Squeeze
from pushforward.bijections.sylvester import OrthonormalColumns, Sylvester
from pushforward.bijections.temporal import TemporalAutoregressive
from pushforward.bijections.untrained import Untrained

__all__ = [
    "PLU",
    "AbstractBijection",
    "AbstractDataMap",
    "AbstractMap",
    "AbstractSequential",
    "ActNorm",
    "Affine",
    "Amortized",
    "BatchNorm",
    "BlockAutoregressive",
    "Bounded",
    "Chain",
    "CircularShift",
    "Concatenate",
    "ConditionalCoupling",
    "Continuous",
    "ConvexCombination",
    "Convolution1x1",
    "Coupling",
    "DeepSigmoid",
    "Dense",
    "Dequantise",
    "Exp",
    "Fixed",
    "Foreign",
    "Functions",
    "Gated",
    "Gumbel",
    "Householder",
    "Identity",
    "ImageCoupling",
    "Indexed",
    "InexactError",
    "Invert",
    "LinearIAF",
    "LowRank",
    "MaskedAutoregressive",
    "Orthogonal",
    "OrthonormalColumns",
    "PReLU",
    "Permute",
    "Planar",
    "Radial",
    "RationalQuadraticSpline",
    "Recomputed",
    "Reshape",
    "Residual",
    "Scale",
    "Scan",
    "Shift",
    "Sigmoid",
    "Softplus",
    "SolveError",
    "Squeeze",
    "Sylvester",
    "Tanh",
    "TemporalAutoregressive",
    "Triangular",
    "Untrained",
    "Vmap",
    "affine_transformer",
    "as_map",
    "checkerboard",
    "coupling_masks",
    "from_functions",
    "require_bijection",
    "shuffle_orders",
    "split",
    "stacked_couplings",
]
