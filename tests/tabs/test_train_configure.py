"""The steps Configure and Estimate: every field, what is wrong with it, and what is refused."""

import gc
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import pytest

from core.errors import AppError, ForbiddenError, InputError, NotFoundError
from core.services import make_services
from core.settings import Settings
from tabs.train_parts import TrainParts
from tests.tabs.train_page import Page, make_parts, request, talk, write_catalog, write_file
from training.config import TrainConfig
from training.config_help import hints
from training.datasets.importing import import_dataset
from training.job_command import read_config
from training.presets import PRESETS
from training.run_draft import PLACE, config_of, read_draft
from training.run_folder import read_run

pytestmark = [
    # Gradio's pages leave their event loop to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[TrainParts]:
    """A home with a tiny model and a dataset."""
    home = tmp_path_factory.mktemp("configure")
    write_catalog(home, tiny_folder)
    rows = [talk(str(n), f"Who sits at table {n}?", f"Guest {n}.") for n in range(4)]
    import_dataset(home, write_file(home / "talk.jsonl", rows), "talk")
    with closing(make_services(Settings.from_env({"UNDERSTUDY_HOME": str(home)}))) as services:
        pages, made = make_parts(services)
        yield made
        pages.close()


@pytest.fixture(scope="module")
def page(parts: TrainParts) -> Iterator[Page]:
    made = [Page(parts)]
    yield made[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        made.clear()
        gc.collect()


def test_visitors_see_nothing_and_start_nothing(page: Page, parts: TrainParts) -> None:
    visitor, sent = request(token="wrong"), page.settings()
    started = {**sent, page.e.name: "x", page.e.price: ""}
    assert page.configure.on_load(visitor) == {page.place.config: ""}
    assert list(page.estimate.on_tick("", "", visitor)) == [page.e.timer]
    for refused in (
        lambda: page.configure.on_change(sent, visitor),
        lambda: page.configure.on_preset(sent, visitor),
        lambda: page.configure.on_dataset(visitor),
        lambda: page.configure.on_take(sent, visitor),
        lambda: page.estimate.on_config("", "", visitor),
        lambda: page.estimate.on_estimate(started, visitor),
        lambda: page.estimate.on_stop("", "", visitor),
        lambda: page.estimate.on_start(started, visitor),
    ):
        with pytest.raises(ForbiddenError):
            refused()
    assert not (parts.home / "runs").exists()


def test_every_field_has_a_place_a_hint_and_its_default(page: Page) -> None:
    form = page.c.form
    names = {field.name for field in fields(TrainConfig)}
    assert {*form.entries, "preset"} == names == set(hints())
    told = page.configure.on_change(page.settings(), request())
    assert config_of(told[page.c.yaml]) == TrainConfig(model="tiny", dataset="talk@v1")


def test_the_settings_are_those_that_the_command_reads(page: Page, parts: TrainParts) -> None:
    sent = page.settings(
        preset="tool-call", rank="", learning_rate="1e-4", max_steps="7", patience="", seed="0",
        mirror="file:///tmp/mirror", packing=False,
    )  # fmt: skip
    told = page.configure.on_change(sent, request())
    path = parts.home / "run.yaml"
    path.write_text(told[page.c.yaml], encoding="utf-8")
    config = read_config(path)
    assert (config.rank, config.alpha, config.learning_rate) == (64, 32, 1e-4)
    assert (config.max_steps, config.patience, config.packing) == (7, None, False)
    assert read_draft(parts.home) == config, "another browser finds the settings as they are"
    shown = page.configure.on_load(request())
    assert shown[page.c.form.entries["learning_rate"]] == "0.0001"
    assert shown[page.place.config] == told[page.c.yaml]


def test_a_preset_fills_the_form(page: Page) -> None:
    entries = page.c.form.entries
    shown = page.configure.on_preset(page.settings(preset="persona"), request())
    for name, value in PRESETS["persona"].values.items():
        assert shown[entries[name]] == f"{value:g}"
    assert config_of(shown[page.c.yaml]).preset == "persona"
    shown = page.configure.on_preset(page.settings(preset="", rank="64"), request())
    assert shown[entries["rank"]] == "16"
    assert shown[entries["patience"]] == ""
    with pytest.raises(InputError):
        page.configure.on_preset(page.settings(preset="<b>"), request())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("rank", "0", "rank must be a whole number of 1"),
        ("rank", "16.5", "rank must be a whole number"),
        ("rank", "٣", "rank must be a whole number"),
        ("rank", "1_0", "rank must be a whole number"),
        ("learning_rate", "nan", "learning_rate must be above"),
        ("learning_rate", "1e999", "learning_rate must be above"),
        ("epochs", "<b>", "&lt;b&gt;"),
        ("max_length", "9" * 400, "at most 300 characters"),
        ("micro_tokens", "512", "max_length"),
        ("packing", "yes", "packing must be true or false"),
        ("recipe", "ppo", "no recipe named"),
        ("model", None, "lack"),
        ("mirror", "s3://a:b@host/x", "password"),
        ("seed", ["1"], "characters"),
    ],
)
def test_what_is_wrong_is_said_beside_the_form(
    page: Page, name: str, value: object, words: str
) -> None:
    told = page.configure.on_change(page.settings(**{name: value}), request())
    assert words in told[page.c.checks].replace("&#39;", "'")
    assert told[page.place.config] == ""
    assert told[page.c.yaml] == ""


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "was not audited"),
        ({}, "is not split"),
        ({"dataset": "../../etc"}, "no dataset"),
        ({"model": "groq-llama-3.3-70b"}, "no model on this machine"),
        ({"model": "smollm2-135m"}, "is not on this disk"),
        ({"recipe": "dpo"}, "learns from"),
    ],
)
def test_what_speaks_against_a_run_is_said_beforehand(
    page: Page, values: dict[str, object], words: str
) -> None:
    told = page.configure.on_change(page.settings(**values), request())
    assert words in told[page.c.checks]


