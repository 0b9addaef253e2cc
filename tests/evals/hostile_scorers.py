"""Scorers that do what a scorer must never do, told by the answer; for the grading pool's tests."""

import os
import re
import signal
import sys

from core.errors import ScoringError
from evals.sample import Answer, Sample, Score

BOMB = re.compile(r"(a+)+$")


def hang(_: str) -> None:
    while True:
        pass


def hang_in_c(_: str) -> None:
    BOMB.match("a" * 60 + "!")


def take_memory(_: str) -> None:
    bytearray(3 * 1024**3)


def segfault(_: str) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(_: str) -> None:
    os._exit(3)


def exit_politely(_: str) -> None:
    sys.exit("goodbye")


def talk(_: str) -> None:
    sys.stdout.write('{"score": {"values": {"length": 1.0}}}\n')
    sys.stdout.flush()


def break_down(_: str) -> None:
    raise KeyError("a bug of ours")


def refuse(_: str) -> None:
    raise ScoringError("the sample has no schema")


def recurse(text: str) -> None:
    recurse(text)


def ignore_the_alarm(_: str) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    while True:
        pass


DEEDS = {
    deed.__name__: deed
    for deed in (
        hang,
        hang_in_c,
        take_memory,
        segfault,
        leave,
        exit_politely,
        talk,
        break_down,
        refuse,
        recurse,
        ignore_the_alarm,
    )
}


def obedient(most: int = 100) -> object:
    def score(sample: Sample, answer: Answer) -> Score:
        if deed := DEEDS.get(answer.text):
            deed(answer.text)
        if answer.text.startswith("mark "):
            return Score({"length": float(answer.text[5:])})
        notes = {"text": answer.text, "pid": os.getpid(), "keys": sorted(os.environ)}
        return Score({"length": min(len(answer.text), most) / most}, notes=notes)

    return score


SCORERS = {"obedient": obedient}
