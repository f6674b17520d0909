"""Files that appear whole or not at all, and errors that stay on one line."""

import os

import pytest

from mnist import files
from mnist.errors import Failure, InputError, Interrupted


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    target = tmp_path / "new folder" / "file"
    with files.atomic_write(target) as file:
        file.write(b"half")
        file.flush()
        assert not target.exists()
        file.write(b" and half")
    assert target.read_bytes() == b"half and half"
    assert [path.name for path in target.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(1)])
def test_after_an_exception_everything_is_as_it_was(tmp_path, error):
    target = tmp_path / "file"
    target.write_bytes(b"before")
    with pytest.raises(type(error)), files.atomic_write(target) as file:
        file.write(b"after")
        raise error
    assert target.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_the_disk_refuses_names_the_file(tmp_path):
    (tmp_path / "file").write_bytes(b"a file, not a folder")
    inside = files.atomic_write(tmp_path / "file" / "inside")
    with pytest.raises(Failure, match="inside: cannot be written"), inside:
        pass


def test_inputs_are_found_in_the_working_directory_first_then_in_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = os.path.join("configs", "adam.yaml")
    assert files.find_input(name) == files.PROJECT_ROOT / name
    (tmp_path / "configs").mkdir()
    (tmp_path / name).write_text("")
    assert not files.find_input(name).is_absolute()
    assert str(files.find_input("nowhere.yaml")) == "nowhere.yaml"


def test_an_error_is_one_line_whatever_is_in_it():
    message = str(InputError("bad\nname\x1b[31m: é 数字"))
    assert message == "bad\\nname\\x1b[31m: é 数字"


def test_exit_codes():
    assert InputError("").exit_code == 2 and Failure("").exit_code == 1
    assert Interrupted("", 2).exit_code == 130 and Interrupted("", 15).exit_code == 143
