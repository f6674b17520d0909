"""How often a checkpoint reads what people write and photograph, and refuses what is no digit.

    ./run python benchmarks/robustness.py --checkpoint data/pretrained
    ./run python benchmarks/robustness.py --only kinds --count 30
    ./run python benchmarks/robustness.py --only "coffee ring"

Six tables: the bundled digits in 19 dresses; MNIST's own eval through files; MNIST's eval digits
in everyday kinds of pictures (tests/material/scenes), the 15 corruptions of MNIST-C; sheets for
``--many``; pictures of what is no digit. All of it is drawn anew, always alike, and read as
``mnist.predict`` reads files. ``--only`` takes a table (dresses, plain, kinds, corruptions,
sheets, nothing), or a part of the names of groups and kinds. Fonts and Fashion-MNIST come from
packages of Debian; what is missing is left out and said.
"""

import argparse
from pathlib import Path
from statistics import mean
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from common import cores, note, table

from tests.material import fonts, measure, scenes, targets
from tests.material.dresses import DRESSES
from tests.material.measure import Counts, Measurer
from tests.material.mnist_c import CORRUPTIONS
from tests.material.scenes.nothing import FASHION
from tests.material.scenes.sheets import SHEETS

BUNDLED, EVAL = 1797, 10_000
# A font is drawn in so many pictures, whatever the count of the other kinds.
PER_FONT = 40


def main() -> None:
    options = _options()
    _say_what_is_missing()
    with Measurer(str(Path(options.checkpoint).resolve())) as measurer:
        for name, section in _sections(options.only).items():
            text = section(measurer, options.count, _wanted(options.only))
            if text:
                print(f"### {name}\n\n{text}\n", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default="data/pretrained")
    parser.add_argument("--count", type=int, help="so many pictures a kind [100; all plain ones]")
    parser.add_argument("--only", metavar="KIND", help="a table, or a part of names")
    return parser.parse_args()


def _say_what_is_missing() -> None:
    note(f"{len(fonts.installed())} fonts, {cores()} cores")
    packages = [*fonts.missing(), *fonts.missing(fonts.CHINESE)]
    if not FASHION.exists():
        packages.append("dataset-fashion-mnist")
    if packages:
        note(f"left out for want of packages: {' '.join(packages)}")


Wanted = Callable[..., bool]


def _sections(only: Optional[str]) -> Dict[str, Callable[..., str]]:
    return {only: SECTIONS[only]} if only in SECTIONS else SECTIONS


def _wanted(only: Optional[str]) -> Wanted:
    """Whether one of a kind's names holds what is asked for."""
    if only is None or only in SECTIONS:
        return lambda *names: True
    return lambda *names: any(only.lower() in name.lower() for name in names)


def _percent(part: float, whole: float = 1) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "–"


def _row(name: str, group: str, found: Counts) -> List[Any]:
    return [
        name, group, found.n, f"{100 * found.share:.2f}%", found.no_ink, found.wrong_and_sure,
        found.refused,
    ]  # fmt: skip


HEADINGS = ["kind", "group", "n", "right", "no ink", "wrong and sure", "refused"]


def _measured(
    measurer: Measurer, part: Callable[..., Any], sizes: Dict[str, int], chunk: int = measure.CHUNK
) -> Dict[str, Any]:
    """Every kind with its number of pictures, all of them under way at once."""
    waiting = {
        name: measurer.start(part, name, size, min(chunk, size)) for name, size in sizes.items()
    }
    found = {}
    for name, wait in waiting.items():
        found[name] = wait()
        note(f"  {name}")
    return found


def dresses(measurer: Measurer, count: Optional[int], wanted: Wanted) -> str:
    size = min(count or BUNDLED, BUNDLED)
    sizes = {name: size for name in DRESSES if wanted(name, "dresses")}
    found = _measured(measurer, measure.dresses_part, sizes, 100)
    rows = [_row(name, "dresses", one) for name, one in found.items()]
    return table(HEADINGS, rows, 2) if rows else ""


def plain(measurer: Measurer, count: Optional[int], wanted: Wanted) -> str:
    size = min(count or EVAL, EVAL)
    sizes = {name: size for name in measure.PLAIN if wanted(name, "plain")}
    found = _measured(measurer, measure.plain_part, sizes, 250)
    rows = [_row(name, "plain", one) for name, one in found.items()]
    return table(HEADINGS, rows, 2) if rows else ""


