"""How flows and mixtures start: rows looked at, parted, and a model placed where they are."""

from __future__ import annotations

import dataclasses
import math
import operator
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from pushforward import trees
from pushforward.bijections import AbstractMap, Chain, Triangular, Untrained
from pushforward.clustering import (
    Gaussians,
    Whitening,
    choose_partition,
    embed,
    gaussian_partition,
    moments,
    nearest_neighbours,
    partition_rows,
    subsample,
    whitening,
)
from pushforward.clustering.neighbours import MOST_ROWS
from pushforward.clustering.spectral import FEWEST_ROWS
from pushforward.clustering.whitening import THIN
from pushforward.data.columns import Columns, FloatArray, as_float
from pushforward.distributions import GaussianMixture, MixtureOfFlows, Pushforward
from pushforward.estimators.build import (
    FlowSpec,
    build_flow,
    build_gaussians,
    build_mixtures,
    build_stacks,
    flow_text,
    noise_side,
)
from pushforward.estimators.defaults import FEW_COLUMNS, default_epochs, starts_dense
from pushforward.estimators.images import PixelStart, pixel_start, pixels
from pushforward.estimators.preparing import Table, as_feed, unbounded
from pushforward.objectives import ImageViews, PosteriorStart
from pushforward.training import Settings, train
from pushforward.trees import Frozen

SIZES = (8, 32, 128)  # of Gaussians as a distribution; beyond, multiples of the last
INITS = ("auto", "spectral", "embedding", "random")
STARTING = Settings(batch_size=512, learning_rate=1e-3, schedule="cosine")  # of the posterior network
STEPS = 300  # of the posterior network on the parts
MOST_PLACED = 10_000  # rows that components are placed by where none trains the component of its part
MOST_LOOKED_AT = 2_000  # images that say what pixels are
ROWS_AN_EPOCH = 5_000  # that are given neighbours for each epoch of training


def start_flow(
    spec: FlowSpec,
    columns: Columns,
    rows: Table,
    every: Table,
    thin: float = THIN,
    *,
    seed: int,
    n_init: int,
    gaussians: Gaussians | None = None,
) -> Pushforward:
    """The untrained flow, or several with a restart axis, placed where the rows are.

    Arguments:
        spec: the recipe.
        columns: of the table.
        rows: in standard units.
        every: of these and those that are not trained on, which say what directions are thin: some rows may have been
            chosen for lying in a plane.
        thin: variance, of columns that have one each, below which a direction is thin.
        seed: of everything random.
        n_init: restarts.
        gaussians: of the rows as they are `whitened`, which the flow starts as; None for a single one.
    """
    white, marginal = None, None
    if spec.of_images:
        location, factor, marginal = start_of_pixels(columns, rows)
        below = data_side(columns, None)
    else:
        white = table_whitening(columns, every, thin)
        below, z = data_side(columns, white), whitened(columns, white, rows)
        part = np.zeros(len(z), dtype=int)
        (location,), (factor,), _ = moments(z, part, 1, dense=starts_dense(spec.dim), weight=rows.weight)
    at, by = as_float(location), as_float(factor)
    base = None if gaussians is None else as_base(gaussians.moved(location, factor))

    def one(key: Array) -> Pushforward:
        flow = build_flow(key, spec, at, by, marginal)
        if base is not None:
            flow = eqx.tree_at(lambda flow: flow.base, flow, base)
        return flow if below is None else flow.then(below)

    keys = jax.random.split(jax.random.key(seed), n_init)
    if n_init == 1:
        return one(keys[0])
    flows: Pushforward = eqx.filter_vmap(one)(keys)
    return flows


def start_of_pixels(columns: Columns, rows: Table) -> PixelStart:
    """Where flows of images start, by a sample of rows in standard units."""
    some = subsample(len(rows.x), MOST_LOOKED_AT, np.random.default_rng(0))
    return pixel_start(columns, unbounded(columns, rows.x[some]))


def as_base(gaussians: Gaussians) -> GaussianMixture:
    """Gaussians as a distribution; of few sizes, so that tables share compiled programs."""
    n = len(gaussians.weights)
    size = next((size for size in SIZES if size >= n), SIZES[-1] * math.ceil(n / SIZES[-1]))
    return build_gaussians(*map(as_float, gaussians.of_size(size)))


def whitened(columns: Columns, white: Whitening | None, rows: Table) -> FloatArray:
    """Rows in standard units before `data_side`."""
    z = unbounded(columns, rows.x)
    return z if white is None else white.inverse(z)


def table_whitening(columns: Columns, rows: Table, thin: float = THIN) -> Whitening | None:
    """The whitening of rows in standard units that are thin in some direction; None where they are not, or of many
    columns, whose flows start diagonal."""
    return whitening(unbounded(columns, rows.x), rows.weight, thin) if starts_dense(columns.n) else None


