"""How a mixture of flows starts: rows looked at, parted, and a model placed on the parts."""

from __future__ import annotations

import dataclasses
import math
import numbers
import operator
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from pushforward import trees
from pushforward.bijections import AbstractMap, Chain
from pushforward.checks import check_sizes
from pushforward.data.columns import as_float
from pushforward.estimators.base import FloatArray
from pushforward.estimators.build import FlowSpec, build_mixtures, build_stacks, noise_side
from pushforward.estimators.defaults import default_epochs, few_rows, starting_scale
from pushforward.estimators.density import unbounded
from pushforward.estimators.embedding import embed, nearest_rows
from pushforward.estimators.fitted_mixture import FittedMixture
from pushforward.estimators.graph import FEWEST_ROWS
from pushforward.estimators.images import check_image, pixels
from pushforward.estimators.partition import conductance, gaussian_partition, moments, partition_rows
from pushforward.objectives import ImageViews, PosteriorStart
from pushforward.training import Rows, Settings, train, with_neighbours
from pushforward.trees import Frozen

INITS = ("auto", "spectral", "embedding", "random")
MOST_SPECTRAL = 8  # columns up to which parts are found by spectral clustering; embedding first beyond
FEW_COLUMNS_AGREE, COLUMNS_AGREE = 0.1, 0.3  # consistency up to so many columns, and beyond
SLACK = 1.5  # how much more than spectral parts those of Gaussians may cut through neighbours
CLEAR = 2 / 3  # how much of what embedded parts cut through spectral ones may, to be preferred
STARTING = Settings(batch_size=512, learning_rate=1e-3, schedule="cosine")  # of the posterior network
STEPS = 300  # of the posterior network on the parts


