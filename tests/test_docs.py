"""The documents say what is so: links, names, config keys and snippets are checked."""

import ast
import re
import shlex
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest
import yaml
from helpers import ROOT, environment
from pydantic import BaseModel

from mnist import config as configs

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
CONFIG_DOC = ROOT / "docs" / "config.md"

each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix()
)


def without_code_blocks(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


# --- links and names -------------------------------------------------------------------


@each_document
def test_every_relative_link_leads_to_a_file(document):
    text = without_code_blocks(document.read_text())
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    broken = [
        target
        for target in targets
        if not re.match(r"[a-z]+:|#", target)
        and not (document.parent / target.partition("#")[0]).exists()
    ]
    assert not broken


@lru_cache(maxsize=None)
def anchors_in(path):
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)", without_code_blocks(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_document
def test_every_anchor_is_a_heading_of_its_page(document):
    text = without_code_blocks(document.read_text())
    targets = re.findall(r"\]\((?![a-z]+:)([^)\s#]*)#([^)\s]+)\)", text)
    pages = [(document.parent / page if page else document, anchor) for page, anchor in targets]
    assert [(str(p), anchor) for p, anchor in pages if anchor not in anchors_in(p)] == []


@lru_cache(maxsize=None)
def names_in(path):
    """Every function, class and constant of a module, and ``Class.member``."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        names |= defined_by(node)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{inner}" for part in node.body for inner in defined_by(part)}
    return names


def defined_by(node):
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    targets = [*getattr(node, "targets", []), getattr(node, "target", None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def named_places(text):
    """(file, name) for each name that follows a link to a file, as in [`mnist/x.py`](…) `name`."""
    link = r"\[`(mnist/[\w/]+\.py)`\]\([^)]*\)((?:(?:,| and)?\s+`[A-Za-z_][\w.]*`)+)"
    for file, names in re.findall(link, text):
        for name in re.findall(r"`([^`]+)`", names):
            yield file, name


@each_document
def test_every_name_given_with_a_file_is_in_that_file(document):
    places = named_places(document.read_text())
    missing = [(file, name) for file, name in places if name not in names_in(ROOT / file)]
    assert not missing


@each_document
def test_every_module_that_is_named_exists(document):
    # `mnist.data`, `mnist.fluid.feeding`, `mnist.fluid.feeding.feed` and python -m mnist.train, but
    # not mnist.json.gz.
    text = document.read_text()
    for command in re.findall(r"python -m mnist\.([a-z_]+(?:\.[a-z_]+)?)", text):
        file = ROOT / "mnist" / command.replace(".", "/")
        assert (file / "__main__.py").exists() or file.with_suffix(".py").exists(), command
    for dotted in re.findall(r"`mnist\.(?!\w+\.gz)([\w.]+)`", text):
        room, module, name = [*dotted.split("."), "", ""][:3]
        path = ROOT / "mnist" / room / (f"{module}.py" if module else "__init__.py")
        assert path.exists(), f"mnist.{dotted}"
        assert not name or name in names_in(path), f"mnist.{dotted}"


LINE_OF_OURS = re.compile(
    r"\[`(mnist/[\w/]+\.py)`\]\([^)]*\)\s+`([A-Za-z_][\w.]*)`"  # a name in a file
    r"(?::\s+|：)`([^`]+)`"  # and the line itself
)


@pytest.mark.parametrize("name", ["course.md", "course.zh-CN.md"])
def test_the_course_names_a_line_of_ours_for_each_question(name):
    text = (ROOT / "docs" / name).read_text()
    questions = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    numbers = [int(number) for number in re.findall(r"^## (\d+)\.", text, re.MULTILINE)]
    assert numbers == list(range(1, 18)) and len(questions) == 19  # and place and first model
    for question in questions:
        lines = LINE_OF_OURS.findall(question)
        assert lines or question.startswith("1. "), question.splitlines()[0]
        for file, _, line in lines:
            assert line in (ROOT / file).read_text(), (file, line)


# --- snippets --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["course.md", "messages.md", "paddle-1.8.5.md"])
def test_every_python_snippet_runs_or_fails_as_the_page_says(name, tmp_path):
    document = ROOT / "docs" / name
    # The pages read ../../data, as seen from the notebooks.
    (tmp_path / "data").symlink_to(ROOT / "data")
    place = tmp_path / "docs" / "course"
    place.mkdir(parents=True)
    quick = {"OMP_NUM_THREADS": "1", "GLOG_minloglevel": "2", "FLAGS_use_pinned_memory": "0"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "material" / "snippets.py"), str(document)],
        cwd=str(place),
        env=environment(quick),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    count = int(done.stdout.splitlines()[-1])
    assert count == len(re.findall(r"^```python\b", document.read_text(), re.MULTILINE)) > 10


def commands_in(document):
    """The commands of the document's bash blocks, continued lines joined."""
    blocks = re.findall(r"^```bash\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        if "mnist.train" in line:
            yield shlex.split(line, comments=True)


@each_document
def test_every_training_command_has_a_config_that_is_valid(document):
    for command in commands_in(document):
        values = list(zip(command, command[1:]))
        overrides = [value for option, value in values if option == "--set"]
        paths = [value for option, value in values if option == "--config"]
        if paths:
            assert configs.load(ROOT / paths[0], overrides)
        else:
            assert configs.default(overrides)


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_first_commands_are_what_continuous_integration_runs_in_a_fresh_clone(name):
    block = re.search(
        r"^```console\n(.*?)^```", (ROOT / name).read_text(), re.DOTALL | re.MULTILINE
    )
    commands = re.findall(r"^\$ (.+)$", block.group(1), re.MULTILINE)
    steps = re.findall(r"^step (.+)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert steps[-2:] == commands and len(commands) == 2


HEAD = re.compile(r"^# Eval: ([\d.]+(?: ± [\d.]+)?) %.*; n = (\d+), (.+)\.$", re.MULTILINE)


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/*.yaml")), ids=lambda path: path.stem)
def test_the_figure_in_a_configs_head_is_that_of_the_results(path):
    results = (ROOT / "docs" / "results.md").read_text().replace("(R)", "")
    ((figure, seeds, machine),) = HEAD.findall(path.read_text())
    rows = [line.split(" | ") for line in results.splitlines() if f"`configs/{path.name}`" in line]
    # A row with settings of its own is of another run.
    rows = [row for row in rows if not any("--set" in cell for cell in row)]
    assert any(figure in row and seeds in row for row in rows)
    assert machine in results


# --- docs/config.md --------------------------------------------------------------------


def described_keys():
    """{(key, choice): (type, default, allowed)} of the schema; choice is "" where none matters."""
    keys = dict(section_keys(configs.Config, "", ""))
    for path, choices in configs.CHOICES.items():
        default = configs.flatten(configs.default())[f"{path}.name"]
        names = ", ".join(f"`{name}`" for name in choices)
        keys[f"{path}.name", ""] = ("word", default, names)
        for choice, section in choices.items():
            keys.update(section_keys(section, path, choice))
    return keys


def section_keys(section, path, choice):
    schemas = section.model_json_schema()["properties"]
    for name, field in section.model_fields.items():
        key = f"{path}.{name}" if path else name
        if key in configs.CHOICES or (path in configs.CHOICES and name == "name"):
            continue
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from section_keys(field.annotation, key, choice)
        else:
            schema = schemas[name]
            default = schema.get("default", "required")
            yield (key, choice), (kind_of(schema), default, values_of(schema))


def kind_of(schema):
    if "anyOf" in schema:
        return f"{kind_of(schema['anyOf'][0])} or null"
    if schema["type"] == "array":
        return f"list of {kind_of(schema['items'])}s"
    if schema["type"] == "string" and "pattern" in schema:
        return "path"
    kinds = {"integer": "whole number", "number": "number", "boolean": "yes or no"}
    kinds["object"] = "mapping"
    return kinds.get(schema["type"], "word")


def values_of(schema):
    if "anyOf" in schema:
        return values_of(schema["anyOf"][0])
    if schema["type"] == "array":
        each = values_of(schema["items"])
        count = f"exactly {schema['minItems']}, " if "minItems" in schema else ""
        return "any" if each == "any" else f"{count}each {each}"
    if schema["type"] == "boolean":
        return "`true`, `false`"
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if "pattern" in schema:
        return "not empty"
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    bounds = [f"{sign} {int(schema[name]):,}" for name, sign in signs.items() if name in schema]
    return ", ".join(bounds) or "any"


def table_rows(text):
    """Each row of the document's tables of keys, as {column: cell}."""
    columns = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            columns = []
        elif cells[0] == "key":
            columns = cells
        elif columns and not set(line) <= set("|- "):
            assert len(cells) == len(columns), line
            yield dict(zip(columns, cells))


def documented_keys():
    keys = {}
    for row in table_rows(CONFIG_DOC.read_text()):
        default = row["default"].strip("`")
        default = default if default == "required" else yaml.safe_load(default)
        assert row["meaning"]
        for choice in re.findall(r"`([\w:]+)`", row.get("with", "")) or [""]:
            entry = (row["key"].strip("`"), choice)
            assert entry not in keys, entry
            keys[entry] = (row["type"], default, row["allowed"])
    return keys


def test_the_config_document_has_every_key_with_its_type_default_and_values():
    documented, described = documented_keys(), described_keys()
    assert documented.keys() == described.keys()
    differing = {
        key: (documented[key], described[key])
        for key in described
        if documented[key] != described[key]
    }
    assert not differing


def test_the_config_document_says_what_may_change_on_resume():
    text = CONFIG_DOC.read_text()
    section = text.partition("## What may change")[2].partition("\n## ")[0]
    listed = re.findall(r"^- `([\w.]+)`", section, re.MULTILINE)
    assert sorted(listed) == sorted(configs.FREE_ON_RESUME)
    for key, _ in described_keys():
        free = any(key == entry or key.startswith(f"{entry}.") for entry in listed)
        assert key == "train.epochs" or free != configs.changes_the_run(key, configs.default())


def test_every_key_of_the_configs_is_documented():
    documented = {key for key, _ in documented_keys()}
    for path in sorted(Path(ROOT / "configs").glob("*.yaml")):
        assert set(configs.flatten(configs.load(path))) <= documented
