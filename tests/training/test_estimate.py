"""What a run will take: measured where it fits, refused with a way out where it does not."""

import math
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError, NotFoundError
from tests.training.tiny_runs import config_of, settings_of
from training.estimate import beyond, estimate
from training.estimate_advice import Need, advice
from training.estimate_bounds import least_bytes, sizes_of
from training.estimate_command import estimate_text
from training.free_memory import cgroup_rooms, free_bytes
from training.recipes.course import Course

GB = 10**9


def test_a_files_header_tells_how_many_weights_there_are(home: Path) -> None:
    sizes = sizes_of(home / "llama")
    assert sizes.linear == 2 * (4 * 64 * 64 + 3 * 64 * 128)
    assert sizes.sides == 2 * (4 * 128 + 3 * 192)


def test_the_least_memory_grows_from_qlora_to_full(home: Path) -> None:
    config = config_of(home, rank=1)
    small, middle, large = (
        least_bytes(config, home / "llama", method) for method in ("qlora", "lora", "full")
    )
    assert small < middle < large


@pytest.mark.slow
def test_ten_steps_tell_what_a_run_takes(home: Path) -> None:
    before = sorted(home.rglob("*"))
    heard: list[str] = []
    told = estimate(config_of(home, max_steps=50), settings_of(home), 3.6, heard.append)
    assert heard[0] == "loading llama"
    assert heard[-1] == "step 10 of 10"
    assert told.fits
    assert told.steps == 50
    assert told.probed_steps == 10
    assert told.tokens_per_s is not None
    assert told.tokens is not None
    assert told.duration_s == pytest.approx(told.tokens / told.tokens_per_s, rel=0.01)
    assert told.cost == pytest.approx(told.duration_s * 0.001, abs=1e-4)
    assert told.memory_gb is not None
    assert 0.1 < told.memory_gb < told.free_gb
    assert sorted(home.rglob("*")) == before


def test_without_a_price_there_is_no_cost_and_wrong_ones_are_refused(home: Path) -> None:
    for price in (-1, math.nan, math.inf):
        with pytest.raises(InputError, match="price"):
            estimate(config_of(home), settings_of(home), price_per_hour=price)
    with pytest.raises(NotFoundError):
        estimate(config_of(home, dataset="nothing@v1"), settings_of(home))


@pytest.mark.parametrize(
    ("values", "need", "room", "words"),
    [
        ({}, Need(8 * GB, 4 * GB), 6 * GB, ["micro_tokens to 128", "gradient_checkpointing"]),
        ({"gradient_checkpointing": True}, Need(8 * GB, 4 * GB), 5 * GB, ["max_length to 64"]),
        ({}, Need(8 * GB, 7 * GB), 6 * GB, ["no setting makes", "smaller base"]),
    ],
)
def test_what_would_fit_is_said(
    home: Path, values: dict[str, Any], need: Need, room: int, words: list[str]
) -> None:
    told = " | ".join(advice(config_of(home, **values), home / "llama", need, room))
    for word in words:
        assert word in told


def test_a_lighter_method_is_advised_where_it_is_enough(home: Path) -> None:
    config = config_of(home, method="full", rank=1)
    full, lora = (least_bytes(config, home / "llama", m) for m in ("full", "lora"))
    told = advice(config, home / "llama", Need(full, full), lora)
    assert "choose method 'lora'" in told
    assert "choose method 'qlora'" in told


def test_what_ran_out_of_memory_is_unknown_and_nothing_is_promised(home: Path) -> None:
    config = config_of(home, method="lora", rank=64)
    told = beyond(config, home / "llama", GB)
    assert (told.fits, told.memory_gb, told.free_gb) == (False, None, 1.0)
    assert estimate_text(told).startswith("does not fit; memory: unknown, more than the 1.00 GB")
    assert {way.split(" and ")[0] for way in told.advice} == {
        "try a smaller micro_tokens",
        "try a smaller max_length",
        "try gradient_checkpointing",
        "try method 'qlora'",
        "try rank 8",
    }
    assert all("not known yet" in way for way in told.advice)
    (nothing,) = beyond(config, home / "llama", 1000).advice
    assert nothing.startswith("no setting makes 'llama' fit")


def test_a_groups_limit_counts_as_the_machines_memory(tmp_path: Path) -> None:
    def group(path: str, files: dict[str, object]) -> None:
        (tmp_path / path).mkdir(parents=True)
        for name, value in files.items():
            (tmp_path / path / name).write_text(f"{value}\n")

    stat = "anon 1\ninactive_file 100\ntotal_inactive_file 200"
    group("pod", {"memory.max": 5000, "memory.current": 3000, "memory.stat": stat})
    group("pod/one", {"memory.max": "max", "memory.current": 3000, "memory.stat": stat})
    used = {"memory.usage_in_bytes": 900, "memory.stat": stat}
    group("memory", {"memory.limit_in_bytes": 1000, **used})
    proc = tmp_path / "cgroup"
    proc.write_text("0::/pod/one\n4:cpu,memory:/a/path/of/the/host\n2:pids:/\n")
    assert list(cgroup_rooms(proc, tmp_path)) == [5000 - 3000 + 100, 1000 - 900 + 200]
    assert list(cgroup_rooms(tmp_path / "none", tmp_path)) == []
    assert free_bytes() > 0


def test_a_measurement_goes_through_the_steps_it_names(home: Path) -> None:
    config = config_of(home, max_steps=6)
    rows = [type("R", (), {"cost": 10 + i})() for i in range(12)]
    whole = Course(config, rows)  # type: ignore[arg-type]
    some = Course(config, rows, only=(4, 1))  # type: ignore[arg-type]
    assert some.steps == (whole.steps[4], whole.steps[1])
    assert some.total == 2
