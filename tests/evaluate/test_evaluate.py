"""``mnist.evaluate`` as a user runs it."""

import json

from helpers import one_line, verb


def test_evaluate_agrees_with_the_training_and_with_itself(trained):
    folder, _ = trained
    done = verb("evaluate", "--json", cwd=folder, check=0)
    found = json.loads(done.stdout)
    result = json.loads((folder / "checkpoints" / "result.json").read_text())
    assert found["split"] == "eval" and found["count"] == 300
    assert found["accuracy"] == result["eval"]["accuracy"]
    confusion = found["confusion"]
    assert sum(map(sum, confusion)) == 300
    right = sum(confusion[digit][digit] for digit in range(10))
    assert right / 300 == found["accuracy"]
    for digit, row in enumerate(found["per_class"]):
        assert row["recall"] == confusion[digit][digit] / sum(confusion[digit])
    calibration = found["calibration"]
    # Fitted on fewer than 2,000 images of valid it would make confidences worse.
    assert calibration["temperature"] is None and 0 <= calibration["error"] <= 1
    tables = verb("evaluate", "--checkpoint", "checkpoints/best", "--split", "valid", cwd=folder,
                  check=0).stdout  # fmt: skip
    assert "split valid: 300 images" in tables and "confusion" in tables
    assert "expected calibration error" in tables


def test_evaluate_names_a_wrong_split(trained):
    folder, _ = trained
    done = verb("evaluate", "--split", "evil", cwd=folder, check=2)
    assert "eval" in one_line(done.stderr)
