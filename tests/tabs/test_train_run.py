"""The steps Run, Result and Version: roles, names that are looked up, and text that stays text."""

import gc
import json
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import gradio as gr
import httpx
import pytest
import yaml
from starlette.applications import Starlette
from starlette.requests import Request

from core.access import Access
from core.errors import ForbiddenError, InputError, NotFoundError
from core.services import make_services
from core.settings import Settings
from tabs.chat_options import build_options
from tabs.pages import make_pages
from tabs.train_parts import TrainParts, TrainPlace
from tabs.train_result import ResultCallbacks, lay_out_result
from tabs.train_result_view import Seen as ResultSeen
from tabs.train_run import RunCallbacks, lay_out_run
from tabs.train_run_plots import POINTS, loss_plot, rates_plot
from tabs.train_run_view import Seen
from tabs.train_version import VersionCallbacks, lay_out_version
from tabs.train_version_download import download_route
from tabs.train_version_view import Seen as VersionSeen
from tests import tiny_models
from tests.serving import serve
from tests.tabs.conftest import SECRET, Stage
from tests.training.registry_runs import begun_run, completed_run
from training.events import NAME, EventLog
from training.exports import ExportOrder, make_export
from training.history import Histories
from training.job_tending import Means
from training.jobs import Jobs
from training.launch import LocalExecutor
from training.registry import Registry

