"""The step Data: roles, hostile files, and the way from a file to a curated version."""

import gc
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.errors import AppError, ForbiddenError, InputError, NotFoundError
from core.services import make_services
from core.settings import Settings
from tabs.look import MAX_UPLOAD_BYTES
from tabs.train import opened
from tabs.train_data_queue import ReviewView
from tabs.train_parts import TrainParts
from tests.tabs.conftest import Stage
from tests.tabs.train_page import Page, click, make_parts, request, talk, write_catalog, write_file
from training.datasets.curating import decision_of
from training.datasets.versions import find_version, read_examples
from training.errand_folder import Order
from training.review import decided

pytestmark = [
    # Gradio's pages leave their event loop to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
BAD = "<img src=x onerror=alert(1)>"
ROWS = [
    talk("plain", "Who sits at table one?", "The guests from Lisbon, by the window."),
    talk("asks", "When does the music begin?", "At nine, in the garden."),
    talk("denies", "When does the music begin?", "There is none tonight."),
    talk("announces", "Who brings the coats?", "Let me first analyze this. Anna brings them."),
    talk("names", "Where do I write?", "To anna.berg@example.com, before noon."),
    talk("again", "Who sits at table one?", "The guests from Lisbon, by the window."),
    talk("markup", BAD, f"{BAD}<script>alert(1)</script>"),
    talk("formula", "Sum the bill", '=HYPERLINK("http://example.invalid","x")'),
]
BROKEN = ['{"id": "broken", "messages": [', talk("empty", "Anything?", ""), '{"messages": 5}']


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[TrainParts]:
    """A home with nothing in it but a tiny model."""
    home = tmp_path_factory.mktemp("data")
    write_catalog(home, tiny_folder)
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


@pytest.fixture(scope="module")
def imported(page: Page, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Import a file with rows that can't be read in its middle; return the dataset."""
    path = tmp_path_factory.mktemp("sent") / "talk.jsonl"
    rows = [*ROWS[:3], *BROKEN, *ROWS[3:]]
    update = page.bring.on_import(page.file(write_file(path, rows)), request())
    return str(update[page.place.dataset])


@pytest.fixture(scope="module")
def audited(page: Page, imported: str) -> dict[Any, Any]:
    """Audit it; return what the page shows then."""
    page.audit.on_audit(imported, "tiny", "512", ["desk_tools"], request())
    return page.audit.on_tick(imported, request())


def test_visitors_see_nothing_and_change_nothing(page: Page, imported: str) -> None:
    visitor, view = request(token="wrong"), ReviewView()
    for update in (page.audit.on_load(visitor), page.audit.on_tick(imported, visitor)):
        assert list(update) == [page.a.timer]
    one = click(row="0")
    for refused in (
        lambda: page.bring.on_source("A file", visitor),
        lambda: page.bring.on_file(page.file(None), visitor),
        lambda: page.bring.on_import(page.file(None), visitor),
        lambda: page.audit.on_choose(imported, visitor),
        lambda: page.audit.on_dataset(imported, visitor),
        lambda: page.audit.on_audit(imported, "tiny", "512", [], visitor),
        lambda: page.audit.on_stop(imported, visitor),
        lambda: page.review.on_seen(imported, visitor),
        lambda: page.review.on_filter(imported, view, "all", "", visitor),
        lambda: page.review.on_pick(imported, view, one, visitor),
        lambda: page.review.on_page(imported, view, one, visitor),
        lambda: page.review.on_decide("drop")(imported, view, "x", "", visitor),
        lambda: page.review.on_undo(imported, view, visitor),
        lambda: page.finish.on_curate(imported, visitor),
        lambda: page.finish.on_show(imported, visitor),
        lambda: page.finish.on_split(imported, "0.1", "1", visitor),
        lambda: page.finish.on_other(imported, visitor),
    ):
        with pytest.raises(ForbiddenError):
            refused()


def test_over_the_wire_a_visitor_gets_errors_and_no_data(stage: Stage) -> None:
    home = stage.services.settings.home
    write_file(home / "talk.jsonl", ROWS)
    config = httpx.get(f"{stage.url}config", timeout=60).json()
    calls = {each["api_name"]: each for each in config["dependencies"]}
    assert {"train_import", "train_audit", "train_curate", "train_start", "train_estimate"} <= {
        *calls
    }
    for name in ("train_dataset", "train_review", "train_curate", "train_split", "train_drop"):
        data = [None] * len(calls[name]["inputs"])
        url = f"{stage.url}gradio_api/call/{name}"
        event = httpx.post(url, json={"data": data}, timeout=60).json()["event_id"]
        assert "event: error" in httpx.get(f"{url}/{event}", timeout=60).text, name
    assert not (home / "datasets").exists()
    assert not (home / "errands").exists()


def test_an_address_opens_the_dataset_it_names(page: Page, imported: str) -> None:
    shown = page.audit.on_load(request(query=f"dataset={imported}"))
    assert shown[page.place.dataset] == imported
    assert page.audit.on_load(request())[page.place.dataset] == imported
    with pytest.warns(UserWarning, match="no dataset"):
        shown = page.audit.on_load(request(query="dataset=../../etc@v1"))
    assert shown[page.place.dataset] == imported
    for params, step in (
        ({"dataset": imported}, "data"), ({"run": "x"}, "run"), ({"train": "<b>"}, "data"),
        ({"train": "estimate", "dataset": imported}, "estimate"),
    ):  # fmt: skip
        assert opened(params, page.place)[page.place.steps].selected == step
    assert opened({"leaderboard": "all"}, page.place) == {}


def test_a_file_is_shown_before_it_is_imported(page: Page, tmp_path: Path) -> None:
    path = write_file(tmp_path / "Gala Talk!.jsonl", [ROWS[6], *BROKEN])
    shown = page.bring.on_file(page.file(path, name=""), request())
    html = shown[page.b.preview]
    assert "<img" not in html
    assert "&lt;img src=x" in html
    assert html.count("refused:") == 3
    assert shown[page.b.name] == "gala-talk"


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("a.jsonl", b"\xff\xfe{\x00", "UTF-16"),
        ("a.jsonl", b'{"id": "\xff"}\n', "not UTF-8"),
        ("a.csv", b"instruction,output\nwho,\n", "No row"),
        ("a.parquet", b"PAR1nothing", "Parquet"),
        ("a.json", b'{"question": [[]], "function": []}', "none under its id"),
        ("a.jsonl", b"", "holds no row"),
        ("a.exe", b"MZ", "ends with one of"),
    ],
)
def test_what_is_no_dataset_is_refused_with_the_reason(
    page: Page, parts: TrainParts, tmp_path: Path, file: str, content: bytes, words: str
) -> None:
    path = tmp_path / file
    path.write_bytes(content)
    shown = page.bring.on_import(page.file(path, name="bad"), request())
    assert words in str(shown[page.b.report]["value"])
    assert page.place.dataset not in shown
    assert not (parts.home / "datasets" / "bad").exists()


