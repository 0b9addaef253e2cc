"""The app in a process of its own, and a browser that fails on errors and on other hosts."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
START_S = 120
ANSWER_MS = 120_000
"""Time for loading the embedded model, on a machine that does other work besides."""


class Server:
    """The app, which can be killed and started again on what it stored."""

    def __init__(self, home: Path, *command: str) -> None:
        self._home = home
        self._command = command
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        environment = os.environ | {"UNDERSTUDY_HOME": str(self._home), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, *self._command, "--port", str(self._port)]
        with (self._home / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_S
        while not self.is_up():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._home / "server.log").read_text(encoding="utf-8"))
            time.sleep(0.1)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)

    def is_up(self) -> bool:
        """Say whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run `python app.py`."""
    server = Server(tmp_path_factory.mktemp("real"), "app.py")
    yield server
    server.kill()


@pytest.fixture(scope="session")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run the app with a scripted model."""
    server = Server(tmp_path_factory.mktemp("scripted"), "tests/browser/scripted_app.py")
    yield server
    server.kill()


@pytest.fixture(scope="session")
def browser(chromium_path: str) -> Iterator[Browser]:
    """Start Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open pages as new visitors; fail on a script's error and on a request to another host."""
    contexts, problems = [], []

    def open_page(url: str, width: int = 1280, height: int = 800, awaited: str = "") -> Page:
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(ANSWER_MS)
        page.on("pageerror", lambda error: problems.append(str(error)))
        own = urlsplit(url).netloc
        page.on(
            "request",
            lambda request: (
                problems.append(request.url)
                if request.url.startswith("http") and urlsplit(request.url).netloc != own
                else None
            ),
        )
        page.goto(url)
        # Whoever leaves a page that is still loading may be called back: Gradio takes what was
        # broken off for a lost server, and loads the page again once it answers.
        prompt = page.get_by_role("textbox", name="Message")
        (page.locator(awaited).first if awaited else prompt).wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []
