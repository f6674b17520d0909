"""What the labels of a data set are called: digits, unless it names other classes."""

from typing import List, Sequence, Union

Classes = Sequence[str]
DIGITS = tuple("0123456789")
MOST_CLASSES = 100
_LONGEST_NAME = 40


def check(names: List[str]) -> List[str]:
    """The names of classes as they are, by label; ValueError if they cannot be such."""
    if not isinstance(names, list) or not 2 <= len(names) <= MOST_CLASSES:
        given = ", ".join(map(str, names))[:60] if isinstance(names, list) else repr(names)[:60]
        raise ValueError(f"has {given or 'none'}; a data set has 2 to {MOST_CLASSES} classes")
    for name in names:
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
            raise ValueError(f"{name!r:.60} must be a class's name of 1 to {_LONGEST_NAME} letters")
        if not name.isprintable() or name != name.strip():
            raise ValueError(f"{name!r:.60} cannot be printed as a class's name")
    if len(set(names)) != len(names):
        raise ValueError("two classes have the same name")
    return names


def are_digits(classes: Classes) -> bool:
    """Whether these are the ten digits, for which there is more than for other classes."""
    return tuple(classes) == DIGITS


def answers(classes: Classes) -> Sequence[Union[int, str]]:
    """What stands for each label: the digit as a number, or the class's name."""
    return range(len(DIGITS)) if are_digits(classes) else classes


def noun(classes: Classes) -> str:
    """What one of them is called: a digit or a class."""
    return "digit" if are_digits(classes) else "class"
