"""Bringing in datasets that others wrote."""

from evals.importers.formats import FORMATS
from evals.importers.load import import_dataset
from evals.importers.tally import ImportReport

__all__ = ["FORMATS", "ImportReport", "import_dataset"]
