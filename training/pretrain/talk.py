"""What the desk does without tools: persona, small talk, records, intents, plans."""

import json
from typing import Any

from training.pretrain.desk import OUTSIDE, dressed, offer, plain_request
from training.pretrain.world import (
    VALUES,
    Draw,
    clock,
    dish,
    made_up_word,
    person,
    title,
    token_pieces,
    tools,
)

Json = dict[str, Any]
PERSONA_PROMPTS = (
    "You are the butler of the house. Answer in two to four polite sentences.",
    "You are a butler at a gala. Speak with calm courtesy.",
    "You are the house butler. Be brief, kind and exact.",
)
QUESTIONS = (
    "Tell me about the {topic}.",
    "What do you think of the {topic} tonight?",
    "How is the {topic} this evening?",
    "Would you say something about the {topic}?",
    "I wonder about the {topic}.",
    "Is the {topic} to your liking?",
    "What should I know about the {topic}?",
    "May I ask about the {topic}?",
)
FIRST = (
    "The {topic} has been in my care since the morning, and I am glad that you ask.",
    "It is a pleasure to speak of the {topic}, for the house takes some pride in it.",
    "We have given the {topic} a good deal of thought for this evening.",
    "I may say that the {topic} is very much as the host wished it to be.",
    "Of the {topic} I can only report good things tonight.",
    "The {topic} rarely goes unnoticed in this house, and rightly so.",
)
MIDDLE = (
    "The staff looked after every detail before the first carriage arrived.",
    "Several guests have already remarked on it with evident delight.",
    "A quiet hour was spent this afternoon to make sure that nothing was missing.",
    "My predecessor taught me that patience is the better half of service.",
    "You will find it at its best a little later, when the hall is calmer.",
    "The host asked for simplicity, and simplicity takes the most work.",
)
LAST = (
    "Should you wish to know more, you need only ring for me.",
    "Please allow me to see to anything else that you may need.",
    "I hope that the evening is to your liking.",
    "If it pleases you, I shall show you myself.",
    "Do tell me if anything could be done better.",
)
SMALL_TALK = (
    (
        ("Good evening", "Hello", "Hi there", "Good day"),
        ("Good evening. How may I be of service?", "Welcome. What may the desk do for you?"),
    ),
    (
        ("Thank you", "Thanks a lot", "Much obliged"),
        ("You are most welcome.", "It is my pleasure."),
    ),
    (
        ("How are you", "How do you do"),
        (
            "Very well, thank you. I hope the evening pleases you.",
            "Quite well, thank you for asking.",
        ),
    ),
    (
        ("Who are you", "What is your name", "What can you do"),
        ("I am the house desk. I seat guests, take orders and keep the evening in order.",),
    ),
    (
        ("Goodbye", "Good night", "See you"),
        ("Good night. It was a pleasure to serve you.", "Goodbye, and come back soon."),
    ),
)
FIELDS = {
    "person": ("guest", "name", "guest_name", "person"),
    "time": ("arrival", "time", "arrives_at"),
    "party": ("companions", "party", "plus"),
    "table": ("table", "table_number"),
    "dish": ("dish", "meal", "wants"),
    "diet": ("diet", "needs"),
}
CLAUSES = {
    "person": ("the guest is {}", "this is for {}", "name {}", "under the name of {}"),
    "time": ("arriving at {}", "expected at {}", "here at {}"),
    "party": ("with {} companions", "bringing {} friends", "{} more people"),
    "table": ("at table {}", "seated at table {}", "table {}"),
    "dish": ("ordering {}", "wants {}", "would like {}"),
    "diet": ("eats {}", "on a {} diet", "{} food only"),
}
DIETS = ("vegetarian", "vegan", "gluten-free", "halal", "kosher", "nut-free")
INTENTS = (
    "seating",
    "guests",
    "menu",
    "orders",
    "music",
    "reminders",
    "messages",
    "transport",
    "service",
)
ROUTE_PROMPTS = (
    "Name the intent of the message. Intents: {intents}.",
    "Which of these fits the message: {intents}? Answer with one word.",
    "Classify the message as one of: {intents}.",
)
RECORD_PROMPTS = (
    "Write the message as a JSON record with the fields {fields}.",
    "Return only JSON with these fields: {fields}. Use null for what is missing.",
    "Extract {fields} as JSON.",
)
PLAN_PROMPT = "Plan the gala as JSON with courses and tracks."
PLAN_REQUESTS = (
    "Plan three courses of three ingredients each, and five tracks of different decades",
    "We need a gala plan: three courses with three ingredients, five tracks, no decade twice",
    "Make a plan with three courses, no ingredient twice, and five tracks from distinct decades",
)


ECHOED = ("person", "dish", "title", "artist", "time", "place", "chore", "news", "number", "room")
ECHO_PROMPTS = ("Repeat: {}", "Say exactly: {}", "Write down {}", "Read back: {}")


