"""What every map promises, checked against autodiff for every entry of the registry."""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import equinox as eqx
import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree

import pushforward as pf
from pushforward import bijections, trees
from pushforward.bijections import AbstractMap, Dequantise, Indexed, Scan
from pushforward.distributions import Normal, Pushforward, Uniform
from pushforward.testing import check_bijection
from tests.bijections.composed import COMPOSED
from tests.bijections.imaged import IMAGED
from tests.bijections.registry import ENTRIES, Entry
from tests.keys import cheap_key
from tests.quadrature import check_density
from tests.sweeps import long_if

FEW = settings(max_examples=8)
N_POINTS = 6
SEED = st.integers(0, 2**31 - 1)
# float32 keeps 7 digits, of which a badly conditioned draw may lose some
TOLERANCE = {"float32": 3e-3, "float64": 1e-8}


@functools.cache
def size_of(entry: Entry, dim: int) -> int:
    """How many numbers an event has."""
    return int(np.prod(eqx.filter_eval_shape(lambda key: entry.make(key, dim), jax.random.key(0)).shape))


def plane(entry: Entry) -> int:
    """The size of an event of two numbers, or of one where the entry has no more."""
    return next(dim for dim in (2, 1) if dim <= max(entry.dims) and size_of(entry, dim) <= 2)


# much like another entry, which stands for them in `make test`
TWINS = {
    "amortized_coupling", "amortized_planar", "autoregressive_deep_sigmoid", "coupling_deep_sigmoid", "gated_iaf",
    "deep_sigmoid_scalar", "spline_circular", "spline_scalar", "sylvester_orthogonal", "sylvester_triangular",
    "conditional_coupling_first", "conditional_coupling_unseen",
    "autoregressive_spline", "coupling_spline", "stack_deep", "householder_zero", "prelu_shared", "planar_no_direction",
    "reshape_alone", "invert_reshape", "split_rows", "vmap_last",
    "batch_norm_channels", "image_coupling_given", "image_coupling_spline",
    # quick ones are in tests of their own, and of the recipes
    "continuous", "continuous_direct", "deep_sigmoid", "block_autoregressive", "sylvester_householder",
    "residual_conditional",
}  # fmt: skip
assert {entry.name for entry in ENTRIES} >= TWINS


# each entry in both precisions, and in each of its sizes; of the two, the stricter one is quick
CASES = [
    pytest.param(entry, dim, dtype, id=f"{entry.name}-{dim}-{dtype}", marks=marks)
    for entry in ENTRIES
    for dim, dtype in ((entry.dims[0], "float64"), (entry.dims[-1], "float32"))
    for marks in [long_if(dtype == "float32" or entry.name in TWINS)]
]
PLANES = [
    # recipes integrate those that are put together
    pytest.param(entry, plane(entry), id=f"{entry.name}-{plane(entry)}", marks=marks)
    for entry in ENTRIES
    if entry not in IMAGED  # whose events have more numbers
    for marks in [long_if(entry in COMPOSED or entry.name in TWINS)]
]
STEPPED = {"continuous_direct"}  # either mode chooses its own steps: rounding can accept one that the other refuses
SINGULAR = {"householder_zero", "planar_no_direction"}  # at a parameter of which the map itself is not smooth
QUICK = {"affine", "sigmoid", "spline_bounded", "circular_shift", "concatenate", "vmap", "coupling", "bounded"}
WHOLE = [
    pytest.param(entry, entry.dims[-1], id=f"{entry.name}-{entry.dims[-1]}", marks=long_if(entry.name not in QUICK))
    for entry in ENTRIES
]
# a `continuous` map is differentiated in reverse mode alone, as its message says
DERIVATIVES = [
    pytest.param(entry, dim, id=f"{entry.name}-{dim}", marks=marks)
    for entry in ENTRIES
    for dim in entry.dims
    if entry.name != "continuous"
    for marks in [long_if(dim != entry.dims[-1] or entry.name not in {"affine", "coupling"})]
]
# a `continuous` map has no forward mode
PUBLIC = [
    pytest.param(entry, id=entry.name, marks=marks)
    for entry in ENTRIES
    if entry.name != "continuous"
    for marks in [long_if(entry.name not in {"affine", "coupling", "bounded"})]
]
FLOAT32 = [case for case in CASES if case.values[2] == "float32"]


