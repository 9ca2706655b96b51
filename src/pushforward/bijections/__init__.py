"""Invertible maps x = f(z) that keep track of volume, one family a file."""

from pushforward.bijections.affine import Affine, Shift
from pushforward.bijections.amortized import Amortized
from pushforward.bijections.autoregressive import MaskedAutoregressive
from pushforward.bijections.base import (
    AbstractBijection,
    AbstractDataMap,
    Chain,
    Fixed,
    Identity,
    Invert,
    Stack,
)
from pushforward.bijections.batch_norm import BatchNorm
from pushforward.bijections.bounded import Bounded
from pushforward.bijections.coupling import Coupling
from pushforward.bijections.elementwise import Exp, PReLU, Sigmoid, Softplus, Tanh
from pushforward.bijections.householder import Householder, Orthogonal
from pushforward.bijections.linear import PLU, Dense, LowRank, Triangular
from pushforward.bijections.linear_iaf import ConvexCombination, LinearIAF
from pushforward.bijections.permute import Permute
from pushforward.bijections.planar import Planar, Radial
from pushforward.bijections.spline import RationalQuadraticSpline
from pushforward.bijections.sylvester import OrthonormalColumns, Sylvester

__all__ = [
    "PLU",
    "AbstractBijection",
    "AbstractDataMap",
    "Affine",
    "Amortized",
    "BatchNorm",
    "Bounded",
    "Chain",
    "ConvexCombination",
    "Coupling",
    "Dense",
    "Exp",
    "Fixed",
    "Householder",
    "Identity",
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
    "Shift",
    "Sigmoid",
    "Softplus",
    "Stack",
    "Sylvester",
    "Tanh",
    "Triangular",
]
