"""Images of levels, one pixel after the other, as flows of flat images: exact probabilities, and no map from noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import PRNGKeyArray

from pushforward.bijections import Identity
from pushforward.checks import check_whole
from pushforward.distributions import Autoregressive, Bernoulli, Categorical, Cells, Pushforward
from pushforward.flows._recipe import checked, sides_of
from pushforward.networks import AbstractCausalNetwork, DiagonalBiLSTM, GatedPixelCNN, PixelCNN, RowLSTM

MOST_LEVELS = 4096  # each has a logit at every pixel


@checked
def gated_pixel_cnn(
    key: PRNGKeyArray,
    dim: int,
    *,
    image_shape: Sequence[int],
    levels: int = 256,
    cond_dim: int | None = None,
    n_layers: int = 7,
    hidden_sizes: Sequence[int] = (48,),
) -> Pushforward:
    """Gated PixelCNN: each pixel a softmax over levels, given those before it (van den Oord et al. 2016).

    The levels are 0, 1, …; the density of y is the probability of round(y), as of `distributions.Cells`. Densities cost
    one pass, samples one step a pixel.

    Arguments:
        key: a JAX random key.
        dim: D, numbers of an image.
        image_shape: (height, width) or (height, width, channels) of the events, which are flat, in C order.
        levels: of a pixel; 2 have one logit.
        cond_dim: size of the condition, or None.
        n_layers: after the first one.
        hidden_sizes: one number, the channels of each stack.

    Returns:
        A flow of event shape (dim,), whose base is all of it.

    Raises:
        ValueError: a size is not as said, or `image_shape` has not `dim` numbers.

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flow = flows.gated_pixel_cnn(jax.random.key(0), 16, image_shape=(4, 4), n_layers=1, hidden_sizes=(4,))
        >>> flow.sample(jax.random.key(1), (3,)).shape, flow.exactness
        ((3, 16), 'exact')
    """
    return _pixels(GatedPixelCNN, key, dim, image_shape, levels, cond_dim, n_layers, hidden_sizes)


@checked
def pixel_cnn(
    key: PRNGKeyArray,
    dim: int,
    *,
    image_shape: Sequence[int],
    levels: int = 256,
    cond_dim: int | None = None,
    n_layers: int = 7,
    hidden_sizes: Sequence[int] = (32,),
) -> Pushforward:
    """PixelCNN: residual blocks of masked convolutions, blind to some of the pixels above (van den Oord et al. 2016).

    Arguments:
        key, dim, image_shape, levels, cond_dim: as for `gated_pixel_cnn`.
        n_layers: residual blocks.
        hidden_sizes: one number, half of the channels between blocks.

    Returns, raises: as `gated_pixel_cnn`.

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flow = flows.pixel_cnn(jax.random.key(0), 16, image_shape=(4, 4), n_layers=1, hidden_sizes=(4,))
        >>> flow.sample(jax.random.key(1), (3,)).shape
        (3, 16)
    """
    return _pixels(PixelCNN, key, dim, image_shape, levels, cond_dim, n_layers, hidden_sizes)


@checked
def row_lstm(
    key: PRNGKeyArray,
    dim: int,
    *,
    image_shape: Sequence[int],
    levels: int = 256,
    cond_dim: int | None = None,
    n_layers: int = 3,
    hidden_sizes: Sequence[int] = (32,),
) -> Pushforward:
    """Row LSTM: from row to row, each pixel from a triangle above it (van den Oord et al. 2016).

    Arguments:
        key, dim, image_shape, levels, cond_dim: as for `gated_pixel_cnn`.
        n_layers: of the LSTM.
        hidden_sizes: one number, of each LSTM's state, half of the channels between layers.

    Returns, raises: as `gated_pixel_cnn`.

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flow = flows.row_lstm(jax.random.key(0), 16, image_shape=(4, 4), n_layers=1, hidden_sizes=(4,))
        >>> flow.sample(jax.random.key(1), (3,)).shape
        (3, 16)
    """
    return _pixels(RowLSTM, key, dim, image_shape, levels, cond_dim, n_layers, hidden_sizes)


@checked
def diagonal_bilstm(
    key: PRNGKeyArray,
    dim: int,
    *,
    image_shape: Sequence[int],
    levels: int = 256,
    cond_dim: int | None = None,
    n_layers: int = 3,
    hidden_sizes: Sequence[int] = (24,),
) -> Pushforward:
    """Diagonal BiLSTM: along both diagonals, each pixel from all before it (van den Oord et al. 2016).

    Arguments:
        key, dim, image_shape, levels, cond_dim: as for `gated_pixel_cnn`.
        n_layers: of LSTMs in both directions.
        hidden_sizes: one number, of each LSTM's state, half of the channels between layers.

    Returns, raises: as `gated_pixel_cnn`.

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flow = flows.diagonal_bilstm(jax.random.key(0), 16, image_shape=(4, 4), n_layers=1, hidden_sizes=(4,))
        >>> flow.sample(jax.random.key(1), (3,)).shape
        (3, 16)
    """
    return _pixels(DiagonalBiLSTM, key, dim, image_shape, levels, cond_dim, n_layers, hidden_sizes)


def _pixels(
    network: type[AbstractCausalNetwork],
    key: PRNGKeyArray,
    dim: int,
    image_shape: Sequence[int],
    levels: int,
    cond_dim: int | None,
    n_layers: int,
    hidden_sizes: Sequence[int],
) -> Pushforward:
    """A flow of levels by a network of that kind."""
    if len(hidden_sizes) != 1:
        raise ValueError(f"hidden_sizes must be one number, the channels, as in (64,); got {tuple(hidden_sizes)}")
    n = check_whole("levels", levels, 2, MOST_LEVELS)
    value = Bernoulli() if n == 2 else Categorical(n)
    sizes: dict[str, Any] = {"channels": hidden_sizes[0], "n_layers": n_layers, "cond_dim": cond_dim}
    model = Autoregressive.init(key, network, sides_of(dim, image_shape), value, **sizes)
    return Pushforward(Cells(model), Identity((dim,)))


PIXEL_RECIPES: dict[str, Callable[..., Pushforward]] = {
    "pixel_cnn": pixel_cnn,
    "gated_pixel_cnn": gated_pixel_cnn,
    "row_lstm": row_lstm,
    "diagonal_bilstm": diagonal_bilstm,
}
