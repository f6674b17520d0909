"""Keys that configs of earlier versions have, and what became of them.

What was written for a run to come is told of, and refused where leaving the key out would change
something. A checkpoint goes on as it was: of its own config the keys are taken without a word.
"""

from typing import Any, Callable, Dict, Tuple

from mnist.base.errors import InputError
from mnist.base.notes import warn

PICTURES = "pictures_every_epochs"

_IGNORED = "Paddle's DataLoader never heeded it in dygraph; leave it out"
_ONE_CADENCE = f"all pictures have one cadence now, log.{PICTURES}"

# A key's default at its time, and why there is none any more.
FORMER_KEYS: Dict[str, Tuple[Any, str]] = {
    "data.loader.feed_list": (None, _IGNORED),
    "data.loader.iterable": (True, _IGNORED),
    "data.loader.return_list": (True, _IGNORED),
    "log.confusion_every_epochs": (1, _ONE_CADENCE),
    "log.mistakes_every_epochs": (1, _ONE_CADENCE),
    "log.filters_every_epochs": (1, _ONE_CADENCE),
    "log.pr_curves_every_epochs": (1, _ONE_CADENCE),
    "log.inputs_every_epochs": (5, _ONE_CADENCE),
}


def pass_over(values: Dict[str, Any], place_of: Callable[[str], str]) -> None:
    """Take the former keys out of a config's values, which loses nothing if they are defaults.

    A note names them; another value is an InputError. ``place_of`` a key is where it stands.
    """
    found = _take(values)
    for key, value in found.items():
        default, fate = FORMER_KEYS[key]
        if value != default:
            raise InputError(f"{place_of(key)}: {key}: there is no such key any more: {fate}")
    if found:
        where, keys = place_of(next(iter(found))), ", ".join(found)
        warn(f"{where}: keys of an earlier version, passed over (they had their defaults): {keys}")


def bring_up_to_date(values: Dict[str, Any]) -> None:
    """The same for a config that a checkpoint holds, whose pictures keep their cadence.

    Where they had several, it is that of the confusion matrix, or else the first of the others.
    """
    cadences = [value for key, value in _take(values).items() if key.startswith("log.")]
    if cadences:
        drawn = (value for value in cadences if value is not None)
        values["log"].setdefault(PICTURES, next(drawn, None))


def _take(values: Dict[str, Any]) -> Dict[str, Any]:
    """Take the former keys out of plain values; those that were there, in the table's order."""
    found = {}
    for key in FORMER_KEYS:
        path, _, name = key.rpartition(".")
        section = section_at(values, path)
        if name in section:
            found[key] = section.pop(name)
    return found


def section_at(values: Any, path: str) -> Dict[str, Any]:
    """The section at a dotted path of plain values; an empty one where there is none."""
    for part in path.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else {}
