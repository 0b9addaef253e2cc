"""Our IFEval against lm-eval's, verdict by verdict.

What lm-eval needs from outside or draws at random is made the same on its side: the sentence and
word tokenisers are ours, langdetect's seed is 0, and a letter that is no letter stays itself.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.messages import Message
from evals.sample import Answer, Sample, Score
from evals.scorers.ifeval import ALL_IDS, ifeval
from evals.scorers.ifeval_sentences import count_sentences, words_of

Oracle = Callable[[dict[str, Any], str], tuple[list[bool], list[bool]]]

PARAGRAPHS = [
    "The weekend was quiet. Mr. Smith walked to the U.S. embassy, had a coffee and came back!",
    "Was it worth it? I'd say so: it cost 3.50 dollars, e.g. less than a book... but more.",
    "*Highlighted one* and **highlighted two** stand here, ** ** and * * do not count.",
    "- a first point\n- a second point\n* a third point\n  * a nested one\n*\nnot one\n** neither",
    "SECTION 1\nThe first part.\nSECTION 2\nThe second part. Section 3 and PARAGRAPH 4, Day 5",
    "Dear [name], please come to [address] at [time] on [date]. [unclosed\nbrackets] stay. []",
    "My answer is yes. My answer is maybe.",
    "P.S. I forgot the keys. P.P.S. And the p. p.s too.",
    "<<A title of joy>> and << >> and <<>> and << more >> text >>",
    "He said: \"I CAN'T do THAT, but NASA and the EU can.\" 'Tis FINE.",
    "O tempo está ótimo hoje, e por isso vamos à praia com os amigos depois do almoço.",
    "Das Wetter ist heute schön, und deshalb gehen wir mit unseren Freunden an den Strand.",
    "मौसम आज बहुत अच्छा है और हम समुद्र तट पर जा रहे हैं।",
]
LONG = "\n\n".join(PARAGRAPHS[:5] * 2)
RECORD = {"title": "A day", "items": [1, 2.5, None, True], "note": "no, thanks"}
ENDINGS = ["Is there anything else I can help with?", "Any other questions?", '"', "***", "\n\n\n"]


def fulfilled(row: dict[str, Any]) -> str:
    """Return a text that goes some way to what the prompt asks for."""
    parts = []
    for kwargs in row["kwargs"]:
        parts += kwargs.get("keywords") or []
        parts += [kwargs.get("keyword") or ""] * int(kwargs.get("frequency") or 1)
        parts += [kwargs.get("letter") or ""] * int(kwargs.get("let_frequency") or 1)
        parts += kwargs.get("forbidden_words") or []
        parts += ["word"] * int(kwargs.get("num_words") or 0)
        parts += ["One sentence."] * int(kwargs.get("num_sentences") or 0)
        parts += ["[place]"] * int(kwargs.get("num_placeholders") or 0)
        parts += ["*high*"] * int(kwargs.get("num_highlights") or 0)
        parts += ["CAPS"] * int(kwargs.get("capital_frequency") or 0)
        parts += ["\n* point"] * int(kwargs.get("num_bullets") or 0)
        marks = range(int(kwargs.get("num_sections") or 0))
        parts += [f"\n{kwargs.get('section_spliter')} {mark + 1}\nText" for mark in marks]
        parts += ["\n" + (kwargs.get("postscript_marker") or "") + " bye"]
        parts += ["\n" + (kwargs.get("end_phrase") or "")]
    return " ".join(part for part in parts if part.strip())


def paragraphs(row: dict[str, Any], divider: str) -> str:
    """Return the paragraphs that the prompt asks for, each beginning with the asked word."""
    count = next((k["num_paragraphs"] for k in row["kwargs"] if "num_paragraphs" in k), 2)
    word = next((k["first_word"] for k in row["kwargs"] if "first_word" in k), "so")
    return divider.join(f"{word}, number {n} is here" for n in range(int(count)))


def written(row: dict[str, Any]) -> dict[str, str]:
    """Return one response of each kind to the prompt."""
    prompt = row["prompt"]
    repeat = next((k["prompt_to_repeat"] for k in row["kwargs"] if "prompt_to_repeat" in k), prompt)
    markdown = "\n\n".join(PARAGRAPHS[2:9])
    return {
        "empty": "",
        "white space": " \n\t ",
        "dot": ".",
        "digits": "12345 67890",
        "sentence": "This is a fixed sentence, and it ends here.",
        "prompt": prompt,
        "prompt and answer": f"{repeat}\n\n{fulfilled(row)}",
        "markdown": markdown,
        "json": json.dumps(RECORD),
        "json in a fence": f"```json\n{json.dumps(RECORD, indent=1)}\n```",
        "broken json": "```\n{'title': 1,}\n```",
        "capitals": LONG.upper(),
        "lower case": LONG.lower(),
        "lower case without marks": "it is a plain day and we walk to the sea",
        "two languages": "\n".join(PARAGRAPHS[:2] + PARAGRAPHS[10:12]),
        "portuguese": PARAGRAPHS[10],
        "german": PARAGRAPHS[11],
        "hindi": PARAGRAPHS[12],
        "dividers": "***" + "\n***\n".join(PARAGRAPHS[:4]) + "***",
        "two responses": "One thing.\n******\nAnother thing.",
        "same response twice": "One thing.\n******\nOne thing.\n******",
        "paragraphs": paragraphs(row, "\n\n"),
        "paragraphs and stars": paragraphs(row, "\n***\n"),
        "gaps": paragraphs(row, "\n\n\n\n"),
        "placeholders": PARAGRAPHS[5] * 4,
        "postscript": "Hello there.\n\np.s. more\nP.P.S. most",
        "quoted": f'"{PARAGRAPHS[0]}"',
        "quoted fulfilment": f'"{fulfilled(row)}"',
        "fulfilled": fulfilled(row),
        "fulfilled in capitals": fulfilled(row).upper(),
        "fulfilled in lower case": fulfilled(row).lower(),
        "greeted": f"Sure, here it is:\n{fulfilled(row)}",
        "signed": f"{fulfilled(row)}\nHope this helps!",
        "greeted and signed": f"Sure!\n*{fulfilled(row)}*\nBye, bye",
        "stars": fulfilled(row).replace(" ", " *"),
    }


def mixed(row: dict[str, Any], count: int) -> Iterator[str]:
    """Yield texts put together by chance, the same each time."""
    chance = random.Random(row["key"])
    pieces = [*PARAGRAPHS, *ENDINGS, fulfilled(row), row["prompt"], "Sure, here it is:"]
    for _ in range(count):
        chosen = [chance.choice(pieces) for _ in range(chance.randint(1, 7))]
        text = chance.choice(["\n", "\n\n", " ", "\n***\n"]).join(chosen)
        yield chance.choice([str, str.upper, str.lower])(text)


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    """Yield lm-eval's two lists of verdicts, with its tokenisers, seed and letters fixed."""
    nltk = pytest.importorskip("nltk")
    # An empty folder, or the import looks for the tokeniser's data on the network.
    data = tmp_path_factory.mktemp("nltk")
    (data / "tokenizers" / "punkt_tab").mkdir(parents=True)
    langdetect = pytest.importorskip("langdetect")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nltk.data, "path", [str(data)])
        patch.setattr(langdetect.DetectorFactory, "seed", 0)
        pytest.importorskip("lm_eval")
        from lm_eval.tasks.ifeval import instructions, instructions_util, utils

        langdetect.detect("warmed up in one thread")
        patch.setattr(instructions_util, "count_sentences", count_sentences)
        patch.setattr(nltk, "word_tokenize", words_of)
        patch.setattr(instructions.LetterFrequencyChecker, "build_description", kept_letter())

        def judge(row: dict[str, Any], response: str) -> tuple[list[bool], list[bool]]:
            result = utils.process_results(row, [response])
            return result["inst_level_strict_acc"], result["inst_level_loose_acc"]

        yield judge


