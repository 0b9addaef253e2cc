"""Strengths of models from blind battles, with intervals and tie groups."""

from evals.ratings.battles import Battle, read_battles
from evals.ratings.rate import Rating, Ratings, rate, ratings_from_file

__all__ = ["Battle", "Rating", "Ratings", "rate", "ratings_from_file", "read_battles"]
