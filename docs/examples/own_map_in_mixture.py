"""A map of one's own, of two methods, saved inside a mixture of flows."""

import tempfile

import jax
import jax.numpy as jnp

import pushforward as pf


@pf.serialization.register
class Bend(pf.bijections.AbstractBijection):  # x = (z₀, z₁ + a·z₀²), whose bend trains
    bend: jax.Array
    shape, cond_shape = (2,), None

    def forward_and_log_det(self, z, condition=None):
        return z.at[1].add(self.bend * z[0] ** 2), jnp.zeros(())

    def inverse_and_log_det(self, x, condition=None):
        return x.at[1].add(-self.bend * x[0] ** 2), jnp.zeros(())


def bent(key, dim):
    return pf.flows.real_nvp(key, dim, n_layers=2).then(Bend(0.1 * jax.random.normal(key)))


pf.testing.check_bijection(Bend(jnp.array(0.5)))
mixture = pf.FlowMixture(2, flow=bent, max_epochs=5).fit(pf.data.two_circles(300)[0])
mixture.save(folder := tempfile.mkdtemp() + "/mixture")
assert pf.load(folder).score_samples([[0, 0]]) == mixture.score_samples([[0, 0]])