pytestmark = [
    # Gradio's pages leave their event loop to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
BAD = "<img src=x onerror=alert(1)>"
PATHS = (
    "../../etc/passwd",
    "..",
    "/etc/passwd",
    "done/../done",
    "x" * 400,
    "nobody",
    "%2e%2e",
    "\ud800",
)
SUMS = "description: Sums.\nscorer: gsm8k\nmetrics: [gsm8k]\nparams: {max_tokens: 4}\n"


@pytest.fixture(scope="module")
def parts(
    tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, adapter_folder: Path
) -> Iterator[TrainParts]:
    """A home with a completed run, one that waits, and one whose every text is hostile."""
    home = tmp_path_factory.mktemp("train")
    entry = {"provider": "local", "path": str(tiny_folder), "context": tiny_models.CONTEXT}
    catalog = yaml.safe_dump({"models": {"tiny": entry}, "default_model": "tiny"})
    (home / "catalog.yaml").write_text(catalog, encoding="utf-8")
    (home / "tasks").mkdir()
    (home / "tasks" / "sums.yaml").write_text(SUMS, encoding="utf-8")
    rows = [{"id": str(n), "input": f"{n} + 1?", "target": str(n + 1)} for n in range(4)]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    (home / "tasks" / "sums.jsonl").write_text(lines, encoding="utf-8")
    with closing(make_services(Settings.from_env({"UNDERSTUDY_HOME": str(home)}))) as services:
        pages = make_pages(services, Access(SECRET, admin_token="token", trust_loopback=False))
        jobs = Jobs(services.store, home, idle_means(home))
        for name in ("done", "waits", "hostile"):
            make = begun_run if name != "done" else completed_run
            extra = (adapter_folder,) if name == "done" else ()
            make(home, services.catalog, name, *extra)
            jobs.submit(name)
        jobs.rows.change("done", lambda job: done(job))
        write_hostile(home / "runs" / "hostile")
        jobs.stop("hostile")
        Registry(services.store, home).register("done")
        yield replace(pages.train, jobs=jobs)
        pages.close()


def idle_means(home: Path) -> Means:
    """Return means with which nothing is ever started."""
    executors = {"local": LocalExecutor(home / "runs", "tests.no_worker")}
    return Means(executors=executors, finish=lambda _: None, start=lambda: None)


def done(job: object) -> tuple[object, ...]:
    """Return the way of a job to its end."""
    states = ("starting", "running", "completed")
    return tuple(replace(job, status=status) for status in states)


def write_hostile(folder: Path) -> None:
    log = EventLog(folder)
    log.write("started", 0, total_steps=9)
    log.write("warning", 0, what=BAD, path=BAD)
    log.write("sample", 0, when="before", prompt=BAD, target=BAD, completion=f"{BAD}\x00\u202e")
    log.write("step", 1, loss="nan", lr=1e-4, tokens_per_s=4.0, memory_gb=1.0)
    log.write("step", 2, loss=2.0, lr=1e-4, tokens_per_s=4.0, memory_gb=1.0)
    log.close()
    (folder / "log.txt").write_text(f"{BAD}\n\x1b[31m</pre><script>alert(1)</script>\n")
    (folder / "mirror").mkdir()
    state = {"step": None, "behind": 1, "lag_s": 3.0, "error": BAD, "at": 1.0}
    (folder / "mirror" / "state.json").write_text(json.dumps(state))


class Page:
    """The three steps on a page of nobody's."""

    def __init__(self, parts: TrainParts) -> None:
        with gr.Blocks() as self.blocks:
            states = [gr.State("") for _ in range(3)]
            self.place = TrainPlace(gr.Tabs(), gr.Tabs(), *states)
            self.r, self.e, self.v = lay_out_run(), lay_out_result(), lay_out_version()
        self.run = RunCallbacks(parts, self.place, self.r)
        self.result = ResultCallbacks(parts, self.e)
        self.version = VersionCallbacks(parts, self.place, self.v)

    def asked(self, version: str, **values: object) -> dict[object, object]:
        """Return what the export's form sends."""
        v = self.v
        sent = {v.kind: "adapter", v.quantisation: "F16", v.repository: ""}
        sent |= {getattr(v, name): value for name, value in values.items()}
        return {**sent, v.version: version, v.seen: VersionSeen(), self.place.run: "done"}


@pytest.fixture(scope="module")
def page(parts: TrainParts) -> Iterator[Page]:
    made = [Page(parts)]
    yield made[0]
    with warnings.catch_warnings():
        # Gradio's pages leave their event loop to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        made.clear()
        gc.collect()


def request(query: str = "", token: str = "token") -> gr.Request:
    headers = [(b"authorization", f"Bearer {token}".encode())]
    scope = {"type": "http", "headers": headers, "query_string": query.encode()}
    return gr.Request(Request({**scope, "client": ("9.9.9.9", 1)}))


def click(**sent: object) -> gr.EventData:
    return gr.EventData(None, sent)


def test_visitors_see_nothing_and_change_nothing(page: Page) -> None:
    visitor = request(token="wrong")
    for update in (
        page.run.on_load(visitor), page.run.on_tick("done", Seen(), visitor),
        page.result.on_tick("done", ResultSeen(), visitor), page.version.on_load(visitor),
        page.version.on_tick("done", "tiny-sft-v1", VersionSeen(), visitor),
    ):  # fmt: skip
        assert len(update) == 1
        assert not next(iter(update.values())).active
    run, version = click(run="waits"), click(version="tiny-sft-v1")
    asked = page.asked("tiny-sft-v1")
    for refused in (
        lambda: page.run.on_chosen("done", Seen(), visitor),
        lambda: page.run.on_open(run, visitor),
        lambda: page.run.on_result(run, visitor),
        lambda: page.run.on_stop(Seen(), run, visitor),
        lambda: page.run.on_resume(Seen(), run, visitor),
        lambda: page.result.on_chosen("done", ResultSeen(), visitor),
        lambda: page.result.on_evaluate("done", ResultSeen(), "sums", "", visitor),
        lambda: page.result.on_version(visitor),
        lambda: page.version.on_chosen("done", "", VersionSeen(), visitor),
        lambda: page.version.on_open("done", VersionSeen(), version, visitor),
        lambda: page.version.on_register("done", VersionSeen(), visitor),
        lambda: page.version.on_kind("gguf", visitor),
        lambda: page.version.on_make(asked, visitor),
        lambda: page.version.on_push(asked, visitor),
        lambda: page.version.on_stop("done", "", VersionSeen(), visitor),
    ):
        with pytest.raises(ForbiddenError):
            refused()


def test_over_the_wire_a_visitor_gets_errors_and_no_data(stage: Stage) -> None:
    config = httpx.get(f"{stage.url}config", timeout=60).json()
    names = {each["api_name"] for each in config["dependencies"]}
    refused = {
        "train_chosen", "train_open", "train_see_result", "train_stop", "train_resume",
        "train_result", "train_see_version", "train_evaluate", "train_version",
        "train_open_version", "train_register", "train_export", "train_push",
        "train_export_stop", "train_export_kind",
    }  # fmt: skip
    assert {*refused, "train_runs", "train_progress", "train_versions"} <= names
    for name in ("train_open", "train_evaluate", "train_export"):
        begun = httpx.post(
            f"{stage.url}gradio_api/call/{name}", json={"data": ["done"] * 3}, timeout=60
        ).json()
        url = f"{stage.url}gradio_api/call/{name}/{begun['event_id']}"
        assert "event: error" in httpx.get(url, timeout=60).text, name
    assert not (stage.services.settings.home / "runs").exists()


@pytest.mark.parametrize("name", PATHS)
def test_names_are_looked_up_and_never_paths(page: Page, parts: TrainParts, name: str) -> None:
    before = sorted(parts.home.rglob("*"))
    for refused in (
        lambda: page.run.on_open(click(run=name), request()),
        lambda: page.run.on_stop(Seen(), click(run=name), request()),
        lambda: page.run.on_resume(Seen(), click(run=name), request()),
        lambda: page.result.on_evaluate(name, ResultSeen(), "sums", "", request()),
        lambda: page.version.on_open("", VersionSeen(), click(version=name), request()),
        lambda: page.version.on_register(name, VersionSeen(), request()),
        lambda: page.version.on_make(page.asked(name), request()),
        lambda: page.version.on_make(page.asked("tiny-sft-v1", kind=name), request()),
        lambda: page.version.on_make(page.asked("tiny-sft-v1", quantisation=name), request()),
    ):
        with pytest.raises((NotFoundError, InputError)):
            refused()
    shown = page.run.on_chosen(name, Seen(), request())
    assert page.r.told not in shown
    shown = page.result.on_chosen(name, ResultSeen(), request())
    assert shown[page.e.found]["visible"] is False
    assert page.version.on_chosen(name, "", VersionSeen(), request())[page.v.version] == ""
    assert sorted(parts.home.rglob("*")) == before


@pytest.mark.parametrize(
    "sent", [{}, {"run": None}, {"run": ["done"]}, {"run": {"a": 1}}, {"run": 5}]
)
def test_clicks_that_name_no_run_are_refused(page: Page, sent: dict[str, object]) -> None:
    for act in (page.run.on_open, page.run.on_result):
        with pytest.raises(InputError):
            act(click(**sent), request())


def test_a_page_opens_with_the_run_of_its_address_else_with_one_that_is_active(page: Page) -> None:
    def opened(query: str) -> object:
        return page.run.on_load(request(query))[page.place.run]

    assert opened("") == "waits"
    assert opened("run=done") == "done"
    assert opened("version=tiny-sft-v1") == "done"
    for query in ("run=../done", "run=nobody", "version=../x", f"version={'x' * 999}"):
        assert opened(query) == "waits"
    assert page.version.on_load(request("version=nobody"))[page.v.version] == "tiny-sft-v1"


def test_what_a_page_shows_already_is_not_sent_again(page: Page) -> None:
    first = page.run.on_chosen("done", Seen(), request())
    assert {page.r.listed, page.r.told, page.r.loss, page.r.timer} <= first.keys()
    again = page.run.on_tick("done", first[page.r.seen], request())
    assert again == {page.r.seen: first[page.r.seen]}
    other = page.run.on_chosen("hostile", again[page.r.seen], request())
    assert {page.r.listed, page.r.told, page.r.log, page.r.loss} <= other.keys()
    assert page.r.timer not in other

    shown = page.result.on_chosen("done", ResultSeen(), request())
    again = page.result.on_tick("done", shown[page.e.seen], request())
    assert again == {page.e.seen: shown[page.e.seen]}
    shown = page.version.on_chosen("done", "", VersionSeen(), request())
    again = page.version.on_tick("done", "tiny-sft-v1", shown[page.v.seen], request())
    assert again == {page.v.seen: shown[page.v.seen], page.v.version: "tiny-sft-v1"}


def test_hostile_text_is_shown_for_what_it_is(page: Page) -> None:
    run = page.run.on_chosen("hostile", Seen(), request())
    result = page.result.on_chosen("hostile", ResultSeen(), request())
    texts = [run[page.r.told], run[page.r.log]["value"], result[page.e.told]]
    for text in texts:
        assert "<img" not in text
        assert "<script" not in text
        assert "&lt;img src=x" in text
        assert "\x00" not in text
        assert "\u202e" not in text
    assert texts[1].count("</pre>") == 1


def test_a_run_is_taken_out_of_the_queue_and_put_back(page: Page) -> None:
    stopped = page.run.on_stop(Seen(), click(run="waits"), request())
    assert stopped[page.place.run] == "waits"
    assert 'data-act="resume"' in stopped[page.r.told]
    with pytest.raises(InputError, match="is stopped and can't become stopping"):
        page.run.on_stop(Seen(), click(run="waits"), request())
    queued = page.run.on_resume(Seen(), click(run="waits"), request())
    assert "Place 1 in the queue." in queued[page.r.told]
    with pytest.raises(InputError, match="is completed"):
        page.run.on_resume(Seen(), click(run="done"), request())


def test_the_figures_of_a_run_and_of_its_mirror(page: Page) -> None:
    told = page.run.on_chosen("done", Seen(), request())[page.r.told]
    for text in ("2.2500", "0.75 GB", "step 2 of 2", "tiny@tiny-sft-v1", "qlora sft of tiny"):
        assert text in told
    assert "unknown" not in told
    assert "fails: &lt;img" in page.run.on_chosen("hostile", Seen(), request())[page.r.told]


def test_the_plots_of_a_long_run_have_2_000_points_and_few_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "long"
    folder.mkdir()
    step = {"kind": "step", "attempt": 1, "lr": 1e-4, "tokens_per_s": 123.4, "memory_gb": 1.234}
    lines = (json.dumps({**step, "step": n, "loss": n % 97 / 7}) for n in range(30_000))
    (folder / NAME).write_text("\n".join(lines) + "\n")
    history = Histories(tmp_path).look("long", POINTS)
    drawn = [loss_plot(history), rates_plot(history)]
    figures = [json.loads(plot.plot) for plot in drawn if plot]
    assert len(figures) == 2
    assert sum(len(trace["x"]) for figure in figures for trace in figure["data"]) <= 2000
    assert sum(len(plot.plot) for plot in drawn if plot) < 50_000


def test_both_are_evaluated_on_the_same_items_and_compared(page: Page, parts: TrainParts) -> None:
    with pytest.raises(InputError, match="made a version"):
        page.result.on_evaluate("waits", ResultSeen(), "sums", "", request())
    for limit in ("x", "-1", "0", "1e3", "٣"):
        with pytest.raises(InputError):
            page.result.on_evaluate("done", ResultSeen(), "sums", limit, request())
    begun = page.result.on_evaluate("done", ResultSeen(), "sums", "4", request())
    assert "tiny@tiny-sft-v1" in begun[page.e.evaluated]
    parts.board.panel.runs.wait()
    shown = page.result.on_tick("done", begun[page.e.seen], request())[page.e.evaluated]
    assert "No difference shown on gsm8k" in shown
    assert "4 items" in shown
    assert "?compare=tiny%2Ctiny%40tiny-sft-v1" in shown
    assert "leaderboard=sums&amp;version=" in shown
    results = page.version._screen.results(parts_version(parts))
    assert sorted(json.loads(path.read_text())["model"] for path in results) == [
        "tiny", "tiny@tiny-sft-v1",
    ]  # fmt: skip


def parts_version(parts: TrainParts) -> object:
    return Registry(parts.services.store, parts.home).get("tiny-sft-v1")


def test_a_push_without_a_token_says_what_to_do(page: Page) -> None:
    with pytest.raises(InputError, match="set HF_TOKEN"):
        page.version.on_push(page.asked("tiny-sft-v1", repository="me/mine"), request())
    for name in ("", "mine", "../../x", BAD):
        with pytest.raises(InputError, match="OWNER/NAME"):
            page.version.on_push(page.asked("tiny-sft-v1", repository=name), request())
    assert page.version._screen.working() is None


def test_an_export_is_sent_to_administrators_alone(parts: TrainParts, page: Page) -> None:
    order = ExportOrder(adapter="tiny-sft-v1", kind="adapter")
    make_export(order.errand(parts.services.settings).arguments, parts.services.settings)
    shown = page.version.on_chosen("done", "", VersionSeen(), request())[page.v.exported]
    assert 'href="adapters/exports/tiny-sft-v1.adapter"' in shown
    with serve(Starlette(routes=[download_route(parts)])) as url:
        link = f"{url}/adapters/exports/tiny-sft-v1.adapter"
        admin = {"authorization": "Bearer token"}
        assert httpx.get(link).status_code == 403
        assert httpx.get(link, headers={"authorization": "Bearer no"}).status_code == 403
        for wrong in ("tiny-sft-v1.merged", "..%2fadapters", "%2e%2e", "tiny-sft-v1.adapter%2fx"):
            assert httpx.get(f"{url}/adapters/exports/{wrong}", headers=admin).status_code == 404
        answer = httpx.get(link, headers=admin)
        assert 'filename="tiny-sft-v1.adapter.zip"' in answer.headers["content-disposition"]
        names = zipfile.ZipFile(BytesIO(answer.content)).namelist()
        assert "tiny-sft-v1/adapter_model.safetensors" in names


def test_a_link_opens_chat_with_a_version(stage: Stage) -> None:
    with gr.Blocks() as blocks:
        build_options(stage.services.gateway.traffic)
    (load,) = [fn for fn in blocks.fns.values() if fn.api_name == "chat_with"]
    chosen = load.fn(request("chat=lead"))
    assert chosen[0]["value"] == "lead"
    assert load.fn(request(""))[0] == gr.skip()
    with pytest.raises(gr.Error, match="No model named"):
        load.fn(request("chat=../x"))