class StartedMixture(FittedMixture):
    """The methods of `FlowMixture` that make a mixture to train."""

    def _within(self, name: str, least: float, most: float) -> float:
        value = getattr(self, name)
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not number or not least <= float(value) <= most or math.isinf(value):
            limit = (
                f"finite, and at least {least:g}" if math.isinf(most) else f"at least {least:g} and at most {most:g}"
            )
            raise ValueError(f"{name} must be a number, {limit}; got {value!r}")
        return float(value)

    def _consistency(self) -> float:
        """Nats for each column; in few columns much agreement can leave a component without rows."""
        if self.consistency is None:
            return FEW_COLUMNS_AGREE if self.columns_.n <= MOST_SPECTRAL else COLUMNS_AGREE
        return self._within("consistency", 0.0, np.inf)

    def _noise(self) -> Array | None:
        noise = self.columns_.noise
        return None if noise is None else as_float(noise)

    def _image(self) -> tuple[int, ...] | None:
        return None if self.image_shape is None else check_image(self.image_shape, self.columns_.n)

    def _views(self) -> ImageViews | None:
        image = self._image()
        return None if image is None else ImageViews(image)

    def _embeds(self, n: int) -> bool:
        """Whether the rows are embedded before they are parted."""
        if self.init not in INITS:
            raise ValueError(f"init must be one of {INITS}; got {self.init!r}")
        wide = self.image_shape is not None or self.columns_.n > MOST_SPECTRAL
        wanted = self.init == "embedding" or (self.init == "auto" and wide)
        return wanted and self.n_components_ > 1 and n >= FEWEST_ROWS

    def _seen(self, rows: Rows) -> FloatArray:
        """The rows as the posterior network reads them: pixels, or unbounded standard units."""
        x = np.asarray(rows.x)[: int(rows.n)]
        if self.image_shape is None:
            return unbounded(self.columns_, x)
        return np.asarray(jax.vmap(pixels(self.columns_, x).inverse)(as_float(x)), dtype=np.float64)

    def _paired(self, rows: Rows, seen: FloatArray, seed: int) -> Rows:
        """The rows with their neighbours, where anything asks for them."""
        n = int(rows.n)
        wanted = self._embeds(n) or self._consistency() > 0
        if not wanted or self.n_components_ == 1 or n < FEWEST_ROWS:
            return rows
        return with_neighbours(rows, nearest_rows(seen, seed))

    def _start(
        self, rows: Rows, seen: FloatArray, label: np.ndarray | None, seed: int, n_init: int
    ) -> tuple[Any, Array | None]:
        """The untrained mixture (with a restart axis if there are several), and the part that each row starts."""
        n = int(rows.n)
        z = seen if self.image_shape is None else unbounded(self.columns_, np.asarray(rows.x)[:n])
        seeds = np.random.default_rng(seed).integers(np.iinfo(np.int32).max, size=n_init)
        parts = np.stack([self._part(int(s), z, seen, rows, label) for s in seeds])
        model = self._placed(parts, z, rows, seed)
        if self.init == "random" and label is None:
            return model, None
        padded = np.pad(parts, ((0, 0), (0, len(rows.x) - n)), constant_values=-1).astype(np.int32)
        start = jax.device_put(padded[0] if n_init == 1 else padded)
        if not self._embeds(n):
            return model, start
        if n_init == 1:
            return self._start_posterior(model, rows, start, seed), start
        each = [self._start_posterior(trees.unstack(model, i), rows, start[i], seed + i) for i in range(n_init)]
        return trees.stack(each), start

    def _part(self, seed: int, z: FloatArray, seen: FloatArray, rows: Rows, label: np.ndarray | None) -> np.ndarray:
        """The component that each row starts, -1 for none."""
        if self.init == "random":
            return np.full(len(z), -1) if label is None else label
        k, embeds, chooses = self.n_components_, self._embeds(len(z)), label is None and self.init == "auto"
        gaussian = gaussian_partition(z, k, seed) if chooses and self.image_shape is None else None
        if not embeds:
            return partition_rows(z, k, label, seed) if gaussian is None else gaussian
        neighbours = np.asarray(rows.neighbours)[: len(z)]
        spectral, cut = None, np.inf
        if chooses and self.image_shape is None:
            spectral = partition_rows(z, k, None, seed)
            cut = conductance(spectral, neighbours)
        if gaussian is not None and conductance(gaussian, neighbours) <= SLACK * cut:
            return gaussian
        sizes = check_sizes("posterior_hidden_sizes", self.posterior_hidden_sizes)
        embedded = embed(seen, neighbours, sizes, self._image(), seed)
        found = partition_rows(embedded, k, label, seed, True)
        return found if spectral is None or cut > CLEAR * conductance(found, neighbours) else spectral

    def _placed(self, parts: np.ndarray, z: FloatArray, rows: Rows, seed: int) -> Any:
        """Mixtures whose components lie where the parts are, or all in one place."""
        n_init, n = parts.shape
        key, dim, k = jax.random.key(seed), z.shape[1], self.n_components_
        few = self.shared_layers == 0 and few_rows(n, dim, k)
        shared_spec, spec = self._spec(dim, few).split(self.shared_layers)
        shared, inner = self._shared(shared_spec, jax.random.fold_in(key, 1), rows, z, n_init)
        parted = np.full_like(parts, -1) if self.init == "random" else parts
        dense, weight = starting_scale(dim), np.asarray(rows.weight)[:n]
        where = [moments(z, part, k, dense, weight) for z, part in zip(inner, parted, strict=True)]
        locations, factors, shares = (np.stack(a) for a in zip(*where, strict=True))
        model = build_mixtures(
            jax.random.split(key, n_init),
            spec,
            as_float(locations),
            as_float(factors),
            as_float(np.log(shares)),
            check_sizes("posterior_hidden_sizes", self.posterior_hidden_sizes),
            bool(self.learn_weights),
            self._image(),
        )
        if shared is not None:
            model = eqx.tree_at(lambda m: m.shared, model, shared)
        if self.image_shape is None:
            return model
        view = pixels(self.columns_, np.asarray(rows.x)[:n])
        view = trees.repeat(view, n_init) if n_init > 1 else view
        return eqx.tree_at(lambda m: m.view, model, Frozen(view), is_leaf=lambda leaf: leaf is None)

    def _start_posterior(self, model: Any, rows: Rows, start: Array, seed: int) -> Any:
        """The mixture with its posterior network fitted to the parts."""
        epochs = default_epochs(int(rows.n), STARTING.batch_size, steps=STEPS, least=3)
        return train(
            model,
            PosteriorStart(self._noise(), self._views()),
            rows,
            key=jax.random.key(seed),
            settings=dataclasses.replace(STARTING, max_epochs=epochs),
            start=start,
            where=operator.attrgetter("posterior"),
        ).whole()

    def _shared(
        self, spec: FlowSpec | None, key: Array, rows: Rows, z: FloatArray, n_init: int
    ) -> tuple[AbstractMap | None, Any]:
        """The map under all components (with a restart axis if there are several), and the rows on its noise side."""
        bounds = self.columns_.bounds_map() if self.columns_.bounded else None
        if bounds is not None and n_init > 1:
            bounds = trees.repeat(bounds, n_init)
        if spec is None:
            return bounds, [z] * n_init
        stacks = build_stacks(jax.random.split(key, n_init), spec)
        if stacks.inexactness:
            raise ValueError(
                f"shared_layers must be 0 with flow={self.flow!r}: layers under all components need exact densities, "
                f"and its are estimates ({stacks.exactness})"
            )
        condition = None if rows.condition is None else rows.condition[: len(z)]
        inner = np.asarray(noise_side(stacks, as_float(z), condition), dtype=np.float64)
        stack = trees.unstack(stacks, 0) if n_init == 1 else stacks
        return (stack if bounds is None else Chain([stack, bounds])), inner
