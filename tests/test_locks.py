"""The locks: every package pinned by hash, from nowhere in particular, in step with the rest."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parents[1]
LOCKS = (
    "requirements.lock",
    "requirements-dev.lock",
    "requirements-gpu.lock",
    "requirements-uv.lock",
)
PIN = re.compile(r"([a-z0-9-]+)==([\w.]+) ((--hash=sha256:[0-9a-f]{64} ?)+)")


def pins(lock):
    """Package → version, every line of the lock having been understood."""
    text = (PROJECT / lock).read_text().replace("\\\n", "")
    found = {}
    for line in text.splitlines():
        match = PIN.fullmatch(" ".join(line.split()))
        assert match, f"{lock}: {line[:80]}"
        assert match.group(1) not in found, f"{lock}: {match.group(1)} twice"
        found[match.group(1)] = match.group(2)
    return found


def inputs(name):
    lines = (PROJECT / name).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_is_a_pin_with_hashes_and_names_no_address(lock):
    assert pins(lock)
    assert "/" not in (PROJECT / lock).read_text()


def test_what_both_locks_hold_they_pin_alike():
    run_time, tests = pins("requirements.lock"), pins("requirements-dev.lock")
    for name in run_time.keys() & tests.keys():
        assert run_time[name] == tests[name]


@pytest.mark.parametrize(
    ("name", "lock"),
    [("requirements.in", "requirements.lock"), ("requirements-dev.in", "requirements-dev.lock")],
)
def test_a_lock_holds_what_its_input_asks_for(name, lock):
    pinned = pins(lock)
    for requirement in inputs(name):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])


def test_what_is_left_out_is_left_out():
    names = {
        canonicalize_name(requirement.name) for requirement in inputs("requirements.overrides")
    }
    assert "opencv-python" in names
    assert not names & pins("requirements.lock").keys()


def test_pyproject_allows_what_the_locks_pin():
    # Python 3.8 has no tomllib, and mypy's own tomli is in the lock of the tests.
    import tomli

    project = tomli.loads((PROJECT / "pyproject.toml").read_text())["project"]
    run_time, tests = pins("requirements.lock"), pins("requirements-dev.lock")
    for text in project["dependencies"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(run_time[canonicalize_name(requirement.name)]), text
    for extra, texts in project["optional-dependencies"].items():
        pinned = tests if extra == "dev" else run_time
        for text in texts:
            requirement = Requirement(text)
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), text


def test_the_documentation_names_every_direct_dependency():
    text = (PROJECT / "docs" / "dependencies.md").read_text()
    for name in ("requirements.in", "requirements-dev.in", "requirements.overrides"):
        for requirement in inputs(name):
            assert f"`{requirement.name}`" in text, requirement.name
    for requirement in inputs("requirements.in"):
        (specifier,) = requirement.specifier
        assert f"`{requirement.name}` {specifier.version}" in text, requirement.name
