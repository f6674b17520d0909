"""ARCHITECTURE.md holds: imports go down its list of rooms only, without a circle."""

import ast
import re
from functools import lru_cache

import pytest
from helpers import ROOT

PACKAGE = ROOT / "mnist"
VERBS = ("train", "prepare", "predict", "evaluate", "report", "export", "serve", "adopt")
# Above the verbs: the names of `import mnist`, whose own file only says where they are.
LIBRARY = "library"
# From the ground up; a room may import rooms before it, and its own.
ROOMS = (
    "base", "config", "checkpoints", "data", "fluid", "kernels", "pictures", "model", "tensorboard",
)  # fmt: skip

MODULES = sorted(PACKAGE.rglob("*.py"))
each_module = pytest.mark.parametrize(
    "path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix()
)


def dotted(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {dotted(path) for path in MODULES}


@lru_cache(maxsize=None)
def imports_of(path):
    """The dotted modules that a file imports anywhere in it, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (below & NAMES) or {node.module}
    return found


def room_of(module):
    return [*module.split("."), ""][1]


@each_module
def test_a_room_imports_only_rooms_before_it_and_none_a_verb(path):
    own = room_of(dotted(path))
    allowed = ROOMS if own in (*VERBS, "__main__") else ()
    allowed = ROOMS[: ROOMS.index(own)] if own in ROOMS else allowed
    allowed = {LIBRARY: (*ROOMS, *VERBS), "": (LIBRARY,)}.get(own, allowed)
    rooms = {room_of(name) for name in imports_of(path) if name.startswith("mnist.")}
    assert rooms <= {*allowed, own}


def test_no_module_imports_itself_over_others():
    arrows = {dotted(p): sorted(imports_of(p) & NAMES - {dotted(p)}) for p in MODULES}
    # Every module imports the package, which imports the library when a name of it is asked for.
    arrows["mnist"] = []
    finished, under_way = set(), []

    def visit(name):
        assert name not in under_way, " → ".join([*under_way[under_way.index(name) :], name])
        if name not in finished:
            under_way.append(name)
            for other in arrows[name]:
                visit(other)
            under_way.pop()
            finished.add(name)

    for name in arrows:
        visit(name)


@each_module
def test_paddle_comes_in_through_one_door(path):
    imported = {name.split(".")[0] for name in imports_of(path)}
    assert "paddle" not in imported or path == PACKAGE / "fluid" / "door.py"


def test_the_architecture_names_every_room_and_every_file():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for path in MODULES:
        if path.name not in ("__init__.py", "__main__.py"):
            line = next(iter(re.findall(rf"^.*`{room_of(dotted(path))}/`.*$", text, re.M)), "")
            assert f"`{path.stem}`" in line, path
