"""What holds for every test: no network but loopback, a clean environment, no silent skip."""

import functools
import ipaddress
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

pytest_plugins = ("tests.databases", "tests.parts")
KEPT = ("UNDERSTUDY_TEST_", "UNDERSTUDY_REQUIRE_ALL")
CLEARED_PREFIXES = (
    "UNDERSTUDY_",
    "LANGFUSE_",
    "HF_",
    "HUGGINGFACE_",
    "HUGGING_FACE_",
    "GRADIO_",
    "SPACE",
    "OPENAI_",
    "GROQ_",
    "OTEL_",
    "RAY_",
)
CLEARED_ENDS = ("_API_KEY", "_API_TOKEN", "_PROXY")
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class NetworkBlockedError(RuntimeError):
    """A test reached beyond this machine without the mark `network`."""


def is_cleared(name: str) -> bool:
    """Return whether a variable could change what the code under test does."""
    if name.startswith(KEPT):
        return False
    return name.startswith(CLEARED_PREFIXES) or name.upper().endswith(CLEARED_ENDS)


def requires_all() -> bool:
    """Return whether a skip is an error, as in `.ci/run`."""
    return os.environ.get("UNDERSTUDY_REQUIRE_ALL") == "1"


def allows_network() -> bool:
    """Return whether this run was asked to reach beyond this machine."""
    return os.environ.get("UNDERSTUDY_TEST_NETWORK") == "1"


# Before any test module is imported: gradio and huggingface_hub read these at import.
scratch = Path(tempfile.mkdtemp(prefix="understudy-tests-"))
for variable in [name for name in os.environ if is_cleared(name)]:
    del os.environ[variable]
os.environ["HOME"] = str(scratch)
os.environ["HF_HUB_OFFLINE"] = "0" if allows_network() else "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

# A busy machine is not a bug; where a skip is an error, a test must not depend on luck either.
hypothesis.settings.register_profile("understudy", deadline=None, derandomize=requires_all())
hypothesis.settings.load_profile("understudy")


def pytest_unconfigure() -> None:
    """Remove the home that the tests had."""
    shutil.rmtree(scratch, ignore_errors=True)


def is_local(host: object) -> bool:
    """Return whether a host names this machine; no name is ever looked up."""
    text = host.decode() if isinstance(host, bytes) else host
    if text is None or text in ("", "localhost", "0.0.0.0", "::"):
        return True
    try:
        return ipaddress.ip_address(str(text).split("%")[0]).is_loopback
    except ValueError:
        return False


def guard_connect(connect: Callable[..., Any]) -> Callable[..., Any]:
    """Return `socket.connect` (or its like) for this machine only."""

    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not is_local(address[0]):
            raise NetworkBlockedError(f"a test tried to connect to {address!r}")
        return connect(self, address)

    return guarded


def guard_lookup(lookup: Callable[..., Any]) -> Callable[..., Any]:
    """Return `socket.getaddrinfo` (or its like) for this machine only."""

    def guarded(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_local(host):
            raise NetworkBlockedError(f"a test tried to look up {host!r}")
        return lookup(host, *args, **kwargs)

    return guarded


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Forbid the network except loopback, in fixtures of any scope too."""
    if allows_network():
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, guard_connect(getattr(socket.socket, name)))
        for name in ("getaddrinfo", "gethostbyname"):
            patch.setattr(socket, name, guard_lookup(getattr(socket, name)))
        yield


@pytest.fixture(autouse=True)
def clean_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a place of its own for what the app stores."""
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path))


@pytest.fixture(scope="session")
def public_data() -> Path:
    """Return the folder of public data that no one here wrote."""
    value = os.environ.get("UNDERSTUDY_TEST_DATA")
    if not value:
        pytest.skip("UNDERSTUDY_TEST_DATA is not set; it names the folder of public data")
    folder = Path(value).resolve()
    if not folder.is_dir():
        pytest.skip(f"UNDERSTUDY_TEST_DATA names {value!r}, which is not a folder")
    return folder


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Return the system's Chromium."""
    for name in CHROMIUM_NAMES:
        if path := shutil.which(name):
            return path
    pytest.skip("no Chromium on this machine (Debian: apt install chromium)")


@functools.cache
def has_cuda() -> bool:
    """Return whether PyTorch sees a GPU; imports it, so only asked for tests that need one."""
    import torch

    return torch.cuda.is_available()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine can't run and what nobody asked for."""
    if item.get_closest_marker("gpu") and not has_cuda():
        pytest.skip("no CUDA on this machine")
    if item.get_closest_marker("network") and not allows_network():
        pytest.skip("reaches beyond this machine; UNDERSTUDY_TEST_NETWORK=1 allows it")


def failed_skip(longrepr: object) -> str:
    """Return the text of a skip that counts as a failure."""
    reason = longrepr[2] if isinstance(longrepr, tuple) else longrepr
    return f"skipped where UNDERSTUDY_REQUIRE_ALL=1 forbids it: {reason}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where everything is required; expected failures stay."""
    report = yield
    is_excused = item.get_closest_marker("gpu") or item.get_closest_marker("network")
    if requires_all() and report.skipped and not is_excused and not hasattr(report, "wasxfail"):
        report.outcome, report.longrepr = "failed", failed_skip(report.longrepr)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Do the same for a file that skips as a whole."""
    report = yield
    if requires_all() and report.skipped:
        report.outcome, report.longrepr = "failed", failed_skip(report.longrepr)
    return report
