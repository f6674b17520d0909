"""configs/schema.json: the config's JSON schema, with which editors complete and check a config.

    ./run python tools/make_schema.py

It is made of the pydantic model that checks configs (``mnist.config.schema``); what a key means
comes from the tables of docs/config.md.
"""

import json
import re
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

from mnist.config import CHOICES, Config
from mnist.config.schema import DEFAULT_NAMES

PROJECT = Path(__file__).resolve().parents[1]
SCHEMA = PROJECT / "configs" / "schema.json"


def make() -> str:
    """The schema as the text of a file."""
    schema = Config.model_json_schema()
    sections = schema["$defs"]
    for path, choices in CHOICES.items():
        for name, section in choices.items():
            # As for ``mnist.config.reading``: a section without a name is the default one. Else
            # {learning_rate: 0.1} would be each optimizer's, and so no one's.
            if name != DEFAULT_NAMES[path]:
                sections[section.__name__].setdefault("required", []).insert(0, "name")
    for key, choice, meaning in meanings():
        for keys in properties(schema, key.split("."), choice):
            keys["description"] = meaning
    for section in (schema, *sections.values()):
        # Written for who reads the code, and longer than a tooltip.
        section.pop("description", None)
    title = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A config of mnist.train",
    }
    return json.dumps({**schema, **title}, indent=2, ensure_ascii=False) + "\n"


def meanings() -> Iterator[Tuple[str, str, str]]:
    """(dotted key, choice or "", meaning) of every row of the tables in docs/config.md."""
    columns: Dict[str, int] = {}
    for line in (PROJECT / "docs" / "config.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            columns = {}
        elif cells[0] == "key":
            columns = {name: number for number, name in enumerate(cells)}
        elif columns and cells[0].startswith("`"):
            names = re.findall(r"`([\w:]+)`", cells[columns["with"]]) if "with" in columns else []
            for name in names or [""]:
                yield cells[0].strip("`"), name, plain(cells[columns["meaning"]])


def plain(markdown: str) -> str:
    """A table's cell without links, code marks and the dots of a continued sentence."""
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", markdown).replace("`", "").lstrip("… ")


def properties(schema: Dict[str, Any], path: Any, choice: str) -> Iterator[Dict[str, Any]]:
    """The places in the schema where a key is described: one, or one for each choice with it."""
    at = [schema]
    for number, part in enumerate(path):
        at = [section["properties"][part] for section in at if part in section["properties"]]
        if number + 1 < len(path):
            at = [found for key in at for found in sections_of(schema, key)]
            dotted = ".".join(path[: number + 1])
            chosen = CHOICES.get(dotted, {}).get(choice)
            at = [found for found in at if chosen is None or found["title"] == chosen.__name__]
    yield from at


def sections_of(schema: Dict[str, Any], key: Dict[str, Any]) -> Iterator[Dict[str, Any]]:
    """The sections that a key may be; the one that it is, if there is no choice."""
    for reference in key.get("oneOf") or [key]:
        yield schema["$defs"][reference["$ref"].rpartition("/")[2]]


if __name__ == "__main__":
    SCHEMA.write_text(make(), encoding="utf-8")
    print(SCHEMA)
