"""A process with 50 visitors who battle and vote until it is killed; says what it has done.

python -m tests.evals.arena.crowd HOME DATABASE_URL ROUND
"""

import os
import sys
import threading

from core.errors import ConflictError
from core.settings import Settings
from core.store import Store, open_store
from evals.arena.arena import Arena
from evals.arena.shown import Ask
from tests.evals.arena.cast import make_arena

CROWD = 50
OUTCOMES = ("model_a", "model_b", "tie", "both_bad")


def say(*words: str) -> None:
    """Tell the test, in one write: the process may end at any moment."""
    os.write(1, (" ".join(words) + "\n").encode())


def vote(arena: Arena, visitor: str, battle_id: str, outcome: str) -> None:
    """Vote, then try to vote again."""
    arena.vote(visitor, battle_id, outcome)
    say("voted", battle_id, outcome)
    try:
        arena.vote(visitor, battle_id, "tie")
    except ConflictError:
        return
    say("twice", battle_id)


def battle(arena: Arena, visitor: str, prompt: str) -> str:
    """Begin a battle and answer it."""
    ticket = arena.begin(visitor, Ask(prompt))
    say("begun", ticket.id, visitor)
    stream = arena.stream(visitor, ticket.id, threading.Event())
    next(stream)
    say("started", ticket.id)
    for _ in stream:
        pass
    return ticket.id


def visit(arena: Arena, number: int, name: str) -> None:
    """Be one visitor: first end what was open, then battle on."""
    visitor = f"visitor-{number}"
    if (left := arena.opened(visitor)) is not None:
        vote(arena, visitor, left.id, OUTCOMES[number % 4])
    for turn in range(18):
        battle_id = battle(arena, visitor, f"{visitor} asks {turn} in {name}")
        vote(arena, visitor, battle_id, OUTCOMES[(number + turn) % 4])


def gather(store: Store, settings: Settings, name: str) -> None:
    """Start everybody, and one whose answers never come."""
    arena = make_arena(settings, store)
    visitors = [
        threading.Thread(target=visit, args=(arena, number, name)) for number in range(CROWD)
    ]
    visitors.append(threading.Thread(target=battle, args=(arena, "waiting", f"wait in {name}")))
    for each in visitors:
        each.start()
    for each in visitors:
        each.join()  # Without a main thread the interpreter takes no new work.


if __name__ == "__main__":
    home, url, name = sys.argv[1:]
    settings = Settings.from_env({"UNDERSTUDY_HOME": home})
    gather(open_store(url), settings, name)
