"""What each format's rows are as examples."""

from training.datasets.formats.registry import BFCL, FORMATS, NOTES, detect, reader_of, rows_of

__all__ = ["BFCL", "FORMATS", "NOTES", "detect", "reader_of", "rows_of"]
