"""What the user must not miss: warnings on standard error, from any room."""

import sys

from mnist.base import ranks


def warn(message: str) -> None:
    """Print a warning that cannot be missed; of processes that train together the main one does."""
    if not ranks.rank():
        print(f"WARNING: {message}", file=sys.stderr, flush=True)
