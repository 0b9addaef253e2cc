"""Marks that need no judge: what an answer gets 0 for by the rubric's own conditions."""

from collections.abc import Callable, Mapping

from core.gateway.guard.patterns import MAX_TEXT_CHARACTERS, Pattern
from evals.judge.rubric import Condition, Rubric, Zero


def zeroed(rubric: Rubric, answer: str) -> Mapping[str, Condition]:
    """Return the dimensions that are 0 without asking, each with the first condition that says so.

    Takes time linear in the answer; of a long one patterns and announcements are looked for in the
    first 10,000 characters.
    """
    found: dict[str, Condition] = {}
    for zero in rubric.zeros:
        names = [name for name in zero.dimensions or rubric.names if name not in found]
        if names and CONDITIONS[zero.when](zero, answer):
            found.update(dict.fromkeys(names, zero.when))
    return found


def _is_empty(_: Zero, answer: str) -> bool:
    return not any(character.isalnum() for character in answer)


def _has_meta_language(_: Zero, answer: str) -> bool:
    # Its patterns take longer to compile than the rest of this package to load.
    from core.gateway.guard.meta_language import has_meta_language

    return has_meta_language(answer[:MAX_TEXT_CHARACTERS])


def _is_out_of_band(zero: Zero, answer: str) -> bool:
    size = len(answer.strip())
    return size < zero.low or (zero.high is not None and size > zero.high)


def _is_refusal(_: Zero, answer: str) -> bool:
    # Among the scorers stands the judge, which needs this module.
    from evals.scorers.refusals import is_refusal

    return is_refusal(answer)


def _has_pattern(zero: Zero, answer: str) -> bool:
    return Pattern(zero.pattern).is_in(answer[:MAX_TEXT_CHARACTERS])


CONDITIONS: Mapping[Condition, Callable[[Zero, str], bool]] = {
    "empty": _is_empty,
    "meta_language": _has_meta_language,
    "length": _is_out_of_band,
    "refusal": _is_refusal,
    "pattern": _has_pattern,
}
