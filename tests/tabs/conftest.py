"""A Chat tab on a store of its own, with a gateway that no model is behind."""

import gc
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import gradio as gr
import pytest

from app import build_app
from core.access import Access
from core.chats import Chats
from core.errors import AppError
from core.messages import Delta, GenerationRequest
from core.services import Services, make_services
from core.settings import Settings
from tabs.chat_page import ChatParts
from tabs.pages import make_pages
from tests.fakes import generation_of

SECRET = b"0123456789abcdef"


@dataclass
class SlowGateway:
    """Says one word after the other until it is told to stop; or fails."""

    words: int = 3
    pause_s: float = 0.0
    refusal: AppError | None = None
    """Raised before anything is stored."""
    failure: Exception | None = None
    """Raised after the first word."""
    requests: list[GenerationRequest] = field(default_factory=list)
    said: int = 0
    said_at_cancel: int | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def check(self, request: GenerationRequest) -> None:
        """Refuse if so told."""
        if self.refusal:
            raise self.refusal

    def generate(self, request: GenerationRequest) -> Iterator[Delta]:
        """Say word after word."""
        self.requests.append(request)
        self.said, text = 0, ""
        while self.said < self.words:
            if request.cancel.is_set():
                break
            yield Delta(text=f"w{self.said} ")
            text += f"w{self.said} "
            self.said += 1
            if self.failure:
                raise self.failure
            time.sleep(self.pause_s)
        self.ended.set()
        yield Delta(generation=generation_of(request, text))


@dataclass
class Stage:
    """The page, served, and what is behind it."""

    url: str
    gateway: SlowGateway
    services: Services
    access: Access

    def cookie(self) -> dict[str, str]:
        """Return the headers of a new visitor."""
        return {"cookie": self.access.visitor_cookie(False).split(";")[0]}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Serve the page in this process."""
    home: Path = tmp_path_factory.mktemp("home")
    services = make_services(Settings.from_env({"UNDERSTUDY_HOME": str(home)}))
    gateway = SlowGateway()
    access = Access(SECRET, admin_token=None, trust_loopback=False)
    parts = ChatParts(
        traffic=services.gateway.traffic,
        chats=Chats(gateway, services.conversations),
        conversations=services.conversations,
        access=access,
        is_persistent=True,
    )
    pages = replace(make_pages(services, access), chat=parts)
    with served(build_app(pages)) as url:
        yield Stage(url, gateway, services, access)
    pages.close()
    services.close()


@contextmanager
def served(app: gr.Blocks, **options: object) -> Iterator[str]:
    """Serve pages in this process; yield their URL."""
    _, url, _ = app.launch(
        prevent_thread_lock=True, quiet=True, ssr_mode=False, run_history=False, **options
    )
    yield url
    app.close()
    with warnings.catch_warnings():
        # Gradio's server thread leaves its event loop to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        del app
        gc.collect()
