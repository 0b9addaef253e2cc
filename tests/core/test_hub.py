import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from huggingface_hub import constants
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from core.errors import ForbiddenError, UnavailableError
from core.messages import GenerationParams, GenerationRequest, Message, Progress
from core.providers import local
from core.providers.hub import fetch_snapshot
from core.services import make_services
from tests.serving import serve
from tests.tiny_models import CONTEXT

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def entry(hub: str) -> dict:
    return {
        "provider": "local",
        "hub": hub,
        "revision": COMMIT,
        "download_gb": 0.27,
        "context": CONTEXT,
    }


def request(**changes) -> GenerationRequest:
    values = {
        "model": "remote",
        "messages": (Message("user", "Good evening"),),
        "params": GenerationParams(max_tokens=3),
        "caller": "me",
    }
    return GenerationRequest(**{**values, **changes})


@pytest.fixture
def hub_services(settings, write_catalog, request):
    name = f"org/{request.node.name.replace('_', '-')[:60]}"
    write_catalog(models={"remote": entry(name)})
    with closing(make_services(settings)) as services:
        yield services


def cache_snapshot(services, source: Path) -> Path:
    """Lay the model out as the Hub's own cache does; return the snapshot's folder."""
    name = str(services.catalog.models["remote"].hub).replace("/", "--")
    folder = Path(constants.HF_HUB_CACHE) / f"models--{name}" / "snapshots" / COMMIT
    shutil.copytree(source, folder)
    return folder


def test_a_cached_model_answers_without_the_hub(hub_services, tiny_folder):
    cache_snapshot(hub_services, tiny_folder)
    *_, last = hub_services.gateway.generate(request())
    assert last.generation.usage.output_tokens == 3
    assert last.generation.model.digest.startswith("sha256:")


def test_the_hub_is_asked_once_and_not_for_each_call(hub_services, tiny_folder, monkeypatch):
    cache_snapshot(hub_services, tiny_folder)
    asked: list[str] = []

    def fetch(hub: str, revision: str, token: str | None):
        asked.append(hub)
        return (yield from fetch_snapshot(hub, revision, token))

    monkeypatch.setattr(local, "fetch_snapshot", fetch)
    for _ in range(3):
        list(hub_services.gateway.generate(request()))
    assert asked == [hub_services.catalog.models["remote"].hub]


def test_a_visitor_can_not_start_a_download(hub_services):
    with pytest.raises(ForbiddenError, match="will download 0.27 GB; only an admin may start"):
        next(hub_services.gateway.generate(request()))
    assert hub_services.ledger.counts() == {}


def test_nor_finish_one_that_was_interrupted(hub_services, tiny_folder):
    folder = cache_snapshot(hub_services, tiny_folder)
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {
        "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002.safetensors"}
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ForbiddenError):
        next(hub_services.gateway.generate(request()))
    (folder / "model-00002.safetensors").touch()
    hub_services.gateway.check(request())


def test_an_admin_is_told_when_the_hub_is_out_of_reach(hub_services):
    stream = hub_services.gateway.generate(request(is_admin=True))
    assert next(stream).progress == Progress("loading")
    with pytest.raises(UnavailableError, match="'org/.*' can't be downloaded: the Hub is out of"):
        list(stream)
    assert hub_services.ledger.counts() == {"error": 1}


class FakeHub:
    """The three endpoints of the Hub that a download uses, over a folder."""

    def __init__(self, folder: Path, status: int = 200) -> None:
        self.asked: list[str] = []
        self._folder = folder
        self._status = status

    def app(self) -> Starlette:
        files = "/org/model/resolve/{revision}/{name:path}"
        return Starlette(
            routes=[
                Route("/api/models/org/model/tree/{revision}", self.tree),
                Route(files, self.file, methods=["GET", "HEAD"]),
            ]
        )

    def tree(self, request: Request) -> Response:
        self.asked.append("tree")
        if self._status != 200:
            return JSONResponse({"error": "no"}, self._status)
        names = sorted(path.name for path in self._folder.iterdir())
        return JSONResponse([self._entry(name) for name in names])

    def file(self, request: Request) -> Response:
        name = request.path_params["name"]
        self.asked.append(f"{request.method} {name}")
        headers = {"x-repo-commit": COMMIT, "etag": f'"{self._entry(name)["oid"]}"'}
        return FileResponse(self._folder / name, headers=headers)

    def _entry(self, name: str) -> dict:
        size = (self._folder / name).stat().st_size
        return {"type": "file", "path": name, "size": size, "oid": f"{abs(hash(name)):040x}"[:40]}


FETCH = f"""
import json
from core.errors import AppError
from core.providers.hub import fetch_snapshot

def fetched():
    events, stream = [], fetch_snapshot("org/model", "{COMMIT}", None)
    while True:
        try:
            progress = next(stream)
            events.append([progress.stage, progress.done, progress.total])
        except StopIteration as end:
            return {{"events": events, "files": sorted(p.name for p in end.value.iterdir())}}
        except AppError as error:
            return {{"error": [type(error).__name__, str(error)]}}

print(json.dumps([fetched(), fetched()]))
"""


def fetch_twice(url: str, home: Path) -> list[dict]:
    """Fetch in a process of its own: the library reads its settings at import."""
    environment = {**os.environ, "HF_ENDPOINT": url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FETCH],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    )
    assert "%|" not in done.stderr, "a progress bar was drawn"
    return json.loads(done.stdout)


def test_a_download_reports_its_bytes_and_takes_only_what_is_safe(tmp_path, tiny_folder):
    source = tmp_path / "source"
    shutil.copytree(tiny_folder, source)
    wanted = {path.name: path.stat().st_size for path in source.iterdir()}
    for name in ("pytorch_model.bin", "modeling_evil.py", "consolidated.safetensors", "x.gguf"):
        (source / name).write_bytes(b"x" * 5000)
    hub = FakeHub(source)
    with serve(hub.app()) as url:
        first, second = fetch_twice(url, tmp_path / "cache")
    events = first["events"]
    assert first["files"] == sorted(wanted)
    assert {stage for stage, _, _ in events} == {"downloading"}
    assert [done for _, done, _ in events] == sorted(done for _, done, _ in events)
    assert all(0 < done <= total for _, done, total in events)
    assert events[-1][1:] == [sum(wanted.values())] * 2
    assert second == {"events": [], "files": sorted(wanted)}
    assert hub.asked.count("tree") == 1
    assert {f"GET {name}" for name in wanted} == {a for a in hub.asked if a.startswith("GET")}


def test_a_refusal_is_one_sentence(tmp_path, tiny_folder):
    with serve(FakeHub(tiny_folder, status=403).app()) as url:
        first, _ = fetch_twice(url, tmp_path / "cache")
    kind, text = first["error"]
    assert kind == "UnavailableError"
    assert "check the connection, the licence on the model's page, and HF_TOKEN" in text
    assert url not in text
