"""What the output filter adds to each chunk of a stream."""

import statistics
import time

from figures import Figure

from core.gateway.guard.meta_language import MetaLanguageFilter

CHUNK = 4
"""Characters of each chunk, about a token's."""
PLAIN = "Ada Brown sits at table four, beside Marie Curie. She is vegan, and came by train. "
TEXTS = {
    "announcements": "I’ll first analyze the list. There are 12 guests. Let me check the menu. "
    * 8,
    "Portuguese": "Primeiro vou analisar a lista. A Ana fica na mesa quatro. É vegetariana. " * 8,
    "prose": PLAIN * 8,
    "code": "Here:\n```python\nfor guest in guests:\n    seat(guest, table=4)  # first\n```\n" * 8,
    "a list": "- Ada Brown, table 4\n- Marie Curie, table 4\n1. soup\n2. fish\n" * 8,
    "32,000 characters": PLAIN * 390,
    "one word without end": "a" * 4000,
}


def filtered(text: str) -> list[float]:
    """Return the seconds that each chunk took, the end of the stream as the last."""
    output, spans = MetaLanguageFilter(), []
    for start in range(0, len(text), CHUNK):
        began = time.perf_counter()
        output.push(text[start : start + CHUNK])
        spans.append(time.perf_counter() - began)
    began = time.perf_counter()
    output.flush()
    return [*spans, time.perf_counter() - began]


def plain(text: str) -> float:
    """Return the seconds for each chunk when it is only put behind the others."""
    whole, began = "", time.perf_counter()
    for start in range(0, len(text), CHUNK):
        whole += text[start : start + CHUNK]
    return (time.perf_counter() - began) / (len(text) / CHUNK)


def meta_language(scale: int) -> list[Figure]:
    """Time each chunk of several kinds of text; the goal holds for each kind.

    It is CPU time, for a mean of wall time tells more of the neighbours than of the filter.
    """
    figures, floors = [], []
    for name, text in TEXTS.items():
        rounds, cpu = max(1, scale // 5), time.process_time()
        spans = [span for _ in range(rounds) for span in filtered(text)]
        cpu = (time.process_time() - cpu) / len(spans)
        floors.append(plain(text))
        figures += [
            Figure(
                f"filter, a chunk of {CHUNK} characters, {name}, mean CPU time",
                cpu * 1e6,
                "µs",
                ("at most", 25),
            ),
            Figure("p50", statistics.median(spans) * 1e6, "µs"),
            Figure("p99", statistics.quantiles(spans, n=100)[98] * 1e6, "µs"),
        ]
    return [*figures, Figure("a chunk without a filter", statistics.median(floors) * 1e6, "µs")]
