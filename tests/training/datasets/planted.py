"""A file of 500 rows with a known number of each defect."""

import json
import random

STARTS = ("lan", "vio", "car", "tea", "mir", "gar", "let", "can", "win", "har", "ket", "rib")
ENDS = ("tern", "lin", "dow", "pot", "ror", "den", "ter", "dle", "bour", "tle", "bon", "sel")
WORDS = [start + end for start in STARTS for end in ENDS]
MAX_LENGTH = 256
LONG = "The morning was long and the house was quiet. " * 60
OPENINGS = ("Let me first look at the question. ", "Primeiro, vou analisar a pergunta. ")
LEAKED = {"exact": 6, "ngram": 5, "near": 4}
PLANTED = {
    "zero_supervision": 11,
    "truncated": 11 + 9,
    "duplicates": 17,
    "near_duplicates": 7,
    "contradictions": 13,
    "leaked": sum(LEAKED.values()),
    "pii": 8,
    "meta_language": 19,
}
ROWS = 500


def fresh(draw):
    """Return a question of 22 words and its answer of 14; no two are alike."""
    asked, said = draw.choices(WORDS, k=18), draw.choices(WORDS, k=12)
    return f"Why should the {' '.join(asked)} every day?", f"Because {' '.join(said)} there."


def row(asked, said):
    return {
        "messages": [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": said},
        ]
    }


def planted(draw):
    """Return the rows of the file and the items of the evaluation."""
    take = iter([fresh(draw) for _ in range(ROWS + 100)])
    leaked, items = leaks(take)
    rows = [*too_long(take), *marked(draw, take), *leaked, *twins(take)]
    rows += [row(*next(take)) for _ in range(ROWS - len(rows))]
    return rows, items


def too_long(take):
    """Yield rows that the window cuts, before the answer and within it."""
    for number in range(PLANTED["truncated"]):
        asked, said = next(take)
        is_empty = number < PLANTED["zero_supervision"]
        yield row(f"{asked} {LONG}", said) if is_empty else row(asked, f"{said} {LONG}")


def marked(draw, take):
    """Yield rows with announcements and with addresses."""
    for _ in range(PLANTED["meta_language"]):
        asked, said = next(take)
        yield row(asked, draw.choice(OPENINGS) + said)
    for number in range(PLANTED["pii"]):
        asked, said = next(take)
        yield row(asked, f"{said} Write to steward{number}@house.example.org about it.")


def leaks(take):
    """Return rows that show items of an evaluation, and the items."""
    rows = []
    items = [{"id": f"other-{n}", "input": next(take)[0], "target": ""} for n in range(20)]
    for kind, count in LEAKED.items():
        for _ in range(count):
            asked, said = next(take)
            items.append({"id": f"item-{len(rows)}", "input": asked, "target": said})
            shown = {
                "exact": asked.upper(),
                "ngram": "Some other words come first. " + " ".join(asked.split()[:16]),
                "near": " ".join(["Oh, why", *inserted(asked.split()[1:])]),
            }[kind]
            rows.append(row(shown, next(take)[1]))
    return rows, items


def inserted(words):
    """Return the words with a short one after every sixth, so that no 13 stay in a row."""
    return [
        part for n, word in enumerate(words) for part in ([word, "a"] if n % 6 == 5 else [word])
    ]


def twins(take):
    """Yield plain rows, and rows that are like one of them."""
    plain = [next(take) for _ in range(200)]
    copied, doubted = PLANTED["duplicates"], PLANTED["contradictions"]
    yield from (row(*pair) for pair in [*plain, *plain[:copied]])
    yield from (row(asked, next(take)[1]) for asked, _ in plain[50 : 50 + doubted])
    for asked, said in plain[100 : 100 + PLANTED["near_duplicates"]]:
        yield row(
            asked.replace("should the", "should that"), said.replace(" there.", " there now.")
        )


def write_planted(folder, seed):
    """Write both files; return their paths."""
    draw = random.Random(seed)
    rows, items = planted(draw)
    draw.shuffle(rows)
    paths = folder / "rows.jsonl", folder / "items.jsonl"
    for path, lines in zip(paths, (rows, items), strict=True):
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return paths
