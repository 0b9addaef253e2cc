"""IFEval's checks of what words, letters, sentences and paragraphs an answer has.

They repeat google-research's checkers as lm-eval 0.4.13 has them, faults included: paragraphs are
counted without the empty ones but looked up with them, and capitals are counted per token.
"""

import re

from core.errors import ScoringError
from evals.scorers.ifeval_instruction import Check, Instruction, pattern_of
from evals.scorers.ifeval_sentences import count_sentences, words_of

WORD = re.compile(r"\w+")
DIVIDER = re.compile(r"\s?\*\*\*\s?")
FIRST_WORD_ENDS = re.compile(r"[.,?!'\"]")


def has_keywords(instruction: Instruction) -> Check:
    """Every keyword occurs, in any case."""
    patterns = [_found(keyword) for keyword in instruction.texts("keywords")]
    return lambda answer: all(pattern.search(answer) for pattern in patterns)


def has_keyword_often(instruction: Instruction) -> Check:
    """The keyword occurs so many times."""
    compares = instruction.compares("relation", "frequency")
    pattern = _found(instruction.text("keyword").strip())
    return lambda answer: compares(sum(1 for _ in pattern.finditer(answer)))


def lacks_words(instruction: Instruction) -> Check:
    """No forbidden word occurs as a whole word."""
    words = instruction.texts("forbidden_words")
    patterns = [
        re.compile(r"\b" + pattern_of(word) + r"\b", re.IGNORECASE) for word in sorted(set(words))
    ]
    return lambda answer: not any(pattern.search(answer) for pattern in patterns)


def has_letter_often(instruction: Instruction) -> Check:
    """The character occurs so many times, in any case.

    lm-eval draws a random letter in place of a character that is none, such as `#`.
    """
    compares = instruction.compares("let_relation", "let_frequency")
    letter = instruction.text("letter").lower()
    if len(letter) > 1:
        raise ScoringError(f"{instruction.id!r} needs letter as one character, got {letter!r}")
    return lambda answer: compares(answer.lower().count(letter))


def has_sentences(instruction: Instruction) -> Check:
    """There are so many sentences."""
    compares = instruction.compares("relation", "num_sentences")
    return lambda answer: compares(count_sentences(answer))


def has_words(instruction: Instruction) -> Check:
    """There are so many words."""
    compares = instruction.compares("relation", "num_words")
    return lambda answer: compares(sum(1 for _ in WORD.finditer(answer)))


def has_capital_words(instruction: Instruction) -> Check:
    """So many words are all capitals."""
    compares = instruction.compares("capital_relation", "capital_frequency")
    return lambda answer: compares(sum(word.isupper() for word in words_of(answer)))


def has_paragraphs(instruction: Instruction) -> Check:
    """There are exactly so many paragraphs between `***`; only the outermost may be empty."""
    wanted = instruction.number("num_paragraphs")

    def check(answer: str) -> bool:
        paragraphs = [part.strip() for part in DIVIDER.split(answer)]
        if not all(paragraphs[1:-1]):
            return False
        return sum(map(bool, paragraphs)) == wanted

    return check


def has_paragraph_opening(instruction: Instruction) -> Check:
    """There are exactly so many paragraphs, and the nth begins with the word."""
    wanted, nth = instruction.number("num_paragraphs"), int(instruction.number("nth_paragraph"))
    word = instruction.text("first_word").lower()
    if not 1 <= nth <= wanted:
        raise ScoringError(f"{instruction.id!r} asks for paragraph {nth} of {wanted}")

    def check(answer: str) -> bool:
        paragraphs = answer.split("\n\n")
        if sum(1 for part in paragraphs if part.strip()) != wanted:
            return False
        paragraph = paragraphs[nth - 1].split()
        if not paragraph:
            return False
        first = paragraph[0].lstrip("'").lstrip('"')
        # Letter by letter, as the original: a final sigma is none there.
        return "".join(map(str.lower, FIRST_WORD_ENDS.split(first, maxsplit=1)[0])) == word

    return check


def _found(keyword: str) -> re.Pattern[str]:
    return re.compile(pattern_of(keyword), re.IGNORECASE)
