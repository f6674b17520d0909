"""Configs written to files, and the one line in which they are refused."""

import pytest

from mnist import config as configs
from mnist.base.errors import InputError


def write(tmp_path, text):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return path


def refusal(*overrides, **values):
    with pytest.raises(InputError) as caught:
        configs.from_dict(values, "run.yaml", overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message
