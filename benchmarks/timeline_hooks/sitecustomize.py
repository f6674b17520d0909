"""Of timeline.py: notes when imports and functions begin and end, in every Python it starts.

Python imports this module by itself when it finds it on the path, before anything else.
"""

import atexit
import builtins
import functools
import json
import os
import sys
import time

FOLDER = os.environ.get("MNIST_TIMELINE")
WANTED = json.loads(os.environ.get("MNIST_TIMELINE_SPANS", "[]"))
MODULES = {name for name in WANTED if ":" not in name}
FUNCTIONS = [name.split(":") for name in WANTED if ":" in name]

_import = builtins.__import__
_open, _finished = [], []
_patched = set()


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Span:
    """Notes begin, seconds and CPU seconds, those of spans inside taken out."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.begin, self.cpu = now(), time.process_time()
        self.inside = self.inside_cpu = 0.0
        _open.append(self)

    def __exit__(self, *error):
        _open.pop()
        took, cpu = now() - self.begin, time.process_time() - self.cpu
        own, own_cpu = took - self.inside, cpu - self.inside_cpu
        _finished.append({"span": self.name, "begin": self.begin, "own": own, "own_cpu": own_cpu})
        if _open:
            _open[-1].inside += took
            _open[-1].inside_cpu += cpu


def timed(name, function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        with Span(name):
            return function(*args, **kwargs)

    return call


def noting_import(name, globals=None, locals=None, fromlist=(), level=0):
    names = {name, *(f"{name}.{part}" for part in fromlist or ())} if level == 0 else ()
    wanted = next((n for n in MODULES if n in names and n not in sys.modules), None)
    if wanted is None:
        module = _import(name, globals, locals, fromlist, level)
    else:
        with Span(wanted):
            module = _import(name, globals, locals, fromlist, level)
    for pair in FUNCTIONS:
        if tuple(pair) not in _patched and pair[0] in sys.modules:
            patch(*pair)
    return module


def patch(module, path):
    """Replace a function by one that is timed, once its module is there as a whole."""
    owner = sys.modules[module]
    if getattr(getattr(owner, "__spec__", None), "_initializing", False):
        return
    _patched.add((module, path))
    *outer, last = path.split(".")
    for part in outer:
        owner = getattr(owner, part, None)
    function = getattr(owner, last, None)
    if function is None:
        print(f"timeline: there is no {module}:{path}", file=sys.stderr)
        return
    setattr(owner, last, timed(f"{module}:{path}", function))


def write():
    if not _begun.inside:
        return
    _begun.__exit__()
    rank = os.environ.get("PMI_RANK", os.environ.get("OMPI_COMM_WORLD_RANK", "launcher"))
    path = os.path.join(FOLDER, f"{rank}-{os.getpid()}.jsonl")
    with open(path, "w") as file:
        for event in _finished:
            file.write(json.dumps(event) + "\n")


if FOLDER:
    _begun = Span("all else: our own imports, Python's end")
    _begun.__enter__()
    atexit.register(write)
    builtins.__import__ = noting_import
