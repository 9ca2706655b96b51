"""The benchmark driver: alternation, failures, and what the report says."""

import json
import re
import sys
from pathlib import Path

import pytest

from benchmarks import report, runner
from benchmarks.__main__ import main
from benchmarks.task import all_tasks
from tests.benchmarks.pretend_tasks import ALTERNATING, FAILING, ONCE

MODULE = "tests.benchmarks.pretend_tasks"


def record(name: str, seconds: list[float], target: float | None = None, **figures: float) -> dict:
    return {
        "side": name,
        "target": target,
        "units": 1,
        "seconds": seconds,
        "median_s": sorted(seconds)[len(seconds) // 2],
        "cold_block_s": 9.0,
        "start_s": 1.0,
        "peak_mb": 100.0,
        "figures": figures,
    }


def result(name: str, *sides: dict) -> dict:
    run = {"date": "2030-01-01", "commit": "abc", "cores": 2, "platform": "Linux", "seed": 0, "versions": {"jax": "1"}}
    return {"task": name, "title": name, "about": "About.", "unit": "step", "run": run, "sides": list(sides)}


def test_blocks_alternate_in_one_run_and_the_cold_one_is_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks: list[tuple[str, float]] = []
    block = runner.Worker.block

    def watched(self: runner.Worker) -> dict:
        answer = block(self)
        blocks.append((self.name.split("/")[1], answer["figures"]["index"]))
        return answer

    monkeypatch.setattr(runner.Worker, "block", watched)
    records = runner.run_task(MODULE, ALTERNATING, Path(sys.executable))
    cold_and_first = [(name, i) for i in (0, 1) for name in ("ours", "other", "slow")]
    assert blocks == [*cold_and_first, *((name, i) for i in (2, 3) for name in ("ours", "other"))]
    assert [len(r["seconds"]) for r in records] == [3, 3, 1]
    assert records[1]["units"] == 4
    assert all(r["figures"]["quick"] == 0 and r["peak_mb"] > 1 for r in records)


def test_without_rounds_the_cold_block_is_the_measurement() -> None:
    (ours,) = runner.run_task(MODULE, ONCE, Path(sys.executable))
    assert ours["seconds"] == [ours["cold_block_s"] / 2]
    assert ours["figures"]["index"] == 0


def test_a_side_that_fails_ends_the_task_with_what_it_printed() -> None:
    with pytest.raises(runner.WorkerError, match=r"(?s)failing/bad .*no such model in this side"):
        runner.run_task(MODULE, FAILING, Path(sys.executable), quick=True)


def test_the_ratio_is_that_of_medians_with_the_range_of_neighbours() -> None:
    ours, peer = record("ours", [1.0, 2.0, 4.0]), record("peer", [4.0, 8.0, 4.0])
    found = report.ratio(peer, ours)
    assert found == {"median": pytest.approx(2.0), "low": pytest.approx(1.0), "high": pytest.approx(4.0)}


def test_the_report_says_which_targets_are_met() -> None:
    ours = record("ours", [0.5], nats=1.25)
    page = report.section(result("step", ours, record("fast", [0.4], target=1.1), record("slow", [2.0], target=2.0)))
    assert re.search(r"\| fast \| \*\*0\.80\*\* .* \| ≥ 1\.1: missed \|", page)
    assert re.search(r"\| slow \| \*\*4\.00\*\* .* \| ≥ 2: met \|", page)
    assert "1.25" in page
    assert "jax 1" in page


def test_the_page_holds_the_results_that_are_there(tmp_path: Path) -> None:
    name = next(iter(all_tasks()))
    kept = result(name, record("ours", [0.5]), record("peer", [1.5], target=2.0))
    (tmp_path / f"{name}.json").write_text(json.dumps(kept))
    page = report.render(tmp_path)
    assert f"| {name} | peer | **3.00** | ≥ 2 | met |" in page
    assert page.count("\n## ") == 2  # how to read, and one task


def test_an_unknown_task_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--only", "no_such_task"])
    assert "no_such_task" in capsys.readouterr().err
