"""Maps of other libraries, taken by their methods: NumPyro, TensorFlow Probability on JAX, distrax, flowjax."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from pushforward.bijections.base import AbstractBijection, AbstractMap
from pushforward.bijections.functions import LINE, Ends, check_ends, keep_inside, move_inside
from pushforward.checks import check_shape

LIBRARIES = "NumPyro (Transform), TensorFlow Probability on JAX (Bijector), distrax (Bijector), flowjax"


@runtime_checkable
class Distrax(Protocol):
    """A bijector as distrax has it: log-determinants of events of so many axes, summed over no others."""

    @property
    def event_ndims_in(self) -> int: ...

    def forward_and_log_det(self, x: Any, /) -> tuple[Any, Any]:
        """Noise to data, with the log-determinant."""

    def inverse_and_log_det(self, y: Any, /) -> tuple[Any, Any]:
        """Data to noise, with the log-determinant."""


@runtime_checkable
class FlowJAX(Protocol):
    """A bijection as flowjax has it: of one point, with a condition."""

    shape: tuple[int, ...]
    cond_shape: tuple[int, ...] | None

    def transform_and_log_det(self, x: Any, condition: Any = None, /) -> tuple[Any, Any]:
        """Noise to data, with the log-determinant."""

    def inverse_and_log_det(self, y: Any, condition: Any = None, /) -> tuple[Any, Any]:
        """Data to noise, with the log-determinant."""


@runtime_checkable
class TensorFlowProbability(Protocol):
    """A bijector as TensorFlow Probability has it: log-determinants of events of as many axes as it is told."""

    def forward(self, x: Any, /) -> Any:
        """Noise to data."""

    def inverse(self, y: Any, /) -> Any:
        """Data to noise."""

    def forward_log_det_jacobian(self, x: Any, event_ndims: int) -> Any:
        """Of the way from noise to data."""

    def inverse_log_det_jacobian(self, y: Any, event_ndims: int) -> Any:
        """Of the way from data to noise."""

    def inverse_event_shape(self, output_shape: Any, /) -> Any:
        """The shape of the noise of data of a shape."""


@runtime_checkable
class NumPyro(Protocol):
    """A transform as NumPyro has it: log-determinants of events of its own number of axes."""

    @property
    def inv(self) -> Any: ...

    def __call__(self, x: Any, /) -> Any:
        """Noise to data."""

    def log_abs_det_jacobian(self, x: Any, y: Any, /) -> Any:
        """Of the way from noise to data."""

    def inverse_shape(self, shape: Any, /) -> Any:
        """The shape of the noise of data of a shape."""


Transform: TypeAlias = Distrax | FlowJAX | TensorFlowProbability | NumPyro


class Foreign(AbstractBijection):
    """A map of another library, as `as_map` makes it; each direction costs what it costs there.

    Its arrays train as far as its library shows them to JAX, as NumPyro, distrax and flowjax do. It cannot be saved,
    unless it is a module whose class is registered (`pushforward.serialization.register`).
    """

    transform: Any
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] | None = eqx.field(static=True)
    shape_inside: tuple[int, ...] = eqx.field(static=True)
    ends: Ends = eqx.field(static=True)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """The event shape of z."""
        return self.shape_inside

    @property
    def codomain(self) -> Ends:
        """The ends of each coordinate of x."""
        return self.ends

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        x, log_det = self._forward(z, condition)
        return keep_inside(x, self.ends), log_det.sum()

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        middle = lax.stop_gradient(self._forward(jnp.zeros(self.shape_inside, x.dtype), condition)[0])
        inside, x = move_inside(x, middle, self.ends)
        z, log_det = self._inverse(x, condition)
        return jnp.where(inside, z, 0), jnp.where(inside, log_det.sum(), -jnp.inf)

    def _forward(self, z: Array, condition: Array | None) -> tuple[Array, Array]:
        match self.transform:
            case Distrax():
                return _arrays(z, *self.transform.forward_and_log_det(z))
            case FlowJAX():
                return _arrays(z, *self.transform.transform_and_log_det(z, condition))
            case TensorFlowProbability():
                log_det = self.transform.forward_log_det_jacobian(z, event_ndims=z.ndim)
                return _arrays(z, self.transform.forward(z), log_det)
        x = self.transform(z)
        return _arrays(z, x, self.transform.log_abs_det_jacobian(z, x))

    def _inverse(self, x: Array, condition: Array | None) -> tuple[Array, Array]:
        match self.transform:
            case Distrax():
                return _arrays(x, *self.transform.inverse_and_log_det(x))
            case FlowJAX():
                return _arrays(x, *self.transform.inverse_and_log_det(x, condition))
            case TensorFlowProbability():
                log_det = self.transform.inverse_log_det_jacobian(x, event_ndims=x.ndim)
                return _arrays(x, self.transform.inverse(x), log_det)
        z = self.transform.inv(x)
        return _arrays(x, z, -self.transform.log_abs_det_jacobian(z, x))


def as_map(value: Any, shape: tuple[int, ...] | None = None, *, codomain: Sequence[Any] = LINE) -> AbstractMap:
    """A map of this package as it is; of another library, as one of this package, by its methods.

    Arguments:
        value: a map; or one of NumPyro, TensorFlow Probability on JAX, distrax or flowjax, or like one.
        shape: the event shape of x, which maps of other libraries than flowjax do not say themselves; where they work
            on the last axes alone, log-determinants are summed over the others.
        codomain: of one of another library: ends (low, high) of each coordinate of x; outside, the log-density is -inf.

    Returns:
        A map; `value` itself if it is one.

    Raises:
        ValueError: it is none, its shape is not given, or not the one it has.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.distributions.transforms import ExpTransform
        >>> from pushforward.bijections import as_map
        >>> as_map(ExpTransform(), (2,), codomain=(0, float("inf"))).forward(jnp.zeros(2)).tolist()
        [1.0, 1.0]
    """
    ends = check_ends(codomain)
    cond_shape = None
    match value:
        case AbstractMap():
            if ends != LINE:
                raise ValueError(f"{type(value).__name__} says its codomain itself, {value.codomain}; leave it out")
            return value
        case FlowJAX():
            if shape not in (None, value.shape):
                raise ValueError(f"{type(value).__name__} has event shape {value.shape}, not {shape}")
            shape, cond_shape = value.shape, value.cond_shape
            inside = shape
        case Distrax() | TensorFlowProbability() | NumPyro():
            shape = _needed(value, shape)
            inside = _noise_shape(value, shape)
        case _:
            raise ValueError(f"expected a bijection, or one of {LIBRARIES}; got {value!r}")
    if math.prod(inside) > math.prod(shape):
        raise ValueError(f"{type(value).__name__} takes more numbers, {inside}, than it gives, {shape}")
    return Foreign(value, shape, cond_shape, inside, ends)


def _needed(value: Any, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    if shape is None:
        raise ValueError(f"{type(value).__name__} does not say its event shape; give it: as_map(..., shape)")
    return check_shape("shape", shape)


def _noise_shape(value: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the noise of data of a shape."""
    try:
        match value:
            case Distrax():  # which does not say it, but shows it
                noise: tuple[int, ...]
                noise = eqx.filter_eval_shape(lambda y: value.inverse_and_log_det(y)[0], jnp.zeros(shape)).shape
                return noise
            case TensorFlowProbability():
                return tuple(value.inverse_event_shape(shape))
        return tuple(value.inverse_shape(shape))
    except Exception as error:  # each library has its own
        raise ValueError(f"{type(value).__name__} does not take data of shape {shape}: {error}") from error


def map_name(bijection: AbstractMap) -> str:
    """What a map is called in messages: one of another library as it is there, and how to give it its shape."""
    if not isinstance(bijection, Foreign):
        return type(bijection).__name__
    name = type(bijection.transform).__name__
    return f"{name} (taken for one of data of shape {bijection.shape}; as_map({name}(...), shape) takes it for another)"


def _arrays(point: Array, image: Any, log_det: Any) -> tuple[Array, Array]:
    """In the dtype of the point."""
    return jnp.asarray(image, point.dtype), jnp.asarray(log_det, point.dtype)
