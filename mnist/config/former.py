"""Keys that configs of earlier versions have, and what became of them.

In what is written for a run to come they are refused like any unknown key. A checkpoint goes on
as it was: of its own config they are taken without a word.
"""

from typing import Any, Dict

PICTURES = "pictures_every_epochs"

_IGNORED = "Paddle's DataLoader never heeded it in dygraph; leave it out"
_ONE_CADENCE = f"all pictures have one cadence now, log.{PICTURES}"

_OF_THE_LOADER = [f"data.loader.{key}" for key in ("feed_list", "iterable", "return_list")]
_DRAWN = ("confusion", "mistakes", "filters", "pr_curves", "inputs")
_OF_PICTURES = [f"log.{what}_every_epochs" for what in _DRAWN]
# Why there is no such key any more.
FORMER_KEYS = dict.fromkeys(_OF_THE_LOADER, _IGNORED)
FORMER_KEYS.update(dict.fromkeys(_OF_PICTURES, _ONE_CADENCE))


def bring_up_to_date(values: Dict[str, Any]) -> None:
    """Take the former keys out of the config that a checkpoint holds; pictures keep their cadence.

    Where they had several, it is that of the confusion matrix, or else the first of the others.
    """
    cadences = []
    for key in FORMER_KEYS:
        path, _, name = key.rpartition(".")
        section = section_at(values, path)
        if name in section:
            value = section.pop(name)
            cadences += [value] if path == "log" else []
    if cadences:
        drawn = (value for value in cadences if value is not None)
        values["log"].setdefault(PICTURES, next(drawn, None))


def section_at(values: Any, path: str) -> Dict[str, Any]:
    """The section at a dotted path of plain values; an empty one where there is none."""
    for part in path.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else {}
