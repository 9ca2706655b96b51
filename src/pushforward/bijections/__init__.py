"""Invertible maps x = f(z) that keep track of volume, one family a file."""

from pushforward.bijections.affine import Affine, Shift
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
from pushforward.bijections.linear import PLU, Dense, LowRank, Triangular
from pushforward.bijections.permute import Permute
from pushforward.bijections.spline import RationalQuadraticSpline

__all__ = [
    "PLU",
    "AbstractBijection",
    "AbstractDataMap",
    "Affine",
    "BatchNorm",
    "Bounded",
    "Chain",
    "Coupling",
    "Dense",
    "Exp",
    "Fixed",
    "Identity",
    "Invert",
    "LowRank",
    "MaskedAutoregressive",
    "PReLU",
    "Permute",
    "RationalQuadraticSpline",
    "Shift",
    "Sigmoid",
    "Softplus",
    "Stack",
    "Tanh",
    "Triangular",
]