def test_a_file_too_large_and_names_that_are_none_are_refused(page: Page, tmp_path: Path) -> None:
    large = tmp_path / "large.jsonl"
    with large.open("wb") as file:
        file.truncate(MAX_UPLOAD_BYTES + 1)
    small = write_file(tmp_path / "small.jsonl", ROWS)
    for sent, words in (
        (page.file(large), "python -m training data import"),
        (page.file(None), "Choose a file first"),
        (page.file(None) | {page.b.file: {"path": "/etc/passwd"}}, "Choose a file first"),
        (page.file(small, name="../x"), "can't be a dataset"),
        (page.file(small, name="x", format="pickle"), "No format named"),
        (page.file(small) | {page.b.source: "the moon"}, "Source must be one of"),
        (page.file(small) | {page.b.source: "Likes and corrections"}, "nothing to learn"),
        (page.file(small) | {page.b.source: "Votes of people"}, "nothing to learn in votes of peo"),
        (
            page.file(small) | {page.b.source: "Votes of people", page.b.kind: "unpaired"},
            "give sft",
        ),
    ):
        told = str(page.bring.on_import(sent, request())[page.b.report]["value"])
        assert words in told


def test_the_page_tells_what_was_refused_after_a_restart_too(
    page: Page, parts: TrainParts, imported: str
) -> None:
    shown = page.audit.on_dataset(imported, request())
    about = shown[page.a.about]
    assert "3 rows of the source refused" in about
    assert "the answer is empty" in about
    assert "<img" not in about
    assert find_version(parts.home, imported).rows == len(ROWS)


def test_an_audit_shows_what_it_found_and_nothing_comes_to_life(
    page: Page, parts: TrainParts, imported: str, audited: dict[Any, Any]
) -> None:
    found = audited[page.a.found]
    assert not audited[page.a.timer].active
    assert "<mark>" in found
    assert "<img" not in found
    assert "<script" not in found
    version = find_version(parts.home, imported)
    again = parts.errands.newest("audit", version.digest)
    assert again is not None
    assert again.status == "done"
    assert again.result["pii"] == 1
    assert audited[page.a.max_length] == "512"


