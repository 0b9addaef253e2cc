"""Marks for answers with citations: do the quotes stand in the documents, is the answer right?"""

import re
import string
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import ScoringError
from core.messages import JsonValue
from evals.sample import Answer, Sample, Score, Scorer
from evals.strict_json import Reading, read_json

MAX_CITATIONS = 100
MAX_QUOTE_CHARACTERS = 10_000
QUOTED = re.compile(r'["“]([^"“”]*)["”]\s*\[([^\[\]]{1,200})\]')
"""A quote and the document in brackets behind it, in running text."""
ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True)
class Citation:
    """A span that the answer says stands in a document."""

    document: str
    quote: str


@dataclass(frozen=True, slots=True)
class CitedAnswer:
    """An answer and what it rests on."""

    text: str
    citations: tuple[Citation, ...]
    is_repaired: bool
    """Whether the answer was JSON that only a lenient reader can read."""


def citations() -> Scorer:
    """Return the scorer of cited answers.

    The sample's `details.documents` maps a document's name to its text; the target is the answer,
    or the accepted ones, or null where only the citations are judged. An answer is
    `{"answer": ..., "citations": [{"document": ..., "quote": ...}]}` or text with `"quote" [name]`.
    Marks: `citation_valid` (there is a citation, and each quote stands in its document, white
    space aside), and with a target `answer_match` and `answer_f1`. Counts: `citation_hits`,
    `citation_extra`.
    """
    return score_citations


def score_citations(sample: Sample, answer: Answer) -> Score:
    """Return the marks of one cited answer.

    Raises:
        ScoringError: the sample has no documents, or a target that is no text.
    """
    documents, accepted = _documents(sample), _accepted(sample)
    cited = read_cited(answer.text)
    problems = [citation_problem(citation, documents) for citation in cited.citations]
    hits = problems.count(None)
    is_valid = bool(problems) and hits == len(problems) <= MAX_CITATIONS
    marks = {"citation_valid": float(is_valid), **answer_marks(cited.text, accepted)}
    return Score(
        values=dict.fromkeys(marks, 0.0) if cited.is_repaired else marks,
        repaired=marks,
        failure=_failure(cited, problems, marks),
        counts={"citation_hits": hits, "citation_extra": len(problems) - hits},
        notes={"answer": cited.text[:400], "problems": [p for p in problems if p]},
    )


def read_cited(text: str) -> CitedAnswer:
    """Return the answer and its citations, at most one more than allowed; never raises."""
    read = read_json(text)
    if isinstance(read, Reading) and isinstance(read.value, dict):
        said = read.value.get("answer")
        listed = read.value.get("citations")
        items = listed if isinstance(listed, list) else []
        return CitedAnswer(
            text=said if isinstance(said, str) else "",
            citations=tuple(map(_citation, items[: MAX_CITATIONS + 1])),
            is_repaired=read.level != "raw",
        )
    found: list[Citation] = []
    for match in QUOTED.finditer(text):
        found.append(Citation(match[2].strip(), match[1]))
        if len(found) > MAX_CITATIONS:
            break
    return CitedAnswer(QUOTED.sub(" ", text).strip(), tuple(found), False)


def citation_problem(citation: Citation, documents: Mapping[str, str]) -> str | None:
    """Return why a citation does not hold, None when it does.

    `unknown_document`, `empty_quote`, `quote_too_long`, `quote_not_found`. White space is
    normalised on both sides; a quote that begins or ends inside a word is not found.
    """
    if citation.document not in documents:
        return "unknown_document"
    quote = " ".join(citation.quote.split())
    if not any(character.isalnum() for character in quote):
        return "empty_quote"
    if len(quote) > MAX_QUOTE_CHARACTERS:
        return "quote_too_long"
    text = " ".join(documents[citation.document].split())
    at = text.find(quote)
    while at >= 0:
        if _is_whole(text, at, at + len(quote)):
            return None
        at = text.find(quote, at + 1)
    return "quote_not_found"


def answer_marks(text: str, accepted: tuple[str, ...] | None) -> dict[str, float]:
    """Return `answer_match` and `answer_f1` against the best of the accepted answers.

    Nothing without accepted answers. Of none at all (an unanswerable question) the empty answer is
    right. Source: the evaluation script of SQuAD v2.0 (Rajpurkar, Jia and Liang 2018).
    """
    if accepted is None:
        return {}
    wanted = accepted or ("",)
    said = normal_answer(text)
    return {
        "answer_match": float(any(said == normal_answer(one) for one in wanted)),
        "answer_f1": max(token_f1(text, one) for one in wanted),
    }


def normal_answer(text: str) -> str:
    """Return a text in lower case without punctuation, articles and double spaces."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def token_f1(said: str, wanted: str) -> float:
    """Return the F1 of the words that two texts share, each as often as it comes, 0.0 to 1.0."""
    one, other = normal_answer(said).split(), normal_answer(wanted).split()
    if not one or not other:
        return float(one == other)
    shared = (Counter(one) & Counter(other)).total()
    return 2 * shared / (len(one) + len(other))


def _is_whole(text: str, start: int, end: int) -> bool:
    """Say whether a span cuts no word."""
    cuts_start = start > 0 and text[start - 1].isalnum() and text[start].isalnum()
    cuts_end = end < len(text) and text[end - 1].isalnum() and text[end].isalnum()
    return not cuts_start and not cuts_end


def _citation(item: JsonValue) -> Citation:
    """Return a listed citation; one that is malformed names no document."""
    members = item if isinstance(item, dict) else {}
    document, quote = members.get("document"), members.get("quote")
    return Citation(
        document if isinstance(document, str) else "", quote if isinstance(quote, str) else ""
    )


def _documents(sample: Sample) -> dict[str, str]:
    listed = sample.details.get("documents")
    documents = listed.items() if isinstance(listed, dict) else ()
    texts = {name: text for name, text in documents if name and isinstance(text, str)}
    if not texts or not isinstance(listed, dict) or len(texts) < len(listed):
        raise ScoringError(
            f"sample {sample.id!r} must map names of documents to texts in details.documents"
        )
    return texts


def _accepted(sample: Sample) -> tuple[str, ...] | None:
    target = sample.target
    if target is None:
        return None
    listed = [target] if isinstance(target, str) else target
    if isinstance(listed, list | tuple) and all(isinstance(one, str) for one in listed):
        return tuple(str(one) for one in listed)
    raise ScoringError(
        f"the target of sample {sample.id!r} must be a text, a list of texts or null"
    )


def _failure(
    cited: CitedAnswer, problems: list[str | None], marks: Mapping[str, float]
) -> str | None:
    if not problems:
        return "no_citation"
    if len(problems) > MAX_CITATIONS:
        return "too_many_citations"
    if worst := next(filter(None, problems), None):
        return worst
    if marks.get("answer_match") == 0.0:
        return "wrong_answer"
    return "json_repairable" if cited.is_repaired else None
