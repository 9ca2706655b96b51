"""Fits work in double precision: nothing of that reaches the user's functions, nor theirs the fit."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from jax.interpreters import xla
from numpyro import distributions as dist
from numpyro.infer import MCMC, NUTS

from pushforward.inference import fit_posterior, precision
from pushforward.inference.precision import double_precision
from pushforward.numpyro import as_log_density

KEY = jax.random.key(0)
Function = Callable[[Any], jax.Array]
CENTRE = np.array([1.0, -2.0, 0.5])  # of this module alone: a global of the functions below


def table() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(200, 3)), rng.poisson(2.0, 200)


def poisson(X: Any, y: Any) -> Function:
    """Poisson regression on data it holds."""

    def log_density(b: jax.Array) -> jax.Array:
        eta = (X * b).sum(axis=1) - 0.1
        return jnp.sum(y * eta - jnp.exp(eta)) - 0.5 * (b**2).sum()

    return log_density


def check_used(function: Function, dtype: Any) -> None:
    """Called, compiled, differentiated, it gives numbers of that precision."""
    at = jnp.full(3, 0.1)
    expected = poisson(*table())(np.full(3, 0.1))
    value, gradient = function(at), jax.grad(function)(at)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(function)(at), expected, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(jax.grad(function))(at), gradient, rtol=1e-3)
    assert value.dtype == jax.jit(function)(at).dtype == gradient.dtype == dtype


@pytest.mark.filterwarnings("ignore:Pareto")  # a Gaussian alone
@pytest.mark.parametrize(
    ("as_kind", "x64", "used_before"),
    [
        (np.float64, False, False),
        (np.float64, False, True),
        pytest.param(np.float64, True, True, marks=pytest.mark.long),
        pytest.param(np.float32, False, True, marks=pytest.mark.long),
        pytest.param(jnp.asarray, False, True, marks=pytest.mark.long),
        (jnp.asarray, True, False),
    ],
)
def test_a_fit_leaves_the_log_density_as_it_was(as_kind: Any, x64: bool, used_before: bool) -> None:
    with jax.enable_x64(x64):
        X, y = table()
        function, dtype = poisson(as_kind(X), y), jnp.result_type(float)
        if used_before:
            check_used(function, dtype)
        found = fit_posterior(function, 3, key=KEY, effort=1)
        check_used(function, dtype)
        assert found.diagnosis.gap < 0.05


@jax.jit
def compiled_part(b: jax.Array) -> jax.Array:
    return ((b - CENTRE) ** 2).sum()


class Shifted:
    def __init__(self) -> None:
        self.centre = np.array([1.0, -2.0, 0.5])

    def log_density(self, b: jax.Array) -> jax.Array:
        return -0.5 * ((b - self.centre) ** 2).sum()


def kinds_of_functions() -> dict[str, Function]:
    centre, halves = np.array([1.0, -2.0, 0.5]), np.full(3, 0.5)

    def with_argument(centre: Any, b: jax.Array) -> jax.Array:
        return -0.5 * ((b - centre) ** 2).sum()

    def looped(b: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(
            0, 3, lambda i, total: total - halves[0] * (b[i] - jnp.take(centre, i)) ** 2, 0.0 * b[0]
        )

    return {
        "Python numbers": lambda b: -0.5 * ((b[0] - 1.0) ** 2 + (b[1] + 2.0) ** 2 + (b[2] - 0.5) ** 2),
        "closure": lambda b: -((b - centre) ** 2 * halves).sum(),
        "global": lambda b: -0.5 * ((b - CENTRE) ** 2).sum(),
        "method": Shifted().log_density,
        "partial": partial(with_argument, centre),
        "compiled part": lambda b: -0.5 * compiled_part(b),
        "loop": looped,
        "strict types": lambda b: -0.5 * jnp.sum(jax.lax.square(jax.lax.sub(b, jax.lax.stop_gradient(centre)))),
    }


@pytest.mark.parametrize("kind", kinds_of_functions())
def test_every_kind_of_function_may_be_used_in_both_precisions_in_turn(kind: str) -> None:
    function = kinds_of_functions()[kind]
    at, expected = np.array([0.1, 0.2, 0.3]), -2.845
    programs: list[Any] = []  # a program keeps its arrays as they were read for it
    for x64 in (False, True, False, True):
        with double_precision(x64):
            dtype = jnp.result_type(float)
            programs.append(jax.jit(jax.value_and_grad(lambda b: function(b))))
            value, gradient = programs[-1](jnp.asarray(at))
            assert value.dtype == gradient.dtype == dtype
            # not only in type: the data are not rounded on the way
            assert abs(float(value) - expected) < (1e-12 if x64 else 1e-5)


def test_arrays_that_are_gone_leave_nothing_behind() -> None:
    """One that takes the place of another in memory is not mistaken for it."""
    with double_precision(False):
        for i in range(50):
            array = np.full(3, float(i))
            program = jax.make_jaxpr(lambda b, array=array: b + array)(jnp.zeros(3))
            del array
            np.testing.assert_array_equal(jax.core.eval_jaxpr(program.jaxpr, program.consts, jnp.zeros(3))[0], i)


@pytest.mark.parametrize(
    "handlers", [None, {}, {np.ndarray: lambda array: array}], ids=["none", "without arrays", "without types"]
)
def test_a_jax_that_reads_arrays_in_another_way_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch, handlers: dict[Any, Any] | None
) -> None:
    if handlers is None:
        monkeypatch.delattr(xla, "canonicalize_dtype_handlers")
    else:
        monkeypatch.setattr(xla, "canonicalize_dtype_handlers", handlers)
    monkeypatch.setattr(precision, "_keep_precisions_apart", precision._keep_precisions_apart.__wrapped__)
    before = dict(handlers or {})
    for x64 in (True, False):
        with pytest.warns(RuntimeWarning, match="reads NumPy arrays in a way that is not known here .*jax_enable_x64"):
            context = double_precision(x64)
        with context:
            assert jnp.zeros(1).dtype == (jnp.float64 if x64 else jnp.float32)
    assert before == (handlers or {})


OTHER_JAX = """
import warnings
from jax.interpreters import xla
del xla.canonicalize_dtype_handlers
import jax, numpy as np, pushforward as pf
centre = np.arange(3.0)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    found = pf.fit_posterior(lambda b: -0.5 * ((b - centre) ** 2).sum(), 3, key=jax.random.key(0), effort=1)
print(found.diagnosis.gap < 0.05, sum("not known here" in str(warning.message) for warning in caught))
"""


@pytest.mark.long
def test_a_fit_works_where_jax_reads_arrays_in_another_way_and_says_so_once() -> None:
    ran = subprocess.run([sys.executable, "-c", OTHER_JAX], capture_output=True, text=True, timeout=300, check=True)
    assert ran.stdout.split() == ["True", "1"]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:Pareto")
def test_nuts_runs_on_a_model_that_was_fitted() -> None:
    X, y = table()

    def model(X: np.ndarray, y: np.ndarray) -> None:
        b = numpyro.sample("b", dist.Normal(np.zeros(3), np.ones(3)).to_event(1))
        numpyro.sample("y", dist.Poisson(jnp.exp((X * b).sum(axis=1) - 0.1)), obs=y)

    found = fit_posterior(*as_log_density(model, X, y), key=KEY, effort=1)
    sampler = MCMC(NUTS(model), num_warmup=100, num_samples=200, progress_bar=False)
    sampler.run(KEY, X, y)
    np.testing.assert_allclose(sampler.get_samples()["b"].mean(axis=0), found.mean()["b"], atol=0.05)
