"""YAML and ``--set`` → ``Config``.

A config is read with the safe YAML loader only, and checked completely before anything else
happens.
"""

import codecs
import os
import re
from copy import deepcopy
from pathlib import Path
from typing import Any, Dict, Iterable, List

import yaml
from pydantic import ValidationError

from mnist.base.errors import InputError, nearest
from mnist.base.files import PROJECT_ROOT, PathLike, find_input, read_input
from mnist.config import complaints, former
from mnist.config.schema import CHOICES, DEFAULT_NAMES, Config, kind_of

MAX_CONFIG_BYTES = 64 * 1024


def load(path: PathLike, overrides: Iterable[str] = ()) -> Config:
    """Read a YAML config and apply ``key=value`` overrides in their order.

    Raises InputError naming the file, the key, the value and the nearest valid key.
    """
    found = find_input(path)
    if not os.path.lexists(found):
        hint = _nearest_file(Path(path))
        raise InputError(f"{path}: cannot be read (No such file or directory){hint}")
    return _build(_read_yaml(found), list(overrides), str(path))


def _nearest_file(path: Path) -> str:
    """What was probably meant, of the same folder or, by a bare name, of the project's configs."""
    for folder in (path.parent, Path("configs")):
        there = [*folder.glob("*.y*ml"), *(PROJECT_ROOT / folder).glob("*.yaml")]
        hint = nearest(path.stem, {file.stem: folder / file.name for file in there})
        if hint:
            return hint
    return ""


def default(overrides: Iterable[str] = ()) -> Config:
    """The defaults of every key, with overrides applied."""
    return _build({}, list(overrides), "defaults")


def from_dict(values: Dict[str, Any], source: str, overrides: Iterable[str] = ()) -> Config:
    """A config from plain values, as a checkpoint's ``state.json`` holds them."""
    current = deepcopy(values)
    former.bring_up_to_date(current)
    return _build(current, list(overrides), source)


def to_yaml(config: Config) -> str:
    """The whole config as YAML, every default spelt out."""
    values = config.model_dump()
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


_WHOLE = r"(?:0|[1-9][0-9]*|[1-9][0-9]{0,2}(?:_[0-9]{3})+)"
# What is no text without quotes: YAML 1.1's constants, but of its numbers only those that mean
# the same to everybody. 0123 is 83 there and 1:30 is 90; here both are texts, as a date is.
_CONSTANTS = {
    "null": r"~|null|Null|NULL|",
    "None": r"None",
    "bool": r"(?i:true|false|yes|no|on|off)",
    "int": rf"[-+]?(?:{_WHOLE}|0x[0-9a-fA-F]+|0b[01]+)",
    "float": rf"[-+]?(?:{_WHOLE}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan",
}


class _Loader(yaml.SafeLoader):
    """The safe loader, without YAML 1.1's surprises for people who write numbers."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):  # type: ignore[no-untyped-call]
            raise yaml.YAMLError("aliases (*name) are not allowed in a config")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key_node.tag != "tag:yaml.org,2002:str":
                raise yaml.YAMLError(f"key {key!r:.40} is not a word")
            if key in seen:
                raise yaml.YAMLError(f"key {key!r} stands twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


def _refuse_none(loader: Any, node: yaml.ScalarNode) -> None:
    hint = "None is no YAML; write null, or put quotes around a text"
    raise yaml.MarkedYAMLError(problem=hint, problem_mark=node.start_mark)


class _Dumper(yaml.SafeDumper):
    """Quotes every text that this loader, or one of YAML 1.1, takes for something else."""


_Loader.yaml_implicit_resolvers = {}
for _name, _pattern in _CONSTANTS.items():
    for _kind in (_Loader, _Dumper):
        _kind.add_implicit_resolver(  # type: ignore[no-untyped-call]
            f"tag:yaml.org,2002:{_name}", re.compile(rf"^(?:{_pattern})$"), None
        )
_Loader.add_constructor("tag:yaml.org,2002:None", _refuse_none)


def _parse_yaml(text: str, what: str) -> Any:
    """The value of ``text``; InputError, beginning with ``what``, if it is not YAML."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a subclass of the safe loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{what}: {complaints.of_yaml(error, text)}") from error


def _read_yaml(path: Path) -> Dict[str, Any]:
    text = _decoded(read_input(path, MAX_CONFIG_BYTES), path)
    values = _parse_yaml(text, f"{path}: not valid YAML")
    if values is None:
        return {}
    if not isinstance(values, dict):
        kind = "a list" if isinstance(values, list) else "a text"
        hint = complaints.full_width(text)
        raise InputError(f"{path}: a config is a mapping of sections, not {kind}{hint}")
    return values


def _decoded(content: bytes, path: Path) -> str:
    """UTF-8, or the UTF-16 of a Windows editor, as text."""
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    encoding = "utf-16" if content.startswith(marks) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}: is not in UTF-8 (byte 0x{content[error.start]:02x} in line {line});"
            " save it as UTF-8"
        ) from error


def _build(values: Dict[str, Any], overrides: List[str], source: str) -> Config:
    """A config of ``values``, which it may change."""
    for override in overrides:
        _apply(values, override)
    for path, name in DEFAULT_NAMES.items():  # What a section means that names no choice.
        former.section_at(values, path).setdefault("name", name)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise InputError(complaints.of_schema(error, values, source, overrides)) from error


def _apply(values: Dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not key:
        hint = complaints.full_width(override)
        raise InputError(f"--set {override}: write it as key=value{hint}")
    value = _parse_yaml(text, f"--set {override}")
    *path, last = key.split(".")
    section = values
    for part in path:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise InputError(f"--set {override}: {part} is not a section")
    if last == "name":
        _forget_keys_of_the_former_choice(section, ".".join(path), value)
    section[last] = value


def _forget_keys_of_the_former_choice(section: Dict[str, Any], path: str, name: Any) -> None:
    """``--set model.name=fc`` on a lenet config drops ``filters``, which fc does not have."""
    names = (section.get("name", DEFAULT_NAMES.get(path)), name)
    former_one, chosen = (CHOICES.get(path, {}).get(kind_of(each)) for each in names)
    if former_one and chosen:
        for key in set(former_one.model_fields) - set(chosen.model_fields):
            section.pop(key, None)
