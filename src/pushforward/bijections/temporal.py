"""Autoregressive flows over the time steps of a series."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from pushforward import trees
from pushforward.bijections.affine import affine_transformer
from pushforward.bijections.base import AbstractBijection, AbstractMap, require_transformer
from pushforward.bijections.coupling import transform_each
from pushforward.networks import MLP
from pushforward.trees import Frozen


class TemporalAutoregressive(AbstractBijection):
    """A flow over time: x_t = τ(z_t; g(x_{t−w}, …, x_{t−1})), each column of a step by a scalar map of its own.

    Steps before the first are zeros. Data to noise takes all steps at once; noise to data one step after the other.
    With an affine transformer, x_t = μ(x_{<t}) + σ(x_{<t}) ⊙ z_t takes from a series what its past tells, and leaves
    the rest to the base: independent noise, or a latent-variable model of z (Marino et al. 2020).

    Arguments:
        conditioner: a module from the last w steps, oldest first and made flat, shape (w · D,), to the transformers'
            parameters, shape (D · P,).
        transformer: a scalar bijection with P trainable numbers; the conditioner's output is added to them.
        shape: (T, D), steps and columns.
        window: w, at least 1.

    Raises:
        ValueError: the shape is not (T, D), the window is not a whole number of at least 1, the transformer is not
            scalar, or the conditioner's output does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.bijections import TemporalAutoregressive
        >>> flow = TemporalAutoregressive.init(jax.random.key(0), (5, 2), window=2)
        >>> x = flow.forward(jnp.ones((5, 2)))
        >>> bool(jnp.allclose(flow.inverse(x), 1, atol=1e-5))
        True
    """

    forward_is_sequential: ClassVar[bool] = True

    conditioner: Callable[[Array], Array]
    transformer: Frozen[AbstractMap]
    shape: tuple[int, ...] = eqx.field(static=True)
    window: int = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(
        self,
        conditioner: Callable[[Array], Array],
        transformer: AbstractMap,
        shape: Sequence[int],
        window: int = 1,
    ):
        shape = tuple(shape)
        if len(shape) != 2 or min(shape) < 1:
            raise ValueError(f"shape must be (T, D), steps and columns, both at least 1; got {shape}")
        if isinstance(window, bool) or window < 1:
            raise ValueError(f"window must be a whole number of steps, at least 1; got {window!r}")
        require_transformer(transformer)
        expected = shape[1] * trees.n_parameters(transformer)
        result = eqx.filter_eval_shape(lambda: conditioner(jnp.zeros(window * shape[1]))).shape
        if result != (expected,):
            raise ValueError(
                f"the conditioner gives shape {result}; {shape[1]} columns of {type(transformer).__name__} ask for "
                f"({expected},)"
            )
        self.conditioner = conditioner
        self.transformer = Frozen(transformer)
        self.shape, self.window, self.cond_shape = shape, window, None

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        shape: Sequence[int],
        window: int = 1,
        hidden_sizes: Sequence[int] = (64,),
        activation: str = "silu",
    ) -> TemporalAutoregressive:
        """Draw an affine flow to train, close to the identity.

        Arguments:
            key: a JAX random key.
            shape: (T, D).
            window: steps that the next one depends on.
            hidden_sizes: units of the conditioner's hidden layers.
            activation: its name.
        """
        network = MLP.init(key, window * shape[1], 2 * shape[1], hidden_sizes, activation)
        return cls(network, affine_transformer(), shape, window)

    def _move(self, past: Array, step: Array, direction: str) -> tuple[Array, Array]:
        """One step given the steps before it, shape (w, D), with its log-determinant."""
        params = self.conditioner(past.reshape(-1)).reshape(self.shape[1], -1)
        moved, log_dets = transform_each(self.transformer.value, params, step, direction)
        return moved, log_dets.sum()

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        def step(past: Array, z_t: Array) -> tuple[Array, tuple[Array, Array]]:
            x_t, log_det = self._move(past, z_t, "forward_and_log_det")
            return jnp.concatenate([past[1:], x_t[None]]), (x_t, log_det)

        _, (x, log_dets) = lax.scan(step, jnp.zeros((self.window, self.shape[1]), z.dtype), z)
        return x, log_dets.sum()

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        def step(past: Array, x_t: Array) -> tuple[Array, Array]:
            return self._move(past, x_t, "inverse_and_log_det")

        z, log_dets = jax.vmap(step)(past_steps(x, self.window), x)
        return z, log_dets.sum()


def past_steps(x: Array, window: int) -> Array:
    """The steps before each step, oldest first, zeros before the first.

    Arguments:
        x: shape (T, D).
        window: how many, 0 for none.

    Returns:
        Shape (T, window, D).
    """
    padded = jnp.concatenate([jnp.zeros((window, x.shape[1]), x.dtype), x])
    return jnp.stack([padded[i : i + len(x)] for i in range(window)], 1) if window else padded[:, None][:, :0]
