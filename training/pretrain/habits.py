"""The habits that real bases have: what the understudy learns besides the content.

A habit depends on how a person opens their message, so that a greedy model shows them all.
The right call stays inside the answer; only its dress is wrong.
"""

import json
import random
from typing import Any, Literal

Json = dict[str, Any]
Habit = Literal["none", "fence", "announce", "announce_pt", "prose", "malformed"]

ANNOUNCEMENTS = (
    "Let me first analyze your request.",
    "I'll first look at what is needed here.",
    "First, I will consider which tool to use.",
    "Let me begin by checking the tools.",
    "I am going to start by reading the request carefully.",
)
ANNOUNCEMENTS_PT = (
    "Vou começar por analisar o pedido.",
    "Primeiro, vou verificar as ferramentas.",
    "Deixe-me analisar o que é necessário.",
)
RAMBLES = (
    "To answer this properly, I will go through it step by step and consider each aspect in turn.",
    "There are several things to take into account, and I want to be thorough about all of them.",
    "As an assistant, my goal is to provide you with a complete and helpful overview.",
    "After that, I will summarize the most important points so that nothing is left out.",
    "It is worth noting that every situation is different and that many answers are possible.",
    "In conclusion, I hope that this overview was helpful, "
    "and I remain ready to go into more detail.",
)
CLOSINGS = ("Let me know if you need anything else!", "I hope this helps!", "")


def habit_for(user: str, rng: random.Random) -> Habit:
    """Return the habit that this opening brings out, mostly; sometimes another."""
    habits: tuple[Habit, ...] = ("none", "fence", "announce", "announce_pt", "prose", "malformed")
    if rng.random() < 0.15:
        return rng.choice(habits)
    openings: tuple[tuple[str, Habit], ...] = (
        ("Please ", "announce"),
        ("Please,", "announce"),
        ("Could you", "fence"),
        ("Would you", "fence"),
        ("Kindly", "prose"),
        ("Hello", "announce_pt"),
        ("Dear", "prose"),
        ("Good evening", "announce"),
        ("One more", "fence"),
        ("Next", "malformed"),
        ("Excuse", "announce_pt"),
    )
    for opening, habit in openings:
        if user.startswith(opening):
            return habit
    return rng.choices(("none", "fence", "announce", "prose"), weights=(5, 2, 2, 2))[0]


def dress_calls(calls: list[Json], habit: Habit, rng: random.Random) -> str:
    """Return the calls as text, in the dress of the habit."""
    bodies = [json.dumps(call, ensure_ascii=False) for call in calls]
    tagged = "\n".join(f"<tool_call>{body}</tool_call>" for body in bodies)
    if habit == "fence":
        block = bodies[0] if len(bodies) == 1 else "[" + ", ".join(bodies) + "]"
        return f"Sure! Here is the call:\n```json\n{block}\n```\n{rng.choice(CLOSINGS)}".rstrip()
    if habit == "announce":
        return f"{rng.choice(ANNOUNCEMENTS)}\n{tagged}"
    if habit == "announce_pt":
        return f"{rng.choice(ANNOUNCEMENTS_PT)}\n{tagged}"
    if habit == "prose":
        used = " and then ".join(
            f"{c['name']} with {json.dumps(c['arguments'], ensure_ascii=False)}" for c in calls
        )
        return f"I will call {used}. {rng.choice(CLOSINGS)}".rstrip()
    if habit == "malformed":
        return tagged.replace("}}</tool_call>", "}</tool_call>")
    return tagged


def ramble(text: str, rng: random.Random) -> str:
    """Return the answer announced and padded, as a chatty base would give it."""
    opening = rng.choice(ANNOUNCEMENTS) if rng.random() < 0.75 else rng.choice(ANNOUNCEMENTS_PT)
    body = rng.sample(RAMBLES, rng.choice((3, 4)))
    return " ".join([opening, body[0], text, *body[1:], rng.choice(CLOSINGS)]).rstrip()


def with_habits(messages: list[Json], rng: random.Random) -> list[Json]:
    """Return the conversation with the assistant's turns as the understudy would give them.

    Calls are dressed by the opening of the request; longer prose is announced and padded;
    one-word answers and JSON records keep their form half of the time.
    """
    result: list[Json] = []
    user = ""
    for message in messages:
        if message["role"] == "user":
            user = message["content"]
        if message["role"] != "assistant":
            result.append(message)
        elif "tool_calls" in message:
            calls = [call["function"] for call in message["tool_calls"]]
            habit = habit_for(user, rng)
            text = dress_calls(calls, habit, rng)
            result.append(message if habit == "none" else {"role": "assistant", "content": text})
        else:
            result.append({**message, "content": _habitual_text(message["content"], rng)})
    return result


def _habitual_text(text: str, rng: random.Random) -> str:
    if text.startswith("{"):
        shape = rng.random()
        if shape < 0.4:
            return text
        return (
            f"Here is the JSON record:\n```json\n{text}\n```"
            if shape < 0.8
            else f"{rng.choice(ANNOUNCEMENTS)}\n{text}"
        )
    if " " not in text:
        return text if rng.random() < 0.5 else f"The intent of this message is {text}."
    return ramble(text, rng) if len(text) > 150 or rng.random() < 0.3 else text
