"""IFEval's checks of an answer's format: lists, sections, placeholders, quotes, JSON.

They decide as google-research's checkers do as lm-eval 0.4.13 has them, but in linear time where
a pattern there takes quadratic time, and without its crash on deeply nested JSON.
"""

import json
import re

from evals.scorers.ifeval_instruction import Check, Instruction, pattern_of

STAR_BULLET = re.compile(r"^[^\S\n]*+\*[^*].*$", re.MULTILINE)
DASH_BULLET = re.compile(r"^[^\S\n]*+-.*$", re.MULTILINE)
HIGHLIGHT = re.compile(r"\*[^\n*]*\*")
DOUBLE_HIGHLIGHT = re.compile(r"\*\*[^\n*]*\*\*")
POSTSCRIPTS = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def has_placeholders(instruction: Instruction) -> Check:
    """There are at least so many [placeholders], each within a line."""
    wanted = instruction.number("num_placeholders")
    return lambda answer: sum(map(_placeholders, answer.split("\n"))) >= wanted


def _placeholders(line: str) -> int:
    count = at = 0
    while (start := line.find("[", at)) >= 0 and (end := line.find("]", start)) >= 0:
        count, at = count + 1, end + 1
    return count


def has_postscript(instruction: Instruction) -> Check:
    """The postscript's marker occurs anywhere, in any case."""
    marker = instruction.text("postscript_marker").strip()
    pattern = re.compile(POSTSCRIPTS.get(marker) or pattern_of(marker.lower()))
    return lambda answer: bool(pattern.search(answer.lower()))


def has_bullets(instruction: Instruction) -> Check:
    """There are exactly so many bullet points."""
    wanted = instruction.number("num_bullets")
    return lambda answer: (
        len(STAR_BULLET.findall(answer)) + len(DASH_BULLET.findall(answer)) == wanted
    )


def has_option(answer: str) -> bool:
    """One of the three allowed sentences occurs."""
    return any(option in answer for option in OPTIONS)


def has_highlights(instruction: Instruction) -> Check:
    """At least so many *parts* are highlighted; **doubly** counts again, as in the original."""
    wanted = instruction.number("num_highlights")

    def check(answer: str) -> bool:
        single = (part.strip("*") for part in HIGHLIGHT.findall(answer))
        double = (part[2:-2] for part in DOUBLE_HIGHLIGHT.findall(answer))
        return sum(1 for part in (*single, *double) if part.strip()) >= wanted

    return check


def has_sections(instruction: Instruction) -> Check:
    """At least so many sections begin with the splitter and a number."""
    wanted = instruction.number("num_sections")
    splitter = pattern_of(instruction.text("section_spliter").strip())
    pattern = re.compile(r"\s?" + splitter + r"\s?\d+\s?")
    return lambda answer: len(pattern.split(answer)) - 1 >= wanted


def is_json(answer: str) -> bool:
    """The answer, out of its code fence, is what Python reads as JSON."""
    text = answer.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        text = text.removeprefix(fence)
    try:
        json.loads(text.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def has_title(answer: str) -> bool:
    """A line has a <<title>>."""
    return any(map(_has_title, answer.split("\n")))


def _has_title(line: str) -> bool:
    start, end = line.find("<<"), line.rfind(">>")
    if start < 0 or end - start < 3:
        return False
    return bool(line[start:end].lstrip("<").rstrip(">").strip())


def has_two_responses(answer: str) -> bool:
    """Two different answers stand around ******; only the outermost parts may be empty."""
    parts = [part.strip() for part in answer.split("******")]
    if not all(parts[1:-1]):
        return False
    found = [part for part in parts if part]
    return len(found) == 2 and found[0] != found[1]


def repeats_prompt(instruction: Instruction) -> Check:
    """The answer begins with the prompt, in any case."""
    prompt = instruction.text("prompt_to_repeat").strip().lower()
    return lambda answer: answer.strip().lower().startswith(prompt)


def ends_with_phrase(instruction: Instruction) -> Check:
    """The answer ends with the phrase, in any case, quotes aside."""
    phrase = instruction.text("end_phrase").strip().lower()
    return lambda answer: answer.strip().strip('"').lower().endswith(phrase)


def lacks_commas(answer: str) -> bool:
    """No comma occurs."""
    return "," not in answer


def is_quoted(answer: str) -> bool:
    """The answer stands in double quotation marks."""
    text = answer.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'