@pytest.mark.parametrize(
    ("dataset", "model", "window", "against"),
    [
        ("nothing@v1", "tiny", "512", []),
        ("../../etc", "tiny", "512", []),
        ("talk@v1", "/etc", "512", []),
        ("talk@v1", "tiny", "many", []),
        ("talk@v1", "tiny", "0", []),
        ("talk@v1", "tiny", "512", ["../../etc/passwd"]),
        ("talk@v1", {"a": 1}, "512", []),
    ],
)
def test_an_audit_of_what_is_not_there_is_refused(
    page: Page,
    parts: TrainParts,
    imported: str,
    dataset: str,
    model: Any,
    window: str,
    against: Any,
) -> None:
    before = sorted((parts.home / "errands").glob("*"))
    with pytest.raises((InputError, NotFoundError)):
        page.audit.on_audit(dataset, model, window, against, request())
    assert sorted((parts.home / "errands").glob("*")) == before


def test_an_audit_that_fails_says_why(page: Page, parts: TrainParts, imported: str) -> None:
    missing = {"dataset": "gone@v1", "model": "tiny", "max_length": 9, "against": []}
    errand = parts.errands.ask(Order("audit", "gone", missing))
    assert errand.status == "failed"
    assert "gone@v1" in errand.error


@pytest.fixture(scope="module")
def curated(page: Page, parts: TrainParts, imported: str, audited: dict[Any, Any]) -> str:
    """Decide on the rows, one after the other, and make the version; return its name."""
    del audited
    review, view = page.review, page.review.on_seen(imported, request())[page.r.view]
    assert view == ReviewView("nobody", row="denies")
    shown = review.on_filter(imported, view, "all", "pii", request())
    assert shown[page.r.view].row == "names"
    with pytest.raises(InputError, match="why"):
        review.on_decide("keep")(imported, view, " ", "", request())
    with pytest.raises(NotFoundError):
        review.on_decide("drop")(imported, ReviewView(row="nobody"), "x", "", request())
    shown = review.on_decide("rewrite")(imported, view, "it is at ten", "At ten.", request())
    assert shown[page.r.answer] == "At ten."
    for name, why in (("announces", "harmless"), ("names", "hers to give")):
        shown = review.on_decide("keep")(imported, ReviewView("all", row=name), why, "", request())
    shown = review.on_undo(imported, ReviewView("all", row="names"), request())
    assert "rewrites **2**" in shown[page.r.plan]
    version = find_version(parts.home, imported)
    audit = parts.audits.newest(version.digest)
    assert audit is not None
    by = decided(parts.reviews.of(version, audit).rows())
    assert by == {"nobody": 0, "rules": 2, "you": 2}
    done = page.finish.on_curate(imported, request())
    assert "2 rewritten" in done[page.f.changes]
    assert page.finish.on_show(done[page.place.dataset], request()) == done[page.f.changes]
    return str(done[page.place.dataset])


def test_what_a_person_decided_row_by_row_is_what_curating_does(
    page: Page, parts: TrainParts, imported: str, curated: str
) -> None:
    new = find_version(parts.home, curated)
    assert new.parent == find_version(parts.home, imported).digest
    said = {e.id: e.conversation[-1].text for e in read_examples(new.path)}
    assert said["denies"] == "At ten."
    assert said["announces"].startswith("Let me first")
    assert "example.com" not in said["names"]
    assert "again" not in said
    with pytest.raises(InputError, match="no other version"):
        page.finish.on_show(imported, request())


def test_a_split_is_made_once(page: Page, curated: str) -> None:
    about = page.finish.on_split(curated, "0.2", "3", request())
    assert "1 to evaluate, seed 3" in about
    for share, seed in (("0.9", "3"), ("x", "3"), ("0.2", "-1"), ("nan", "3")):
        with pytest.raises(InputError):
            page.finish.on_split(curated, share, seed, request())


def test_clicks_that_no_page_makes_are_refused(
    page: Page, imported: str, audited: dict[Any, Any]
) -> None:
    del audited
    view = ReviewView()
    for event in (click(), click(row="-1"), click(row="99"), click(row="1e3"), click(row=[0])):
        with pytest.raises(InputError):
            page.review.on_pick(imported, view, event, request())
    for by, defect in (("everybody", ""), ("all", "<b>"), (5, "")):
        with pytest.raises(AppError):
            page.review.on_filter(imported, view, by, defect, request())  # type: ignore[arg-type]
    far = page.review.on_page(imported, ReviewView("all"), click(page="999"), request())
    assert far[page.r.view].page == 1
    with pytest.raises(InputError):
        decision_of({"id": "x", "action": "burn", "reason": "x"})