STEP = 1e-5  # of central differences, whose error is its square


@eqx.filter_jit
def derivatives(bijection: Any, point: Any, condition: Any, from_data: bool) -> dict[str, Any]:
    """First and second derivatives of one direction in either mode, of all numbers and of the point's alone."""
    trainable, rest = trees.partition(bijection)

    def direction(trainable: Any, point: Any, condition: Any) -> Any:
        whole = trees.combine(trainable, rest)
        image, log_det = (whole.inverse_and_log_det if from_data else whole.forward_and_log_det)(point, condition)
        return jnp.append(image.reshape(-1), log_det)

    def waves(leaf: Any, start: float) -> Any:
        return jnp.cos(start + jnp.arange(leaf.size, dtype=leaf.dtype)).reshape(leaf.shape)

    def dot(a: Any, b: Any) -> Any:
        return sum(jnp.vdot(u, v) for u, v in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))

    arguments = (trainable, point, condition)
    tangents = jax.tree.map(lambda leaf: waves(leaf, 1.0), arguments)
    out, push = jax.linearize(direction, *arguments)
    tangent = push(*tangents)
    cotangent = waves(out, 2.0)
    pulled = jax.vjp(direction, *arguments)[1](cotangent)
    ahead, behind = jax.lax.map(
        lambda step: direction(*jax.tree.map(lambda leaf, t: leaf + step * t, arguments, tangents)),
        jnp.array([STEP, -STEP]),
    )

    def at(point: Any) -> Any:
        return direction(trainable, point, condition)

    def value(point: Any) -> Any:
        return jnp.sin(at(point)) @ cotangent

    return {
        "tangent": tangent,
        "difference": (ahead - behind) / (2 * STEP),
        "pushed": dot(cotangent, tangent),
        "pulled": dot(pulled, tangents),
        "columns": jax.jacfwd(at)(point),
        "rows": jax.jacrev(at)(point),
        "hessian": jax.hessian(value)(point).reshape(point.size, point.size),
        "reverse twice": jax.jacrev(jax.jacrev(value))(point).reshape(point.size, point.size),
    }


@contextmanager
def precision(dtype: str) -> Iterator[None]:
    with jax.enable_x64(dtype == "float64"):
        yield


def draw(entry: Entry, dim: int, seed: int, amount: float = 1.0) -> tuple[Any, Any]:
    """A map with raw leaves as training might leave them, and a condition if it takes one."""
    key = cheap_key(seed)
    return _draw(entry, dim, key, jnp.asarray(amount))


@eqx.filter_jit  # one program instead of one for each operation of a constructor
def _draw(entry: Entry, dim: int, key: Any, amount: Any) -> tuple[Any, Any]:
    make, shake, cond = jax.random.split(key, 3)
    bijection = entry.make(make, dim)
    n = trees.n_parameters(bijection)
    if n:
        bijection = trees.offset(bijection, amount * entry.shake * jax.random.normal(shake, (n,)))
    condition = None if bijection.cond_shape is None else jax.random.normal(cond, bijection.cond_shape)
    return bijection, condition


def units() -> st.SearchStrategy[Any]:
    """Coordinates as shares of the largest one: near 0, spread out, at the ends, and exactly 0."""
    spread = st.floats(-1, 1, width=32)
    near = spread.map(lambda u: u * abs(u) ** 3)
    return st.one_of(near, spread, st.sampled_from([0.0, -0.0, 1.0, -1.0]))