def test_an_estimate_that_does_not_fit_says_what_would_and_stops_the_start(
    page: Page, parts: TrainParts
) -> None:
    sent = {**page.settings(rank="1024"), page.e.price: "2.5", page.e.name: "large"}
    shown = page.estimate.on_estimate(sent, request())
    assert "It does not fit" in shown[page.e.found]
    assert "set rank to 8" in shown[page.e.found]
    assert "90.00 GB at once, of 4.00 GB free" in shown[page.e.found]
    unknown = page.estimate.on_estimate({**sent, **page.settings(rank="512")}, request())
    assert "unknown: more than the 4.00 GB free" in unknown[page.e.found]
    assert "would make it fit" not in unknown[page.e.found]
    again = page.estimate.on_config(shown[page.place.config], "", request())
    assert again[page.e.found] == shown[page.e.found], "a reload shows the same"
    with pytest.raises(InputError, match="does not fit"):
        page.estimate.on_start(sent, request())
    for price in ("-1", "nan", "much", "1e99"):
        with pytest.raises(InputError):
            page.estimate.on_estimate({**sent, page.e.price: price}, request())
    assert not (parts.home / "runs" / "large").exists()


def test_start_queues_the_run_that_the_form_says(page: Page, parts: TrainParts) -> None:
    sent = {**page.settings(max_steps="3"), page.e.name: "night"}
    shown = page.estimate.on_start(sent, request())
    assert shown[page.place.run] == "night"
    assert shown[page.place.steps].selected == "run"
    assert parts.jobs.show("night").job.status == "queued"
    assert read_run(parts.home / "runs" / "night").config.max_steps == 3
    for values, name in (
        ({}, "night"), ({}, "../x"), ({"rank": "0"}, "a"), ({"recipe": "dpo"}, "b"),
        ({"dataset": "gone@v1"}, "c"), ({"model": "/etc"}, "d"),
    ):  # fmt: skip
        with pytest.raises((AppError, NotFoundError)):
            page.estimate.on_start({**page.settings(**values), page.e.name: name}, request())
    assert [view.job.id for view in parts.jobs.list()] == ["night"]


def test_a_draft_that_was_damaged_is_left_out(page: Page, parts: TrainParts) -> None:
    (parts.home / PLACE).write_text("model: [", encoding="utf-8")
    shown = page.configure.on_load(request())
    assert shown[page.place.config] == ""
