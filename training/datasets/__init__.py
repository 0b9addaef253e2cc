"""From files that people bring to examples that a model can learn from."""

from training.datasets.example import Example
from training.datasets.supervision import Supervised, supervise

__all__ = ["Example", "Supervised", "supervise"]