def noise(entry: Entry, bijection: Any, shares: Any, largest: float) -> Any:
    """Drawn points and the entry's own, shape (n, *shape)."""
    size = int(np.prod(bijection.noise_shape))
    enough = np.tile(shares, (1, -(-size // shares.shape[1])))  # images have more numbers than are drawn
    drawn = largest * enough[:, :size].reshape(-1, *bijection.noise_shape)
    return jnp.concatenate([jnp.asarray(drawn), *(jnp.asarray(p)[None] for p in entry.points(bijection))])


def shares(dim: int) -> st.SearchStrategy[Any]:
    return hnp.arrays(float, (N_POINTS, 2 * dim), elements=units())


@eqx.filter_jit
def run(bijection: Any, points: Any, condition: Any, from_data: bool) -> dict[str, Any]:
    """One direction on a batch: images, log-determinants, autodiff's log-determinants, gradients of everything."""
    trainable, rest = trees.partition(bijection)

    def direction(trainable: Any, point: Any, condition: Any) -> tuple[Any, Any]:
        whole = trees.combine(trainable, rest)
        return (whole.inverse_and_log_det if from_data else whole.forward_and_log_det)(point, condition)

    def one(point: Any) -> dict[str, Any]:
        (image, log_det), vjp = jax.vjp(direction, trainable, point, condition)
        # one sweep back for each row of the Jacobian, and one for the gradients of everything summed
        rows = jnp.concatenate([jnp.eye(point.size, dtype=image.dtype), jnp.ones((1, point.size), image.dtype)])
        last = jnp.zeros(point.size + 1, image.dtype).at[-1].set(1)
        pulled = jax.vmap(lambda row, last: vjp((row.reshape(image.shape), last)))(rows, last)
        return {
            "image": image,
            "log_det": log_det,
            "autodiff": jnp.linalg.slogdet(pulled[1][:-1].reshape(point.size, point.size))[1],
            "gradients": jax.tree.map(lambda leaf: leaf[-1], pulled),
        }

    return jax.vmap(one)(points)


def forward(bijection: Any, points: Any, condition: Any) -> dict[str, Any]:
    return run(bijection, points, condition, from_data=False)


def inverse(bijection: Any, points: Any, condition: Any) -> dict[str, Any]:
    return run(bijection, points, condition, from_data=True)


def finite(tree: Any) -> bool:
    return all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(tree))


def close(actual: Any, expected: Any, dtype: str) -> bool:
    """Within tolerance, measured against the largest coordinate of each point."""
    actual, expected = (np.asarray(a, float).reshape(len(a), -1) for a in (actual, expected))
    scale = 1 + np.abs(expected).max(axis=1, keepdims=True)
    return bool((np.abs(actual - expected) <= TOLERANCE[dtype] * scale).all())


@pytest.mark.parametrize(("entry", "dim", "dtype"), CASES)
def test_both_directions_are_each_others_inverse_with_autodiffs_log_det(entry: Entry, dim: int, dtype: str) -> None:
    @FEW
    @given(SEED, shares(dim))
    def check(seed: int, shares: Any) -> None:
        with precision(dtype):
            bijection, condition = draw(entry, dim, seed)
            points = noise(entry, bijection, shares, entry.reach[dtype == "float64"])
            there = forward(bijection, points, condition)
            data = there["image"] if entry.outside else points.reshape(-1, *bijection.shape)
            back = inverse(bijection, data, condition)
            for start, first, second, event in (
                (points, there, inverse(bijection, there["image"], condition), bijection.shape),
                (data, back, forward(bijection, back["image"], condition), bijection.noise_shape),
            ):
                assert start.dtype == first["image"].dtype == first["log_det"].dtype == dtype
                assert first["image"].shape == (len(start), *event)
                assert first["log_det"].shape == start.shape[:1]
                assert close(first["log_det"], first["autodiff"], dtype)
                assert close(second["image"], start, dtype)
                assert close(second["log_det"], -first["log_det"], dtype)

    check()


@pytest.mark.parametrize(("entry", "dim"), DERIVATIVES)
def test_forward_and_reverse_mode_agree_to_second_order(entry: Entry, dim: int) -> None:
    with precision("float64"):
        bijection, condition = draw(entry, dim, 5)
        size = int(np.prod(bijection.shape))
        z = jnp.asarray(np.linspace(-0.7, 0.4, size).reshape(bijection.noise_shape))
        x = eqx.filter_jit(lambda bijection: bijection.forward(z, condition))(bijection)
        for point, from_data in ((z, False), (x, True)):
            found = derivatives(bijection, point, condition, from_data)
            assert finite(found)
            slack = 1e3 if entry.name in STEPPED else 1.0
            for one, other, tolerance in (
                ("tangent", "difference", 1e-5),
                ("pushed", "pulled", 1e-9 * slack),
                ("columns", "rows", 1e-9 * slack),
                ("hessian", "reverse twice", 1e-7 * slack),
            )[entry.name in SINGULAR :]:
                scale = 1 + np.abs(found[other]).max()
                np.testing.assert_allclose(found[one], found[other], rtol=0, atol=tolerance * scale, err_msg=one)
            scale = 1 + np.abs(found["hessian"]).max()
            np.testing.assert_allclose(found["hessian"], found["hessian"].T, rtol=0, atol=1e-7 * slack * scale)


@pytest.mark.parametrize(("entry", "dim", "dtype"), CASES)
def test_values_and_gradients_are_finite_in_far_tails(entry: Entry, dim: int, dtype: str) -> None:
    @FEW
    @given(SEED, shares(dim))
    def check(seed: int, shares: Any) -> None:
        with precision(dtype):
            bijection, condition = draw(entry, dim, seed)
            points = noise(entry, bijection, shares, entry.tail)
            there = forward(bijection, points, condition)
            # samples never leave the support, however far out the noise
            data = there["image"] if entry.outside else points.reshape(-1, *bijection.shape)
            back = inverse(bijection, data, condition)
            for found in (there, back):
                assert finite([found["image"], found["log_det"], found["gradients"]])

    check()


@pytest.mark.parametrize(("entry", "dim", "dtype"), [case for case in CASES if case.values[0].outside])
def test_outside_the_support_the_log_det_is_minus_infinity_without_nan(entry: Entry, dim: int, dtype: str) -> None:
    with precision(dtype):
        bijection, condition = draw(entry, dim, 0)
        inner = bijection.forward(jnp.zeros(bijection.noise_shape))
        # the first coordinate outside, the others within; as many points as elsewhere, for the same compiled program
        values = np.resize(entry.outside, N_POINTS + len(entry.points(bijection)))
        points = jnp.tile(inner, (len(values), 1)).at[:, 0].set(values)
        found = inverse(bijection, points, condition)
        assert (np.asarray(found["log_det"]) == -np.inf).all()
        assert finite([found["image"], found["gradients"]])


@pytest.mark.parametrize(("entry", "dim"), PLANES)
def test_a_density_integrates_to_one_and_samples_follow_it(entry: Entry, dim: int) -> None:
    bijection, condition = draw(entry, dim, 3, amount=0.5)  # bins that a grid resolves
    low, high = (jnp.full(bijection.noise_shape, end) for end in entry.support)
    base = Uniform(low, high) if np.isfinite(entry.support).all() else Normal.standard(bijection.noise_shape)
    check_density(Pushforward(base, bijection), condition, entry.support)


@pytest.mark.parametrize(("entry", "dim", "dtype"), FLOAT32)
def test_jit_and_vmap_change_nothing(entry: Entry, dim: int, dtype: str) -> None:
    bijection, condition = draw(entry, dim, 1)
    points = noise(entry, bijection, np.linspace(-1, 1, N_POINTS * 2 * dim).reshape(N_POINTS, -1), 3.0)
    there = forward(bijection, points, condition)
    back = inverse(bijection, there["image"], condition)
    for i in (0, 3):
        x, log_det = bijection.forward_and_log_det(points[i], condition)
        z, back_log_det = bijection.inverse_and_log_det(there["image"][i], condition)
        pairs = ((x, there["image"]), (log_det, there["log_det"]), (z, back["image"]), (back_log_det, back["log_det"]))
        for alone, batched in pairs:
            np.testing.assert_allclose(alone, batched[i], rtol=2e-4, atol=2e-5)


SCANNED = [  # whose derivative is a rule of its own
    pytest.param(name, marks=long_if(name not in ("dense", "orthogonal")))
    for name in ("dense", "low_rank", "orthogonal", "sylvester_orthogonal", "functions", "residual", "deep_sigmoid")
]


@pytest.mark.long
@pytest.mark.parametrize("name", SCANNED)
def test_scanned_layers_keep_their_second_derivatives(name: str, float64: None) -> None:
    entry = next(entry for entry in ENTRIES if entry.name == name)
    layers, condition = draw(entry, entry.dims[-1], 0)
    stack = Scan(trees.repeat(layers, 9))  # more than are unrolled
    trainable, rest = trees.partition(stack)
    numbers, unravel = ravel_pytree(trainable)
    x = jnp.cos(1.0 + jnp.arange(np.prod(stack.shape))).reshape(stack.shape)

    def value(numbers: Any, direction: str) -> Any:
        image, log_det = getattr(trees.combine(unravel(numbers), rest), direction)(x, condition)
        return jnp.sin(image).sum() + log_det

    along = jnp.sin(2.0 + jnp.arange(numbers.size))
    for direction in ("forward_and_log_det", "inverse_and_log_det"):
        slope = jax.jit(jax.grad(functools.partial(value, direction=direction)))
        expected = (slope(numbers + STEP * along) - slope(numbers - STEP * along)) / (2 * STEP)
        forward = jax.jvp(slope, (numbers,), (along,))[1]
        reverse = jax.jit(jax.grad(lambda numbers, slope=slope: slope(numbers) @ along))(numbers)
        scale = 1 + jnp.abs(expected).max()  # differences of nine layers are rough
        np.testing.assert_allclose(forward / scale, expected / scale, atol=1e-4)
        np.testing.assert_allclose(reverse / scale, forward / scale, atol=1e-8)


@pytest.mark.parametrize("entry", PUBLIC)
def test_the_public_check_passes(entry: Entry) -> None:
    with precision("float64"):
        bijection, condition = draw(entry, entry.dims[-1], 0)
        report = check_bijection(bijection, condition=condition)
    assert max(report.errors.values()) <= 10 * report.tolerance


@pytest.mark.parametrize(("entry", "dim"), WHOLE)
def test_a_saved_map_comes_back_equal(entry: Entry, dim: int, tmp_path: Path) -> None:
    bijection, _ = draw(entry, dim, 2)
    pf.save(bijection, tmp_path / "map")
    loaded = pf.load(tmp_path / "map")
    assert type(loaded) is type(bijection)
    assert jax.tree.structure(loaded) == jax.tree.structure(bijection)
    assert eqx.tree_equal(loaded, bijection)


@pytest.mark.parametrize(
    ("message", "call"),
    [pytest.param(m, c, id=f"{entry.name}-{m}") for entry in ENTRIES for m, c in entry.bad.items()],
)
def test_bad_parameters_raise(message: str, call: Any) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def public_maps() -> set[type]:
    """Every concrete map with a public name and log-determinants, in any module of the room."""
    modules = [
        importlib.import_module(f"{bijections.__name__}.{m.name}") for m in pkgutil.iter_modules(bijections.__path__)
    ]
    found = {c for m in modules for c in vars(m).values() if inspect.isclass(c) and issubclass(c, AbstractMap)}
    return {c for c in found - {Dequantise, Indexed} if not c.__name__.startswith(("_", "Abstract"))}


def test_every_public_map_is_in_the_registry() -> None:
    registered = {
        type(eqx.filter_eval_shape(lambda key, entry=entry: entry.make(key, entry.dims[-1]), jax.random.key(0)))
        for entry in ENTRIES
    }
    assert public_maps() - registered == set()


def test_every_public_map_is_exported() -> None:
    assert {c.__name__ for c in public_maps()} <= set(bijections.__all__)