def kept_letter() -> Callable[..., str]:
    """Return lm-eval's builder of the letter check, which keeps a character that is no letter."""
    from lm_eval.tasks.ifeval.instructions import LetterFrequencyChecker

    build = LetterFrequencyChecker.build_description

    def keep(self: Any, *, letter: str, **others: Any) -> str:
        description: str = build(self, letter=letter, **others)
        self._letter = letter.lower()
        return description

    return keep


@pytest.fixture(scope="module")
def rows(public_data: Path) -> list[dict[str, Any]]:
    """Return IFEval's prompts."""
    lines = (public_data / "ifeval" / "input_data.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def scored(row: dict[str, Any], response: str, scorer: Any) -> Score:
    """Return our score of a response."""
    details = {"instruction_id_list": row["instruction_id_list"], "kwargs": row["kwargs"]}
    sample = Sample(
        id=str(row["key"]),
        messages=(Message("user", row["prompt"]),),
        target=None,
        group=str(row["key"]),
        details=details,
    )
    score: Score = scorer(sample, Answer(response))
    return score


def test_every_prompt_is_judged_as_lm_eval_judges_it(
    rows: list[dict[str, Any]], oracle: Oracle
) -> None:
    scorer = ifeval()
    seen: Counter[tuple[str, bool]] = Counter()
    loosened = 0
    for row in rows:
        for response in [*written(row).values(), *mixed(row, 1)]:
            strict, loose = oracle(row, response)
            score = scored(row, response, scorer)
            ours = score.notes["followed_strict"], score.notes["followed_loose"]
            assert ours == (strict, loose), (row["key"], row["instruction_id_list"], response)
            assert score.values == {
                "ifeval_prompt_strict": float(all(strict)),
                "ifeval_prompt_loose": float(all(loose)),
            }
            seen.update(zip(row["instruction_id_list"], strict, strict=True))
            loosened += strict != loose
    # The responses exercise each kind both ways, and the loose verdict too.
    assert {name for name, followed in seen if followed} == ALL_IDS
    assert {name for name, followed in seen if not followed} == ALL_IDS
    assert loosened > 300


def test_the_trivial_answer_reaches_the_floor_of_this_benchmark(
    rows: list[dict[str, Any]], oracle: Oracle
) -> None:
    scorer = ifeval()
    ours = sum(scored(row, ".", scorer).values["ifeval_prompt_strict"] for row in rows)
    theirs = sum(all(oracle(row, ".")[0]) for row in rows)
    assert ours == theirs
    assert 0.1 < ours / len(rows) < 0.2
