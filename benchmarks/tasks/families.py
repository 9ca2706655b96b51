"""Each family that a peer has too: a training step, a density, a draw, and a whole fit, at one architecture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.data import normals
from benchmarks.fits import flowjax_fit, pushforward_fit
from benchmarks.masked_flows import torch_threads
from benchmarks.task import Side, Task, Work

DIM, LAYERS, WIDTH, DEPTH, BATCH, BINS, LEARNING_RATE = 16, 5, 128, 2, 512, 8, 5e-4
HIDDEN = (WIDTH,) * DEPTH
FIT_ROWS, FIT_EPOCHS = 20 * BATCH, 5
FAMILIES = {
    "real_nvp": "RealNVP",
    "maf": "MAF",
    "nsf_coupling": f"neural spline flow, coupling, {BINS} bins",
    "nsf_autoregressive": f"neural spline flow, autoregressive, {BINS} bins",
    "naf": "neural autoregressive flow",
    "bnaf": "block neural autoregressive flow",
}


def _pushforward(family: str) -> Any:
    import jax

    from pushforward import flows

    options: dict[str, Any] = {"n_layers": LAYERS, "hidden_sizes": HIDDEN}
    if family != "bnaf":
        options["activation"] = "relu"  # the peers' own
    names = {"nsf_coupling": "spline_coupling", "nsf_autoregressive": "spline_autoregressive"}
    if family in names:
        options["n_bins"] = BINS
    return flows.recipe(names.get(family, family))(jax.random.key(0), DIM, **options)


def _flowjax(family: str) -> Any:
    import jax
    import jax.numpy as jnp
    from flowjax import flows
    from flowjax.bijections import Affine, RationalQuadraticSpline
    from flowjax.distributions import Normal

    key, base = jax.random.key(0), Normal(jnp.zeros(DIM))
    if family == "bnaf":
        return flows.block_neural_autoregressive_flow(
            key, base_dist=base, nn_depth=DEPTH, nn_block_dim=WIDTH // DIM, flow_layers=LAYERS
        )
    transformer = RationalQuadraticSpline(knots=BINS, interval=4) if family.startswith("nsf") else Affine()
    recipe = flows.coupling_flow if family in ("real_nvp", "nsf_coupling") else flows.masked_autoregressive_flow
    return recipe(key, base_dist=base, transformer=transformer, flow_layers=LAYERS, nn_width=WIDTH, nn_depth=DEPTH)


def _zuko(family: str) -> Any:
    import zuko

    options: dict[str, Any] = {"features": DIM, "transforms": LAYERS, "hidden_features": HIDDEN}
    if family == "nsf_coupling":
        return zuko.flows.NSF(**options, bins=BINS, passes=2)
    if family == "nsf_autoregressive":
        return zuko.flows.NSF(**options, bins=BINS)
    return {"real_nvp": zuko.flows.RealNVP, "maf": zuko.flows.MAF, "naf": zuko.flows.NAF}[family](**options)


def _parts(side: str, family: str) -> tuple[Any, Any, Callable[[Any, Any, Any], Any]]:
    """What trains, the rest, and the loss of both on a batch, as each library writes it."""
    import equinox as eqx

    if side == "flowjax":
        import paramax
        from flowjax.train.losses import MaximumLikelihoodLoss

        frozen = lambda leaf: isinstance(leaf, paramax.NonTrainable)  # noqa: E731
        params, rest = eqx.partition(_flowjax(family), eqx.is_inexact_array, is_leaf=frozen)
        return params, rest, MaximumLikelihoodLoss()
    from pushforward import trees

    params, rest = trees.partition(_pushforward(family))
    return params, rest, lambda params, rest, x: -trees.combine(params, rest).log_prob(x).mean()


def _jax_steps(side: str, family: str) -> Callable[[bool], Work]:
    """Adam on the mean of −log p, one compiled call a step."""

    def make(quick: bool) -> Work:
        import equinox as eqx
        import jax
        import optax

        params, rest, loss = _parts(side, family)
        optimizer = optax.adam(LEARNING_RATE)
        x = jax.numpy.asarray(normals(BATCH, DIM))
        units = 2 if quick else 40

        @eqx.filter_jit(donate="all-except-first")
        def step(fixed: Any, params: Any, state: Any) -> Any:
            gradient = eqx.filter_grad(loss)(params, *fixed)
            updates, state = optimizer.update(gradient, state)
            return eqx.apply_updates(params, updates), state

        carry = [params, optimizer.init(params)]

        def block(i: int) -> None:
            for _ in range(units):
                carry[:] = step((rest, x), *carry)
            jax.block_until_ready(jax.tree.leaves(carry[0]))

        return Work(block, units)

    return make


def _torch_steps(family: str) -> Callable[[bool], Work]:
    def make(quick: bool) -> Work:
        torch = torch_threads()
        flow = _zuko(family)
        optimizer = torch.optim.Adam(flow.parameters(), lr=LEARNING_RATE)
        x = torch.from_numpy(normals(BATCH, DIM))
        units = 1 if quick else 10

        def block(i: int) -> None:
            for _ in range(units):
                loss = -flow().log_prob(x).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

        return Work(block, units)

    return make


def _jax_calls(side: str, family: str, work: str) -> Callable[[bool], Work]:
    """Densities of the batch, or as many draws, jitted whole."""

    def make(quick: bool) -> Work:
        import equinox as eqx
        import jax

        flow = (_flowjax if side == "flowjax" else _pushforward)(family)
        x = jax.numpy.asarray(normals(BATCH, DIM))
        if work == "density":
            call = eqx.filter_jit(lambda flow, key: flow.log_prob(x))
        else:
            call = eqx.filter_jit(lambda flow, key: flow.sample(key, (BATCH,)))
        units = 1 if quick else 20

        def block(i: int) -> None:
            for j in range(units):
                jax.block_until_ready(call(flow, jax.random.key(1000 * i + j)))

        return Work(block, units)

    return make


def _torch_calls(family: str, work: str) -> Callable[[bool], Work]:
    def make(quick: bool) -> Work:
        torch = torch_threads()
        flow = _zuko(family).eval()
        x = torch.from_numpy(normals(BATCH, DIM))
        units = 1 if quick or work == "sample" else 10

        def block(i: int) -> None:
            with torch.no_grad():
                for _ in range(units):
                    flow().log_prob(x) if work == "density" else flow().sample((BATCH,))

        return Work(block, units)

    return make


def _fit(side: str) -> Callable[[bool], Work]:
    """Each library's own way to train."""

    def make(quick: bool) -> Work:
        settings: dict[str, Any] = {"batch_size": BATCH, "learning_rate": LEARNING_RATE}
        settings["epochs"] = 1 if quick else FIT_EPOCHS
        data = normals(FIT_ROWS * 10 // 9, DIM)
        if side == "flowjax":
            return Work(flowjax_fit(_flowjax("nsf_coupling"), data, **settings), 1)
        return Work(pushforward_fit(_pushforward("nsf_coupling"), data, FIT_ROWS, **settings), 1)

    return make


STEP_TARGETS = {"real_nvp": 1.05, "maf": 1.2, "nsf_coupling": 1.2, "nsf_autoregressive": 1.2, "bnaf": 1.2}
WHAT = {
    "step": ("A training step", "a step of Adam on the mean of −log p"),
    "density": ("Log-densities", f"log-densities of {BATCH} points"),
    "sample": ("Draws", f"{BATCH} draws"),
}


def _sides(family: str, work: str) -> tuple[Side, ...]:
    """flowjax and zuko where they have the family: flowjax has no NAF, zuko no BNAF."""
    if work == "step":
        ours, flowjax, zuko = (_jax_steps("pushforward", family), _jax_steps("flowjax", family), _torch_steps(family))
        targets = {"flowjax": STEP_TARGETS.get(family), "zuko": 3.0 if family == "naf" else None}
    else:
        ours, flowjax = (_jax_calls(side, family, work) for side in ("pushforward", "flowjax"))
        zuko = _torch_calls(family, work)
        draws = family == "nsf_autoregressive" and work == "sample"
        targets = {"flowjax": 8.0 if draws else 1.0, "zuko": 8.0 if draws else 1.0}
    sides = [Side("pushforward", ours, peer=False)]
    if family != "naf":
        sides.append(Side("flowjax", flowjax, target=targets["flowjax"]))
    if family != "bnaf":
        sides.append(Side("zuko", zuko, target=targets["zuko"], rounds=3 if work == "sample" else None))
    return tuple(sides)


def _task(family: str, work: str) -> Task:
    title, what = WHAT[work]
    return Task(
        name=f"{work}_{family}",
        title=f"{title}: {FAMILIES[family]}",
        about=(
            f"D = {DIM}, {LAYERS} layers, two hidden layers of {WIDTH}, batch {BATCH}, float32: {what}. The JAX sides "
            "run one compiled call each time, zuko runs PyTorch as it comes."
        ),
        unit=what,
        sides=_sides(family, work),
        rounds=5,
    )


TASKS = (
    # flowjax's inverse of a block flow, the only other one, gives up at this size: "maximum steps reached"
    *(_task(family, work) for work in WHAT for family in FAMILIES if (family, work) != ("bnaf", "sample")),
    Task(
        name="fit_nsf_coupling",
        title="A whole fit: neural spline flow, coupling",
        about=(
            f"The flow above, {FIT_EPOCHS} epochs of {FIT_ROWS // BATCH} steps with validation after each, by each "
            "library's own way to train."
        ),
        unit="fit",
        sides=(
            Side("pushforward", _fit("pushforward"), peer=False),
            Side("flowjax", _fit("flowjax"), target=1.5),
        ),
        rounds=5,
    ),
)
