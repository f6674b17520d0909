"""Runs the Python blocks of a page, one after the other: ``python snippets.py PAGE``.

A block tagged ``raises-exception`` must fail, one tagged ``ends-the-process`` must end a process of
its own, each with the message in the text block behind it. Prints how many blocks there were.
"""

import re
import subprocess
import sys

BLOCK = re.compile(
    r"^```python(?: tags=\[\"(?P<tag>[\w-]+)\"\])?\n(?P<code>.*?)^```\n"
    r"(?:\n```text\n(?P<message>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)


def failure_of(code, names):
    """What running the block raises, as Python prints it; empty if nothing."""
    try:
        exec(code, names)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def last_words_of(code, parts):
    """What a process of its own that runs the block says and ends with.

    A thread that is left alone ends the process in some runs only, so there are up to forty.
    """
    for _ in range(40):
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
        )  # fmt: skip
        said = f"{done.stdout}\nexit code {done.returncode}"
        if all(part in said for part in parts):
            break
    return said


def check(block, names, where):
    """Run a block that fails, and compare what it says with the page."""
    parts = [line.strip() for line in block["message"].splitlines()]
    if block["tag"] == "ends-the-process":
        said = last_words_of(block["code"], parts)
    else:
        said = failure_of(compile(block["code"], where, "exec"), names)
        # Paddle's guard leaves dygraph switched on behind an exception.
        names["fluid"].framework._dygraph_tracer_ = None
    for part in parts:
        assert part in said, f"{where}: {part!r} is not in:\n{said}"


def main(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    names, blocks = {}, list(BLOCK.finditer(text))
    for block in blocks:
        lines_before = text[: block.start("code")].count("\n")
        if block["tag"] is None:
            exec(compile("\n" * lines_before + block["code"], path, "exec"), names)
        else:
            check(block, names, f"{path}:{lines_before + 1}")
    print(len(blocks))


if __name__ == "__main__":
    main(sys.argv[1])
