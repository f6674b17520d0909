"""``mnist.predict`` as people use it: patterns, standard input, formats, many files and digits."""

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from helpers import PICTURES, ROOT, SAMPLES, environment, one_line, small, verb

from mnist.base.errors import InputError
from mnist.pictures import files, normalize


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with a small checkpoint and pictures of digits in ``scans``."""
    from mnist import config as configs
    from mnist.train import loop

    base = tmp_path_factory.mktemp("predict")
    values = {
        "model": {"name": "fc", "hidden_sizes": [32]},
        "train": {"epochs": 4},
        "checkpoint": {"dir": str(base / "checkpoints")},
        "log": {"dir": str(base / "log")},
    }
    loop.train(configs.Config.model_validate(values), small(train=600))
    (base / "scans" / "deep").mkdir(parents=True)
    for number, digit in enumerate(small().eval.images[:4]):
        cv2.imwrite(str(base / "scans" / f"{number}.png"), 255 - digit)
    cv2.imwrite(str(base / "scans" / "deep" / "4.png"), small().eval.images[4])
    cv2.imwrite(str(base / "blank.png"), np.full((90, 90), 250, np.uint8))
    return base


def rows_of(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_quoted_patterns_folders_and_top(folder):
    done = verb("predict", "scans/**/*.png", "--json", "--top", 5, cwd=folder, check=0)
    found = rows_of(done)
    assert [row["path"] for row in found] == [
        "scans/0.png", "scans/1.png", "scans/2.png", "scans/3.png", "scans/deep/4.png",
    ]  # fmt: skip
    assert all(len(row["top"]) == 5 and row["is_digit"] in (True, False) for row in found)


def test_a_pattern_without_a_match_is_one_line(folder):
    done = verb("predict", "scans/*.tiff", cwd=folder, check=2)
    assert done.stderr == "error: scans/*.tiff: no file has such a name\n"


def test_a_file_whose_name_looks_like_a_pattern(tmp_path):
    (tmp_path / "a[1].png").write_bytes(b"")
    assert files.find([str(tmp_path / "a[1].png")]) == [str(tmp_path / "a[1].png")]
    with pytest.raises(InputError, match="no file has such a name"):
        files.find([str(tmp_path / "b[1].png")])


def test_standard_input(folder):
    data = (SAMPLES / "seven.png").read_bytes()
    for given, code in ((data, 0), (b"", 2), (data[:200], 2)):
        done = subprocess.run(
            [sys.executable, "-m", "mnist.predict", "-", "--json"], input=given,
            cwd=str(folder), env=environment(), capture_output=True, timeout=120,
        )  # fmt: skip
        (row,) = map(json.loads, done.stdout.splitlines())
        assert done.returncode == code and row["path"] == "-" and ("error" in row) == (code == 2)


def test_csv(folder):
    done = verb("predict", "scans/0.png", "blank.png", "nowhere.png", "--format", "csv",
                "--top", 2, cwd=folder, check=2)  # fmt: skip
    digit, blank, missing = csv.DictReader(io.StringIO(done.stdout))
    assert digit["digit"] in set("0123456789") and digit["error"] == ""
    assert (digit["is_digit"] == "true") == (digit["reason"] == "")
    assert float(digit["confidence"]) >= float(digit["confidence_2"])
    assert (float(digit["doubt"]) <= 0.5) == (digit["reason"] == "")
    assert blank["is_digit"] == "false" and "no ink" in blank["error"]
    assert blank["reason"] == "no writing"
    assert missing["is_digit"] == "" and "No such file" in missing["error"]


def test_what_is_no_digit_is_said_in_every_format(folder):
    cross = np.eye(60, dtype=np.float32)
    cross = cv2.dilate(np.maximum(cross, cross[::-1]), np.ones((5, 5)))
    cv2.imwrite(str(folder / "cross.png"), normalize.form_of(cross))
    said = "not like a digit"
    assert f"  {said}?\n" in verb("predict", "cross.png", cwd=folder, check=0).stdout
    (row,) = rows_of(verb("predict", "cross.png", "--json", cwd=folder, check=0))
    assert (row["is_digit"], row["reason"]) == (False, said) and 0.5 < row["doubt"] <= 1
    done = verb("predict", "cross.png", "--format", "csv", cwd=folder, check=0)
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert (row["is_digit"], row["reason"]) == ("false", said)
    (row,) = rows_of(verb("predict", "blank.png", "--json", cwd=folder, check=2))
    assert (row["is_digit"], row["reason"]) == (False, "no writing") and "digit" not in row


def test_several_digits_are_said_and_the_way_to_read_them(folder):
    left, right = small().eval.images[:2]
    pair = 255 - cv2.resize(np.pad(np.hstack([left, right]), 8), None, fx=6, fy=6)
    cv2.imwrite(str(folder / "pair.png"), pair)
    done = verb("predict", "pair.png", cwd=folder, check=2)
    assert "pair.png: several digits" in one_line(done.stderr) and "--many" in done.stderr
    (row,) = rows_of(verb("predict", "pair.png", "--json", cwd=folder, check=2))
    assert (row["is_digit"], row["reason"]) == (False, "several digits")
    (row,) = rows_of(verb("predict", "pair.png", "--many", "--json", cwd=folder, check=0))
    assert len(row["digits"]) == 2 and len(row["lines"]) == 1


def test_the_users_own_threshold(folder):
    def told(doubt):
        return rows_of(verb("predict", "scans", "--json", "--doubt", doubt, cwd=folder, check=0))

    usual = told(0.5)
    for doubt in (0, 0.5, sorted(row["doubt"] for row in usual)[1] + 1e-5, 1):
        rows = told(doubt)
        assert [row["doubt"] for row in rows] == [row["doubt"] for row in usual]
        assert [row["is_digit"] for row in rows] == [row["doubt"] <= doubt for row in rows]
    done = verb("predict", "scans", "--doubt", "1.5", cwd=folder, check=2)
    assert "--doubt" in done.stderr


# --- folders ---


def test_pictures_under_all_their_names_and_no_hidden_ones(folder, tmp_path):
    data = (folder / "scans" / "0.png").read_bytes()
    wanted = ["a.PNG", "b.jfif", "c.pbm", "d.pnm", "e.jpe", "f.Webp"]
    for name in [*wanted, "._a.PNG", ".hidden.png", "notes.txt"]:
        (tmp_path / name).write_bytes(data)
    found = rows_of(verb("predict", tmp_path, "--json", cwd=folder, check=0))
    assert [os.path.basename(row["path"]) for row in found] == wanted


def test_a_folder_of_folders_says_so_and_may_be_looked_into(folder, tmp_path):
    for name in ("one", "two", ".hidden"):
        (tmp_path / name / "deep").mkdir(parents=True)
        data = (folder / "scans" / "0.png").read_bytes()
        (tmp_path / name / "deep" / f"{name.strip('.')}.png").write_bytes(data)
    done = verb("predict", tmp_path, cwd=folder, check=2)
    assert f"{tmp_path}: no pictures in it; 2 folders (--recursive" in one_line(done.stderr)
    found = rows_of(verb("predict", tmp_path, "--recursive", "--json", cwd=folder, check=0))
    assert [os.path.basename(row["path"]) for row in found] == ["one.png", "two.png"]
    (tmp_path / "empty").mkdir()
    done = verb("predict", tmp_path / "empty", cwd=folder, check=2)
    assert one_line(done.stderr).endswith("empty: no pictures in it")


def test_an_animation_says_which_frame_and_nothing_else(folder):
    case = str(ROOT / "tests" / "material" / "cases" / "drawn-6.gif")
    done = verb("predict", case, "--json", cwd=folder, check=0)
    assert len(rows_of(done)) == 1
    assert re.fullmatch(r"WARNING: .*drawn-6.gif: has \d+ frames or pages; number \d+ is read\n",
                        done.stderr)  # fmt: skip


def test_contradicting_options(folder):
    done = verb("predict", "x.png", "--json", "--format", "csv", cwd=folder, check=2)
    assert "contradict" in done.stderr


def test_many_files_come_in_order_with_the_bad_ones_among_them(folder, tmp_path):
    digits = small(train=200).train.images
    for number, digit in enumerate(digits[: files.FEW + 10]):
        cv2.imwrite(str(tmp_path / f"{number:04}.png"), digit)
    (tmp_path / "0007.png").write_bytes(b"no picture")
    one = verb("predict", tmp_path, "--json", "--batch-size", 7, cwd=folder, check=2)
    found = rows_of(one)
    assert [row["path"] for row in found] == sorted(map(str, tmp_path.iterdir()))
    assert [number for number, row in enumerate(found) if "error" in row] == [7]
    alone = verb("predict", tmp_path / "0100.png", "--json", cwd=folder, check=0)
    assert rows_of(alone)[0]["digit"] == found[100]["digit"]


def test_a_bar_on_the_terminal_and_lines_in_the_file(folder, tmp_path):
    for number, digit in enumerate(small(train=200).train.images[:120]):
        cv2.imwrite(str(tmp_path / f"{number:04}.png"), digit)
    terminal, other = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "mnist.predict", str(tmp_path)], cwd=str(folder),
        env=environment({"TERM": "xterm"}), stdout=subprocess.PIPE, stderr=other, timeout=120,
    )  # fmt: skip
    os.close(other)
    drawn = os.read(terminal, 100_000).decode()
    os.close(terminal)
    assert done.returncode == 0 and "/120" in drawn
    assert len(done.stdout.splitlines()) == 120


def test_no_worker_outlives_a_killed_run(tmp_path):
    script = f"""
