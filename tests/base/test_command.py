"""What every verb answers to a wrong word, and to an error of Paddle's."""

import subprocess
import sys

import pytest
from helpers import environment, verb


@pytest.mark.parametrize(
    "name", ["train", "predict", "evaluate", "prepare", "report", "export", "serve"]
)
def test_a_usage_error_names_the_command_once(tmp_path, name):
    done = verb(name, "--no-such-option", cwd=tmp_path, check=2)
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: No such option: --no-such-option")
    assert line.endswith(f"(see: python -m mnist.{name} --help)")


def test_an_error_of_paddles_is_its_reason(tmp_path):
    script = """
import click
from mnist.base import command
@click.command()
def main():
    from mnist.fluid.door import fluid, to_variable
    import numpy as np
    with fluid.dygraph.guard():
        ones = to_variable(np.ones((2, 3), "float32"))
        fluid.layers.matmul(ones, ones)
command.run(main)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=str(tmp_path), env=environment(), timeout=120,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and line.startswith("error: EnforceNotMet: Error: [Hint: Expected")
    assert "dim_a.width_:3 != dim_b.height_:2" in line and "operator < matmul > error" in line
