"""What a command of `python -m evals` hands back, and its exit codes."""

from core.command_line import CRASH, INVALID, USAGE_ERROR, Done

__all__ = ["CRASH", "INVALID", "USAGE_ERROR", "Done"]