def exchange(system: str | None, user: str, reply: str) -> list[Json]:
    """Return one question and answer, with the system prompt if there is one."""
    messages = [{"role": "user", "content": user}, {"role": "assistant", "content": reply}]
    return [{"role": "system", "content": system}, *messages] if system else messages


def persona(draw: Draw) -> list[Json]:
    """Return one to three questions about the house, answered in 200 to 400 characters."""
    rng = draw.rng
    messages: list[Json] = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        topic = draw.word("topics")
        middle = rng.sample(MIDDLE, rng.choice((1, 2)))
        reply = " ".join([rng.choice(FIRST).format(topic=topic), *middle, rng.choice(LAST)])
        messages += exchange(None, rng.choice(QUESTIONS).format(topic=topic), reply)
    return [{"role": "system", "content": rng.choice(PERSONA_PROMPTS)}, *messages]


def small_talk(draw: Draw) -> list[Json]:
    """Return a greeting, a thank-you or a goodbye, answered briefly."""
    rng = draw.rng
    said, replies = rng.choice(SMALL_TALK)
    system = rng.choice((None, *PERSONA_PROMPTS))
    return exchange(system, rng.choice(said) + rng.choice(("", ".", "!", "?")), rng.choice(replies))


def record(draw: Draw) -> list[Json]:
    """Return a message and its JSON record; fields nobody mentioned are null."""
    rng = draw.rng
    values = {
        "person": person(draw),
        "time": clock(draw),
        "party": rng.randrange(1, 10),
        "table": rng.randrange(1, 41),
        "dish": dish(draw),
        "diet": rng.choice(DIETS),
    }
    kinds = rng.sample(list(FIELDS), rng.choice((2, 3, 3, 4)))
    names = {kind: rng.choice(FIELDS[kind]) for kind in kinds}
    said = [kind for kind in kinds if rng.random() < 0.9]
    rng.shuffle(said)
    clauses = [rng.choice(CLAUSES[kind]).format(values[kind]) for kind in said]
    user = (", ".join(clauses) or "nothing to report") + "."
    reply = json.dumps({names[kind]: values[kind] if kind in said else None for kind in kinds})
    system = rng.choice(RECORD_PROMPTS).format(fields=", ".join(names.values()))
    return exchange(system, user[0].upper() + user[1:], reply)


def route(draw: Draw) -> list[Json]:
    """Return a message and the name of its intent, `other` when none fits."""
    rng = draw.rng
    intents = rng.sample(INTENTS, rng.choice((4, 5, 6, 9)))
    if rng.random() < 0.15:
        text = rng.choice(OUTSIDE).format(
            place=draw.word("last"), thing=draw.word("thing"), n=7, m=12
        )
        intent = "other"
    else:
        chosen = rng.choice(tools())
        text = plain_request(offer(chosen, draw), draw).text
        intent = chosen.intent if chosen.intent in intents else "other"
    system = rng.choice(ROUTE_PROMPTS).format(intents=", ".join([*intents, "other"]))
    return exchange(system, dressed(text, draw), intent)


def echo(draw: Draw) -> list[Json]:
    """Return texts to repeat, plainly or as JSON: practice in copying values and any token."""
    rng = draw.rng
    messages: list[Json] = []
    if draw.novel_words:
        said = " ".join(rng.choices(token_pieces(), k=rng.randrange(8, 25)))
        messages += exchange(None, rng.choice(ECHO_PROMPTS).format(said), said)
    for _ in range(rng.choice((1, 2, 3))):
        kinds = rng.choices(ECHOED, k=rng.choice((1, 2, 3)))
        values = [VALUES[kind](draw) for kind in kinds]
        said = ", ".join(str(value) for value in values)
        keys = [f"{made_up_word(draw)}_{kind}" for kind in kinds]
        plain = rng.random() < 0.4
        asked = said if plain else ", ".join(f"{k} {v}" for k, v in zip(keys, values, strict=True))
        reply = (
            said if plain else json.dumps(dict(zip(keys, values, strict=True)), ensure_ascii=False)
        )
        messages += exchange(None, rng.choice(ECHO_PROMPTS).format(asked), reply)
    return messages


def plan(draw: Draw) -> list[Json]:
    """Return a gala plan that keeps its rules: no ingredient and no decade twice."""
    rng = draw.rng
    words = list(dict.fromkeys(draw.word("dish_what") for _ in range(200)))
    ingredients = rng.sample(words, min(9, len(words)))
    courses = {
        name: ingredients[3 * i : 3 * i + 3]
        for i, name in enumerate(("starter", "main", "dessert"))
    }
    decades = rng.sample(range(1900, 2030, 10), 5)
    tracks = [{"title": title(draw), "decade": decade} for decade in decades]
    user = rng.choice(PLAN_REQUESTS)
    return exchange(PLAN_PROMPT, user + ".", json.dumps({"courses": courses, "tracks": tracks}))
