"""What is wrong with a config, said in one line that names the key and how to write it."""

import re
import unicodedata
from typing import Any, Dict, List, Sequence, Tuple, Union

from pydantic import ValidationError

from mnist.base.errors import nearest
from mnist.config.former import FORMER_KEYS, section_at
from mnist.config.schema import CHOICES, Config, dotted, kind_of

_SHOWN = 4  # complaints at a time

# What a keyboard or editor for Chinese or Japanese, or a web page, gives in place of ASCII.
_FULL_WIDTH = re.compile("[\uff01-\uff5e\u3000\u00a0\u2018\u2019\u201c\u201d\u3001\u3002]")
_ASCII = {"‘": "'", "’": "'", "“": '"', "”": '"', "、": ",", "。": "."}
_COMMENT = re.compile(r"(^|\s)#.*", re.MULTILINE)


def of_schema(
    error: ValidationError, values: Dict[str, Any], source: str, overrides: Sequence[str]
) -> str:
    """What pydantic has found in ``values``, which came from ``source`` and ``overrides``."""
    valid = _keys(values)
    lines = [_of_item(dict(item), valid, source, overrides) for item in error.errors()]
    shown = "; ".join(dict.fromkeys(lines[:_SHOWN]))
    return shown + (f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else "")


def of_yaml(error: BaseException, text: str) -> str:
    """Why ``text`` is not YAML."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return " ".join(str(problem).split())[:200] + where + full_width(text)


def full_width(text: str) -> str:
    """A remark on the first full-width character outside comments; empty if there is none."""
    bare = _COMMENT.sub(r"\1", text)
    found = _FULL_WIDTH.search(bare)
    if found is None:
        return ""
    character = found.group()
    meant = _ASCII.get(character) or unicodedata.normalize("NFKC", character)
    name = unicodedata.name(character).lower()
    line = bare.count("\n", 0, found.start()) + 1
    where = f" in line {line}" if "\n" in text else ""
    return f" (mind the {name} {character!r}{where}: YAML knows only {meant!r})"


def _of_item(item: Dict[str, Any], valid: List[str], source: str, overrides: Sequence[str]) -> str:
    key = _key_at(item["loc"])
    overridden = tuple(f"{override.partition('=')[0].strip()}." for override in overrides)
    is_set = f"{key.split('[')[0]}.".startswith(overridden)
    where = f"{source} with --set" if is_set else source
    kind, value = item["type"], item.get("input")
    if kind == "extra_forbidden":
        return f"{where}: {_of_unknown_key(key, str(item['loc'][-1]), value, valid)}"
    if kind == "missing":
        return f"{where}: {key}: is missing"
    no_choice = ("union_tag_invalid", "union_tag_not_found")
    if kind in no_choice and isinstance(value, dict):
        names, given = list(CHOICES[key]), value.get("name")
        hint = nearest(str(given), names) or full_width(str(given))
        return f"{where}: {key}.name: must be one of {', '.join(names)}, not {given!r:.60}{hint}"
    message = item["msg"].replace("Value error, ", "").replace("Input should be", "must be")
    if kind in ("model_type", "model_attributes_type", *no_choice):
        message = "must be a section of keys"
    if not key:
        return f"{where}: {message}"
    return f"{where}: {key}: {message}, not {value!r:.60}{_hint(kind, value)}"


def _of_unknown_key(key: str, last: str, value: Any, valid: List[str]) -> str:
    if "." in last:
        nested = f"{key.replace('.', ': {')}: {value!r:.60}{'}' * key.count('.')}"
        return f"{key}: only --set has keys with dots; in YAML write {nested}"
    if key in FORMER_KEYS:
        return f"{key}: there is no such key any more: {FORMER_KEYS[key]}"
    return f"{key}: there is no such key{_nearest(key, valid)}{full_width(key)}"


def _hint(kind: str, value: Any) -> str:
    """How to write what YAML has understood in another way than was meant; mostly empty."""
    if isinstance(value, bool):
        return " (yes, no, on and off are true and false in YAML; put quotes around a text)"
    if not isinstance(value, (str, int, float)):
        return ""
    text = str(value)
    mistyped = full_width(text)
    if mistyped:
        return mistyped
    if kind == "list_type":
        return f" (write [{text}])"
    if kind == "string_type":
        return " (put quotes around a text)"
    # To YAML 1.1, and so to some readers, 0123 is 83 and 1:30 is 90.
    if kind in ("int_type", "float_type") and re.match(r"[-+]?[\d.,]", text):
        return " (write a decimal number without quotes, leading zeros, colons, commas and _)"
    return " (a space must follow the colon)" if re.fullmatch(r"\w+:\S.*", text) else ""


def _key_at(location: Tuple[Union[str, int], ...]) -> str:
    """A pydantic location as a dotted key.

    After the key of a choice pydantic puts the name chosen, which is left out.
    """
    key, parts = "", iter(location)
    for part in parts:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else part
        if key in CHOICES:
            next(parts, None)
    return key


def _keys(values: Dict[str, Any]) -> List[str]:
    """Every dotted key that the choices made in ``values`` allow."""
    allowed = Config().model_dump()
    for path, kinds in CHOICES.items():
        chosen = kinds.get(kind_of(section_at(values, path).get("name")))
        if chosen:
            section = section_at(allowed, path)
            kept = {key: section.get(key) for key in chosen.model_fields}
            section.clear()
            section.update(kept)
    return [key for key, _ in dotted(allowed)]


def _nearest(key: str, valid: List[str]) -> str:
    """A hint at what was meant: the likeliest key, or the keys that there are."""
    section, _, last = key.rpartition(".")
    siblings = [name for name in valid if name.rpartition(".")[0] == section]
    by_last = {name.rpartition(".")[2]: name for name in reversed(valid)}
    by_initials = {"".join(word[0] for word in name.split("_")): by_last[name] for name in by_last}
    by_siblings = {name.rpartition(".")[2]: name for name in siblings}
    hint = nearest(last, {**by_initials, **by_last, **by_siblings})
    if not hint and not siblings:
        siblings = list(dict.fromkeys(name.partition(".")[0] for name in valid))
        hint = nearest(key.partition(".")[0], siblings)
    return hint or f" (there are: {', '.join(siblings)})"
