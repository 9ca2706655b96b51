"""Flows for NumPyro: a guide, transforms and distributions, and models as log-densities."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import FunctionType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax.flatten_util import ravel_pytree
from jaxtyping import Array
from numpyro import distributions as dist
from numpyro import handlers
from numpyro.distributions import biject_to, constraints
from numpyro.infer import init_to_uniform
from numpyro.infer.autoguide import AutoContinuous
from numpyro.infer.util import log_density as joint_log_density

from pushforward import trees
from pushforward.bijections import AbstractMap, Affine, Chain, Triangular, require_bijection
from pushforward.distributions import AbstractDistribution, Pushforward
from pushforward.inference.families import GAUSSIANS, Recipe, check_flow, draw, inverse_is_quick
from pushforward.inference.support import Support, labels
from pushforward.trees import stop_gradient

DENSE_UP_TO = 100  # latent values up to which a guide has a matrix for their correlations
PACE = 0.03  # of Adam's steps in the numbers of the networks, whose effects add up over units and layers
MAX_LOG_SCALE = 3.0  # of all affine layers together: single draws far out would else throw training off


def as_log_density(model: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Callable[[Any], Array], Support]:
    """The log-density of a NumPyro model's latent values given its data, and where they live.

    Keep the pair where a fit is repeated: the same pair compiles nothing anew.

    Arguments:
        model: a NumPyro model with continuous latent values.
        args, kwargs: what it takes.

    Returns:
        What `fit_posterior` takes: a log-density and its support. Draws are dictionaries of sites, deterministic ones
        included.

    Raises:
        ValueError: the model has no latent values, or discrete ones.

    Example:
        >>> import jax, numpyro
        >>> import numpyro.distributions as dist
        >>> import pushforward as pf
        >>> def model(y):
        ...     mean = numpyro.sample("mean", dist.Normal(0, 1))
        ...     numpyro.sample("y", dist.Normal(mean, 1), obs=y)
        >>> posterior = pf.fit_posterior(*pf.numpyro.as_log_density(model, 2.0), key=jax.random.key(0))
        >>> round(posterior.mean()["mean"].item(), 1)
        1.0
    """
    seeded = handlers.seed(model, 0)  # for plates that subsample, and nothing else: every latent value is given
    shapes, names = _latents(seeded, args, kwargs)

    def log_density(values: dict[str, Array]) -> Array:
        latent = {name: values[name] for name in shapes}
        joint: Array = joint_log_density(seeded, args, kwargs, latent)[0]
        return joint

    log_density.__name__ = model.__name__ if isinstance(model, FunctionType) else "model"
    return log_density, Support(len(names), _Sites(seeded, args, kwargs, shapes), None, names)


@dataclasses.dataclass(frozen=True, eq=False)
class _Sites:
    """From a real vector to the sites of a model, and the log-determinant.

    Arguments:
        model: a NumPyro model, seeded.
        args, kwargs: what it takes.
        shapes: of every latent value where it has no constraint.
    """

    model: Callable[..., Any]
    args: Any
    kwargs: Any
    shapes: dict[str, tuple[int, ...]]

    def __call__(self, u: Array) -> tuple[dict[str, Array], Array]:
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes.values()])
        pieces = zip(self.shapes.items(), jnp.split(u, ends[:-1]), strict=True)
        unconstrained = {name: piece.reshape(shape) for (name, shape), piece in pieces}
        log_dets = []

        def constrained(site: dict[str, Any]) -> Array | None:
            if site["type"] != "sample" or site["name"] not in unconstrained:
                return None
            value = unconstrained[site["name"]]
            transform = biject_to(site["fn"].support)  # which may depend on values before it
            there: Array = transform(value)
            log_dets.append(transform.log_abs_det_jacobian(value, there).sum())
            return there

        given = handlers.substitute(self.model, substitute_fn=constrained)
        trace = handlers.trace(given).get_trace(*self.args, **self.kwargs)
        wanted = [n for n, site in trace.items() if n in unconstrained or site["type"] == "deterministic"]
        return {name: trace[name]["value"] for name in wanted}, sum(log_dets, jnp.zeros((), u.dtype))


def _latents(model: Callable[..., Any], args: Any, kwargs: Any) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
    """The shape of each latent value where it has no constraint, and what its numbers are called.

    The model is traced, so that nothing is compiled.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    names: list[str] = []

    def look() -> None:
        trace = handlers.trace(handlers.substitute(model, substitute_fn=init_to_uniform)).get_trace(*args, **kwargs)
        for name, site in trace.items():
            if site["type"] == "plate" and site["args"][1] not in (None, site["args"][0]):
                size, some = site["args"]
                raise ValueError(
                    f"plate {name!r} takes {some} of {size} rows by chance, which would fit one such choice; give all "
                    "rows (no subsample_size), or fit the model by SVI with AutoFlow"
                )
            if site["type"] != "sample" or site["is_observed"]:
                continue
            if site["fn"].support.is_discrete:
                raise ValueError(
                    f"the latent value {name!r} is discrete, and is not enumerated here, also where its site asks for "
                    "it; sum it out of the model, as numpyro.distributions.MixtureSameFamily does"
                )
            transform = biject_to(site["fn"].support)
            shapes[name] = tuple(transform.inverse_shape(jnp.shape(site["value"])))
            names.extend(labels(name, shapes[name], transform))

    jax.eval_shape(look)
    if not shapes:
        raise ValueError("the model has no latent values: every sample site is observed")
    return shapes, tuple(names)


