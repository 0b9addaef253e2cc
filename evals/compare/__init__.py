"""Two models compared on the same items, from score files or from runs."""

from evals.compare.comparison import Comparison, IncomparableError, compare, compare_files
from evals.compare.runs import compare_runs, scores_of_runs
from evals.compare.scores import ScoredRow, Scores, read_scores

__all__ = [
    "Comparison",
    "IncomparableError",
    "ScoredRow",
    "Scores",
    "compare",
    "compare_files",
    "compare_runs",
    "read_scores",
    "scores_of_runs",
]
