"""Maps of plain functions, and of other libraries."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from numpyro.distributions import transforms

from pushforward import trees
from pushforward.bijections import Chain, Exp, as_map, from_functions
from pushforward.distributions import Normal, Pushforward
from pushforward.testing import check_bijection


def bend(z: Any) -> Any:
    return jnp.stack([z[0] + z[1] ** 3 / 9, 2 * z[1]])


class Bijector(eqx.Module):
    """As of distrax: of single numbers."""

    rate: jax.Array
    event_ndims_in: int = 0

    def forward_and_log_det(self, z: Any) -> Any:
        return self.rate * z, jnp.broadcast_to(jnp.log(self.rate), z.shape)

    def inverse_and_log_det(self, x: Any) -> Any:
        return x / self.rate, jnp.broadcast_to(-jnp.log(self.rate), x.shape)


class Bijection(eqx.Module):
    """As of flowjax."""

    shape: tuple[int, ...] = (2,)
    cond_shape: tuple[int, ...] = (2,)

    def transform_and_log_det(self, z: Any, condition: Any = None) -> Any:
        return z + condition, jnp.zeros(())

    def inverse_and_log_det(self, x: Any, condition: Any = None) -> Any:
        return x - condition, jnp.zeros(())


class Probability:
    """As of TensorFlow Probability."""

    def forward(self, z: Any) -> Any:
        return 2 * z

    def inverse(self, x: Any) -> Any:
        return x / 2

    def forward_log_det_jacobian(self, z: Any, event_ndims: int) -> Any:
        assert event_ndims == z.ndim
        return jnp.log(2.0) * z.size

    def inverse_log_det_jacobian(self, x: Any, event_ndims: int) -> Any:
        return -self.forward_log_det_jacobian(x, event_ndims)

    def inverse_event_shape(self, shape: Any) -> Any:
        return shape


@pytest.mark.parametrize(
    "make",
    [
        lambda: from_functions(lambda z: -z - z**3 / 9, shape=()),
        lambda: from_functions(lambda z: z + z**3 / 9, shape=(2,), elementwise=True),
        lambda: from_functions(bend, shape=(2,)),
        lambda: from_functions(lambda z, c: c + 2 * z, lambda x, c: (x - c) / 2, shape=(2,), cond_shape=(2,)),
        lambda: as_map(transforms.AffineTransform(1.0, 3.0), (2,)),
        lambda: as_map(Bijector(jnp.array(2.0)), (2, 1)),
        lambda: as_map(Bijection()),
        lambda: as_map(Probability(), (2,)),
    ],
)
def test_each_keeps_the_contract(make: Any) -> None:
    check_bijection(make())


def test_inverses_that_are_solved_for_have_derivatives_and_no_wrong_values() -> None:
    cubic = from_functions(lambda z: z + z**3, shape=())
    assert jax.grad(cubic.inverse)(10.0) == pytest.approx(1 / 13, rel=1e-4)
    assert jax.hessian(cubic.inverse)(10.0) == pytest.approx(-12 / 13**3, rel=1e-3)
    onto = from_functions(jnp.tanh, shape=(2,), elementwise=True)
    assert jnp.isnan(onto.inverse(jnp.array([0.5, 2.0]))).tolist() == [False, True]
    declared = from_functions(jnp.tanh, shape=(2,), elementwise=True, codomain=(-1, 1))
    z, log_det = declared.inverse_and_log_det(jnp.array([0.5, 2.0]))
    assert z.tolist() == [0, 0] and log_det == -jnp.inf
    flat = from_functions(lambda z: jnp.stack([jnp.tanh(z[0]), z[1]]), shape=(2,))
    assert jnp.isnan(flat.inverse(jnp.array([2.0, 0.0]))).all()


def test_modules_train_and_functions_do_not() -> None:
    assert trees.n_parameters(from_functions(eqx.nn.Linear(2, 2, key=jax.random.key(0)), shape=(2,))) == 6
    assert trees.n_parameters(from_functions(bend, shape=(2,))) == 0
    assert trees.n_parameters(as_map(Bijector(jnp.array(2.0)), ())) == 1


def test_a_transform_may_change_shape() -> None:
    simplex = as_map(transforms.StickBreakingTransform(), (3,))
    x, log_det = simplex.forward_and_log_det(jnp.zeros(2))
    assert x.sum() == pytest.approx(1) and log_det.shape == ()
    assert as_map(exp := Exp(())) is exp


class Paired(eqx.Module):
    """As of distrax: two numbers in a row of one."""

    event_ndims_in: int = 1

    def forward_and_log_det(self, z: Any) -> Any:
        return z[..., None, :], jnp.zeros(z.shape[:-1])

    def inverse_and_log_det(self, x: Any) -> Any:
        return x[..., 0, :], jnp.zeros(x.shape[:-2])


def test_a_bijector_shows_the_shape_of_its_noise() -> None:
    row = as_map(Paired(), (1, 2))
    assert (row.noise_shape, row.shape) == ((2,), (1, 2))
    assert Chain([Exp((2,)), row]).forward(jnp.zeros(2)).tolist() == [[1.0, 1.0]]


def test_a_transform_of_another_shape_says_how_to_give_its_own() -> None:
    message = r"StickBreakingTransform \(taken for one of data of shape \(2,\); as_map\(StickBreakingTransform"
    with pytest.raises(ValueError, match=message):
        Chain([Exp((2,)), transforms.StickBreakingTransform()])
    with pytest.raises(ValueError, match=message):
        Pushforward(Normal.standard((2,)), transforms.StickBreakingTransform())


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("forward gives shape \\(3,\\)", lambda: from_functions(lambda z: jnp.zeros(3), shape=(2,))),
        ("inverse must be a function", lambda: from_functions(bend, 3, shape=(2,))),
        ("as many numbers", lambda: from_functions(bend, shape=(2,), noise_shape=(3,))),
        ("codomain must be", lambda: from_functions(bend, shape=(2,), codomain=(1, 0))),
        ("expected a bijection, or one of NumPyro", lambda: as_map(3)),
        ("does not say its event shape", lambda: as_map(Probability())),
        ("has event shape", lambda: as_map(Bijection(), (3,))),
        ("does not take data of shape", lambda: as_map(transforms.StickBreakingTransform(), ())),
        ("does not take data of shape", lambda: as_map(Paired(), ())),
    ],
)
def test_what_does_not_fit_is_refused(message: str, call: Any) -> None:
    with pytest.raises(ValueError, match=message):
        call()
