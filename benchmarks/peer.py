"""LiteLLM, for comparison, in an environment of its own that is made once and then kept.

Releases of LiteLLM have stolen credentials (BerriAI/litellm#24512), so its wheel is pinned by
digest, and it sees no variables of ours.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

VERSION = "1.106.2"
DIGESTS = (
    "cb1a2a1e55a4a8350ae2167525dc0d06f59b078cd685fb3e0f5419f02da5420e",
    "34bfdc26c2c075726eda59ec0675e2a8a67b6e59a03980def7ef7651b849141a",
)
"""SHA-256 of its wheels for Linux on x86-64 and on ARM."""
UNDECLARED = ("soundfile==0.14.0", "fastapi==0.165.0", "orjson==3.13.0")
"""What a hit in its cache imports, though its wheel does not ask for it."""
INSTALL_S = 1200
RUN_S = 600
SCRIPT = Path(__file__).with_name("litellm_hit.py")


class NoPeerError(Exception):
    """LiteLLM could not be installed or run; the text says why."""


def hit(messages: Sequence[dict[str, Any]], base_url: str, rounds: int) -> dict[str, Any]:
    """Return LiteLLM's figures for a hit on these messages.

    Raises:
        NoPeerError: there are none.
    """
    asked = {"base_url": base_url, "messages": messages, "rounds": rounds}
    done = _run([_python(), str(SCRIPT)], RUN_S, json.dumps(asked))
    figures: dict[str, Any] = json.loads(done.splitlines()[-1])
    return figures


def _python() -> str:
    """Return the interpreter of LiteLLM's environment, which is made if it is not there yet."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = caches / "understudy" / f"litellm-{VERSION}"
    python, ready = folder / "bin" / "python", folder / "ready"
    if ready.exists():
        return str(python)
    print(f"installing LiteLLM {VERSION} in {folder}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(folder)], INSTALL_S)
    pin = folder / "pin.txt"
    hashes = " ".join(f"--hash=sha256:{digest}" for digest in DIGESTS)
    pin.write_text(f"litellm=={VERSION} {hashes}\n", encoding="utf-8")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--only-binary", "litellm"]
    _run([*pip, "--no-deps", "--require-hashes", "--requirement", str(pin)], INSTALL_S)
    _run([*pip, f"litellm=={VERSION}", *UNDECLARED], INSTALL_S)
    ready.touch()
    return str(python)


def _run(command: list[str], limit_s: float, text: str = "") -> str:
    kept = {"PATH", "HOME", "LANG", "TMPDIR"}
    environment = {n: v for n, v in os.environ.items() if n in kept or n.startswith("PIP_")}
    environment["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it fetches one
    try:
        done = subprocess.run(
            command,
            input=text,
            env=environment,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines() or ["it said nothing"]
        raise NoPeerError(f"{' '.join(command[1:4])}: {said[-1]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoPeerError(str(error)) from error
    return done.stdout
