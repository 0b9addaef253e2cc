import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Locator, Page, expect

from core.catalog_files import load_catalog
from core.settings import Settings
from core.store import open_store
from tests import tiny_models
from tests.browser.conftest import ANSWER_MS, Server
from tests.training.jobs_home import Home
from tests.training.registry_runs import begun_run, completed_run
from training.events import EventLog
from training.job_rows import Job
from training.registry import Registry

pytestmark = pytest.mark.browser
expect.set_options(timeout=ANSWER_MS)
Visit = Callable[..., Page]
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@dataclass
class Stage:
    """The app, and the home that it works in."""

    server: Server
    home: Home

    def address(self, step: str, **names: str) -> str:
        query = "&".join(f"{name}={value}" for name, value in names.items())
        return f"{self.server.url}?train={step}&{query}"


@pytest.fixture(scope="module")
def stage(
    tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, adapter_folder: Path
) -> Iterator[Stage]:
    """Run the app where everybody on this machine is an administrator, workers scripted."""
    folder = tmp_path_factory.mktemp("train")
    entry = {"provider": "local", "path": str(tiny_folder), "context": tiny_models.CONTEXT}
    catalog = yaml.safe_dump({"models": {"tiny": entry}})
    (folder / "catalog.yaml").write_text(catalog, encoding="utf-8")
    settings = Settings.from_env({"UNDERSTUDY_HOME": str(folder)})
    with closing(open_store(settings.database_url)) as store:
        home = Home(settings, store)
        completed_run(folder, load_catalog(settings), "done", adapter_folder)
        Registry(store, folder).register("done")
        home.jobs.rows.add(completed_job(home.jobs.rows.home))
        night = begun_run(folder, load_catalog(settings), "night")
        script = {"steps": 100_000, "step_s": 0.1}
        (night / "script.json").write_text(json.dumps(script), encoding="utf-8")
        (night / "log.txt").write_text(f"{HOSTILE}\n", encoding="utf-8")
        log = EventLog(night)
        log.write("warning", 0, what="truncated", rows=HOSTILE)
        log.close()
        server = Server(folder, "tests/browser/training_app.py")
        yield Stage(server, home)
        server.kill()
        home.kill_all()


def completed_job(home: str) -> Job:
    now = datetime.now(UTC)
    times = {"created_at": now, "queued_at": now, "ended_at": now}
    facts = {"status": "completed", "executor": "local", "processes": 1, "attempt": 1}
    return Job(id="done", home=home, **facts, **times)


def opened(visit: Visit, address: str, width: int = 1280) -> Page:
    """Open a step of the Train tab as another browser."""
    return visit(address, width, 844, awaited="#train .rn-told")


def told(page: Page) -> Locator:
    """Return what the page says of the chosen run."""
    return page.locator("#train-run-told .rn-told")


def act(page: Page, name: str) -> None:
    told(page).get_by_role("button", name=name).click()


def expect_running(page: Page) -> None:
    expect(told(page).locator("h3")).to_have_text("night")
    expect(told(page)).to_contain_text("running")
    expect(told(page)).to_contain_text("Tokens/s")
    expect(page.locator("#train-log")).to_contain_text("<img src=x")
    assert page.locator("#train img, #train script").count() == 0
    assert page.title() == "Understudy"


def expect_kept_while_it_changes(page: Page) -> None:
    """What is unfolded and what the keyboard is on stay so."""
    page.get_by_text("1 warning").click()
    told(page).get_by_role("button", name="Stop and save").focus()
    step = told(page).locator(".rn-progress span")
    expect(step).not_to_have_text(step.inner_text())
    expect(told(page).locator("li")).to_have_text("truncated: rows " + HOSTILE)
    expect(told(page).locator("li")).to_be_visible()
    expect(told(page).get_by_role("button", name="Stop and save")).to_be_focused()


def test_a_run_outlives_the_app_and_every_browser_shows_the_same(
    stage: Stage, visit: Visit
) -> None:
    stage.home.jobs.submit("night")
    page = opened(visit, stage.address("run"))
    expect_running(page)
    expect(page.locator("#train-loss .scatterlayer .trace").first).to_be_visible()
    stage.server.kill()
    assert stage.home.workers("night")
    page.close()
    stage.server.start()
    page = opened(visit, stage.address("run"))
    expect_running(page)
    assert stage.home.jobs.rows.get("night").attempt == 1

    expect_kept_while_it_changes(page)
    act(page, "Stop and save")
    expect(told(page).get_by_role("button", name="Resume")).to_be_visible()
    saved = stage.home.jobs.show("night").facts
    assert saved.step == saved.committed
    expect(page).to_have_url(re.compile("train=run&run=night"))
    other = opened(visit, page.url)
    with page.expect_event("load"):
        page.evaluate("location.reload()")
    for each in (page, other):
        expect(told(each)).to_contain_text("stopped")
    assert told(page).inner_text() == told(other).inner_text()
    listed = [each.locator(".rn-runs").inner_text() for each in (page, other)]
    assert listed[0] == listed[1]

    act(page, "Resume")
    expect(told(other)).to_contain_text("attempt 2")
    stage.home.until("night", lambda view: (view.facts.step or 0) > (saved.step or 0))


def test_from_a_completed_run_to_its_result_its_version_and_chat(
    stage: Stage, visit: Visit, tmp_path: Path
) -> None:
    page = opened(visit, stage.address("run", run="done"))
    act(page, "See the result")
    result = page.locator("#train-result-told")
    expect(result).to_contain_text("tiny@tiny-sft-v1")
    expect(page).to_have_url(re.compile("train=result&run=done"))
    expect(page.get_by_role("button", name="Evaluate both")).to_be_visible()
    result.get_by_role("button", name="See the version").click()
    version = page.locator("#train-version-told")
    expect(version).to_contain_text("sha256:")
    expect(page).to_have_url(re.compile("train=version&version=tiny-sft-v1"))

    page.get_by_role("button", name="Make the files").click()
    with page.expect_download() as download:
        page.locator("#train-exports").get_by_role("link", name="Download").click()
    download.value.save_as(tmp_path / "export.zip")
    assert (tmp_path / "export.zip").read_bytes()[:2] == b"PK"
    page.locator("#train-push-to input").fill("me/mine")
    page.get_by_role("button", name="Make and push").click()
    expect(page.get_by_text("set HF_TOKEN")).to_be_visible()

    version.get_by_role("link", name="Try it in Chat").click()
    expect(page.locator("#model input")).to_have_value("tiny@tiny-sft-v1")


def test_on_a_phone_no_step_is_wider_than_the_page(stage: Stage, visit: Visit) -> None:
    page = opened(visit, stage.address("run", run="done", __theme="dark"), 390)
    for button, place in (("See the result", "result"), ("See the version", "version")):
        assert page.evaluate(OVERFLOW) == 0
        page.get_by_role("button", name=button).click()
        expect(page.locator(f"#train-{place}-told .rn-told")).to_be_visible()
    assert page.evaluate(OVERFLOW) == 0
