"""From names and numbers to models ready to train, each built in one compiled call."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from pushforward import flows, trees
from pushforward.bijections import (
    AbstractBijection,
    AbstractMap,
    Affine,
    Identity,
    RationalQuadraticSpline,
    Triangular,
    Untrained,
    Vmap,
)
from pushforward.checks import check_sizes, check_whole, is_whole
from pushforward.distributions import Cells, GaussianMixture, MixtureOfFlows, Normal, Pushforward
from pushforward.networks import row_network
from pushforward.processes import jit_once

MOST_NARROW = 128  # columns up to which the networks of flow="auto" are narrow
NARROW, WIDE = 64, 256
UNNAMED = "<"  # how the text for a flow that has no name begins
Recipe: TypeAlias = Callable[..., Pushforward]
Flow: TypeAlias = str | Recipe | Pushforward
Marginal: TypeAlias = tuple[Array, Array, Array]
HALF_WIDTH = 4.0  # of the spline that all pixels of images share


class FlowSpec(NamedTuple):
    """The recipe of a flow and its sizes.

    Arguments:
        flow: a recipe's name, a recipe of one's own, or a built flow; of a loaded model that was fitted with one of
            the latter, what it was called.
        dim: columns.
        cond_dim: conditioning columns, or None.
        n_layers, hidden_sizes: None for the recipe's own.
        options: what else the recipe takes, sorted by name.
    """

    flow: Flow
    dim: int
    cond_dim: int | None
    n_layers: int | None
    hidden_sizes: tuple[int, ...] | None
    options: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def choose(
        cls,
        flow: Flow,
        dim: int,
        cond_dim: int | None = None,
        *,
        n_layers: int | None = None,
        hidden_sizes: Sequence[int] | None = None,
        options: Mapping[str, Any] | None = None,
        image_shape: tuple[int, int, int] | None = None,
        levels: int | None = None,
        alone: bool,
        few_rows: bool = False,
    ) -> FlowSpec:
        """What the user asked for, with "auto" and None filled in by the number of columns.

        A flow alone goes through splines, which can carve gaps between clusters. A component of a mixture, which has
        one cluster to bend, goes through RealNVP, whose smooth small networks need fewer rows; but a single column,
        which couplings can only shift and scale, through a spline. Of few rows, few layers: components that bend
        more than rows can tell take each other's. Of images whose sides halve, a flow alone is Glow.

        Raises:
            ValueError: there is no such flow, it does not take what is asked for, or a size is no whole number.
        """
        if isinstance(flow, str) and flow == "auto" and alone and image_shape is not None:
            flow = "glow" if image_shape[0] % 2 == image_shape[1] % 2 == 0 else flow
        if isinstance(flow, str) and flow == "auto":
            smooth = dim > 1 and not alone
            flow = "real_nvp" if smooth else "spline_coupling"
            chosen = (2 if few_rows else 6) if smooth else 1 if dim == 1 else 4
            n_layers = chosen if n_layers is None else n_layers
            least = 32 if alone and dim > 1 else 0
            width = WIDE if dim > MOST_NARROW else min(NARROW, max(least, 4 * dim))
            hidden_sizes = (width,) if hidden_sizes is None else hidden_sizes
        n_layers = None if n_layers is None else check_whole("n_layers", n_layers, 1)
        hidden = None if hidden_sizes is None else check_sizes("hidden_sizes", hidden_sizes)
        told: dict[str, Any] = {}
        if image_shape is not None and takes(flow, "image_shape"):
            told = {"image_shape": image_shape} | ({} if levels is None else {"levels": levels})
        if levels is not None and "levels" in (options or {}):
            raise ValueError(
                f"levels are read off images, {levels} of them; leave them out, or give bounds=(low, high)"
            )
        asked = told | dict(options or {})
        fixed = {name: tuple(value) if isinstance(value, list) else value for name, value in asked.items()}
        spec = cls(flow, dim, cond_dim, n_layers, hidden, tuple(sorted(fixed.items())))
        _check_flow(spec)
        if spec.of_levels and levels is None:
            raise ValueError(f"flow={flow_text(flow)} is of images: give image_shape=, or images as an array")
        return spec

    @property
    def of_images(self) -> bool:
        """Whether the recipe was told the shape of images."""
        return any(name == "image_shape" for name, _ in self.options)

    @property
    def of_levels(self) -> bool:
        """Whether the recipe is one of levels, whose flow has no map from noise."""
        return of_levels(self.flow)

    def split(self, n_shared: Any) -> tuple[FlowSpec | None, FlowSpec]:
        """The recipe of a stack of `n_shared` layers, or None for none, and that of the layers left over.

        Raises:
            ValueError: there are not as many layers.
        """
        if is_whole(n_shared, 0) and n_shared == 0:
            return None, self
        takes = {} if isinstance(self.flow, Pushforward) else inspect.signature(_recipe(self.flow)).parameters
        if "n_layers" not in takes:
            raise ValueError(f"shared_layers must be 0 with flow={flow_text(self.flow)}, which takes no n_layers")
        if self.of_levels:
            raise ValueError(f"shared_layers must be 0 with flow={flow_text(self.flow)}, whose layers are no maps")
        n_layers = takes["n_layers"].default if self.n_layers is None else self.n_layers
        n = n_layers if n_shared == "all" else n_shared
        if not is_whole(n, 0) or int(n) > n_layers:
            raise ValueError(f'shared_layers must be a whole number in 0..{n_layers}, or "all"; got {n_shared!r}')
        return self._replace(n_layers=int(n)), self._replace(n_layers=int(n_layers) - int(n))

    def draw(self, key: Array) -> Pushforward:
        """Draw the flow; of no layers, a standard normal; a built one is as it was built."""
        if self.n_layers == 0:
            return Pushforward(Normal.standard((self.dim,)), Identity((self.dim,)))
        if isinstance(self.flow, Pushforward):
            return self.flow
        options: dict[str, Any] = dict(self.options)
        if isinstance(self.flow, str) or _takes(self.flow, "cond_dim"):
            options["cond_dim"] = self.cond_dim
        if self.n_layers is not None:
            options["n_layers"] = self.n_layers
        if self.hidden_sizes is not None:
            options["hidden_sizes"] = self.hidden_sizes
        flow = _recipe(self.flow)(key, self.dim, **options)
        if not isinstance(self.flow, str):
            _check_built(flow, self)
        return flow


def flow_text(flow: Flow) -> str:
    """How a flow is called: its name, or for one that has none what it is, in angle brackets."""
    if isinstance(flow, str):
        return flow
    return f"{UNNAMED}{flow.__name__ if isinstance(flow, FunctionType) else type(flow).__name__}>"


def _recipe(flow: str | Recipe) -> Recipe:
    return flows.recipe(flow) if isinstance(flow, str) else flow


def takes(flow: Flow, option: str) -> bool:
    """Whether a flow is a recipe that takes an option of that name, beside its sizes."""
    if isinstance(flow, str):
        return not flow.startswith(UNNAMED) and option in flows.options_of(flow)
    return not isinstance(flow, Pushforward) and callable(flow) and _takes(flow, option)


def of_levels(flow: Flow) -> bool:
    """Whether a flow is a recipe that takes `levels`, whose density is constant around each image of them."""
    if isinstance(flow, str):
        return flow != "auto" and takes(flow, "levels")
    return not isinstance(flow, Pushforward) and callable(flow) and "levels" in inspect.signature(flow).parameters


def _takes(recipe: Recipe, option: str) -> bool:
    """Whether a recipe of one's own takes an option of that name."""
    parameters = inspect.signature(recipe).parameters
    return option in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _check_flow(spec: FlowSpec) -> None:
    """Refuse a flow that there is not, and options that it does not take."""
    flow, options = spec.flow, dict(spec.options)
    if isinstance(flow, str):
        if flow.startswith(UNNAMED):
            raise ValueError(
                f"this model was fitted with flow={flow}, which model files do not keep; give it again with "
                "set_params(flow=...) before fitting anew"
            )
        known = flows.options_of(flow)
        if unknown := sorted(set(options) - known):
            raise ValueError(f"flow_options has {unknown}, which {flow!r} does not take; it takes {sorted(known)}")
        name = flow.removeprefix(flows.INDEXED)
        takes = inspect.signature(flows.recipe(name)).parameters.values()
        needed = [p.name for p in takes if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
        if missing := [option for option in needed if option not in options]:
            raise ValueError(
                f"flow={flow!r} needs {missing[0]}: give {missing[0]}=, or images as an array (n, height, width)"
                if missing[0] == "image_shape"
                else f"flow={flow!r} needs {missing[0]}: give flow_options={{{missing[0]!r}: ...}}"
            )
        return
    if not isinstance(flow, Pushforward) and not callable(flow):
        raise ValueError(f"flow must be a recipe's name, a callable (key, dim, ...) or a Pushforward; got {flow!r}")
    asked = {"n_layers": spec.n_layers, "hidden_sizes": spec.hidden_sizes, "cond_dim": spec.cond_dim}
    wanted = [name for name, value in asked.items() if value is not None] + sorted(options)
    if isinstance(flow, Pushforward):
        _check_built(flow, spec)
        untaken = [name for name in wanted if name != "cond_dim"]
    else:
        untaken = [name for name in wanted if not _takes(flow, name)]
    if untaken:
        raise ValueError(f"flow={flow_text(flow)} does not take {', '.join(untaken)}; leave it out")


def _check_built(flow: Any, spec: FlowSpec) -> None:
    """Refuse what is no flow of so many columns and conditioning columns."""
    if not isinstance(flow, Pushforward):
        raise ValueError(f"flow={flow_text(spec.flow)} must give a Pushforward; it gave a {type(flow).__name__}")
    cond_shape = None if spec.cond_dim is None else (spec.cond_dim,)
    if flow.shape != (spec.dim,) or flow.cond_shape != cond_shape:
        raise ValueError(
            f"flow={flow_text(spec.flow)} has shape {flow.shape} and cond_shape {flow.cond_shape}; the table asks for "
            f"{(spec.dim,)} and {cond_shape}"
        )
    if isinstance(flow.base, Cells) and not spec.of_levels:
        raise ValueError(
            f"flow={flow_text(spec.flow)} is of levels, which have to be told: give a recipe that takes levels= and "
            "image_shape="
        )


def _place(location: Array, factor: Array) -> AbstractBijection:
    """The linear map that puts a flow where its rows are: `factor` is a Cholesky factor or a diagonal."""
    return Triangular(factor, location) if factor.ndim == 2 else Affine(location, factor)


def _placed(flow: Pushforward, location: Array, factor: Array, marginal: Marginal | None) -> Pushforward:
    """A flow where its rows are; of images, with one spline for all pixels before that; of levels, as they are."""
    if isinstance(flow.base, Cells):
        return flow.then(Untrained(_place(location, factor)))
    if marginal is not None:
        spline = RationalQuadraticSpline(*marginal, HALF_WIDTH)
        flow = flow.then(Vmap(spline, axis_size=math.prod(flow.shape)))
    return flow.then(_place(location, factor))


@jit_once
def build_flow(
    key: Array, spec: FlowSpec, location: Array, factor: Array, marginal: Marginal | None = None
) -> Pushforward:
    """One flow, started at a location and scale.

    Arguments:
        key: a JAX random key.
        spec: the recipe.
        location: shape (D,).
        factor: lower triangular, shape (D, D), or positive, shape (D,).
        marginal: widths, heights and slopes of a spline that all coordinates share, as of `images.PixelStart`; None for
            none.
    """
    return _placed(spec.draw(key), location, factor, marginal)


@jit_once
def build_gaussians(weights: Array, means: Array, factors: Array) -> GaussianMixture:
    """A mixture of Gaussians.

    Arguments:
        weights: positive, shape (K,).
        means: shape (K, D).
        factors: Cholesky factors of the covariances, shape (K, D, D).
    """
    return GaussianMixture(weights / weights.sum(), means, factors=factors)


@jit_once
def build_stacks(keys: Array, spec: FlowSpec) -> AbstractMap:
    """The layers under all components of R mixtures, with a restart axis.

    Arguments:
        keys: shape (R,).
        spec: the recipe.
    """
    stacks: AbstractMap = eqx.filter_vmap(lambda key: spec.draw(key).bijection)(keys)
    return stacks


@eqx.filter_jit
def noise_side(stacks: AbstractMap, z: Array, condition: Array | None) -> Array:
    """Rows (n, D) as each of R stacks hands them to the components, shape (R, n, D)."""
    axes = (0, None if condition is None else 0)
    inner: Array = eqx.filter_vmap(lambda stack: jax.vmap(stack.inverse, in_axes=axes)(z, condition))(stacks)
    return inner


@jit_once
def build_mixtures(
    keys: Array,
    spec: FlowSpec,
    locations: Array,
    factors: Array,
    log_weights: Array,
    posterior_hidden_sizes: tuple[int, ...],
    learn_weights: bool,
    image_shape: tuple[int, ...] | None = None,
    marginal: Marginal | None = None,
) -> MixtureOfFlows:
    """R mixtures with a restart axis (one without, if R = 1), each component started at a place of its own.

    Arguments:
        keys: shape (R,).
        spec: the recipe of every component.
        locations: shape (R, K, D).
        factors: shape (R, K, D, D) or (R, K, D).
        log_weights: shape (R, K).
        posterior_hidden_sizes: hidden layers of the posterior network.
        learn_weights: whether the weights train.
        image_shape: of rows that are images, which the posterior network reads by convolutions; None for a table.
        marginal: as of `build_flow`, of every component.
    """

    def one(key: Array, locations: Array, factors: Array, log_weights: Array) -> MixtureOfFlows:
        k = locations.shape[0]
        posterior_key, *keys = jax.random.split(key, k + 1)
        components = eqx.filter_vmap(lambda key, at, by: _placed(spec.draw(key), at, by, marginal))(
            jnp.stack(keys), locations, factors
        )
        posterior = row_network(
            posterior_key, spec.dim, k, posterior_hidden_sizes, image_shape, n_given=spec.cond_dim or 0
        )
        return MixtureOfFlows(components, posterior, log_weights, learn_weights=learn_weights)

    made: MixtureOfFlows = eqx.filter_vmap(one)(keys, locations, factors, log_weights)
    return trees.unstack(made, 0) if len(keys) == 1 else made
