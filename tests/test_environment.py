"""tools/environment.py makes an environment once, mends it when cut off, and says what to do.

At the end, what tests/conftest.py promises to every test.
"""

import ast
import base64
import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
import zipfile
from collections import namedtuple
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "tools" / "environment.py"
FAKE_PYTHON = """#!/bin/sh
# Stands for an interpreter, and for pip in the environment that it makes.
case "$1 $2" in
  "-c "*) echo 3.11 ;;
  "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip") shift; echo "$*" >>"$CALLS"; eval "$PIP_DOES" ;;
esac
"""
Space = namedtuple("Space", "total used free")


def load() -> ModuleType:
    """Return the script as a module; it belongs to no package."""
    spec = spec_from_file_location("understudy_environment", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


environment = load()


def executable(path: Path, text: str) -> Path:
    """Write a program."""
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


class Project:
    """A project's folder with a fake interpreter, whose calls of pip are counted."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = folder / "project"
        self.root.mkdir()
        (self.root / "requirements.txt").write_text("torch==1.0\nsolo==1.0\n")
        (self.root / "requirements-llama.txt").write_text("fast==1.0\n")
        (self.root / "requirements-dev.txt").write_text("-r requirements.txt\n")
        (self.root / "constraints.txt").write_text("")
        self.calls = folder / "calls"
        self.python = executable(folder / "python", FAKE_PYTHON)
        self.monkeypatch = monkeypatch
        monkeypatch.setenv("CALLS", str(self.calls))
        self.pip_does("exit 0")

    def pip_does(self, command: str) -> None:
        self.monkeypatch.setenv("PIP_DOES", command)

    def prepare(self, level: str = "base") -> int:
        """Prepare the environment; return how often pip was called for it."""
        self.calls.write_text("")
        environment.prepare(self.root, level, str(self.python))
        return len(self.pip_calls())

    def pip_calls(self) -> list[str]:
        return self.calls.read_text().splitlines()

    def stamp(self) -> dict[str, str]:
        return json.loads((self.root / ".venv" / "understudy.json").read_text())


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


def test_old_pythons_can_read_the_script() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 6))


def test_torch_comes_first_and_the_second_run_does_not_call_pip(project: Project) -> None:
    assert project.prepare() == 2
    first, rest = project.pip_calls()
    assert first.endswith("torch==1.0")
    assert rest.endswith("requirements.txt")
    project.pip_does("exit 1")
    assert project.prepare() == 0


def test_a_changed_requirement_is_installed(project: Project) -> None:
    project.prepare()
    (project.root / "requirements.txt").write_text("torch==1.1\n")
    assert project.prepare() == 2
    (project.root / "constraints.txt").write_text("numpy==2.0\n")
    assert project.prepare() == 2
    assert project.prepare() == 0


def test_dev_holds_base_and_not_the_other_way_round(project: Project) -> None:
    assert project.prepare("dev") == 2
    assert project.pip_calls()[1].endswith("requirements-dev.txt")
    assert project.prepare("base") == 0
    (project.root / "requirements-dev.txt").write_text("ruff==1.0\n")
    assert project.prepare("base") == 0
    assert project.prepare("dev") == 2


def test_an_interrupted_installation_starts_over(project: Project) -> None:
    project.pip_does("kill -9 $$")
    with pytest.raises(environment.SetupError):
        project.prepare()
    assert project.stamp() == {"state": "installing"}
    left_over = project.root / ".venv" / "half-a-package"
    left_over.touch()
    project.pip_does("exit 0")
    assert project.prepare() == 2
    assert not left_over.exists()


def test_an_environment_made_by_hand_is_kept(project: Project) -> None:
    folder = project.root / ".venv" / "bin"
    folder.mkdir(parents=True)
    shutil.copy(project.python, folder / "python")
    mine = project.root / ".venv" / "mine"
    mine.touch()
    assert project.prepare() == 2
    assert mine.exists()


def test_an_environment_whose_python_is_gone_is_made_anew(project: Project) -> None:
    project.prepare()
    (project.root / ".venv" / "bin" / "python").unlink()
    assert project.prepare() == 2


PIP_ENDS = {
    "echo 'ERROR: [Errno 28] No space left on device'; exit 1": "the disk is full; free some space",
    "echo 'WARNING: Retrying after connection broken by X'; exit 1": "no network; connect and run",
    "echo 'ERROR: a'; echo 'ERROR: no such version: solo'; exit 1": "packages: no such version: so",
    "echo; echo killed by the system; exit 1": "packages: killed by the system",
    "exit 1": "packages: it said nothing",
}


@pytest.mark.parametrize("command", PIP_ENDS)
def test_what_pip_says_becomes_one_line(project: Project, command: str) -> None:
    project.pip_does(command)
    with pytest.raises(environment.SetupError, match=PIP_ENDS[command]) as caught:
        project.prepare()
    assert "\n" not in str(caught.value)
    project.pip_does("exit 0")
    assert project.prepare() == 2


def test_too_little_space_stops_before_anything_is_made(project: Project) -> None:
    # The only way to a full disk that needs no root.
    project.monkeypatch.setattr(shutil, "disk_usage", lambda _: Space(10**12, 10**12, 10**9))
    with pytest.raises(environment.SetupError, match=r"need 3\.0 GB and .* has 1\.0 GB free"):
        project.prepare()
    assert not (project.root / ".venv").exists()


def test_a_python_without_venv_says_what_to_install(project: Project) -> None:
    executable(project.python, '#!/bin/sh\ncase "$1" in -c) echo 3.11 ;; *) exit 1 ;; esac\n')
    with pytest.raises(environment.SetupError, match="apt install python3-venv"):
        project.prepare()


def test_the_first_new_python_on_the_path_is_taken(tmp_path: Path) -> None:
    executable(tmp_path / "python3.13", "#!/bin/sh\nexit 127\n")
    executable(tmp_path / "python3.12", "#!/bin/sh\necho 3.9\n")
    new = executable(tmp_path / "python3.11", "#!/bin/sh\necho 3.11\n")
    assert environment.find_python("3.9", str(tmp_path)) == str(new)
    new.unlink()
    with pytest.raises(environment.SetupError, match=r"this is Python 3\.9, and 3\.11 or newer"):
        environment.find_python("3.9", str(tmp_path))


@pytest.mark.parametrize("text", ["3.10", "2.7", "", None, "3", "3.11.1"])
def test_versions_that_are_too_old_or_no_versions(text: str | None) -> None:
    assert not environment.is_new_enough(text)


@pytest.mark.parametrize("text", ["3.11", "3.13", "4.0"])
def test_versions_that_are_new_enough(text: str) -> None:
    assert environment.is_new_enough(text)


def copy_of_script(project: Project) -> Path:
    """Return the script in the project's folder, to be run as a person would."""
    folder = project.root / "tools"
    folder.mkdir(exist_ok=True)
    return Path(shutil.copy(SCRIPT, folder / "environment.py"))


@pytest.fixture
def slow_update(project: Project, tmp_path: Path) -> Iterator[list[str]]:
    """Yield the command of an update whose pip ends when the file `go` appears."""
    command = [sys.executable, str(copy_of_script(project))]
    project.prepare()
    (project.root / "requirements.txt").write_text("torch==2.0\n")
    project.calls.write_text("")
    project.pip_does(f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done")
    yield command
    (tmp_path / "go").touch()


def wait_for_pip(project: Project) -> None:
    """Return once pip was called."""
    deadline = time.monotonic() + 20
    while not project.pip_calls():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_two_runs_at_once_install_once(
    project: Project, slow_update: list[str], tmp_path: Path
) -> None:
    with subprocess.Popen(slow_update, stderr=subprocess.PIPE) as first:
        wait_for_pip(project)
        with subprocess.Popen(slow_update, stderr=subprocess.PIPE) as second:
            assert second.stderr is not None
            assert b"another run is making .venv" in second.stderr.readline()
            (tmp_path / "go").touch()
            assert [first.wait(20), second.wait(20)] == [0, 0]
    assert len(project.pip_calls()) == 2


def test_after_a_kill_nobody_starts_before_the_orphaned_pip_ends(
    project: Project, slow_update: list[str], tmp_path: Path
) -> None:
    with subprocess.Popen(slow_update, stderr=subprocess.DEVNULL) as killed:
        wait_for_pip(project)
        killed.kill()
    assert project.stamp() == {"state": "installing"}
    with (project.root / "requirements.txt").open("rb+") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (tmp_path / "go").touch()
        fcntl.flock(lock, fcntl.LOCK_EX)


def make_wheel(folder: Path, name: str, number: str) -> None:
    """Write a package that pip can install, with one module."""
    meta = f"{name}-{number}.dist-info"
    files = {
        f"{name}.py": f"VERSION = '{number}'\n",
        f"{meta}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n",
        f"{meta}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = []
    with zipfile.ZipFile(folder / f"{name}-{number}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
            record.append(f"{path},sha256={digest.decode().rstrip('=')},{len(text)}\n")
            wheel.writestr(path, text)
        wheel.writestr(f"{meta}/RECORD", "".join([*record, f"{meta}/RECORD,,\n"]))


def test_real_pip_in_a_real_environment(project: Project) -> None:
    shelf = project.root / "shelf"
    shelf.mkdir()
    make_wheel(shelf, "torch", "1.0")
    make_wheel(shelf, "solo", "1.0")
    environ = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(shelf)}
    environ["PIP_CONFIG_FILE"] = os.devnull
    command = [sys.executable, str(copy_of_script(project))]
    first = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (first.returncode, first.stdout) == (0, ""), first.stderr
    shutil.rmtree(shelf)
    second = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    inside = str(project.root / ".venv" / "bin" / "python")
    assert subprocess.check_output([inside, "-c", "import solo; print(solo.VERSION)"]) == b"1.0\n"
    (project.root / "requirements.txt").write_text("torch==1.0\nsolo==2.0\n")
    third = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert third.returncode == 2
    assert third.stderr.splitlines()[-1].endswith("No matching distribution found for solo==2.0")


def pins(*names: str) -> list[tuple[str, str]]:
    """Return what requirement files pin, as name and version."""
    text = "\n".join((ROOT / name).read_text() for name in names)
    return re.findall(r"^([\w.-]+)(?:\[\w+\])?==([\w.+]+)", text, re.MULTILINE)


def test_every_requirement_is_one_exact_pin() -> None:
    files = ("requirements.txt", "requirements-dev.txt", "constraints.txt")
    names = [name.lower().replace("_", "-") for name, _ in pins(*files)]
    assert sorted(names) == sorted(set(names))
    lines = [line for name in files for line in (ROOT / name).read_text().splitlines()]
    asked = [line for line in lines if line and not line.startswith(("#", "-r "))]
    assert len(asked) == len(names)


@pytest.mark.parametrize(("name", "number"), pins("requirements.txt", "requirements-dev.txt"))
def test_the_tests_run_with_what_is_pinned(name: str, number: str) -> None:
    assert version(name).split("+")[0] == number


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "example.invalid"])
def test_no_test_reaches_beyond_this_machine(host: str) -> None:
    with pytest.raises(RuntimeError, match="a test tried to"):
        socket.create_connection((host, 80), timeout=1)


def test_loopback_is_open() -> None:
    with socket.create_server(("localhost", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()


SKIPPING = """
import pytest

def test_skips(): pytest.skip("no server here")

@pytest.mark.skipif(True, reason="not now")
def test_never_starts(): pass

@pytest.mark.network
def test_beyond(): pass

@pytest.mark.xfail(strict=True)
def test_known_bug(): assert False
"""


def run_suite(folder: Path, **environ: str) -> str:
    """Return what pytest says of a folder of tests under our conftest."""
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    network\n    gpu\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    environ = {**os.environ, **environ}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False).stdout


def test_a_skip_is_an_error_where_everything_is_required(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(SKIPPING)
    assert "3 skipped, 1 xfailed" in run_suite(tmp_path, UNDERSTUDY_REQUIRE_ALL="0")
    strict = run_suite(tmp_path, UNDERSTUDY_REQUIRE_ALL="1")
    assert re.search(r"1 failed, 1 skipped, 1 xfailed, 1 error", strict), strict
    assert "UNDERSTUDY_REQUIRE_ALL=1 forbids it: Skipped: no server here" in strict


def test_a_file_that_skips_as_a_whole_is_an_error_too(tmp_path: Path) -> None:
    whole = "import pytest\npytest.skip('no library', allow_module_level=True)\n"
    (tmp_path / "test_whole.py").write_text(whole)
    assert "forbids it: Skipped: no library" in run_suite(tmp_path, UNDERSTUDY_REQUIRE_ALL="1")
