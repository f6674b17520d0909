"""Errors stay on one line."""

import pytest

from mnist.base.errors import Failure, InputError, Interrupted, failing_as


def test_an_error_is_one_line_whatever_is_in_it():
    message = str(InputError("bad\nname\x1b[31m: é 数字"))
    assert message == "bad\\nname\\x1b[31m: é 数字"


def test_exit_codes():
    assert InputError("").exit_code == 2 and Failure("").exit_code == 1
    assert Interrupted("", 2).exit_code == 130 and Interrupted("", 15).exit_code == 143
    assert Interrupted("", 10).exit_code == 75


@pytest.mark.parametrize(
    "error, said",
    [
        (PermissionError(13, "Permission denied"), "x: cannot be read (Permission denied)"),
        (OSError("of no number"), "x: cannot be read (of no number)"),
        (MemoryError(), "x: cannot be read (not enough memory)"),
    ],
)
def test_what_the_system_refuses_is_told_with_its_reason(error, said):
    with pytest.raises(InputError) as caught, failing_as("x: cannot be read", InputError):
        raise error
    assert str(caught.value) == said and caught.value.__cause__ is error


def test_other_errors_stay_what_they_are():
    with pytest.raises(KeyError), failing_as("x: cannot be read"):
        raise KeyError
