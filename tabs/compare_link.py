"""Links that open a comparison: `?compare=lead,understudy&prompt=...`; they never start one."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from core.catalog import Catalog
from core.errors import InputError
from evals.arena.sides import MOST_SIDES

MAX_PROMPT = 8_000
"""Characters of a prompt that a link may carry; servers cut longer addresses."""
MAX_NAME = 300
"""Characters of a model's, a task's or an item's name."""


@dataclass(frozen=True, slots=True)
class CompareLink:
    """What a link names."""

    models: tuple[str, ...]
    """Catalog ids, 1 to 4; the same one may come twice."""
    prompt: str = ""
    task: str = ""
    """Task whose item is the prompt; empty: none."""
    item: str = ""
    """Id of the task's item; empty: any."""

    def address(self) -> str:
        """Return the address, from `?` on; a prompt too long for one is left out."""
        found = {
            "compare": ",".join(self.models),
            "prompt": self.prompt if len(self.prompt) <= MAX_PROMPT else "",
            "task": self.task,
            "item": self.item,
        }
        kept = {name: value for name, value in found.items() if value}
        return f"?{urlencode(kept, errors='replace')}"


def link_of(params: Mapping[str, str], catalog: Catalog) -> CompareLink | None:
    """Return what the address of a page asks for; None when it asks for no comparison.

    Raises:
        InputError: too many models, or a value is too long.
        ModelNotAllowedError: a model is not in the catalog.
    """
    if "compare" not in params:
        return None
    prompt, names = params.get("prompt", ""), params["compare"][: MAX_NAME * MOST_SIDES]
    models = tuple(name.strip() for name in names.split(",") if name.strip())
    if not 1 <= len(models) <= MOST_SIDES:
        raise InputError(f"a link names 1 to {MOST_SIDES} models, this one {len(models)}")
    if len(prompt) > MAX_PROMPT:
        raise InputError(f"a link's prompt has at most {MAX_PROMPT} characters, got {len(prompt)}")
    for model in models:
        catalog.targets(model)
    task, item = (_name(params, name) for name in ("task", "item"))
    return CompareLink(models, prompt, task, item)


def _name(params: Mapping[str, str], name: str) -> str:
    value = params.get(name, "")
    if len(value) > MAX_NAME:
        raise InputError(f"{name} has at most {MAX_NAME} characters, got {len(value)}")
    return value
