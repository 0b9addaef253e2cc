"""Take the pictures of the README: `python tools/screenshots.py` (needs requirements-dev.txt)."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

PROJECT = Path(__file__).resolve().parent.parent
FOLDER = PROJECT / "assets" / "screenshots"
SHOTS = (("chat-light", "light", 1280, 800), ("chat-dark-phone", "dark", 390, 844))
QUESTIONS = (
    "Ada Brown is vegan. Also, remind me at 19:30 to light the candles.",
    "Seat Marie Curie at table 4.",
)
WAIT_MS = 180_000
"""For the first answer, which loads the model."""


def main() -> int:
    """Start the app on a free port with a store of its own, take the pictures, end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"UNDERSTUDY_HOME": home}
        command = [sys.executable, "app.py", "--port", str(port)]
        with subprocess.Popen(command, cwd=PROJECT, env=environment) as server:
            try:
                wait_for(f"http://127.0.0.1:{port}/health")
                take_all(f"http://127.0.0.1:{port}")
            finally:
                server.terminate()
    return 0


def wait_for(url: str) -> None:
    """Return when the app answers."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise TimeoutError(f"no answer from {url}")


def take_all(url: str) -> None:
    """Take every picture as a new visitor."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for shot in SHOTS:
            take(browser, url, shot)
        browser.close()


def take(browser: Browser, url: str, shot: tuple[str, str, int, int]) -> None:
    """Ask the questions and take one picture."""
    name, theme, width, height = shot
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(f"{url}/?__theme={theme}")
    prompt = page.get_by_role("textbox", name="Message")
    for count, question in enumerate(QUESTIONS, 1):
        prompt.fill(question)
        prompt.press("Enter")
        facts = page.locator("#chatbot .title em").filter(has_text="cost")
        expect(facts).to_have_count(count, timeout=WAIT_MS)
        expect(page.get_by_role("button", name="Send", exact=True)).to_be_visible()
    page.mouse.move(0, 0)
    page.wait_for_timeout(800)  # The last entry slides into place.
    page.screenshot(path=FOLDER / f"{name}.png")
    page.context.close()


if __name__ == "__main__":
    sys.exit(main())
