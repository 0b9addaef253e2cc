"""Format `squad`: SQuAD's JSON, as XQuAD has it too; each question with its paragraph as document.

The group is the article: articles were drawn first, and the questions on one share its text.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from core.errors import InputError
from core.messages import JsonObject, JsonValue
from core.rows.records import Record, json_document, text_of
from evals.importers.items import Item, Row, converted
from evals.importers.recipes import CITED


def from_squad(path: Path) -> Iterator[Item]:
    """Yield the samples of every question.

    Raises:
        NotFoundError: there is no such file.
        InputError: the file is not SQuAD's.
    """
    document = json_document(path)
    articles = document.get("data") if isinstance(document, Mapping) else None
    if not isinstance(articles, list):
        raise InputError(f"{path.name} must be an object with a list 'data' of articles")
    for record in _questions(articles):
        yield converted(record, _row)


def _questions(articles: list[JsonValue]) -> Iterator[Record]:
    number = 0
    for a, article in enumerate(articles, start=1):
        title = _member(article, "title") or f"article {a}"
        for p, paragraph in enumerate(_list(article, "paragraphs"), start=1):
            for q, question in enumerate(_list(paragraph, "qas"), start=1):
                number += 1
                value = {"title": title, "context": _member(paragraph, "context"), "qa": question}
                yield Record(f"article {a}, paragraph {p}, question {q}", number, value)


def _row(record: Record) -> Row:
    title, context = text_of(record.value, "title"), text_of(record.value, "context")
    qa = record.value["qa"]
    if not isinstance(qa, Mapping):
        raise InputError("each question must be an object")
    answers = list(dict.fromkeys(_answer(each, context) for each in _list(qa, "answers")))
    if not answers:
        raise InputError("it has no answer, so there is nothing to cite")
    question = text_of(qa, "question")
    row = {
        "id": qa.get("id") or record.number,
        "input": f"Document {title}:\n{context}\n\nQuestion: {question}",
        "target": answers,
        "group": title,
        "details": {"documents": {title: context}},
    }
    return row, CITED


def _answer(answer: JsonValue, context: str) -> str:
    text = _member(answer, "text")
    if not isinstance(text, str) or not text.strip() or text not in context:
        raise InputError("an answer does not stand in the paragraph")
    return text


def _member(value: JsonValue, key: str) -> JsonValue:
    return value.get(key) if isinstance(value, Mapping) else None


def _list(value: JsonValue, key: str) -> list[JsonValue]:
    found: JsonValue | JsonObject = _member(value, key)
    return found if isinstance(found, list) else []
