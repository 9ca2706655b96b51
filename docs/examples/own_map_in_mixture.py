"""A map of one's own, of two methods, saved inside a mixture of flows."""

import tempfile

import jax
import jax.numpy as jnp

import pushforward as pf


@pf.serialization.register
class Bend(pf.bijections.AbstractBijection):
    """x = (z₀, z₁ + a·z₀²): a parabola, whose bend trains."""

    bend: jax.Array
    shape: tuple[int, ...] = (2,)
    cond_shape: None = None

    def forward_and_log_det(self, z, condition=None):
        return jnp.stack([z[0], z[1] + self.bend * z[0] ** 2]), jnp.zeros(())

    def inverse_and_log_det(self, x, condition=None):
        return jnp.stack([x[0], x[1] - self.bend * x[0] ** 2]), jnp.zeros(())


def bent(key, dim):
    chain = pf.bijections.Chain([pf.bijections.Triangular.init(key, dim), Bend(0.1 * jax.random.normal(key))])
    return pf.distributions.Pushforward(pf.distributions.Normal.standard((dim,)), chain)


pf.testing.check_bijection(Bend(jnp.array(0.5)))
X, _ = pf.data.two_circles(300, seed=0)
mixture = pf.FlowMixture(2, flow=bent, max_epochs=5, random_state=0).fit(X)
mixture.save(folder := tempfile.mkdtemp() + "/mixture")
assert pf.load(folder).score_samples([[0, 0]]) == mixture.score_samples([[0, 0]])
