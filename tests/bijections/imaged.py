"""Maps of images, for the registry: of `dim` channels where they can have as many."""

import jax
import numpy as np

from pushforward.bijections import PLU, Affine, Convolution1x1, ImageCoupling, Squeeze, checkerboard
from pushforward.networks import ResidualConvolutions
from tests.bijections.entries import Entry, Key, floats, spline

KEY = jax.random.key(0)


def image_coupling(key: Key, dim: int, mask: np.ndarray | None = None, **options: object) -> ImageCoupling:
    """Of 4 x 2 pixels and `dim` channels."""
    return ImageCoupling.init(key, (4, 2, dim), (6, 6), mask, **options)


def scalar() -> Affine:
    return Affine(floats(0)[0], floats(1)[0])


IMAGED = [
    Entry(
        "squeeze",
        lambda key, dim: Squeeze((2, 4, dim)),
        bad={
            "height, width, channels": lambda: Squeeze((2, 2)),
            "even to be halved; got 3 x 2": lambda: Squeeze((3, 2, 1)),
        },
    ),
    Entry(
        "convolution_1x1",
        lambda key, dim: Convolution1x1.init(key, (2, 2, dim)),
        bad={
            "as many channels": lambda: Convolution1x1(PLU.init(KEY, 2), (2, 2, 3)),
            "tuple of whole numbers": lambda: Convolution1x1.init(KEY, 3),
            "height, width": lambda: Convolution1x1.init(KEY, (3,)),
        },
    ),
    Entry(
        "image_coupling",
        lambda key, dim: image_coupling(key, dim),
        dims=(2, 3),
        reach=(1e2, 1e2),
        bad={
            "height, width, channels": lambda: ImageCoupling((2, 2), abs, scalar()),
            "one channel": lambda: ImageCoupling.init(KEY, (2, 2, 1)),
            r"channels\); got \(2, 2\)": lambda: ImageCoupling.init(KEY, (2, 2)),
            "leave a channel of 2 to move": lambda: ImageCoupling.init(KEY, (2, 2, 2), n_kept=2),
            "transformer must be a scalar": lambda: ImageCoupling((2, 2, 2), abs, Affine(floats(0), floats(1))),
        },
    ),
    Entry(
        "image_coupling_board",
        lambda key, dim: image_coupling(key, dim, checkerboard((4, 2)), network=ResidualConvolutions),
        reach=(1e2, 1e2),
        bad={
            "mask must be boolean": lambda: image_coupling(KEY, 1, np.ones((4, 2, 1))),
            "n_kept must be None": lambda: image_coupling(KEY, 2, checkerboard((4, 2)), n_kept=1),
            "broadcast": lambda: image_coupling(KEY, 1, np.ones((4, 3, 1), bool)),
            "keeps every number": lambda: image_coupling(KEY, 1, np.ones((4, 2, 1), bool)),
        },
    ),
    Entry(
        "image_coupling_given",
        lambda key, dim: image_coupling(key, 2, n_kept=1, cond_dim=dim),
        reach=(1e2, 1e2),
    ),
    Entry(
        "image_coupling_spline",
        lambda key, dim: image_coupling(key, dim, transformer=spline(key, ())),
        dims=(2,),
        reach=(1.0, 50.0),
        shake=0.1,  # of the networks' weights; slopes of bins a thousandth wide are beyond finite differences
    ),
]
