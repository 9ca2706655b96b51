"""The table of compiled programs, from what fresh processes told."""

import json

import pytest

from benchmarks import programs


def test_a_table_shows_the_middle_process_and_gathers_small_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    large = {"traced": 0.5, "lowered": 0.25, "compiled": 2.0}
    small = {"traced": 0.01, "lowered": 0.01, "compiled": 0.02}
    walls = iter([9.0, 5.0, 7.0])

    def measured(name: str, how: str) -> dict[str, object]:
        if how == "counted":
            return {"programs": {"run_epochs": {"runs": 3, "ran": 1.5, "instructions": 4321}}}
        return {"seconds": next(walls), "programs": {"run_epochs": large, "add": small, "log": small}}

    monkeypatch.setattr(programs, "measured", measured)
    text = programs.section("density", 3)
    assert "In all 7 s (5 s–9 s)" in text
    assert "| run_epochs | 500 ms | 250 ms | 2 s | 4,321 | 3 | 1.5 s |" in text
    assert "| 2 others | 20 ms | 20 ms | 40 ms |" in text


def test_unknown_cases_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        programs.main(["nonsense"])
    assert "there is no case nonsense; choose of density" in capsys.readouterr().err


@pytest.mark.long
def test_a_fresh_process_tells_what_it_compiled() -> None:
    told = {how: programs.measured("outliers", how) for how in ("timed", "counted")}
    assert told["timed"]["seconds"] > told["timed"]["programs"]["run_epochs"]["compiled"] > 0
    counted = told["counted"]["programs"]["run_epochs"]
    assert counted["runs"] >= 1 and counted["instructions"] > 100
    json.dumps(told)
