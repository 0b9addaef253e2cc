"""Compare tab: models side by side, blind battles with votes, ratings, and experiments."""

import gradio as gr

from tabs.battle import build_battle
from tabs.compare_parts import CompareParts
from tabs.compare_sides import build_sides
from tabs.experiments import build_experiments
from tabs.ratings import build_ratings
from tabs.vote_links import build_vote_links


def build_compare_tab(parts: CompareParts, tabs: gr.Tabs) -> None:
    """Lay out the tab inside the current `gr.Blocks`; each section wires its own events."""
    votes = parts.votes
    with gr.Tabs(elem_id="compare-sections") as sections:
        with gr.Tab("Side by side", id="sides"):
            build_sides(parts, tabs)
        with gr.Tab("Battle", id="battle"):
            build_battle(votes.battle)
        with gr.Tab("Ratings", id="ratings") as ratings:
            build_ratings(votes.ratings, ratings)
        with gr.Tab("Experiments", id="experiments") as experiments:
            build_experiments(votes.experiments, experiments)
    build_vote_links(tabs, sections)
