"""Make `.venv` with the pinned packages; without network and in no time when it is there.

    python3 tools/environment.py [--dev]

Standard library only, and no syntax newer than Python 3.6's: an old Python must be able to read
this file and say that it is too old. The file `.venv/understudy.json` says what was installed,
so that only a change of the requirement files starts pip, or that an installation was cut off,
so that the next run starts it over.
"""

import argparse
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

MINIMUM = (3, 11)
CANDIDATES = ("python3.13", "python3.12", "python3.11", "python3")
ROOT = Path(__file__).resolve().parent.parent
FILES = {
    "base": ("constraints.txt", "requirements.txt"),
    "dev": (
        "constraints.txt",
        "requirements.txt",
        "requirements-llama.txt",
        "requirements-dev.txt",
    ),
}
"""What each level of the environment is made from."""
INSTALLING = {"state": "installing"}
FULL_BYTES, UPDATE_BYTES = 3 * 10**9, 5 * 10**8
"""Space that all packages need, without CUDA's, and that a change of a few needs."""
NO_SPACE = "No space left on device"
NO_NETWORK = ("connection broken by", "Failed to establish a new connection", "NameResolutionError")
VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


class SetupError(Exception):
    """The environment can't be made; the text says in one line what to do."""


def version_of(python: str) -> "str | None":
    """Return an interpreter's version as `3.11`, None when it doesn't run."""
    try:
        output = subprocess.check_output([python, "-c", VERSION], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return None
    return output.decode("ascii", "replace").strip()


def is_new_enough(version: "str | None") -> bool:
    """Return whether a version such as `3.11` can run the app."""
    match = re.match(r"(\d+)\.(\d+)$", version or "")
    return match is not None and (int(match.group(1)), int(match.group(2))) >= MINIMUM


def find_python(running: str, search_path: str) -> str:
    """Return the first interpreter of the search path that is new enough.

    Raises:
        SetupError: there is none.
    """
    for name in CANDIDATES:
        path = shutil.which(name, path=search_path)
        if path and is_new_enough(version_of(path)):
            return path
    raise SetupError(
        f"this is Python {running}, and 3.11 or newer is needed; install it (Debian: "
        "apt install python3.11) and run the same command again"
    )


def digest(root: Path, level: str) -> str:
    """Return the digest of the files that a level is made from."""
    content = hashlib.sha256()
    for name in FILES[level]:
        content.update((root / name).read_bytes() + b"\0")
    return content.hexdigest()


def read_stamp(root: Path) -> "dict[str, str] | None":
    """Return what `.venv` says of itself, None when it says nothing."""
    try:
        stamp = json.loads((root / ".venv" / "understudy.json").read_text())
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) else None


def write_stamp(root: Path, stamp: "dict[str, str]") -> None:
    """Replace what `.venv` says of itself, in one step."""
    temporary = root / ".venv" / "understudy.json.new"
    temporary.write_text(json.dumps(stamp))
    os.replace(str(temporary), str(root / ".venv" / "understudy.json"))


def has(root: Path, level: str) -> bool:
    """Return whether `.venv` works and holds what a level's files ask for now."""
    stamp = read_stamp(root)
    if not stamp or stamp.get(level) != digest(root, level):
        return False
    return stamp.get("python") == version_of(str(root / ".venv" / "bin" / "python"))


def check_space(root: Path) -> None:
    """Refuse to start what the disk has no room for.

    Raises:
        SetupError: too little is free.
    """
    needed = UPDATE_BYTES if has(root, "base") else FULL_BYTES
    free = shutil.disk_usage(str(root)).free
    if free < needed:
        raise SetupError(
            f"the packages need {needed / 1e9:.1f} GB and {root} has {free / 1e9:.1f} GB free; "
            "free some space and run the same command again"
        )


