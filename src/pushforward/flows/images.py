"""Flows of images: their events are flat images, rows in C order, as a table has them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pushforward import trees
from pushforward.bijections import (
    AbstractMap,
    ActNorm,
    Chain,
    Convolution1x1,
    Identity,
    ImageCoupling,
    Recomputed,
    Reshape,
    Residual,
    Scan,
    Shift,
    Squeeze,
    affine_transformer,
    checkerboard,
    split,
)
from pushforward.bijections.coupling import BoolArray
from pushforward.checks import check_choice, check_whole
from pushforward.distributions import Normal, Pushforward
from pushforward.flows._recipe import checked, quick, sides_of
from pushforward.networks import Lipschitz, ResidualConvolutions

Shape = tuple[int, ...]  # height, width, channels
Part = Callable[[Array, Shape], list[AbstractMap]]
MOST_LEVELS, MOST_SCALES = 3, 3


@checked
def glow(
    key: PRNGKeyArray,
    dim: int,
    *,
    image_shape: Sequence[int],
    cond_dim: int | None = None,
    n_layers: int = 8,
    hidden_sizes: Sequence[int] = (64, 64),
    n_levels: int | None = None,
    coupling: str = "affine",
    recompute: bool = False,
) -> Pushforward:
    """Glow: levels of steps of a normalisation, an invertible 1 x 1 convolution and a coupling.

    (Kingma & Dhariwal 2018.) After each level but the last, half of the channels leave: they are normal, their moments
    read off what stays. Both directions cost one pass.

    Arguments:
        key: a JAX random key.
        dim: D, numbers of an image.
        image_shape: (height, width) or (height, width, channels) of the events, which are flat, in C order.
        cond_dim: size of the condition, or None.
        n_layers: steps of each level.
        hidden_sizes: channels of the hidden layers of each coupling's network.
        n_levels: how often height and width are halved; None for as often as they can be, at most 3 times.
        coupling: "affine" or "additive".
        recompute: whether steps are `Recomputed` for gradients, whose memory then hardly grows with their number.

    Returns:
        A flow of event shape (dim,).

    Raises:
        ValueError: a size is not as said, `image_shape` has not `dim` numbers, or a level cannot be halved.

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flow = flows.glow(jax.random.key(0), 16, image_shape=(4, 4), n_layers=1, hidden_sizes=(8, 8))
        >>> flow.sample(jax.random.key(1), (3,)).shape
        (3, 16)
    """
    check_choice("coupling", coupling, ("affine", "additive"))
    transformer = affine_transformer() if coupling == "affine" else Shift(jnp.zeros(()))

    def step(key: Array, shape: Shape) -> AbstractMap:
        key_coupling, key_linear = jax.random.split(key)
        moves = ImageCoupling.init(key_coupling, shape, hidden_sizes, transformer=transformer, cond_dim=cond_dim)
        made = Chain([moves, Convolution1x1.init(key_linear, shape), ActNorm.init(shape)])
        return Recomputed(made) if recompute else made

    def level(key: Array, shape: Shape) -> list[AbstractMap]:
        squeeze = Squeeze(shape)
        steps = eqx.filter_vmap(lambda key: step(key, squeeze.noise_shape))(jax.random.split(key, n_layers))
        return [Scan(steps), squeeze]

    def moments(key: Array, shape: Shape) -> ImageCoupling:
        return ImageCoupling.init(key, shape, (), cond_dim=cond_dim)

    sides = sides_of(dim, image_shape)
    levels = _n_levels(sides, n_levels, MOST_LEVELS, 1)
    return _multi_scale(key, sides, levels - 1, level, level, moments)


@checked
def real_nvp_image(
    key: PRNGKeyArray,
    dim: int,
    *,
    image_shape: Sequence[int],
    cond_dim: int | None = None,
    n_layers: int = 3,
    hidden_sizes: Sequence[int] = (32, 32),
    n_levels: int | None = None,
    recompute: bool = False,
) -> Pushforward:
    """RealNVP of images: couplings of checkerboards, then of channels; half leaves after each scale (Dinh et al. 2017).

    The networks are residual, one block for each of `hidden_sizes`; each coupling is followed by a scale and a shift of
    every channel that start from the data. Both directions cost one pass.

    Arguments:
        key, dim, image_shape, cond_dim: as for `glow`.
        n_layers: couplings of each kind in each scale; the last scale has one more, of checkerboards alone.
        hidden_sizes: channels of each residual block, all the same.
        n_levels: how often height and width are halved; None for as often as they can be, at most 3 times.
        recompute: as of `glow`, of couplings.

    Returns:
        A flow of event shape (dim,).

    Raises:
        ValueError: a size is not as said, `image_shape` has not `dim` numbers, or a level cannot be halved.

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flow = flows.real_nvp_image(jax.random.key(0), 16, image_shape=(4, 4), n_layers=1, hidden_sizes=(8,))
        >>> flow.sample(jax.random.key(1), (3,)).shape
        (3, 16)
    """

    def couplings(key: Array, shape: Shape, mask: BoolArray, n: int) -> Scan:
        def one(key: Array, mask: BoolArray) -> AbstractMap:
            moves = ImageCoupling.init(key, shape, hidden_sizes, mask, cond_dim=cond_dim, network=ResidualConvolutions)
            made = Chain([moves, ActNorm.init(shape)])
            return Recomputed(made) if recompute else made

        keys = jax.random.split(key, n)
        return Scan(trees.stack([one(key, ~mask if i % 2 else mask) for i, key in enumerate(keys)]))

    def level(key: Array, shape: Shape) -> list[AbstractMap]:
        key_boards, key_channels = jax.random.split(key)
        squeeze = Squeeze(shape)
        first_half = (np.arange(4 * shape[2]) < 2 * shape[2])[None, None]
        within = couplings(key_channels, squeeze.noise_shape, first_half, n_layers)
        return [within, squeeze, couplings(key_boards, shape, checkerboard(shape), n_layers)]

    def last(key: Array, shape: Shape) -> list[AbstractMap]:
        return [couplings(key, shape, checkerboard(shape), n_layers + 1)]

    def as_it_is(key: Array, shape: Shape) -> Identity:
        return Identity(shape)

    sides = sides_of(dim, image_shape)
    levels = _n_levels(sides, n_levels, MOST_LEVELS, 0, fewest=2)  # pixels, for a board of two colours
    return _multi_scale(key, sides, levels, level, last, as_it_is)


@checked
def residual_image(
    key: PRNGKeyArray,
    dim: int,
    *,
    image_shape: Sequence[int],
    cond_dim: int | None = None,
    n_layers: int = 4,
    hidden_sizes: Sequence[int] = (32, 32),
    n_levels: int | None = None,
    n_dense: int = 4,
    dense_sizes: Sequence[int] = (64, 64),
    lipschitz: float = 0.98,
    log_det: str | None = None,
) -> Pushforward:
    """Residual flow of images: blocks of convolutions over scales, then dense ones; nothing leaves (Chen et al. 2019).

    The direction of the density costs one pass and an estimate of the log-determinant; that of samples is a fixed-point
    iteration.

    Arguments:
        key, dim, image_shape, cond_dim: as for `glow`.
        n_layers: blocks of each scale.
        hidden_sizes: channels of the hidden layers of each block.
        n_levels: scales less one, which is how often height and width are halved; None for as often as they can be, at
            most twice.
        n_dense: blocks of perceptrons, after the last scale.
        dense_sizes: units of their hidden layers.
        lipschitz: Lipschitz constant of every block, below 1.
        log_det: as of `residual`.

    Returns:
        A flow of event shape (dim,).

    Raises:
        ValueError: a size or the bound is not as said, `image_shape` has not `dim` numbers, or a scale cannot be
            halved.

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flow = flows.residual_image(jax.random.key(0), 16, image_shape=(4, 4), n_layers=1, hidden_sizes=(8,))
        >>> flow.shape, flow.exactness
        ((16,), 'unbiased')
    """

    def blocks(key: Array, shape: Shape, n: int, network: Callable[[Array], Lipschitz]) -> Scan:
        def one(key: Array) -> Chain:
            moves = quick(Residual(network(key), dim, log_det, cond_dim=cond_dim), "sampling", "density")
            return Chain([Reshape(shape, (dim,)), moves, Reshape((dim,), shape), ActNorm.init(shape)])

        return Scan(eqx.filter_vmap(one)(jax.random.split(key, n)))

    def convolutions(key: Array, shape: Shape) -> Scan:
        def network(key: Array) -> Lipschitz:
            return Lipschitz.init_convolutional(key, shape, hidden_sizes, lipschitz, cond_dim)

        return blocks(key, shape, n_layers, network)

    def level(key: Array, shape: Shape) -> list[AbstractMap]:
        return [Squeeze(shape), convolutions(key, shape)]

    def last(key: Array, shape: Shape) -> list[AbstractMap]:
        def network(key: Array) -> Lipschitz:
            return Lipschitz.init(key, dim, dim, dense_sizes, lipschitz, cond_dim)

        key_dense, key_convolutions = jax.random.split(key)
        return [blocks(key_dense, shape, n_dense, network), convolutions(key_convolutions, shape)]

    sides = sides_of(dim, image_shape)
    return _multi_scale(key, sides, _n_levels(sides, n_levels, MOST_SCALES - 1, 0), level, last, None)


def _multi_scale(
    key: PRNGKeyArray,
    shape: Shape,
    n: int,
    level: Part,
    last: Part,
    moments: Callable[[Array, Shape], AbstractMap] | None,
) -> Pushforward:
    """A flow of n levels that halve height and width, and what comes after them.

    Arguments:
        key: a JAX random key.
        shape: of the images.
        n: levels.
        level: the maps of a level of a shape, noise first, from half the height and width and four times the channels.
        last: those after the levels.
        moments: what moves the half of the channels that leaves after each level, given the other half; None where
            nothing leaves.
    """

    def scales(key: Array, shape: Shape, n: int) -> AbstractMap:
        key_here, key_moments, key_next = jax.random.split(key, 3)
        if n == 0:
            maps = last(key_here, shape)
            return Chain([Reshape((math.prod(shape),), maps[0].noise_shape), *maps])
        squeezed = height, width, channels = shape[0] // 2, shape[1] // 2, 4 * shape[2]
        here = level(key_here, shape)
        if moments is None:
            return Chain([scales(key_next, squeezed, n - 1), *here])
        inner = scales(key_next, (height, width, channels // 2), n - 1)
        return Chain([split(inner, channels // 2), moments(key_moments, squeezed), *here])

    dim = math.prod(shape)
    return Pushforward(Normal.standard((dim,)), Chain([scales(key, shape, n), Reshape(shape, (dim,))]))


def _n_levels(shape: Shape, n_levels: int | None, most: int, least: int, fewest: int = 1) -> int:
    """How often height and width are halved: as asked, or as often as they can be, up to a most.

    Raises:
        ValueError: they cannot be halved as often, or have fewer pixels than a fewest.
    """
    height, width, can = *shape[:2], 0
    if height * width < fewest:
        raise ValueError(f"images of {height} x {width} have fewer than {fewest} pixels; give larger ones")
    while height % 2 == width % 2 == 0 and height * width // 4 >= fewest:
        height, width, can = height // 2, width // 2, can + 1
    wanted = max(least, min(can, most)) if n_levels is None else check_whole("n_levels", n_levels, least)
    if wanted > can:
        larger = f" and there are {fewest * 4**wanted} pixels or more" if fewest > 1 else ""
        fewer = f", or take n_levels={can}" if can >= least else ""
        raise ValueError(
            f"level {can + 1} cannot halve images of {height} x {width} ({shape[0]} x {shape[1]}, halved {can} times); "
            f"pad or crop them so that both sides are multiples of {2**wanted}{larger}{fewer}"
        )
    return wanted