def data_side(columns: Columns, white: Whitening | None) -> AbstractMap | None:
    """What lies between a flow and standard units: the bounds, and above them the whitening; None for neither.

    The whitening does not train, so that no prior pulls a thin direction towards the width of the others.
    """
    bounds = columns.bounds_map() if columns.bounded else None
    if white is None:
        return bounds
    unwhiten = Untrained(Triangular(as_float(white.factor), as_float(white.location)))
    return unwhiten if bounds is None else Chain([unwhiten, bounds])


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that the start of a mixture follows from, beside the rows.

    Arguments:
        spec: the recipe of every component.
        shared: the recipe of the stack under all components, or None.
        columns: of the table.
        n_rows: that are trained on.
        n_components: K.
        init: one of `INITS`.
        image_shape: of rows that are images; None for a table.
        posterior_hidden_sizes: hidden layers of the posterior network.
        learn_weights: whether the components' weights train.
        consistency: how much components of neighbours have to agree.
        n_init: restarts.
        max_epochs: of the training to come, which the start takes its share of.
        start_epochs: of them, those in which each row trains the component of its part.
        seed: of everything random.
    """

    spec: FlowSpec
    shared: FlowSpec | None
    columns: Columns
    n_rows: int
    n_components: int
    init: str
    image_shape: tuple[int, int, int] | None
    posterior_hidden_sizes: tuple[int, ...]
    learn_weights: bool
    consistency: float
    n_init: int
    max_epochs: int
    start_epochs: int
    seed: int

    @property
    def embeds(self) -> bool:
        """Whether rows are embedded before they are parted."""
        wide = self.image_shape is not None or self.columns.n > FEW_COLUMNS
        wanted = self.init == "embedding" or (self.init == "auto" and wide)
        return wanted and self.n_components > 1 and self.n_rows >= FEWEST_ROWS

    @property
    def pairs(self) -> bool:
        """Whether anything asks for neighbours."""
        several = self.n_components > 1 and self.n_rows >= FEWEST_ROWS
        return several and (self.embeds or self.consistency > 0)

    @property
    def noise(self) -> Array | None:
        """Width of the training noise in standard units, or None."""
        return None if self.columns.noise is None else as_float(self.columns.noise)

    @property
    def views(self) -> ImageViews | None:
        """Random moves of rows that are images."""
        return None if self.image_shape is None else ImageViews(self.image_shape)


def seen_rows(plan: Plan, rows: Table) -> FloatArray:
    """The rows as the posterior network reads them: pixels, or unbounded standard units."""
    if plan.image_shape is None:
        return unbounded(plan.columns, rows.x)
    inverse = pixels(plan.columns, rows.x).inverse
    return np.asarray(jax.vmap(inverse)(as_float(rows.x)), dtype=np.float64)


def find_neighbours(plan: Plan, seen: FloatArray) -> NDArray[np.int32] | None:
    """The neighbours of each row, where anything asks for them; a short training is worth those of fewer rows."""
    if not plan.pairs:
        return None
    return nearest_neighbours(seen, plan.seed, min(MOST_ROWS, max(MOST_PLACED, ROWS_AN_EPOCH * plan.max_epochs)))


def start_mixture(
    plan: Plan, rows: Table, seen: FloatArray, neighbours: NDArray[np.int32] | None
) -> tuple[Any, np.ndarray | None]:
    """The untrained mixture (with a restart axis if there are several), and the part that each row starts, (R, n).

    Arguments:
        plan: what all follows from.
        rows: in standard units.
        seen: the rows as the posterior network reads them.
        neighbours: of each row, or None.
    """
    if plan.start_epochs == 0 and len(rows.x) > MOST_PLACED:  # parts only say where components lie: some rows do
        return _start_on_some(plan, rows, seen, neighbours), None
    z = seen if plan.image_shape is None else unbounded(plan.columns, rows.x)
    seeds = np.random.default_rng(plan.seed).integers(np.iinfo(np.int32).max, size=plan.n_init)
    parts = np.stack([start_parts(plan, int(seed), z, seen, rows.label, neighbours) for seed in seeds])
    model = place(plan, parts, z, rows)
    if plan.init == "random" and rows.label is None:
        return model, None
    if not plan.embeds:
        return model, parts
    if plan.n_init == 1:
        return start_posterior(plan, model, rows, parts, plan.seed), parts
    each = [
        start_posterior(plan, trees.unstack(model, i), rows, parts[i : i + 1], plan.seed + i)
        for i in range(plan.n_init)
    ]
    return trees.stack(each), parts


def _start_on_some(plan: Plan, rows: Table, seen: FloatArray, neighbours: NDArray[np.int32] | None) -> Any:
    """The untrained mixture, placed where a sample of the rows and those that have a label are."""
    some = subsample(len(rows.x), MOST_PLACED, np.random.default_rng(plan.seed))
    some = np.sort(some) if rows.label is None else np.union1d(some, np.flatnonzero(rows.label >= 0))
    near = None if neighbours is None else nearest_neighbours(seen[some], plan.seed)
    return start_mixture(dataclasses.replace(plan, start_epochs=1), rows.take(some), seen[some], near)[0]


def start_parts(
    plan: Plan,
    seed: int,
    z: FloatArray,
    seen: FloatArray,
    label: np.ndarray | None,
    neighbours: NDArray[np.int32] | None,
) -> np.ndarray:
    """The component that each row starts, -1 for none, shape (n,)."""
    k = plan.n_components
    if plan.init == "random":
        return np.full(len(z), -1) if label is None else label
    chooses = label is None and plan.init == "auto" and plan.image_shape is None
    if not plan.embeds or neighbours is None:
        gaussian = gaussian_partition(z, k, seed) if chooses else None
        return partition_rows(z, k, label, seed) if gaussian is None else gaussian
    sizes = plan.posterior_hidden_sizes
    if chooses:
        return choose_partition(z, k, seed, neighbours=neighbours, hidden_sizes=sizes)
    return partition_rows(embed(seen, neighbours, sizes, plan.image_shape, seed), k, label, seed, round_clusters=True)


def place(plan: Plan, parts: np.ndarray, z: FloatArray, rows: Table) -> Any:
    """Mixtures whose components lie where the parts are, or all in one place.

    Arguments:
        plan: what all follows from.
        parts: of each row, for each restart, shape (R, n).
        z: the rows, unbounded, shape (n, D).
        rows: in standard units.

    Returns:
        A mixture, with a restart axis if R > 1.
    """
    key, k = jax.random.key(plan.seed), plan.n_components
    shared, inner = _shared(plan, jax.random.fold_in(key, 1), z, rows)
    parted = np.full_like(parts, -1) if plan.init == "random" else parts
    dense = starts_dense(plan.columns.n)
    where = [moments(z, part, k, dense=dense, weight=rows.weight) for z, part in zip(inner, parted, strict=True)]
    locations, factors, shares = (np.stack(a) for a in zip(*where, strict=True))
    marginal = None
    if plan.spec.of_images:
        at, by, marginal = start_of_pixels(plan.columns, rows)
        locations, factors = (np.tile(a, (plan.n_init, k, 1)) for a in (at, by))
    model: MixtureOfFlows = build_mixtures(
        jax.random.split(key, plan.n_init),
        plan.spec,
        as_float(locations),
        as_float(factors),
        as_float(np.log(shares)),
        plan.posterior_hidden_sizes,
        plan.learn_weights,
        plan.image_shape,
        marginal,
    )
    if shared is not None:
        model = eqx.tree_at(lambda m: m.shared, model, shared)
    if plan.image_shape is None:
        return model
    view = pixels(plan.columns, rows.x)
    view = trees.repeat(view, plan.n_init) if plan.n_init > 1 else view
    return eqx.tree_at(lambda m: m.view, model, Frozen(view), is_leaf=lambda leaf: leaf is None)


def start_posterior(plan: Plan, model: Any, rows: Table, parts: np.ndarray, seed: int) -> Any:
    """The mixture with its posterior network fitted to the parts, shape (1, n)."""
    epochs = default_epochs(len(rows.x), STARTING.batch_size, steps=STEPS, least=3)
    return train(
        model,
        PosteriorStart(plan.noise, plan.views),
        as_feed(rows, starts=parts),
        key=jax.random.key(seed),
        settings=dataclasses.replace(STARTING, max_epochs=epochs),
        where=operator.attrgetter("posterior"),
    ).completed()


def _shared(plan: Plan, key: Array, z: FloatArray, rows: Table) -> tuple[AbstractMap | None, Any]:
    """The map under all components (with a restart axis if there are several), and the rows on its noise side."""
    white = None if plan.spec.of_images else table_whitening(plan.columns, rows)
    below, z = data_side(plan.columns, white), z if white is None else white.inverse(z)
    if below is not None and plan.n_init > 1:
        below = trees.repeat(below, plan.n_init)
    if plan.shared is None:
        return below, [z] * plan.n_init
    stacks = build_stacks(jax.random.split(key, plan.n_init), plan.shared)
    if stacks.inexactness:
        raise ValueError(
            f"shared_layers must be 0 with flow={flow_text(plan.shared.flow)!r}: layers under all components need "
            f"exact densities, and its are estimates ({stacks.exactness})"
        )
    given = None if rows.condition is None else as_float(rows.condition)
    inner = np.asarray(noise_side(stacks, as_float(z), given), dtype=np.float64)
    stack = trees.unstack(stacks, 0) if plan.n_init == 1 else stacks
    return (stack if below is None else Chain([stack, below])), inner