def explain(output: str) -> str:
    """Return in one line why pip failed and what to do, from all it printed."""
    if NO_SPACE in output:
        return "the disk is full; free some space and run the same command again"
    if any(words in output for words in NO_NETWORK):
        return "the packages can't be downloaded: no network; connect and run the same command"
    errors = re.findall(r"^ERROR: (.+)$", output, re.MULTILINE)
    reason = errors[-1] if errors else (output.strip().splitlines() or ["it said nothing"])[-1]
    return f"pip could not install the packages: {reason.strip()}"


def run(command: "list[str]", lock: int) -> "tuple[int, str]":
    """Return a command's exit status and all it printed.

    The child keeps the lock too: when this process is killed, nobody starts before it ends.
    """
    finished = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(lock,),
    )
    return finished.returncode, finished.stdout.decode("utf-8", "replace")


def create(root: Path, python: str, lock: int) -> None:
    """Make an empty `.venv`, in place of one that doesn't work or was cut off.

    Raises:
        SetupError: this Python can't.
    """
    folder = root / ".venv"
    works = is_new_enough(version_of(str(folder / "bin" / "python")))
    if works and read_stamp(root) != INSTALLING:
        return
    if folder.exists():
        shutil.rmtree(str(folder))
    folder.mkdir()
    write_stamp(root, INSTALLING)
    status, output = run([python, "-m", "venv", str(folder)], lock)
    if status and NO_SPACE in output:
        raise SetupError(explain(output))
    if status:
        raise SetupError(
            f"{python} can't make a virtual environment; install its venv module "
            "(Debian: apt install python3-venv) and run the same command again"
        )


def install(root: Path, level: str, python: str, lock: int) -> None:
    """Bring `.venv` to what a level's files ask for.

    PyTorch goes first: alone, pip takes the build that the machine's package sources prefer.

    Raises:
        SetupError: something is missing.
    """
    check_space(root)
    create(root, python, lock)
    write_stamp(root, INSTALLING)
    inside = str(root / ".venv" / "bin" / "python")
    torch = re.findall(r"^torch==\S+", (root / "requirements.txt").read_text(), re.MULTILINE)
    steps = [torch, ["-r", str(root / FILES[level][-1])]]
    pip = [inside, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    started = time.monotonic()
    for number, what in enumerate(steps, start=1):
        sys.stderr.write(
            f"installing {' '.join(what[:1]) if number == 1 else 'the rest'} "
            f"({number} of {len(steps)})\n"
        )
        status, output = run([*pip, "-c", str(root / "constraints.txt"), *what], lock)
        if status > 0 and NO_SPACE not in output:
            (root / ".venv" / "understudy.json").unlink()
        if status:
            raise SetupError(explain(output))
    done = {name: digest(root, name) for name in FILES if name in ("base", level)}
    write_stamp(root, dict(done, python=version_of(inside) or ""))
    sys.stderr.write(f"installed in {time.monotonic() - started:.0f} s\n")


def prepare(root: Path, level: str, python: str) -> None:
    """Make sure that `.venv` holds a level; one process at a time does the work.

    Raises:
        SetupError: something is missing.
    """
    if has(root, level):
        return
    with (root / "requirements.txt").open("rb+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write("another run is making .venv; waiting for it\n")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not has(root, level):
            install(root, level, python, lock.fileno())


def describe(error: OSError) -> str:
    """Return in one line what to do about a file that can't be read or written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return explain(NO_SPACE)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"can't write {error.filename}; make the folder writable, or copy the project"
    return f"{error.filename}: {error.strerror}"


def main() -> int:
    """Prepare the environment; return 0, or 2 after one line on what to do."""
    parser = argparse.ArgumentParser(description="Make .venv with the pinned packages.")
    parser.add_argument("--dev", action="store_true", help="with what tests and checks need")
    level = "dev" if parser.parse_args().dev else "base"
    try:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        if not is_new_enough(version):
            python = find_python(version, os.environ.get("PATH", ""))
            os.execv(python, [python, str(Path(__file__)), *sys.argv[1:]])
        prepare(ROOT, level, sys.executable)
    except (SetupError, OSError) as error:
        text = describe(error) if isinstance(error, OSError) else str(error)
        sys.stderr.write(text + "\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command starts over\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
