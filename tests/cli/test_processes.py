"""Commands in processes of their own: killed, interrupted, repeated, on a full disk; and their cache."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pushforward as pf
from pushforward.data import read_table
from tests.cli.helpers import QUICK, refused, snapshot


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


MAIN = "from pushforward.cli import main; main()"
FULL_DISK = (  # the nearest thing to it: no file may grow beyond 1000 bytes
    "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
)
ROOM_FOR_THE_MODEL = FULL_DISK.replace("1000", "200_000")  # and not for a checkpoint, several times its size


def start(cache: Path, *arguments, before: str = "") -> subprocess.Popen:
    """Run a command in a process of its own."""
    # a folder that JAX is given by its own name would be used in its place
    inherited = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    environment = {**inherited, "PUSHFORWARD_CACHE": str(cache)}
    words = [sys.executable, "-c", before + MAIN, *map(str, arguments)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finish(process: subprocess.Popen) -> tuple[int, str, str]:
    """Its exit code, what it printed, and what it said beside that, but for how far it was."""
    out, err = process.communicate(timeout=300)
    return process.returncode, out, "".join(line for line in err.splitlines(True) if not line.startswith("progress: "))


TELL = (  # that training is under way
    "import pathlib; from pushforward.training import engine; real = engine.run_epochs\n"
    "def run_epochs(*args):\n    pathlib.Path('training').touch()\n    return real(*args)\n"
    "engine.run_epochs = run_epochs\n"
)
CTRL_C = (  # during the second call of compiled epochs: after five epochs at most
    "import signal; from pushforward.training import engine; real, made = engine.run_epochs, []\n"
    "def run_epochs(*args):\n"
    "    made.append(len(made) == 1 and signal.raise_signal(signal.SIGINT))\n"
    "    return real(*args)\n"
    "engine.run_epochs = run_epochs\n"
)
LONG = ["--columns", "x,y", "--components", "2", "--flow", "real_nvp", "--layers", "1", "--epochs", "400"]


def wait_for(path: Path, process: subprocess.Popen) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue


@pytest.fixture(scope="module")
def straight(cache, fitted, tmp_path_factory) -> Path:
    """The model of the long fit, which nothing interrupted."""
    out = tmp_path_factory.mktemp("straight") / "model"
    code, _, err = finish(start(cache, "fit", fitted / "table.parquet", *LONG, "--out", out))
    assert code == 0, err
    return out


@pytest.mark.long
def test_a_fit_killed_half_way_resumes_to_the_same_bits(work, cache, straight):
    fit = ["fit", "table.parquet", *LONG]
    killed = start(cache, *fit, "--out", "resumed", "--checkpoint", 0)
    wait_for(Path("resumed.checkpoint/training.safetensors"), killed)
    killed.kill()
    killed.communicate()
    assert not Path("resumed").exists()

    resume = [*fit, "--out", "resumed", "--resume"]
    assert "random_state changed since it was written" in refused(*resume, "--seed", 1)
    X = read_table("table.parquet", columns=["x", "y"]).values
    X[7, 0] += 1e-9
    pq.write_table(pa.table({"x": X[:, 0], "y": X[:, 1]}), "changed.parquet")
    assert "the data changed since it was written" in refused("fit", "changed.parquet", *resume[2:])

    code, _, err = finish(start(cache, *fit, "--out", "resumed", "--resume"))
    assert code == 0, err
    weights = [Path(name, "weights.safetensors").read_bytes() for name in (straight, "resumed")]
    assert weights[0] == weights[1]
    assert not Path("resumed.checkpoint").exists()


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_keeps_the_best_so_far(work, cache):
    import signal

    Path("t.checkpoint").mkdir()
    Path("t.checkpoint/training.safetensors").touch()  # what an older fit left: nothing that this one can go on from
    fit = start(cache, "fit", "table.parquet", *LONG[:-1], 1_000_000, "--out", "t", before=TELL)
    wait_for(Path("training"), fit)
    fit.send_signal(signal.SIGINT)
    code, out, err = finish(fit)
    assert code == 130, err
    assert "The model is in t" in out
    assert "interrupted after" in err and "--resume" not in err
    assert "Traceback" not in err
    assert pf.load("t").interrupted_


@pytest.mark.long
def test_after_ctrl_c_the_command_that_is_advised_goes_on_to_the_same_bits(work, cache, straight):
    asked = ["fit", "table.parquet", *LONG, "--out", "cut", "--checkpoint", 10]
    code, _, err = finish(start(cache, *asked, before=CTRL_C))
    assert code == 130, err
    assert "cut holds the best model so far; the same command with --resume --overwrite goes on" in err
    cut = pf.load("cut")
    assert cut.interrupted_ and cut.n_iter_ < pf.load(straight).n_iter_
    code, _, err = finish(start(cache, *asked, "--resume", "--overwrite"))
    assert code == 0, err
    weights = [Path(name, "weights.safetensors").read_bytes() for name in (straight, "cut")]
    assert weights[0] == weights[1]
    assert not Path("cut.checkpoint").exists()


@pytest.mark.long
def test_a_repeated_fit_compiles_nothing(work, cache):
    first = start(cache, "fit", "table.parquet", "--out", "one", "--columns", "x,y", *QUICK)
    assert finish(first)[0] == 0
    kept = {path.name for path in cache.iterdir() if path.name.endswith("-cache")}
    assert kept
    second = start(cache, "fit", "table.parquet", "--out", "two", "--columns", "x,y", *QUICK)
    assert finish(second)[0] == 0
    assert {path.name for path in cache.iterdir() if path.name.endswith("-cache")} == kept
    assert Path("one/weights.safetensors").read_bytes() == Path("two/weights.safetensors").read_bytes()


@pytest.mark.long
def test_a_broken_cache_breaks_no_run(work, cache, tmp_path_factory):
    broken = tmp_path_factory.mktemp("broken")
    for path in cache.iterdir():
        if path.is_file():
            (broken / path.name).write_bytes(b"no program")
    code, _, err = finish(start(broken, "score", "model", "table.parquet", "--out", "one.csv"))
    assert (code, err) == (0, "")
    code, _, err = finish(start(work / "table.parquet", "score", "model", "table.parquet", "--out", "two.csv"))
    assert (code, err) == (0, "")
    assert Path("one.csv").read_bytes() == Path("two.csv").read_bytes()


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files in the POSIX way")
def test_a_full_disk_while_saving_leaves_the_old_model(work, cache):
    fit = ["fit", "table.parquet", "--columns", "x,y", *QUICK]
    before = snapshot(work)
    for command in ([*fit, "--out", "model"], ["score", "model", "table.parquet", "--out", "table.parquet"]):
        code, _, err = finish(start(cache, *command, "--overwrite", before=FULL_DISK))
        said = [line for line in err.splitlines() if not line.startswith("note: the validation loss still falls")]
        assert (code, len(said)) == (2, 1), err
        assert said[0].startswith("error: ") and "File too large" in said[0]
        assert snapshot(work) == before


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files in the POSIX way")
def test_a_checkpoint_that_cannot_be_written_costs_no_fit(work, cache):
    fit = ["fit", "table.parquet", "--columns", "x,y", *QUICK, "--checkpoint", 0]
    for out, before, expected in (("whole", "", 0), ("cut", CTRL_C, 130)):
        code, _, err = finish(start(cache, *fit, "--out", out, before=ROOM_FOR_THE_MODEL + before))
        assert code == expected, err
        assert f"note: {out}.checkpoint: the checkpoint could not be written: File too large" in err
        assert "Traceback" not in err and "--resume" not in err
        assert pf.load(out).interrupted_ == (out == "cut")
        assert not Path(f"{out}.checkpoint").exists()


@pytest.mark.long
@pytest.mark.parametrize("debug", ["", "1"])
def test_a_traceback_is_shown_to_those_who_ask_for_it(cache, monkeypatch, debug):
    monkeypatch.setenv("PUSHFORWARD_DEBUG", debug)
    code, out, err = finish(start(cache, "info", "nowhere"))
    assert out == ""
    assert "nowhere" in err.splitlines()[-1]
    assert code == (1 if debug else 2)
    assert ("Traceback (most recent call last)" in err) == bool(debug)
    assert (len(err.splitlines()) == 1) == (not debug)


@pytest.mark.parametrize("words", [["fit", "--help"], ["info", "model"]])
def test_what_computes_nothing_loads_nothing_heavy(words, work):
    code = (
        "import sys\n"
        "from pushforward.cli import main\n"
        f"sys.argv = ['pushforward', *{words}]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        "heavy = {'jax', 'equinox', 'duckdb', 'pyarrow', 'sklearn', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
