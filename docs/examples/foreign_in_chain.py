"""A map with distrax's methods (distrax's own work as well) in a chain, trained."""

import equinox as eqx
import jax
import jax.numpy as jnp

import pushforward as pf


class Sinh(eqx.Module):
    """x = sinh(a·z), as a distrax bijector: log-determinants of each number."""

    rate: jax.Array
    event_ndims_in: int = 0

    def forward_and_log_det(self, z):
        return jnp.sinh(self.rate * z), jnp.log(jnp.abs(self.rate) * jnp.cosh(self.rate * z))

    def inverse_and_log_det(self, x):
        return jnp.arcsinh(x) / self.rate, -jnp.log(jnp.abs(self.rate)) - jnp.log1p(x**2) / 2


chain = pf.bijections.Chain([pf.bijections.Triangular.init(jax.random.key(0), 2), Sinh(jnp.array(1.0))])
flow = pf.distributions.Pushforward(pf.distributions.Normal.standard((2,)), chain)
x = jnp.sinh(0.5 * jax.random.normal(jax.random.key(1), (500, 2)))
loss = eqx.filter_jit(eqx.filter_value_and_grad(lambda flow: -flow.log_prob(x).mean()))
for _ in range(50):
    flow = eqx.apply_updates(flow, jax.tree.map(lambda g: -0.1 * g, loss(flow)[1]))
assert loss(flow)[0] < -flow.base.log_prob(x).mean() - 0.2