import os, time
from mnist.pictures import files
def wait(name):
    print(os.getpid(), flush=True)
    time.sleep(60)
with files.reading(["x"] * {files.FEW}, wait) as results:
    next(results)
"""
    process = subprocess.Popen([sys.executable, "-c", script], env=environment(),
                               cwd=str(tmp_path), stdout=subprocess.PIPE, text=True)  # fmt: skip
    worker = int(process.stdout.readline())
    process.kill()
    process.wait(timeout=60)
    deadline = time.monotonic() + 30
    while os.path.exists(f"/proc/{worker}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{worker}")


# --- several digits ---


def test_many_reads_lines_and_draws_a_copy_and_leaves_the_input(folder, tmp_path):
    sheet = SAMPLES / "sheets" / "ruled-paper.jpg"
    before = sheet.read_bytes()
    arguments = ["--many", "--checkpoint", folder / "checkpoints" / "best"]
    (row,) = rows_of(verb("predict", sheet, *arguments, "--json", cwd=tmp_path, check=0))
    assert [len(line) for line in row["lines"]] == [8, 4, 7]
    assert len(row["digits"]) == 19 and row["digits"][0]["line"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["ruled-paper-digits.png"]
    assert cv2.imread(str(tmp_path / row["annotated"])).shape == cv2.imread(str(sheet)).shape
    assert sheet.read_bytes() == before
    text = verb("predict", sheet, *arguments, cwd=tmp_path, check=0).stdout.splitlines()
    assert [line.split(": ")[1] for line in text[:3]] == ["line 1", "line 2", "line 3"]
    table = verb("predict", sheet, *arguments, "--format", "csv", cwd=tmp_path, check=0).stdout
    assert len(list(csv.DictReader(io.StringIO(table)))) == 19


def test_what_is_read_is_told_where_no_copy_can_be_drawn(folder, tmp_path):
    (tmp_path / "file").touch()
    sheet, model = SAMPLES / "sheets" / "ruled-paper.jpg", folder / "checkpoints" / "best"
    arguments = ["--annotate", tmp_path / "file" / "x.png", "--checkpoint", model]
    done = verb("predict", sheet, *arguments, "--json", cwd=tmp_path, check=1)
    (row,) = rows_of(done)
    assert len(row["digits"]) == 19 and row["annotated"] is None
    assert "x.png: cannot be written" in done.stderr and "--annotate FILE" in done.stderr


def test_an_input_is_never_written_over(folder):
    copy = folder / "scans" / "0.png"
    before = copy.read_bytes()
    done = verb("predict", copy, "--annotate", copy, cwd=folder, check=2)
    assert "is the picture itself" in done.stderr and copy.read_bytes() == before
    done = verb("predict", copy, copy, "--annotate", "x.png", cwd=folder, check=2)
    assert "one file for 2 pictures" in done.stderr


# --- with a model that was trained ---


def digit_of(path):
    words = "zero one two three four five six seven eight nine".split()
    return next(digit for digit, word in enumerate(words) if path.stem.startswith(word))


def test_predict_is_right_on_the_samples(trained):
    folder, _ = trained
    done = verb("predict", SAMPLES, "--json", cwd=folder, check=0)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    paths = PICTURES
    assert [row["path"] for row in found] == [str(path) for path in paths]
    right = [row["digit"] == digit_of(path) for row, path in zip(found, paths)]
    assert sum(right) >= len(right) - 2  # a model of six epochs; the finder cuts one digit short
    for row in found:
        assert set(row) == {"path", "digit", "confidence", "is_digit", "reason", "doubt", "top"}
        assert len(row["top"]) == 3 and row["top"][0] == [row["digit"], row["confidence"]]
        assert 1 >= row["top"][0][1] >= row["top"][1][1] >= row["top"][2][1] >= 0


def test_bad_pictures_are_named_and_the_others_still_predicted(trained, tmp_path):
    folder, _ = trained
    good = PICTURES[0]
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:200])
    (tmp_path / "fine.png").write_bytes(good.read_bytes())
    paths = [tmp_path / "missing.png", tmp_path, good]
    done = verb("predict", *paths, "--json", cwd=folder, check=2)
    rows = {os.path.basename(row["path"]): row for row in map(json.loads, done.stdout.splitlines())}
    assert set(rows) == {"missing.png", "empty.png", "text.png", "cut.png", "fine.png", good.name}
    assert {name for name, row in rows.items() if "error" in row} == {
        "missing.png", "empty.png", "text.png", "cut.png"
    }  # fmt: skip
    assert done.stderr == ""
    plain = verb("predict", *paths, cwd=folder, check=2)
    errors = plain.stderr.strip().splitlines()
    assert len(errors) == 4 and all(line.startswith("error: ") for line in errors)
    assert len(plain.stdout.splitlines()) == 2


def test_predict_without_any_checkpoint_says_how_to_get_one(tmp_path):
    good = PICTURES[0]
    done = verb("predict", good, "--checkpoint", "nowhere", cwd=tmp_path, check=2)
    assert "nowhere" in one_line(done.stderr)


def test_a_malicious_checkpoint_is_refused_before_anything_runs(trained, tmp_path):
    import pickle

    class Exploit:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'pwned'}",)

    (tmp_path / "evil.pdparams").write_bytes(pickle.dumps({"fc.weight": Exploit()}, 2))
    good = PICTURES[0]
    done = verb("predict", good, "--checkpoint", tmp_path / "evil", cwd=tmp_path, check=2)
    assert "evil.pdparams" in one_line(done.stderr) and not (tmp_path / "pwned").exists()


def test_an_annotated_picture_never_takes_the_place_of_anything_else(tmp_path):
    sheet = ROOT / "data" / "samples" / "sheets" / "ruled-paper.jpg"
    sheet = sheet if sheet.exists() else next(iter(sorted(sheet.parent.iterdir())))
    own = tmp_path / f"{sheet.stem}-digits.png"
    own.write_bytes(b"mine")
    first = verb("predict", "--many", sheet, cwd=tmp_path, check=0)
    second = verb("predict", "--many", sheet, cwd=tmp_path, check=0)
    assert own.read_bytes() == b"mine"
    for done in (first, second):  # What was drawn here is drawn anew.
        assert f"boxes drawn in {sheet.stem}-digits-2.png" in done.stdout
    os.mkfifo(tmp_path / "pipe")  # As /dev/null would be, for root.
    for taken, message in ((own.name, "is there already"), ("pipe", "not a regular file")):
        refused = verb("predict", "--many", "--annotate", taken, sheet, cwd=tmp_path, check=2)
        assert message in refused.stderr and refused.stderr.count("\n") == 1
    assert own.read_bytes() == b"mine"
