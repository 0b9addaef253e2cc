"""What a run's warnings say, in words."""

from collections.abc import Callable, Mapping

from training.events import Event

WORDS: Mapping[str, str] = {
    "damaged_checkpoint_set_aside": "{path} is damaged and set aside: {reason}",
    "unfinished_save_deleted": "a save that was cut off was deleted: {path}",
    "best_checkpoint_lost": "the best checkpoint, step {step_lost}, is lost ({reason}); what was "
    "learnt is that of step {used}",
    "truncated": "{rows} of {of} examples are cut off at max_length",
}
"""Of each warning that is one sentence of its values."""


def warning_text(warning: Event) -> str:
    """Return a warning as one line; a kind that is not known here, by its name and values."""
    what = str(warning.get("what", "warning"))
    step = f"step {warning['step']}: " if warning["step"] else ""
    return (step + _said(what, warning))[:500]


def _said(what: str, warning: Event) -> str:
    try:
        if what in OTHERS:
            return OTHERS[what](warning)
        if what in WORDS:
            return WORDS[what].format_map(warning)
    except (KeyError, TypeError, AttributeError, ValueError):
        pass
    rest = {k: v for k, v in warning.items() if k not in ("t", "kind", "attempt", "step", "what")}
    return ", ".join([what.replace("_", " "), *(f"{key} {value}" for key, value in rest.items())])


def _elsewhere(warning: Event) -> str:
    changes = (f"{name} was {each['was']} and is {each['is']}" for name, each in _changed(warning))
    return f"the numbers may differ from an uninterrupted run's: {'; '.join(changes)}"


def _changed(warning: Event) -> list[tuple[str, Mapping[str, str]]]:
    return sorted(warning["changed"].items())


def _behind(warning: Event) -> str:
    error = warning.get("error")
    return f"the mirror is {warning['behind']} checkpoints behind" + (f": {error}" if error else "")


OTHERS: Mapping[str, Callable[[Event], str]] = {
    "resumed_elsewhere": _elsewhere,
    "mirror_behind": _behind,
}
