"""What ``mnist.adopt`` prints: what was found, how it reads digits, and what was made of it."""

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from rich.console import Console
from rich.table import Table

from mnist.adopt import taking
from mnist.base.console import make_console, make_table, percent, print_table
from mnist.base.errors import InputError
from mnist.base.notes import warn
from mnist.checkpoints import conventions, course_pairs, foreign, reading, shapes
from mnist.checkpoints.foreign import Found
from mnist.checkpoints.records import Checkpoint
from mnist.config.classes import are_digits
from mnist.data import dataset
from mnist.data.dataset import Split
from mnist.model import opening
from mnist.model.opening import Tried

_ROWS = 5  # of the ways in which a net was tried
_MOST = 500  # digits to try it on


def print_adoption(
    path: str, to: Optional[str], write: Optional[str], names: str, assume: Sequence[str],
    data: Optional[str],
) -> None:  # fmt: skip
    """Say what is in a file or folder, try it if it is a net for digits, and take it along."""
    console = make_console()
    stated = conventions.parse(assume)
    if reading.is_any_in(Path(path)):
        path = str(reading.locate(path, path))
    found = foreign.read(reading.follow(Path(path)))
    console.print(f"{found.path}: {found.kind}")
    print_table(console, "parameters", _parameter_table(found))
    if found.optimizer:
        console.print(f"optimizer   {_describe(found.optimizer)}")
    try:
        source: Optional[Checkpoint] = _tried(console, found, stated, data)
    except InputError as error:
        if to or names == "model":
            raise
        console.print(f"no net for digits of ours: {error}")
        source = None
    if write:
        _write(Path(write), found, source, names)
        console.print(f"written to {write}")
    if to and source:
        first, *rest = taking.save(Path(to), source, data)
        console.print("\n  ".join([first, *rest]))
    if not (write or to):
        console.print(f"take it along: --write FILE{', --to DIR' if source else ''}")


def _parameter_table(found: Found) -> Table:
    table = make_table("name", "shape", "type", "Paddle's name")
    for name, array in found.arrays.items():
        shape = "×".join(map(str, array.shape)) or "scalar"
        table.add_row(name, shape, str(array.dtype), found.names.get(name, ""))
    return table


def _describe(optimizer: Dict[str, Any]) -> str:
    """An optimizer's state in words: its accumulators, and all else that it holds."""
    matches = {key: course_pairs.KEY.fullmatch(key) for key in optimizer}
    return ", ".join(dict.fromkeys(match[2] if match else key for key, match in matches.items()))


def _tried(
    console: Console, found: Found, stated: Dict[str, Any], data: Optional[str]
) -> Checkpoint:
    """The net, taken in the way in which it reads most digits, as a table shows."""
    source = reading.as_checkpoint(found, resuming=False)
    console.print(f"net         {_architecture(source.model)}")
    told = {key: value for key, value in found.told.items() if key in source.model}
    stated = {**told, **stated}
    opening.meant_as(source, stated)  # InputError for what such a net does not have
    split = _digits(data)
    tried = opening.try_all(source, split, stated)
    print_table(console, f"tried on {len(split)} labelled digits", _tried_table(tried, told))
    best, *others = tried
    close = [each for each in others if best.is_close_to(each)]
    if close:
        ways = " or ".join(" ".join(each.options) for each in [best, *close[:3]])
        warn(f"too close to call on {len(split)} digits: {ways}; --assume states what is known")
    if best.share < opening.expected_share(source):
        warn(f"it reads only {best.share:.1%}: trained little, or no net for digits like MNIST's")
    console.print(
        f"taken as    {' '.join(best.options) or 'it is'}: reads {percent(best.share, 1)}"
    )
    return opening.meant_as(source, best.conventions)


def _architecture(model: Dict[str, Any]) -> str:
    keys = {k: v for k, v in model.items() if k not in (*conventions.CHOICES, "name")}
    return ", ".join([model["name"], *(f"{key} {value}" for key, value in keys.items())])


def _digits(data: Optional[str]) -> Split:
    whole = dataset.load(data or opening.LABELLED)
    if not are_digits(whole.classes):
        raise InputError(f"--data {data}: holds no digits, but {', '.join(whole.classes)}")
    return Split(whole.valid.images[:_MOST], whole.valid.labels[:_MOST])


def _tried_table(tried: List[Tried], told: Dict[str, Any]) -> Table:
    keys = list(tried[0].conventions)
    table = make_table(
        *(f"{key}{' (told)' if key in told else ''}" for key in keys), "read right", "loss"
    )
    for each in tried[:_ROWS]:
        values = [option.partition("=")[2] for option in each.options]
        table.add_row(*values, percent(each.share, 1), f"{each.loss:.3f}")
    if len(tried) > _ROWS:
        table.add_row(*["…"] * len(keys), f"{len(tried) - _ROWS} more", "")
    return table


def _write(path: Path, found: Found, source: Optional[Checkpoint], names: str) -> None:
    arrays, table = found.arrays, found.names
    if names == "model" and source is not None:
        arrays, former = source.parameters, shapes.infer(found.arrays, found.names).names
        table = {new: found.names.get(old, old) for new, old in former.items()}
    taking.write(path, arrays, table, found.optimizer)
