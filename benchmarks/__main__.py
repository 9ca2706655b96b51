"""`python -m benchmarks [--only NAME] [--quick]`: run tasks, keep their results, write RESULTS.md."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from benchmarks.data import SEED
from benchmarks.peers import peers_python
from benchmarks.report import ratio, render, seconds
from benchmarks.runner import ROOT, WorkerError, commit, run_task
from benchmarks.task import Task, all_tasks

HERE = Path(__file__).parent
QUICK_FOLDER = ROOT / "build" / "benchmarks"


def describe_run(records: list[dict[str, Any]]) -> dict[str, Any]:
    """What a reader needs to judge the figures, and nothing that names this machine."""
    versions = {name: version for record in records for name, version in record.pop("versions").items()}
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit(),
        "cores": os.cpu_count(),
        "platform": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "seed": SEED,
        "versions": dict(sorted(versions.items())),
    }


def run_and_keep(module: str, task: Task, folder: Path, quick: bool) -> None:
    """Run one task, print its ratios and write its file of results."""
    records = run_task(module, task, peers_python(), quick)
    ours = records[0]
    for record in records:
        beside = "" if record is ours else f"   {ratio(record, ours)['median']:.2f} × ours"
        figures = "".join(f"   {name} {value:.4g}" for name, value in record["figures"].items())
        print(f"  {record['side']:40s} {seconds(record['median_s']):>10s}{beside}{figures}", flush=True)
    result = {"task": task.name, "title": task.title, "about": task.about, "unit": task.unit}
    result |= {"run": describe_run(records), "sides": records}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{task.name}.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen tasks; 0 if all ran."""
    tasks = all_tasks()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help=f"a task: {', '.join(tasks)}; may repeat")
    parser.add_argument(
        "--quick", action="store_true", help="small blocks, to see that all runs; results go to build/benchmarks"
    )
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.only or ()) - set(tasks))
    if unknown:
        parser.error(f"unknown task {', '.join(unknown)}; choose from {', '.join(tasks)}")
    folder = QUICK_FOLDER if options.quick else HERE / "results"
    failed = 0
    for name, (module, task) in tasks.items():
        if options.only and name not in options.only:
            continue
        print(f"{task.title} [{name}]", flush=True)
        if task.skip is not None:
            print(f"  skipped: {task.skip}")
            continue
        try:
            run_and_keep(module, task, folder, options.quick)
        except WorkerError as error:
            failed += 1
            print(f"  failed: {error}", file=sys.stderr)
    page = (QUICK_FOLDER if options.quick else HERE) / "RESULTS.md"
    page.write_text(render(folder))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
