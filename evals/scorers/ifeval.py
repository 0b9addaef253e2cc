"""IFEval: does an answer follow instructions that a program can check?

Zhou et al. (2023), https://arxiv.org/abs/2311.07911; the same verdicts as lm-eval 0.4.13's
`ifeval` task, except where that draws at random, takes quadratic time or crashes. Sentences are
split and languages detected without NLTK's data and without chance.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

from core.errors import ScoringError
from evals.sample import Answer, Sample, Score, Scorer
from evals.scorers import ifeval_format as form
from evals.scorers import ifeval_words as words
from evals.scorers.ifeval_instruction import Check, Instruction
from evals.scorers.ifeval_language import Languages

CHECKS: Mapping[str, Callable[[Instruction], Check]] = {
    "keywords:existence": words.has_keywords,
    "keywords:frequency": words.has_keyword_often,
    "keywords:forbidden_words": words.lacks_words,
    "keywords:letter_frequency": words.has_letter_often,
    "length_constraints:number_sentences": words.has_sentences,
    "length_constraints:number_paragraphs": words.has_paragraphs,
    "length_constraints:number_words": words.has_words,
    "length_constraints:nth_paragraph_first_word": words.has_paragraph_opening,
    "detectable_content:number_placeholders": form.has_placeholders,
    "detectable_content:postscript": form.has_postscript,
    "detectable_format:number_bullet_lists": form.has_bullets,
    "detectable_format:number_highlighted_sections": form.has_highlights,
    "detectable_format:multiple_sections": form.has_sections,
    "combination:repeat_prompt": form.repeats_prompt,
    "startend:end_checker": form.ends_with_phrase,
    "change_case:capital_word_frequency": words.has_capital_words,
}
"""Instruction id to what builds its check from the arguments."""
PLAIN_CHECKS: Mapping[str, Check] = {
    "detectable_format:constrained_response": form.has_option,
    "detectable_format:json_format": form.is_json,
    "detectable_format:title": form.has_title,
    "combination:two_responses": form.has_two_responses,
    "startend:quotation": form.is_quoted,
    "punctuation:no_comma": form.lacks_commas,
}
"""Instruction id to its check; it takes no arguments."""
LANGUAGE = "language:response_language"
CAPITAL = "change_case:english_capital"
LOWERCASE = "change_case:english_lowercase"
ALL_IDS = frozenset({*CHECKS, *PLAIN_CHECKS, LANGUAGE, CAPITAL, LOWERCASE})


class IfEval:
    """Judges an answer strictly, and loosely: the best of eight ways to trim it.

    `Sample.details` holds `instruction_id_list` and, at the same places, `kwargs`.
    """

    def __init__(self) -> None:
        self._languages = Languages()

    def __call__(self, sample: Sample, answer: Answer) -> Score:
        """Return `ifeval_prompt_strict` and `ifeval_prompt_loose`: all instructions followed.

        The counts make the accuracies over instructions: `ifeval_strict_followed` and
        `ifeval_loose_followed`, summed over all samples, by the sum of `ifeval_instructions`.

        Raises:
            ScoringError: an instruction is unknown, or its arguments are unusable.
        """
        instructions = read_instructions(sample)
        detect = cache(self._languages.of)
        checks = [_check(instruction, detect) for instruction in instructions]
        strict = [_follows(check, [answer.text]) for check in checks]
        trimmed = trimmings(answer.text)
        loose = [
            is_strict or _follows(check, trimmed)
            for is_strict, check in zip(strict, checks, strict=True)
        ]
        verdicts = zip(instructions, strict, strict=True)
        missed = (instruction.id for instruction, followed in verdicts if not followed)
        return Score(
            values={
                "ifeval_prompt_strict": float(all(strict)),
                "ifeval_prompt_loose": float(all(loose)),
            },
            failure=next(missed, None),
            counts={
                "ifeval_instructions": len(checks),
                "ifeval_strict_followed": sum(strict),
                "ifeval_loose_followed": sum(loose),
            },
            notes={"followed_strict": strict, "followed_loose": loose},
        )


def ifeval() -> Scorer:
    """Return the scorer of IFEval's instructions."""
    return IfEval()


def read_instructions(sample: Sample) -> list[Instruction]:
    """Return a sample's instructions.

    Raises:
        ScoringError: there are none, or ids and arguments don't pair.
    """
    ids, arguments = sample.details.get("instruction_id_list"), sample.details.get("kwargs")
    if not isinstance(ids, Sequence) or not isinstance(arguments, Sequence) or not ids:
        raise ScoringError(f"sample {sample.id!r} needs instruction_id_list and kwargs as lists")
    if len(ids) != len(arguments):
        raise ScoringError(
            f"sample {sample.id!r} has {len(ids)} instructions and {len(arguments)} kwargs"
        )
    return [_instruction(*pair) for pair in zip(ids, arguments, strict=True)]


def _instruction(name: object, arguments: object) -> Instruction:
    if not isinstance(name, str) or name not in ALL_IDS:
        known = ", ".join(sorted(ALL_IDS))
        raise ScoringError(f"no instruction {str(name)[:80]!r}; choose from: {known}")
    if arguments is not None and not isinstance(arguments, Mapping):
        raise ScoringError(f"the kwargs of {name!r} must be an object or null")
    return Instruction(name, arguments or {})


def _check(instruction: Instruction, detect: Callable[[str], str | None]) -> Check:
    if instruction.id == LANGUAGE:
        return _in_language(instruction.text("language"), detect)
    is_english = _in_language("en", detect)
    if instruction.id == CAPITAL:
        return lambda answer: answer.isupper() and is_english(answer)
    if instruction.id == LOWERCASE:
        return lambda answer: answer.islower() and is_english(answer)
    return PLAIN_CHECKS.get(instruction.id) or CHECKS[instruction.id](instruction)


def _in_language(wanted: str, detect: Callable[[str], str | None]) -> Check:
    """Return the check of the language; a text without words is in every language."""
    return lambda answer: detect(answer) in (wanted, None)


def _follows(check: Check, answers: Iterable[str]) -> bool:
    return any(bool(answer.strip()) and check(answer) for answer in answers)


def trimmings(text: str) -> list[str]:
    """Return what the loose verdict tries besides the text.

    Without its first line, its last, or both; and each of the four without `*`.
    """
    lines = text.split("\n")
    rests = ["\n".join(rest).strip() for rest in (lines[1:], lines[:-1], lines[1:-1])]
    bare = [way.replace("*", "") for way in (text, *rests)]
    return [way for way in dict.fromkeys([*rests, *bare]) if way != text]
