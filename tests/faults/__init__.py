"""Real faults, many times over: what ``docs/reliability.md`` promises is tried here.

``./run python -m tests.faults`` runs everything and prints a table; ``tests/faults/test_faults.py``
runs a little of everything within the ordinary tests.
"""

import sys
from pathlib import Path

# The other tests' helpers, by the names under which pytest knows them.
_TESTS = str(Path(__file__).resolve().parents[1])
if _TESTS not in sys.path:
    sys.path.insert(0, _TESTS)
