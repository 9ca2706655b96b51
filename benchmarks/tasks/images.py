"""Flows of images: Glow's training step, densities and samples, RealNVP's step and that of residual flows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import glow_peers, image_peers
from benchmarks.data import normals
from benchmarks.task import Side, Task, Work

SIDE, LEVELS, STEPS, WIDTH, BATCH, LEARNING_RATE = 28, 2, 8, 64, 64, 1e-3
UNITS = 20  # steps or batches of a block
# side, levels, layers of each kind, width and blocks of a RealNVP
REAL_NVP: dict[str, int] = {"side": 32, "levels": 2, "layers": 2, "width": 32, "blocks": 2}
# side, levels, blocks of a scale, their width, dense blocks and theirs
RESIDUAL: dict[str, int] = {"side": 28, "levels": 1, "layers": 2, "width": 32, "n_dense": 2, "dense": 64}
BOUND, TERMS = 0.98, 4
SMALL_BATCH, FEW, EPOCHS = 32, 2, 5  # few batches, several times, in a block


def _glow() -> Any:
    import equinox as eqx
    import jax

    from pushforward import flows

    @eqx.filter_jit
    def draw(key: Any) -> Any:
        return flows.glow(
            key, SIDE**2, image_shape=(SIDE, SIDE), n_levels=LEVELS, n_layers=STEPS, hidden_sizes=(WIDTH, WIDTH)
        )

    return draw(jax.random.key(0))


def _real_nvp() -> Any:
    import equinox as eqx
    import jax

    from pushforward import flows

    side, width, blocks = REAL_NVP["side"], REAL_NVP["width"], REAL_NVP["blocks"]
    sizes: dict[str, Any] = {"n_levels": REAL_NVP["levels"], "n_layers": REAL_NVP["layers"]}
    sizes["hidden_sizes"] = (width,) * blocks

    @eqx.filter_jit
    def draw(key: Any) -> Any:
        return flows.real_nvp_image(key, side**2, image_shape=(side, side), **sizes)

    return draw(jax.random.key(0))


def _residual() -> Any:
    import equinox as eqx
    import jax

    from pushforward import flows

    side, width, dense = RESIDUAL["side"], RESIDUAL["width"], RESIDUAL["dense"]
    sizes: dict[str, Any] = {"n_levels": RESIDUAL["levels"], "n_layers": RESIDUAL["layers"]}
    sizes |= {"hidden_sizes": (width, width), "n_dense": RESIDUAL["n_dense"], "dense_sizes": (dense, dense)}

    @eqx.filter_jit
    def draw(key: Any) -> Any:
        return flows.residual_image(key, side**2, image_shape=(side, side), lipschitz=BOUND, **sizes)

    return draw(jax.random.key(0))


def _pushforward_steps(
    make_flow: Callable[[], Any], batch: int, batches: int, epochs: int = 1
) -> Callable[[bool], Work]:
    """Epochs of the training engine, which besides reads starts and statistics off all batches once."""

    def make(quick: bool) -> Work:
        import jax

        from pushforward import trees
        from pushforward.objectives import NegativeLogLikelihood, Rows
        from pushforward.training import Resident, Settings, train

        n, flow = min(batches, 2) if quick else batches, make_flow()
        n_epochs = 1 if quick else epochs
        rows = Resident.of(Rows(normals(n * batch, *flow.shape)))
        settings = Settings(max_epochs=n_epochs, batch_size=batch, learning_rate=LEARNING_RATE)

        def block(i: int) -> dict[str, float]:
            fit = train(flow, NegativeLogLikelihood(), rows, key=jax.random.key(i), settings=settings)
            return {"last loss": fit.history[-1]["train_loss"], "parameters": float(trees.n_parameters(flow))}

        return Work(block, n * n_epochs)

    return make


def _torch_steps(build: Callable[[], tuple[Any, Callable[[Any], Any]]], side: int) -> Callable[[bool], Work]:
    """The loop of PyTorch users; `build` gives a module and its log-density."""

    def make(quick: bool) -> Work:
        flow, log_prob = build()
        import torch

        units = FEW if quick else FEW * EPOCHS
        x = torch.from_numpy(normals(units * SMALL_BATCH, side**2)).reshape(-1, 1, side, side)
        log_prob(x[:SMALL_BATCH])  # what reads its start off data
        optimizer = torch.optim.Adam(flow.parameters(), lr=LEARNING_RATE)

        def block(i: int) -> dict[str, float]:
            for rows in torch.randperm(len(x)).split(SMALL_BATCH):
                loss = -log_prob(x[rows]).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            n = sum(p.numel() for p in flow.parameters() if p.requires_grad)
            return {"last loss": float(loss.detach()), "parameters": float(n)}

        return Work(block, units)

    return make


def _pushforward_calls(work: str) -> Callable[[bool], Work]:
    def make(quick: bool) -> Work:
        import equinox as eqx
        import jax

        flow, x = _glow(), jax.numpy.asarray(normals(BATCH, SIDE**2))

        @eqx.filter_jit
        def call(flow: Any, key: Any) -> Any:
            return flow.log_prob(x) if work == "density" else flow.sample(key, (BATCH,))

        units = 1 if quick else UNITS

        def block(i: int) -> None:
            for j in range(units):
                jax.block_until_ready(call(flow, jax.random.key(1000 * i + j)))

        return Work(block, units)

    return make


def _ours(work: str) -> Callable[[bool], Work]:
    return _pushforward_steps(_glow, BATCH, UNITS) if work == "step" else _pushforward_calls(work)


def _torch(make_flow: Callable[..., Any], work: str) -> Callable[[bool], Work]:
    def make(quick: bool) -> Work:
        flow = make_flow(SIDE, LEVELS, STEPS, WIDTH)
        import torch

        x = torch.from_numpy(normals(UNITS * BATCH, SIDE**2)).reshape(-1, 1, SIDE, SIDE)
        normflows = make_flow is glow_peers.of_normflows
        log_prob = (lambda x: flow.log_prob(x, None)) if normflows else flow.log_prob
        log_prob(x[:BATCH])  # what reads its start off data
        optimizer = torch.optim.Adam(flow.parameters(), lr=LEARNING_RATE)
        units = 2 if quick else UNITS

        def steps() -> None:
            for rows in torch.randperm(units * BATCH).split(BATCH):
                loss = -log_prob(x[rows]).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

        def block(i: int) -> None:
            if work == "step":
                return steps()
            with torch.no_grad():
                for _ in range(units):
                    log_prob(x[:BATCH]) if work == "density" else flow.sample(BATCH)
            return None

        return Work(block, units)

    return make


ABOUT = (
    f"Glow of {LEVELS} levels of {STEPS} steps on {SIDE} x {SIDE} pixels of one channel, networks of 3 x 3, 1 x 1 and "
    f"3 x 3 convolutions of width {WIDTH}, batch {BATCH}, float32; synthetic images, as the arithmetic does not depend "
    "on them. By hand is eager PyTorch with channels last; normflows is its own GlowBlock, whose noise that leaves "
    "early has no moments."
)
TARGETS = {"by hand": 0.8, "normflows": 1.3}
WHAT = {
    "step": ("A training step of Glow", "One step of Adam on the mean of −log p, in whole epochs of the engine. "),
    "density": ("Log-densities of Glow", f"{BATCH} log-densities. "),
    "sample": ("Samples of Glow", f"{BATCH} samples. "),
}

STEP = f"One step of Adam on the mean of −log p or its estimate, batch {SMALL_BATCH}, float32; synthetic images. "
GLOWS = tuple(
    Task(
        name=f"glow_{work}",
        title=title,
        about=about + ABOUT,
        unit="step" if work == "step" else "batch",
        sides=(
            Side("pushforward", _ours(work), peer=False),
            *(
                Side(name, _torch(make, work), target=TARGETS[name] if work == "step" else None)
                for name, make in (("by hand", glow_peers.by_hand), ("normflows", glow_peers.of_normflows))
            ),
        ),
    )
    for work, (title, about) in WHAT.items()
)


REAL_NVPS = Task(
    name="real_nvp_image_step",
    title="A training step of RealNVP of images",
    about=(
        f"{STEP}{REAL_NVP['levels']} levels of {REAL_NVP['layers']} couplings by checkerboards and "
        f"{REAL_NVP['layers']} by channels, {REAL_NVP['layers'] + 1} by checkerboards at last, on {REAL_NVP['side']} x "
        f"{REAL_NVP['side']} pixels of one channel, networks of {REAL_NVP['blocks']} residual blocks of width "
        f"{REAL_NVP['width']} with normalised weights. By hand is eager PyTorch with channels last, of as many "
        "parameters; normflows is its own couplings, which part the pixels of a board, so that networks see half of "
        "them, and its own residual networks, whose first convolution is of 1 x 1 and whose weights are plain."
    ),
    unit="step",
    sides=(
        Side("pushforward", _pushforward_steps(_real_nvp, SMALL_BATCH, FEW, EPOCHS), peer=False),
        Side("by hand", _torch_steps(lambda: image_peers.real_nvp_by_hand(**REAL_NVP), REAL_NVP["side"]), target=0.8),
        Side(
            "normflows",
            _torch_steps(lambda: image_peers.real_nvp_of_normflows(**REAL_NVP), REAL_NVP["side"]),
            target=1.3,
        ),
    ),
)
RESIDUALS = Task(
    name="residual_image_step",
    title="A training step of a residual flow of images",
    about=(
        f"{STEP}{RESIDUAL['levels'] + 1} scales of {RESIDUAL['layers']} residual blocks of 3 x 3 convolutions of width "
        f"{RESIDUAL['width']}, then {RESIDUAL['n_dense']} of perceptrons of {RESIDUAL['dense']} units, on "
        f"{RESIDUAL['side']} x {RESIDUAL['side']} pixels of one channel, a scale and a shift after each, Lipschitz "
        f"bound {BOUND:g}, one probe, {TERMS} terms of the series on average, two of them always. normflows takes "
        "five steps of power iteration for every kernel, from below; this package bounds its norm from above. Its "
        "blocks begin with an activation."
    ),
    unit="step",
    sides=(
        Side("pushforward", _pushforward_steps(_residual, SMALL_BATCH, FEW, EPOCHS), peer=False),
        Side(
            "normflows",
            _torch_steps(lambda: image_peers.residual_of_normflows(**RESIDUAL, bound=BOUND), RESIDUAL["side"]),
            target=1.3,
        ),
    ),
)
TASKS = (*GLOWS, REAL_NVPS, RESIDUALS)
