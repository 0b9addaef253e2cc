"""Reading rubrics: `assets/rubrics/NAME.yaml`, or a person's own in `$UNDERSTUDY_HOME/rubrics/`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from core.errors import InputError, NotFoundError
from core.settings import PROJECT
from evals.judge.rubric import Anchor, Dimension, Rubric, Zero, meant
from evals.judge.zeros import zeroed


def rubric_folders(home: Path) -> tuple[Path, ...]:
    """Return where rubrics are looked for: a person's own first, then the shipped ones."""
    return (home / "rubrics", PROJECT / "assets" / "rubrics")


def load_rubric(name: str, folders: Sequence[Path]) -> Rubric:
    """Read and check the rubric of a name, from the first folder that has it.

    Raises:
        NotFoundError: no folder has it.
        InputError: it is not YAML, has an unknown key or a wrong value.
    """
    found = {path.stem: path for folder in reversed(folders) for path in folder.glob("*.yaml")}
    path = found.get(name)
    if path is None:
        known = ", ".join(sorted(found)) or "none"
        raise NotFoundError(f"no rubric named {name[:80]!r}; choose one of: {known}")
    return read_rubric(path)


def read_rubric(path: Path) -> Rubric:
    """Read and check one rubric file.

    Raises:
        InputError: it is not YAML, has an unknown key or a wrong value.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        where = " ".join(str(error).split())
        raise InputError(f"{path} can't be read as YAML: {where}") from error
    try:
        rubric = TypeAdapter(Rubric).validate_python(raw)
        _check_anchors_are_asked(rubric)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"rubric {path.stem!r}: {where}: {_reason(first)}") from error
    except InputError as error:
        raise InputError(f"rubric {path.stem!r}: {error}") from error
    return rubric


def _check_anchors_are_asked(rubric: Rubric) -> None:
    """Refuse anchors that the rubric marks by itself: they would tell nothing of the judge."""
    for number, anchor in enumerate(rubric.anchors, 1):
        if found := zeroed(rubric, anchor.answer):
            raise InputError(
                f"anchor {number} gets 0 for {', '.join(found)} without the judge; "
                "leave it out or change it"
            )


def _reason(error: Any) -> str:
    message = str(error["msg"])
    if error["type"] not in ("unexpected_keyword_argument", "extra_forbidden"):
        return message[:1].lower() + message[1:]
    owners = (Rubric, Dimension, Zero, Anchor)
    known = sorted({name for owner in owners for name in owner.__dataclass_fields__})
    return f"unknown key{meant(str(error['loc'][-1]), known)}"
