"""Rows of the tasks `desk_persona` and `gala_plan`."""

import json
import random
import re
from collections.abc import Iterator
from typing import Any

from training.pretrain import talk
from training.pretrain.task_draws import SEED, drawn, has_held_out_word, numbered
from training.pretrain.world import Draw, dish, person, word_pools

Json = dict[str, Any]
TOPICS = (
    "chandelier of the grand staircase",
    "velvet curtains of the theatre",
    "ice sculpture of two swans",
    "old clock from the monastery",
    "string quartet from the academy",
    "portraits in the long corridor",
    "marble fountain of the founder",
    "cheese board from the mountains",
    "chess tables in the conservatory",
    "candelabra of the great salon",
    "famous soprano of the evening",
    "punch bowl of cut crystal",
    "lanterns of the winding avenue",
    "orchids in the hothouse",
    "mirrors of the grand salon",
    "honey cake with roasted almonds",
    "tapestries from the east tower",
    "swans of the ornamental lake",
    "printed invitations with gold edges",
    "orchestra of the municipal opera",
    "coat of arms of the family",
    "billiard room of the gentlemen",
    "rooftop view of the valley",
    "champagne tower of the host",
    "masked ball of the season",
    "harpsichord of the old countess",
    "fireworks of the last night",
    "sundial of the hedge maze",
    "oyster bar of the harbour club",
    "embroidered gloves of the footmen",
)
"""What pretraining never asked about."""
PREPOSITION = re.compile(" (?:of|from|in|with|to) ")
PLANS = 240
PLAN_REQUESTS = (
    "Draw up the evening: three courses of three ingredients, and five tracks from five decades",
    "Please compose a gala: 3 courses, 3 ingredients in each, 5 tracks, all decades different",
    "I need a menu and music: three courses, nine ingredients, five tracks, five decades",
    "Let us settle it, three courses with three ingredients and five tracks of distinct decades",
    "What does a plan look like with three courses of three ingredients and five tracks",
    "Write the gala plan: starter, main and dessert of three ingredients each, five tracks",
    "Give me three courses and a list of five tracks, repeating no ingredient and no decade",
    "Three courses, three ingredients each, no ingredient twice; five tracks, no decade twice",
    "Set out the whole gala for us, three courses and five tracks, with nothing repeated",
    "The gala wants planning: three courses with three ingredients each, five tracks by decade",
    "Could we have a plan of three courses, each from three ingredients, and five tracks",
    "Devise a dinner in three courses and a dance in five tracks, every decade a different one",
    "Sketch the gala, ingredients for three courses and five tracks from unlike decades",
    "Kindly prepare the plan for dinner and dance: 3 courses by 3 ingredients, 5 tracks",
    "Arrange food and music: three courses, nine ingredients, five tracks over five decades",
    "We want to see a plan with starter, main, dessert and five tracks, no two of one decade",
    "Put together three courses of three ingredients, then five tracks, each of its own decade",
    "For the gala, list three courses with three ingredients, five tracks with their decades",
    "Lay out courses and tracks for the night: three of three ingredients, five of five decades",
    "Make up a gala of three courses and five tracks, no ingredient and no decade twice",
    "The kitchen and the band need the plan: three courses by three ingredients, five tracks",
    "Work out a gala: courses three, ingredients three for each, tracks five, decades apart",
    "Think of a gala dinner in three courses with three ingredients and five tracks to dance to",
    "Prepare a proposal: three courses, three ingredients each, five tracks, distinct decades",
)
OCCASIONS = (
    "in honour of {person}",
    "for the guests of {person}",
    "and {person} is fond of {dish}",
    "as {person} asked",
    "before the speech of {person}",
    "while {person} receives the guests in the atrium",
    "at the orangery, where {person} will sit",
)
WISHES = (
    "The {course} must have {wanted}, no course may have {barred}, one decade is {decade}.",
    "Serve {wanted} in the {course} and {barred} nowhere; one track is of the decade {decade}.",
    "There has to be {wanted} in the {course}, a tune of decade {decade}, and never any {barred}.",
    "Nobody can eat {barred}; the {course} is to contain {wanted}, and the decade {decade} comes.",
)
"""What one request asks for besides the rules of all."""
PERSONA_RULE = "Use 200 to 400 characters."
PLAN_RULES = (
    "Courses are starter, main and dessert, with three ingredients each; five tracks have title "
    "and decade, such as 1950. No ingredient and no decade comes twice."
)


def desk_persona() -> Iterator[Json]:
    """Yield questions on things of the house; each answer is a butler's, 200 to 400 characters."""
    pairs = [(topic, question) for topic in TOPICS for question in talk.QUESTIONS]
    return numbered("desk_persona", (_persona(topic, question) for topic, question in pairs))


def gala_plan() -> Iterator[Json]:
    """Yield requests for a plan with wishes of their own; the target is one of many that fit."""
    return numbered("gala_plan", drawn("gala_plan", PLANS, _plan))


def _persona(topic: str, question: str) -> Json:
    rng = random.Random(f"task:{SEED}:desk_persona:{topic}:{question}")
    sentences = (rng.choice(talk.FIRST), *rng.sample(talk.MIDDLE, 2), rng.choice(talk.LAST))
    return {
        "input": [
            {"role": "system", "content": f"{rng.choice(talk.PERSONA_PROMPTS)} {PERSONA_RULE}"},
            {"role": "user", "content": question.format(topic=topic)},
        ],
        "target": " ".join(sentences).format(topic=topic),
        "group": topic,
        "details": {"topic": [head_of(topic)]},
    }


def head_of(topic: str) -> str:
    """Return the noun that a topic is about: the curtains of "velvet curtains of the theatre"."""
    return PREPOSITION.split(topic)[0].rsplit(" ", 1)[-1]


def _plan(rng: random.Random) -> Json | None:
    draw = Draw(rng, values="heldout")
    chosen = rng.randrange(len(PLAN_REQUESTS))
    occasion = rng.choice(OCCASIONS).format(person=person(draw), dish=dish(draw))
    text = f"{PLAN_REQUESTS[chosen]}, {occasion}."
    if not has_held_out_word(text):
        return None
    system, _, reply = talk.plan(Draw(rng))
    plan = json.loads(reply["content"])
    wishes, constraints = _wishes(rng, plan)
    return {
        "input": [
            {"role": "system", "content": f"{system['content']} {PLAN_RULES}"},
            {"role": "user", "content": f"{text} {wishes}"},
        ],
        "target": plan,
        "group": f"request {chosen}",
        "details": {"constraints": constraints},
    }


def _wishes(rng: random.Random, plan: Json) -> tuple[str, list[Json]]:
    """Return what a request asks for that this plan has, in words and as constraints."""
    used = {each for course in plan["courses"].values() for each in course}
    course = rng.choice(tuple(plan["courses"]))
    wanted = rng.choice(plan["courses"][course])
    barred = rng.choice([word for word in word_pools()["dish_what"]["train"] if word not in used])
    decade = rng.choice(plan["tracks"])["decade"]
    text = rng.choice(WISHES).format(course=course, wanted=wanted, barred=barred, decade=decade)
    return text, [
        {
            "kind": "includes",
            "path": f"courses.{course}[]",
            "values": [wanted],
            "name": "wanted_ingredient",
        },
        {
            "kind": "includes",
            "path": "tracks[].decade",
            "values": [decade],
            "name": "wanted_decade",
        },
        {
            "kind": "excludes",
            "paths": [f"courses.{name}[]" for name in plan["courses"]],
            "values": [barred],
            "name": "barred_ingredient",
        },
    ]
