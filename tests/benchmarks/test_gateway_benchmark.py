"""The gateway's benchmark runs and measures what it says; its figures are not judged here."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("hit", "fallback", "pipeline", "filter")
"""The others start the app, or an interpreter ten times."""


def figures_of(*parts: str, **environment: str) -> dict[str, list[dict[str, Any]]]:
    """Return the figures of these parts, measured as briefly as may be."""
    chosen = [word for part in parts for word in ("--part", part)]
    done = subprocess.run(
        [sys.executable, "benchmarks/gateway.py", "--json", "--scale", "1", *chosen],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert tuple(report["figures"]) == parts
    assert report["before"]["load"]
    return dict(report["figures"])


@pytest.mark.slow
def test_each_part_measures_something_against_a_goal() -> None:
    for part, figures in figures_of(*QUICK).items():
        assert any(figure["is_met"] is not None for figure in figures), part
        assert all(figure["value"] > 0 for figure in figures if "added" not in figure["what"])


@pytest.mark.slow
def test_without_litellm_its_figure_is_unknown_and_not_made_up(tmp_path: Path) -> None:
    no_folder = tmp_path / "a file"
    no_folder.touch()
    (figure,) = figures_of("litellm", XDG_CACHE_HOME=str(no_folder))["litellm"]
    assert (figure["value"], figure["is_met"]) == (None, None)
    assert "venv" in figure["note"]