def kinds(measurer: Measurer, count: Optional[int], wanted: Wanted) -> str:
    chosen = [one for one in scenes.KINDS.values() if wanted(one.name, one.group)]
    sizes = {
        one.name: min(count or 100, PER_FONT if one.group == "fonts" else EVAL) for one in chosen
    }
    found = _measured(measurer, measure.scenes_part, sizes)
    if not found:
        return ""
    groups: Dict[str, List[Counts]] = {}
    for one in chosen:
        groups.setdefault(one.group, []).append(found[one.name])
    rows = [_row(one.name, one.group, found[one.name]) for one in chosen]
    rows += [_group_row(group, parts) for group, parts in groups.items()]
    summary = measure.total(list(found.values()))
    said = (
        f"All {len(chosen)} kinds: {_percent(mean(one.share for one in found.values()))} right in"
        f" the mean, no ink {100 * summary.no_ink / summary.n:.2f}%,"
        f" wrong and sure {100 * summary.wrong_and_sure / summary.n:.2f}%."
    )
    return f"{table(HEADINGS, rows, 2)}\n\n{said}"


def _group_row(group: str, parts: Sequence[Counts]) -> List[Any]:
    shares = [part.share for part in parts]
    target = targets.of(group)
    name = (
        f"**{len(parts)} kinds, worst {_percent(min(shares))}**"
        f" (targets: each {_percent(target.each)}, mean {_percent(target.mean)})"
    )
    whole = measure.total(parts)
    return [
        name,
        group,
        whole.n,
        _percent(mean(shares)),
        whole.no_ink,
        whole.wrong_and_sure,
        whole.refused,
    ]


def corruptions(measurer: Measurer, count: Optional[int], wanted: Wanted) -> str:
    size = min(count or 1000, EVAL)
    sizes = {name: size for name in CORRUPTIONS if wanted(name, "MNIST-C")}
    found = _measured(measurer, measure.corrupted_part, sizes, 100)
    if not found:
        return ""
    rows = [
        [name, straight.n, _percent(straight.share), _percent(files.share), files.no_ink,
         files.wrong_and_sure, files.refused]
        for name, (straight, files) in found.items()
    ]  # fmt: skip
    means = [mean(pair[i].share for pair in found.values()) for i in (0, 1)]
    rows.append([f"**mean of {len(found)}**", "", *map(_percent, means), "", "", ""])
    headings = ["corruption", "n", "the model", "as files", "no ink", "wrong and sure", "refused"]
    return table(headings, rows)


def sheets(measurer: Measurer, count: Optional[int], wanted: Wanted) -> str:
    sizes = {name: min(count or 100, 150) for name in SHEETS if wanted(name, "sheets")}
    found = _measured(measurer, measure.sheets_part, sizes, 5)
    if not found:
        return ""
    rows = [_sheet_row(name, one) for name, one in found.items()]
    rows.append(_sheet_row("**all**", measure.total(list(found.values()))))
    return table(["sheet", "digits", "found", "found rightly", "read"], rows)


def _sheet_row(name: str, found: measure.SheetCounts) -> List[Any]:
    return [
        name, found.n, _percent(found.found, found.n), _percent(found.boxes_right, found.boxes),
        _percent(found.read, found.n),
    ]  # fmt: skip


def nothing(measurer: Measurer, count: Optional[int], wanted: Wanted) -> str:
    """Refusals, beside those of digits as MNIST has them and of the bundled ones."""
    chosen = [one for one in scenes.NO_DIGITS.values() if wanted(one.name, one.group)]
    if not chosen:
        return ""
    size = count or 100
    digits = _digits(measurer, count)
    found = _measured(measurer, measure.scenes_part, {one.name: size for one in chosen})
    scores = digits[0][1].scores
    rows = [[name, "digits", one.n, f"{100 * one.share_refused:.2f}%", "", "–", one.no_ink]
            for name, one in digits]  # fmt: skip
    groups: Dict[str, List[Counts]] = {}
    for one in chosen:
        groups.setdefault(one.group, []).append(found[one.name])
        rows.append(_refusal_row(one.name, one.group, found[one.name], scores))
    for group, parts in groups.items():
        name = f"**{len(parts)} kinds** (target: {_percent(targets.REFUSED[group])} refused)"
        rows.append(_refusal_row(name, group, measure.total(parts), scores))
    return table(
        ["kind", "group", "n", "refused", "said to be several", "AUROC", "no ink"], rows, 2
    )


def _digits(measurer: Measurer, count: Optional[int]) -> List[Tuple[str, Counts]]:
    evals = measurer.start(measure.plain_part, "as it is", min(count or 5000, EVAL), 250)
    bundled = measurer.start(measure.dresses_part, "large", min(count or BUNDLED, BUNDLED), 100)
    return [("MNIST's eval as files", evals()), ("the bundled digits, large", bundled())]


def _refusal_row(name: str, group: str, found: Counts, digits: Sequence[float]) -> List[Any]:
    return [
        name, group, found.n, _percent(found.share_refused), found.several,
        f"{measure.auroc(digits, found.scores):.3f}", found.no_ink,
    ]  # fmt: skip


SECTIONS = {
    "dresses": dresses,
    "plain": plain,
    "kinds": kinds,
    "corruptions": corruptions,
    "sheets": sheets,
    "nothing": nothing,
}

if __name__ == "__main__":
    main()
