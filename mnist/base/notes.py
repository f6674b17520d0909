"""What the user must not miss: warnings on standard error, from any room."""

import sys

# Of processes that train together only one speaks (``be_silent``).
_silent = False


def warn(message: str) -> None:
    """Print a warning that cannot be missed, on standard error."""
    if not _silent:
        print(f"WARNING: {message}", file=sys.stderr, flush=True)


def be_silent() -> None:
    """Print no warnings from here on: another process of the run does."""
    global _silent
    _silent = True
