"""Files and folders that appear whole or not at all."""

import os
import subprocess
import sys

import pytest
from helpers import PROJECT, ROOT, environment

from mnist.base import files
from mnist.base.errors import Failure, InputError


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


def test_what_is_read_is_bounded_before_it_is_read(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert files.read_input(tmp_path / "file", 5) == b"12345"
    with pytest.raises(InputError, match=r"file: is too large \(more than 4 bytes\)"):
        files.read_input(tmp_path / "file", 4)
    with open(tmp_path / "large", "wb") as large:
        large.truncate(1 << 40)
    with pytest.raises(InputError, match="large: is too large"):
        files.read_input(tmp_path / "large", 1 << 20)
    # What has no size is read all the same.
    assert files.read_input("/proc/self/status", 1 << 20).startswith(b"Name:")


def test_a_folder_is_removed_in_one_go_and_parents_are_made_only_if_wanted(tmp_path):
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    files.remove_folder(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []
    gone = files.staged_folder(tmp_path / "gone" / "folder", make_parents=False)
    with pytest.raises(Failure, match=r"folder: cannot be written \(No such file"), gone:
        pass
    assert list(tmp_path.iterdir()) == []


def test_inputs_are_found_in_the_working_directory_first_then_in_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = os.path.join("configs", "adam.yaml")
    assert files.find_input(name) == files.PROJECT_ROOT / name
    (tmp_path / "configs").mkdir()
    (tmp_path / name).write_text("")
    assert not files.find_input(name).is_absolute()
    assert str(files.find_input("nowhere.yaml")) == "nowhere.yaml"


def test_the_tests_and_their_processes_know_only_a_copy_of_the_project(tmp_path):
    assert ROOT != PROJECT == files.PROJECT_ROOT
    code = "from mnist.base import files; print(files.PROJECT_ROOT)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=str(tmp_path), env=environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert done.stdout == f"{PROJECT}\n"


# --- folders ---


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_only_when_it_is_whole(tmp_path):
    target = tmp_path / "new" / "folder"
    with files.staged_folder(target) as staged:
        (staged / "inside").mkdir()
        (staged / "inside" / "file").write_text("content")
        assert not target.exists()
    assert (target / "inside" / "file").read_text() == "content"
    assert names_in(target.parent) == ["folder"]


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), Failure("no")])
def test_after_an_exception_the_folder_is_as_it_was(tmp_path, error, replace):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "before").write_text("")
    with pytest.raises(type(error)), files.staged_folder(target, replace) as staged:
        (staged / "after").write_text("")
        raise error
    assert names_in(tmp_path) == ["folder"] and names_in(target) == ["before"]


def test_a_folder_with_files_is_replaced_only_when_told(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "first").write_text("")
    inside = files.staged_folder(target)
    with pytest.raises(Failure, match="folder: cannot be written"), inside as staged:
        (staged / "second").write_text("")
    assert names_in(tmp_path) == ["folder"] and names_in(target) == ["first"]
    with files.staged_folder(target, replace=True) as staged:
        (staged / "third").write_text("")
    assert names_in(tmp_path) == ["folder"] and names_in(target) == ["third"]


def test_what_was_there_outlives_a_new_folder_that_cannot_take_its_place(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "before").write_text("")
    rename = files.Path.rename

    def interrupted(path, target):
        if path.name == "staged":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(files.Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), files.staged_folder(tmp_path / "folder", replace=True):
        pass
    (kept,) = tmp_path.iterdir()
    assert names_in(kept) == ["before"]


def test_what_a_killed_writer_left_is_removed_and_a_living_ones_is_not(tmp_path):
    left = tmp_path / ".folder.123.abc.tmp"
    left.mkdir()
    (left / "half").write_text("")
    with files.staged_folder(tmp_path / "folder") as first:
        assert not left.exists()
        with files.staged_folder(tmp_path / "folder"):
            assert first.exists()
        (tmp_path / "folder").rename(tmp_path / "other")
    assert names_in(tmp_path) == ["folder", "other"]


def test_a_folder_that_has_vanished_is_not_made_anew_unasked(tmp_path):
    gone = pytest.raises(Failure, match=r"best: cannot be written \(No such file or directory\)")
    with gone, files.atomic_write(tmp_path / "gone" / "best", make_parents=False) as file:
        file.write(b"epoch1")
    assert os.listdir(tmp_path) == []
