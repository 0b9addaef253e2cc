"""What a dataset is made of: forms, classes, lengths and languages of its answers."""

import heapq
import re
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from core.json_text import JsonRead, parse_json
from core.messages import JsonValue
from training.datasets.example import Example
from training.datasets.languages import Languages
from training.datasets.words import answer_text, turn_text

BANDS = (16, 64, 256, 1024)
"""Most supervised tokens of a row in each band of lengths but the last."""
LABEL_WORDS = 4
"""An answer of no more words may be a class."""
MAX_CLASSES = 50
LANGUAGE_ROWS = 100
"""Rows whose language is looked at, chosen by a digest of their ids."""
MARKUP = re.compile(
    r"</?(?:a|p|b|i|u|br|hr|div|span|img|script|style|html|head|body|iframe|form|input|button|svg"
    r"|table|thead|tbody|tr|td|th|ul|ol|li|h[1-6]|pre|code|em|strong)(?:\s[^<>]{0,500})?/?>"
    r"|&(?:amp|lt|gt|quot|nbsp|#\d{1,6});",
    re.IGNORECASE,
)
FORMULA = re.compile(r"\A\s*[=+@-][A-Za-z_.][\w.]*\(")
"""What a spreadsheet would run when the text is opened in one."""


@dataclass(frozen=True, slots=True)
class Makeup:
    """Counts over the rows of a dataset."""

    kinds: Mapping[str, int] = field(hash=False)
    """Rows by kind of example."""
    forms: Mapping[str, int] = field(hash=False)
    """Rows by form of their answer: `text`, `json`, `calls`, `text and calls`, `none`."""
    classes: Mapping[str, int] = field(hash=False)
    """Rows by what the answer chooses: the first tool called, or a short answer; the 50 largest."""
    largest_class: float | None
    """Share of the largest class among rows that choose; 0.0 to 1.0; None: no classes."""
    bands: Mapping[str, int] = field(hash=False)
    """Rows by supervised tokens."""
    languages: Mapping[str, int] = field(hash=False)
    """Of some 100 rows, by langdetect's code; `unclear` for short answers."""
    markup: int
    """Rows with HTML in an answer; it is kept as text."""
    formulas: int
    """Rows with a text that a spreadsheet would run as a formula; it is kept as text."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the counts as JSON."""
        return {
            "kinds": dict(self.kinds),
            "forms": dict(self.forms),
            "classes": dict(self.classes),
            "largest_class": self.largest_class,
            "bands": dict(self.bands),
            "languages": dict(self.languages),
            "markup": self.markup,
            "formulas": self.formulas,
        }


class MakeupCounts:
    """Takes rows one by one; its memory is bounded."""

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._forms: Counter[str] = Counter()
        self._tools: Counter[str] = Counter()
        self._labels: Counter[str] = Counter()
        self._bands: Counter[int] = Counter()
        self._texts: list[tuple[int, str]] = []
        """The rows with the least digests, as a heap of negative ones."""
        self._rows = self._markup = self._formulas = 0

    def add(self, example: Example, supervised: int) -> None:
        """Take the next row and the number of its supervised tokens."""
        self._rows += 1
        self._kinds[example.kind] += 1
        form = _form(example)
        self._forms[form] += 1
        self._classify(example, form)
        self._bands[sum(supervised > most for most in BANDS)] += 1
        answer = answer_text(example)
        if answer:
            self._keep(example.id, answer)
        self._markup += MARKUP.search(answer) is not None
        self._formulas += any(FORMULA.match(turn.text) for turn in example.conversation)

    def result(self) -> Makeup:
        """Return what was counted."""
        classes = self._classes()
        return Makeup(
            kinds=dict(self._kinds),
            forms=dict(self._forms.most_common()),
            classes=dict(classes.most_common(MAX_CLASSES)),
            largest_class=max(classes.values()) / classes.total() if classes else None,
            bands={name: self._bands[place] for place, name in enumerate(_band_names())},
            languages=self._languages(),
            markup=self._markup,
            formulas=self._formulas,
        )

    def _classify(self, example: Example, form: str) -> None:
        if form in ("calls", "text and calls"):
            first = next(turn for turn in example.answer if turn.tool_calls)
            self._tools[first.tool_calls[0].name] += 1
        elif form == "text":
            label = turn_text(example.answer[-1]).strip()
            is_label = len(label.split()) <= LABEL_WORDS and len(label) <= 80
            if is_label and (label in self._labels or len(self._labels) < 1000):
                self._labels[label] += 1

    def _classes(self) -> Counter[str]:
        """Return the tools called, else the short answers where nearly all repeat."""
        if self._tools:
            return self._tools
        most = self._labels.total()
        are_classes = most > 0.5 * self._rows and len(self._labels) <= max(2, 0.1 * most)
        return self._labels if are_classes else Counter()

    def _keep(self, name: str, text: str) -> None:
        entry = (-zlib.crc32(name.encode("utf-8", "replace")), text[:500])
        if len(self._texts) < LANGUAGE_ROWS:
            heapq.heappush(self._texts, entry)
        else:
            heapq.heappushpop(self._texts, entry)

    def _languages(self) -> dict[str, int]:
        if not self._texts:
            return {}
        languages = Languages()
        return dict(Counter(languages.of(text) for _, text in sorted(self._texts)).most_common())


def _form(example: Example) -> str:
    if not example.answer:
        return "none"
    has_calls = any(turn.tool_calls for turn in example.answer)
    text = example.answer[-1].text.strip()
    if has_calls:
        return "text and calls" if text else "calls"
    if text.startswith(("{", "[")):
        read = parse_json(text)
        if isinstance(read, JsonRead) and not read.repaired:
            return "json"
    return "text"


def _band_names() -> list[str]:
    edges = [0, *(most + 1 for most in BANDS)]
    names = [f"{low}-{most}" for low, most in zip(edges, BANDS, strict=False)]
    return [*names, f"{edges[-1]}+"]