class FlowTransform(dist.transforms.Transform):
    """A map of the package as a NumPyro transform of real vectors.

    Arguments:
        bijection: without condition, of event shape (D,).

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Affine
        >>> from pushforward.numpyro import FlowTransform
        >>> FlowTransform(Affine(jnp.ones(2), jnp.ones(2)))(jnp.zeros((3, 2))).shape
        (3, 2)
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector

    def __init__(self, bijection: AbstractMap):
        require_bijection(bijection, "the map of a FlowTransform")
        if len(bijection.shape) != 1 or bijection.cond_shape is not None:
            raise ValueError(f"NumPyro takes maps of vectors without condition; this one has shape {bijection.shape}")
        self.bijection = bijection

    def __call__(self, x: Array) -> Array:
        return self.call_with_intermediates(x)[0]

    def _inverse(self, y: Array) -> Array:
        result: Array = jnp.vectorize(self.bijection.inverse, signature="(d)->(d)")(y)
        return result

    def call_with_intermediates(self, x: Array) -> tuple[Array, Array]:
        """The moved points, and the log-determinant that the same pass gave."""
        moved: tuple[Array, Array] = jnp.vectorize(self.bijection.forward_and_log_det, signature="(d)->(d),()")(x)
        return moved

    def log_abs_det_jacobian(self, x: Array, y: Array, intermediates: Array | None = None) -> Array:
        return self.call_with_intermediates(x)[1] if intermediates is None else intermediates

    def tree_flatten(self) -> tuple[Any, Any]:
        return (self.bijection,), (("bijection",), {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FlowTransform) and bool(eqx.tree_equal(self.bijection, other.bijection))

    __hash__ = None  # type: ignore[assignment]


class FlowDistribution(dist.Distribution):
    """A distribution of the package, such as a fitted flow, as a NumPyro distribution.

    Arguments:
        flow: without condition; on real numbers.

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> from pushforward.numpyro import FlowDistribution
        >>> prior = FlowDistribution(flows.real_nvp(jax.random.key(0), 2))
        >>> prior.log_prob(prior.sample(jax.random.key(1), (5,))).shape
        (5,)
    """

    pytree_data_fields = ("flow",)

    def __init__(self, flow: AbstractDistribution, *, validate_args: bool | None = None):
        if flow.cond_shape is not None:
            raise ValueError(f"NumPyro takes distributions without condition; this one needs {flow.cond_shape}")
        self.flow = flow
        super().__init__(batch_shape=(), event_shape=flow.shape, validate_args=validate_args)

    @property
    def support(self) -> Any:
        """All real numbers."""
        return constraints.independent(constraints.real, len(self.event_shape))

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:
        return self.flow.sample(key, sample_shape)

    def log_prob(self, value: Array, intermediates: Any = None) -> Array:
        return self.flow.log_prob(value)


class AutoFlow(AutoContinuous):
    """A guide for SVI on any NumPyro model with continuous latent values: a flow over all of them.

    It starts as a small Gaussian at the initial values. Location, scales and correlations train at the optimizer's own
    pace, the networks of the flow at a slower one, with bounded log-scales: so Adam at 5e-3 or 1e-2 and a single draw a
    step do. Families whose inverse is quick take path gradients, which have less noise (Roeder et al. 2017); others
    train through their forward direction alone. Its transform serves NumPyro's `NeuTraReparam` as well.

    Arguments:
        model: a NumPyro model.
        flow: a recipe's name, or a function (key, size) -> Pushforward; "auto" takes RealNVP, or a spline for a single
            number.
        n_layers: of a recipe given by name.
        init_scale: of the guide on the unconstrained scale, around the initial values.
        prefix, init_loc_fn: as for every guide of NumPyro.

    Raises:
        ValueError: there is no such recipe.

    Example:
        >>> import jax, numpyro
        >>> import numpyro.distributions as dist
        >>> from numpyro.infer import SVI, Trace_ELBO
        >>> from pushforward.numpyro import AutoFlow
        >>> def model(y):
        ...     mean = numpyro.sample("mean", dist.Normal(0, 1))
        ...     scale = numpyro.sample("scale", dist.HalfNormal(1))
        ...     numpyro.sample("y", dist.Normal(mean, scale), obs=y)
        >>> guide = AutoFlow(model, "iaf", n_layers=2)
        >>> svi = SVI(model, guide, numpyro.optim.Adam(1e-2), Trace_ELBO())
        >>> found = svi.run(jax.random.key(0), 50, 2.0, progress_bar=False)
        >>> guide.sample_posterior(jax.random.key(1), found.params, sample_shape=(10,))["scale"].shape
        (10,)
    """

    def __init__(
        self,
        model: Callable[..., Any],
        flow: str | Recipe = "auto",
        *,
        n_layers: int = 4,
        init_scale: float = 0.1,
        prefix: str = "auto",
        init_loc_fn: Callable[..., Any] = init_to_uniform,
    ):
        check_flow(flow)
        if flow in GAUSSIANS:
            raise ValueError(
                f"AutoFlow takes flows, and {flow!r} is none; NumPyro's AutoNormal and AutoMultivariateNormal are "
                "these guides"
            )
        self.recipe, self.n_layers, self.init_scale = flow, n_layers, init_scale
        super().__init__(model, prefix=prefix, init_loc_fn=init_loc_fn)

    def _drawn(self, key: Any) -> Pushforward:
        size = self.latent_dim
        place: list[AbstractMap] = [Affine(jnp.asarray(self._init_latent), jnp.full(size, self.init_scale))]
        if 1 < size <= DENSE_UP_TO:  # correlations, which couplings take many layers for
            place.insert(0, Triangular(jnp.eye(size), jnp.zeros(size)))
        return draw(self.recipe, key, size, self.n_layers, MAX_LOG_SCALE).then(Chain(place))

    def _flow(self) -> Pushforward:
        template, rest = trees.partition(self._drawn(jax.random.key(0)))
        pace = ravel_pytree(_paces(template))[0]
        unravel = ravel_pytree(template)[1]
        flat = numpyro.param(
            f"{self.prefix}_flow", lambda key: ravel_pytree(trees.partition(self._drawn(key))[0])[0] / pace
        )
        result: Pushforward = trees.combine(unravel(flat * pace), rest)
        return result

    def _get_posterior(self) -> Any:
        return _PathFlow(self._flow())

    def get_transform(self, params: Any) -> FlowTransform:
        """The flow's map, for `NeuTraReparam`."""
        return FlowTransform(handlers.substitute(self._flow, params)().bijection)

    def get_base_dist(self) -> Any:
        """The standard normal that the flow starts from."""
        return dist.Normal(jnp.zeros(self.latent_dim), 1).to_event(1)


def _paces(flow: Pushforward) -> Pushforward:
    """How far each number of a flow moves for a step of its parameter: those of its last, linear map all the way."""
    where: Any = lambda flow: flow.bijection.bijections[1]  # noqa: E731
    slow = jax.tree.map(lambda leaf: jnp.full_like(leaf, PACE), flow)
    paced: Pushforward = eqx.tree_at(where, slow, jax.tree.map(jnp.ones_like, where(flow)))
    return paced


class _PathFlow(FlowDistribution):
    """A flow as a guide: its draws come with their log-densities, held fixed but for the draw where that is quick."""

    def sample_with_intermediates(self, key: Any, sample_shape: tuple[int, ...] = ()) -> tuple[Array, list[Array]]:
        if not inverse_is_quick(self.flow):
            x, log_q = self.flow.sample_and_log_prob(key, sample_shape)
            return x, [log_q]
        x = self.flow.sample(key, sample_shape)
        return x, [stop_gradient(self.flow).log_prob(x)]

    def log_prob(self, value: Array, intermediates: Any = None) -> Array:
        return intermediates[0] if intermediates else self.flow.log_prob(value)
