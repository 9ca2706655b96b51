"""What a fitted mixture of flows tells: clusters, densities, criteria, samples."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Array
from scipy.special import logsumexp, softmax
from sklearn.base import ClusterMixin, DensityMixin
from sklearn.utils.validation import check_is_fitted

from pushforward import trees
from pushforward.bijections import Chain
from pushforward.distributions import MixtureOfFlows
from pushforward.distributions.estimates import each_row
from pushforward.estimators.base import ESTIMATE_DRAWS, FloatArray, FlowEstimator
from pushforward.estimators.density import sampling_inputs
from pushforward.estimators.draws import draw_rows
from pushforward.trees import Frozen


class Assignment(NamedTuple):
    """What one pass over rows tells.

    Arguments:
        component: the one that the posterior network ranks first, shape (n,).
        probabilities: the network's q(k|x), shape (n, K).
        log_density: shape (n,).
    """

    component: np.ndarray
    probabilities: np.ndarray
    log_density: np.ndarray


class FittedMixture(ClusterMixin, DensityMixin, FlowEstimator):
    """The methods of `FlowMixture` that need a fitted one."""

    @property
    def model_(self) -> MixtureOfFlows:
        """The fitted distribution, in the data's units (a condition in standard units)."""
        check_is_fitted(self)
        units = self.columns_.units_map()
        model: MixtureOfFlows = eqx.tree_at(lambda m: m.shared, self._flow, Chain([self._flow.shared, units]))
        if model.view is not None:
            model = eqx.tree_at(lambda m: m.view, model, Frozen(Chain([model.view.value, units])))
        return model

    @property
    def weights_(self) -> np.ndarray:
        """π, shape (K,)."""
        check_is_fitted(self)
        return np.exp(np.asarray(self._flow.log_weights, dtype=np.float64))

    def _joint_and_posterior(self, X: Any, condition: Any) -> tuple[FloatArray, FloatArray]:
        """log p(x, k) and q(k|x), both (n, K), averaged over the fixed draws of whole-number columns."""
        draws = self._score_in_batches(_joint_and_logits, X, condition)
        joint = logsumexp(np.stack([d[0] for d in draws]), axis=0) - np.log(len(draws)) - self.columns_.log_scale
        return joint, np.mean([softmax(d[1], axis=1) for d in draws], axis=0)

    def predict(self, X: Any, condition: Any = None) -> np.ndarray:
        """The component that the posterior network ranks first, shape (n,)."""
        found: np.ndarray = np.argmax(self.predict_proba(X, condition), axis=1)
        return found

    def predict_proba(self, X: Any, condition: Any = None) -> np.ndarray:
        """The posterior network's q(k|x), shape (n, K)."""
        draws = self._score_in_batches(_logits, X, condition)
        return self._result(np.mean([softmax(draw[0], axis=1) for draw in draws], axis=0), X)

    def assign(self, X: Any, condition: Any = None) -> Assignment:
        """Components, their probabilities and log-densities of rows, in one pass."""
        joint, q = self._joint_and_posterior(X, condition)
        return Assignment(q.argmax(axis=1), self._result(q, X), self._result(logsumexp(joint, axis=1), X))

    def responsibilities(self, X: Any, condition: Any = None) -> np.ndarray:
        """The exact posterior p(k|x), shape (n, K); π where no component has any density."""
        joint, _ = self._joint_and_posterior(X, condition)
        return self._result(softmax(self._somewhere(joint), axis=1), X)

    def _somewhere(self, joint: FloatArray) -> FloatArray:
        """`joint`, with log π where no component has any density: there a row tells nothing of k."""
        return np.where((joint == -np.inf).all(axis=1, keepdims=True), np.log(self.weights_), joint)

    def score_samples(self, X: Any, condition: Any = None) -> np.ndarray:
        """Log-density of every row, in nats per unit volume of the data's units, shape (n,).

        Of a table with whole-number columns it estimates the log-probability of the whole numbers (and the
        density of the others given them) from a few fixed draws within each unit step.
        """
        return self._result(logsumexp(self._joint_and_posterior(X, condition)[0], axis=1), X)

    def score(self, X: Any, y: Any = None, condition: Any = None) -> float:
        """The mean log-density of the rows; y is ignored."""
        return float(np.mean(self.score_samples(X, condition)))

    def elbo_samples(self, X: Any, condition: Any = None) -> np.ndarray:
        """The bound that is trained, Σ_k q(k|x) [log p(x, k) − log q(k|x)], of every row, shape (n,)."""
        return self._result(_bound(*self._joint_and_posterior(X, condition)), X)

    def posterior_gap(self, X: Any, condition: Any = None) -> np.ndarray:
        """KL(q(k|x) ‖ p(k|x)) of every row in nats, shape (n,): how far the network is from the exact posterior."""
        joint, q = self._joint_and_posterior(X, condition)
        joint = self._somewhere(joint)
        return self._result(np.maximum(logsumexp(joint, axis=1) - _bound(joint, q), 0), X)

    def n_parameters(self) -> int:
        """Trainable numbers of the generative part: components, shared layers, weights, not the posterior network's."""
        check_is_fitted(self)
        return trees.n_parameters((self._flow.groups, self._flow.shared, self._flow.raw_weights)) - int(
            bool(self.learn_weights)
        )

    def bic(self, X: Any, condition: Any = None) -> float:
        """Bayesian information criterion −2 Σ log p(x) + p log n; the lower the better."""
        log_density = self.score_samples(X, condition)
        return float(-2 * log_density.sum() + self.n_parameters() * np.log(len(log_density)))

    def aic(self, X: Any, condition: Any = None) -> float:
        """Akaike information criterion −2 Σ log p(x) + 2p; the lower the better."""
        return float(-2 * self.score_samples(X, condition).sum() + 2 * self.n_parameters())

    def sample(
        self, n: int = 1, component: int | None = None, random_state: Any = None, condition: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """New rows and the components they come from.

        Parameters:
            n: how many (for each row of `condition`, if there is one).
            component: draw from this one alone; from all by their weights if None.
            random_state: seed; the estimator's own if None.
            condition: shape (m, C), if the model was fitted with one.

        Returns:
            Rows (n, D) in the data's units, and components (n,); with a condition (n, m, D) and (n, m).
        """
        check_is_fitted(self)
        key, given = sampling_inputs(self, n, condition, random_state)
        k = self._flow.n_components
        if component is not None and not (isinstance(component, int | np.integer) and 0 <= component < k):
            raise ValueError(f"component must be a whole number in 0..{k - 1}; got {component!r}")
        if given is None:
            rows, chosen = draw_rows(self._flow, key, n, component)
            return self._restored(rows), chosen
        m = len(given)
        rows, chosen = draw_rows(self._flow, key, n * m, component, np.tile(np.asarray(given), (n, 1)))
        return self._restored(rows).reshape(n, m, -1), chosen.reshape(n, m)


def _bound(joint: FloatArray, q: FloatArray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(q > 0, q * (joint - np.log(q)), 0.0)
    return np.asarray(terms.sum(axis=1))


@eqx.filter_jit
def _logits(mixture: MixtureOfFlows, s: Array, c: Array | None) -> Array:
    return mixture.logits(s, c)


@eqx.filter_jit
def _joint_and_logits(mixture: MixtureOfFlows, s: Array, c: Array | None) -> tuple[Array, Array]:
    if not mixture.inexactness:
        return mixture.joint_and_logits(s, c)

    def estimate(s: Array, c: Array | None, key: Array) -> tuple[Array, Array]:
        joint, logits = mixture.joint_and_logits(
            s[None], None if c is None else c[None], key=key, n_samples=ESTIMATE_DRAWS
        )
        return joint[0], logits[0]

    found: tuple[Array, Array] = each_row(estimate, s, c)
    return found
