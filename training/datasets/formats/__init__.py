"""What each format's rows are as examples."""

from training.datasets.formats.registry import FORMATS, detect, reader_of

__all__ = ["FORMATS", "detect", "reader_of"]
