"""From names and numbers to models ready to train, each built in one compiled call."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from pushforward import flows, trees
from pushforward.bijections import AbstractBijection, AbstractMap, Affine, Identity, Triangular
from pushforward.checks import check_sizes, is_whole
from pushforward.distributions import MixtureOfFlows, Normal, Pushforward
from pushforward.networks import MLP, Convolutional

DENSE_UP_TO = 128  # columns up to which clusters start from full covariances; diagonal beyond


class FlowSpec(NamedTuple):
    """What a recipe needs, hashable so that like models share one compiled construction."""

    flow: str
    dim: int
    cond_dim: int | None
    n_layers: int | None
    hidden_sizes: tuple[int, ...] | None
    options: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def choose(
        cls,
        flow: str,
        dim: int,
        cond_dim: int | None,
        n_layers: int | None,
        hidden_sizes: Sequence[int] | None,
        alone: bool,
        few_rows: bool = False,
    ) -> FlowSpec:
        """What the user asked for, with "auto" and None filled in by the number of columns.

        A flow alone goes through splines, which can carve gaps between clusters. A component of a mixture, which has
        one cluster to bend, goes through RealNVP, whose smooth small networks need fewer rows; but a single column,
        which couplings can only shift and scale, through a spline. Of few rows, few layers: components that bend
        more than rows can tell take each other's.
        """
        if flow == "auto":
            smooth = dim > 1 and not alone
            flow = "real_nvp" if smooth else "spline_coupling"
            chosen = (2 if few_rows else 6) if smooth else 1 if dim == 1 else 4
            n_layers = chosen if n_layers is None else n_layers
            least = 32 if alone and dim > 1 else 0
            width = 256 if dim > DENSE_UP_TO else min(64, max(least, 4 * dim))
            hidden_sizes = (width,) if hidden_sizes is None else hidden_sizes
        if n_layers is not None and not is_whole(n_layers, 1):
            raise ValueError(f"n_layers must be a whole number of at least 1; got {n_layers!r}")
        hidden = None if hidden_sizes is None else check_sizes("hidden_sizes", hidden_sizes)
        return cls(flow, dim, cond_dim, n_layers, hidden)

    def with_options(self, given: Mapping[str, Any] | None) -> FlowSpec:
        """The same, with what else the recipe takes, by name.

        Raises:
            ValueError: the recipe takes no such option.
        """
        known = flows.options_of(self.flow)
        unknown = sorted(set(given or {}) - known)
        if unknown:
            raise ValueError(f"flow_options has {unknown}, which {self.flow!r} does not take; it takes {sorted(known)}")
        fixed = {name: tuple(value) if isinstance(value, list) else value for name, value in (given or {}).items()}
        return self._replace(options=tuple(sorted(fixed.items())))

    def split(self, n_shared: int | str) -> tuple[FlowSpec | None, FlowSpec]:
        """The recipe of a stack of `n_shared` layers, or None for none, and that of the layers left over.

        Raises:
            ValueError: there are not as many layers.
        """
        default = inspect.signature(flows.recipe(self.flow)).parameters["n_layers"].default
        n_layers = default if self.n_layers is None else self.n_layers
        n = n_layers if n_shared == "all" else n_shared
        if not is_whole(n, 0) or int(n) > n_layers:
            raise ValueError(f'shared_layers must be a whole number in 0..{n_layers}, or "all"; got {n_shared!r}')
        if n == 0:
            return None, self
        return self._replace(n_layers=int(n)), self._replace(n_layers=int(n_layers) - int(n))

    def draw(self, key: Array) -> Pushforward:
        """Draw the flow; of no layers, a standard normal."""
        if self.n_layers == 0:
            return Pushforward(Normal.standard((self.dim,)), Identity((self.dim,)))
        options: dict[str, Any] = {"cond_dim": self.cond_dim, **dict(self.options)}
        if self.n_layers is not None:
            options["n_layers"] = self.n_layers
        if self.hidden_sizes is not None:
            options["hidden_sizes"] = self.hidden_sizes
        return flows.recipe(self.flow)(key, self.dim, **options)


def flow_text(flow: Any) -> str:
    """How a flow is called."""
    return str(flow)


def _place(location: Array, factor: Array) -> AbstractBijection:
    """The linear map that puts a flow where its rows are: `factor` is a Cholesky factor or a diagonal."""
    return Triangular(factor, location) if factor.ndim == 2 else Affine(location, factor)


@partial(jax.jit, static_argnames=("spec",))
def build_flow(key: Array, spec: FlowSpec, location: Array, factor: Array) -> Pushforward:
    """One flow, started at a location and scale.

    Arguments:
        key: a JAX random key.
        spec: the recipe.
        location: shape (D,).
        factor: lower triangular, shape (D, D), or positive, shape (D,).
    """
    return spec.draw(key).then(_place(location, factor))


@partial(jax.jit, static_argnames=("spec",))
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
    found: Array = eqx.filter_vmap(
        lambda stack: jax.vmap(stack.inverse, in_axes=axes)(z, condition),
    )(stacks)
    return found


def read_network(
    key: Array,
    n_in: int,
    n_out: int,
    hidden_sizes: tuple[int, ...],
    image_shape: tuple[int, ...] | None,
    n_given: int = 0,
) -> MLP | Convolutional:
    """A network that reads rows: convolutional where they are images.

    Arguments:
        key: a JAX random key.
        n_in: columns.
        n_out: outputs.
        hidden_sizes: of the perceptron, which of images comes after the convolutions.
        image_shape: of rows that are images; None for a table.
        n_given: numbers that follow a row.
    """
    if image_shape is None:
        return MLP.init(key, n_in + n_given, n_out, hidden_sizes, "silu")
    return Convolutional.init(key, image_shape, n_out, n_given, hidden_sizes=hidden_sizes)


@partial(jax.jit, static_argnames=("spec", "posterior_hidden_sizes", "learn_weights", "image_shape"))
def build_mixtures(
    keys: Array,
    spec: FlowSpec,
    locations: Array,
    factors: Array,
    log_weights: Array,
    posterior_hidden_sizes: tuple[int, ...],
    learn_weights: bool,
    image_shape: tuple[int, ...] | None = None,
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
    """

    def one(key: Array, locations: Array, factors: Array, log_weights: Array) -> MixtureOfFlows:
        k = locations.shape[0]
        posterior_key, *keys = jax.random.split(key, k + 1)
        components = eqx.filter_vmap(lambda key, at, by: spec.draw(key).then(_place(at, by)))(
            jnp.stack(keys), locations, factors
        )
        posterior = read_network(
            posterior_key, spec.dim, k, posterior_hidden_sizes, image_shape, n_given=spec.cond_dim or 0
        )
        return MixtureOfFlows(components, posterior, log_weights, learn_weights=learn_weights)

    made: MixtureOfFlows = eqx.filter_vmap(one)(keys, locations, factors, log_weights)
    return trees.unstack(made, 0) if len(keys) == 1 else made
