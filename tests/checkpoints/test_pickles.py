"""Genuine files read as plain unpickling reads them; all else is refused before it acts."""

import copy
import io
import json
import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import dygraph, environment
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mnist.base.errors import InputError
from mnist.checkpoints import pickles
from tests.material.malicious import array, executing, file, foreign, malicious_pickles, plain
from tests.material.pickles.make_pickles import as_json, content

PICKLES = Path(__file__).parents[1] / "material" / "pickles"
GENUINE = sorted([*PICKLES.glob("*.pdparams"), *PICKLES.glob("*.pdopt")])


def assert_equal(found, expected):
    """Equal in type, order, dtype, shape and every bit."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_equal(found[key], value)
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for left, right in zip(found, expected):
            assert_equal(left, right)
    elif isinstance(expected, (np.ndarray, np.generic)):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.tobytes() == expected.tobytes()
    else:
        assert repr(found) == repr(expected)  # so that NaN equals NaN, and -0.0 not 0.0


def assert_plain(value):
    """Nothing but arrays of plain numbers, plain values and containers of them."""
    if type(value) is dict:
        assert all(type(key) is str for key in value)
        value = list(value.values())
    if type(value) in (list, tuple):
        for item in value:
            assert_plain(item)
    elif type(value) is np.ndarray:
        assert value.dtype.kind in "bifu"
        assert value.flags.c_contiguous
        assert value.flags.writeable
        assert value.flags.owndata
    else:
        assert value is None or isinstance(value, (bool, int, float, str, np.number, np.bool_))


def as_paddle_reads(path):
    return pickle.loads(path.read_bytes(), encoding="latin1")  # noqa: S301 (our own files)


# Genuine files.


def test_there_are_genuine_files_of_python_2_and_3_and_numpy_1_and_2():
    assert {path.name.split("_")[0] for path in GENUINE} == {"py27", "py38", "py312"}
    assert len(GENUINE) == 15


@pytest.mark.parametrize("path", GENUINE, ids=lambda path: path.name)
def test_files_of_other_interpreters_hold_what_was_written(path):
    loaded = pickles.load(path)
    assert_plain(loaded)
    record = path.with_name(path.name + ".json")
    if record.exists():
        assert json.loads(json.dumps(as_json(loaded))) == json.loads(record.read_text())
    else:
        assert as_json(loaded) == as_json(dict(content()))


@pytest.mark.parametrize(
    "path", [path for path in GENUINE if "numpy2" not in path.name], ids=lambda path: path.name
)
def test_files_of_numpy_1_load_as_paddle_loads_them(path):
    assert_equal(pickles.load(path), as_paddle_reads(path))


def schedules(fluid):
    decay = fluid.dygraph
    return {
        "float": lambda: 0.1,
        "polynomial": lambda: decay.PolynomialDecay(0.1, 10, 0.01),
        "cosine": lambda: decay.CosineDecay(0.1, 2, 10),
        "piecewise": lambda: decay.PiecewiseDecay([1, 3], [0.1, 0.05, 0.01], 0),
        "noam": lambda: decay.NoamDecay(16, 10),
        "warmup": lambda: decay.LinearLrWarmup(decay.PolynomialDecay(0.1, 10), 2, 0.0, 0.1),
        "plateau": lambda: decay.ReduceLROnPlateau(0.1, patience=0),
        "step": lambda: decay.StepDecay(0.1, step_size=2),
    }


def optimizers(fluid):
    return {
        "sgd": fluid.optimizer.SGD,
        "momentum": lambda rate, **rest: fluid.optimizer.Momentum(rate, 0.9, **rest),
        "adagrad": fluid.optimizer.Adagrad,
        "adam": fluid.optimizer.Adam,
    }


def save_trained(fluid, optimizer_of, rate, prefix):
    """Two steps of training, saved by Paddle; whether there was optimizer state to save."""
    net = fluid.dygraph.Linear(3, 2)
    optimizer = optimizer_of(rate, parameter_list=net.parameters())
    for _ in range(2):
        loss = fluid.layers.mean(net(fluid.dygraph.to_variable(np.ones((4, 3), "float32"))))
        loss.backward()
        optimizer.minimize(loss)
        net.clear_gradients()
        if isinstance(rate, fluid.dygraph.ReduceLROnPlateau):
            rate.step(loss)
        elif isinstance(rate, fluid.dygraph.StepDecay):
            rate.epoch()
    fluid.save_dygraph(net.state_dict(), prefix)
    if optimizer.state_dict():
        fluid.save_dygraph(optimizer.state_dict(), prefix)


def test_every_optimizer_and_schedule_of_real_paddle_loads_as_paddle_loads_it(tmp_path):
    with dygraph() as fluid:
        for name, optimizer_of in optimizers(fluid).items():
            for schedule, rate_of in schedules(fluid).items():
                save_trained(fluid, optimizer_of, rate_of(), str(tmp_path / f"{name}-{schedule}"))
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2 * 4 * 8 - 1  # SGD with a float rate has no state
    for path in files:
        assert_equal(pickles.load(path), as_paddle_reads(path))
    plateau = pickles.load(tmp_path / "adam-plateau.pdopt")["LR_Scheduler"]
    assert isinstance(plateau["best_loss"], np.float32)


ARRAYS = st.sampled_from(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?"]).flatmap(
    lambda code: hnp.arrays(np.dtype(code), hnp.array_shapes(min_dims=0, max_dims=9, max_side=3))
)
NAMES = st.text(st.characters(whitelist_categories=["L", "N", "P"]), max_size=20)
NUMBERS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    ARRAYS.filter(lambda array: array.ndim == 0).map(lambda array: array[()]),
)
STATES = st.dictionaries(
    NAMES,
    st.one_of(
        ARRAYS,
        ARRAYS.map(np.asfortranarray),
        NUMBERS,
        st.dictionaries(NAMES, st.one_of(NUMBERS, NAMES), max_size=5),
        st.lists(NUMBERS, max_size=3),
        st.lists(NUMBERS, max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=5,
)


@settings(deadline=None)
@given(STATES, st.integers(0, 5), st.booleans())
def test_any_state_loads_as_plain_unpickling_loads_it(state, protocol, in_c):
    dump = pickle.dumps if in_c else pickle._dumps
    assert_equal(pickles.loads(dump(state, protocol), "state"), state)


# Writing.


@settings(deadline=None)
@given(STATES)
def test_what_is_dumped_loads_and_has_the_same_bytes_again(state):
    data = pickles.dump(state)
    assert_equal(pickles.loads(data, "state"), state)
    assert pickles.dump(pickles.loads(data, "state")) == data
    assert pickles.dump(copy.deepcopy(state)) == data


def test_dumped_bytes_depend_on_content_only():
    ones = np.ones((2, 3), "float32")
    shared = {"a": ones, "b": ones, "t": {"a": "".join(["n", "ame"]), "b": "name"}}
    apart = {"a": ones.copy(), "b": np.asfortranarray(ones), "t": {"a": "name", "b": "name"}}
    assert pickles.dump(shared) == pickles.dump(apart)


def test_a_dump_of_parameters_is_the_file_that_paddle_writes(tmp_path):
    with dygraph() as fluid:
        state = fluid.dygraph.Linear(3, 2).state_dict()
        fluid.save_dygraph(state, str(tmp_path / "paddle"))
        arrays = {name: variable.numpy() for name, variable in state.items()}
        table = {name: variable.name for name, variable in state.items()}
        data = pickles.dump({**arrays, pickles.NAME_TABLE: table})
        assert data == (tmp_path / "paddle.pdparams").read_bytes()
        (tmp_path / "ours.pdparams").write_bytes(data)
        loaded, _ = fluid.load_dygraph(str(tmp_path / "ours"))
    assert_equal(loaded, arrays)


@pytest.mark.parametrize(
    "value",
    [np.zeros(0, "float32"), np.array(["a"]), np.array([None]), np.ones(1, "c8"), b"a", {1: 2}],
    ids=repr,
)
def test_what_a_file_cannot_hold_is_not_dumped(value):
    with pytest.raises(TypeError):
        pickles.dump({"a": value})


# Malicious files.

_PLAIN_UNPICKLING = """
import pathlib, pickle, sys
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.pickle")):
    try:
        pickle.loads(path.read_bytes())
    except BaseException:
        pass
"""

_SAFE_LOADING = """
import pathlib, sys
from mnist.checkpoints import pickles
from mnist.base.errors import InputError
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.pickle")):
    try:
        print(path, "LOADED", pickles.load(path))
    except InputError as error:
        print(error)
"""


def run_limited(code, folder):
    """Run Python code with 2 GiB of address space."""

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))

    return subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        preexec_fn=limit,
        cwd=folder,
        env=environment({"OPENBLAS_NUM_THREADS": "1"}),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_executing_pickles_do_execute_when_plainly_unpickled(tmp_path):
    canaries = {}
    for number, (name, _) in enumerate(executing(tmp_path)):
        canary = tmp_path / f"canary{number}"
        canaries[name] = canary
        data = dict(executing(canary))[name]
        (tmp_path / f"{number}.pickle").write_bytes(data)
    run_limited(_PLAIN_UNPICKLING, tmp_path)
    assert [name for name, canary in canaries.items() if not canary.exists()] == []
    assert len(canaries) >= 20


def test_malicious_files_are_refused_in_one_line_with_nothing_run(tmp_path):
    canary = tmp_path / "canary"
    names = []
    for number, (name, data) in enumerate(malicious_pickles(canary)):
        names.append(name)
        (tmp_path / f"{number:04}.pickle").write_bytes(data)
    done = run_limited(_SAFE_LOADING, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == len(names) > 100
    for number, (name, line) in enumerate(zip(names, lines)):
        assert line.startswith(f"{tmp_path / f'{number:04}.pickle'}: "), name
        assert "LOADED" not in line, name
        # Refused for what it is, not for having hit the limit set above.
        assert "memory" not in line, name
        assert len(line) < 500, name
    assert not canary.exists()


def refusal(data):
    with pytest.raises(InputError) as caught:
        pickles.loads(data, "a.pdopt")
    assert str(caught.value).startswith("a.pdopt: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_refusal_says_what_was_found(tmp_path):
    payloads = {**dict(executing(tmp_path)), **dict(foreign())}
    for name, part in {
        "INST": "is not a file written by fluid.save_dygraph (it asks to run os.system; that was",
        "NumPy's own exec": "asks to run numpy.testing._private.utils.runstring",
        "an object array of bytes": "dtype 'O8'",
        "a NumPy object array": "it asks to run os.system; that was not run",
        "fewer bytes than the shape": "4 bytes for a float32 array of shape [2]",
        "a persistent id": "is not a file written by fluid.save_dygraph (instruction PERSID",
        "truncated at 50": "truncated after 50 bytes",
        "nothing": "is empty",
        "text": "is damaged or not a file written by fluid.save_dygraph",
    }.items():
        assert part in refusal(payloads[name])


CHUNKS = sorted({data for _, data in foreign() if len(data) < 400} | {file(plain(1))})
GENUINE_BYTES = [path.read_bytes() for path in GENUINE]


@st.composite
def mutated(draw):
    """A genuine file's bytes with a few bytes changed, removed, repeated or put in."""
    data = draw(st.sampled_from(GENUINE_BYTES))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        middle = draw(
            st.one_of(
                st.binary(max_size=12),
                st.just(data[start:end] * 2),
                st.sampled_from(CHUNKS),
                st.sampled_from([b"(", b"t", b"R", b"b", b"0", b"2", b"h\x00", b"u", b"s", b"."]),
            )
        )
        data = data[:start] + middle + data[end:]
    return data


def assert_refused_or_plain(data):
    try:
        loaded = pickles.loads(data, "a.pdopt")
    except InputError as error:
        assert str(error).startswith("a.pdopt: ") and "\n" not in str(error)
    else:
        assert type(loaded) is dict
        assert_plain(loaded)


@settings(deadline=None, max_examples=300)
@given(mutated())
def test_a_mutated_file_is_refused_or_plain(data):
    assert_refused_or_plain(data)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(CHUNKS).flatmap(lambda c: st.sampled_from([c, c[2:-1]]))))
def test_any_sequence_of_instructions_is_refused_or_plain(chunks):
    assert_refused_or_plain(b"\x80\x02}(" + plain("a") + b"".join(chunks) + b"u.")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_plain(data):
    assert_refused_or_plain(data)


def test_a_genuine_file_cut_off_anywhere_is_refused():
    whole = (PICKLES / "py38_paddle1.8.5.pdopt").read_bytes()
    for size in range(len(whole)):
        refusal(whole[:size])


# What the path may be.


def test_what_is_no_readable_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, part in [
        (tmp_path, "cannot be read (it is a folder)"),
        (tmp_path / "pipe", "cannot be read (it is not a regular file)"),
        (Path("/dev/zero"), "cannot be read (it is not a regular file)"),
        (tmp_path / "none", "cannot be read (No such file or directory)"),
        (tmp_path / ("n" * 300), "cannot be read (File name too long)"),
        (Path(f"{tmp_path}/nul\0"), "cannot be read (embedded null byte)"),
    ]:
        with pytest.raises(InputError) as caught:
            pickles.load(path)
        assert str(caught.value).endswith(f": {part}")


def test_a_file_beyond_the_limit_is_refused_unread(tmp_path):
    path = tmp_path / "large.pdparams"
    with open(path, "wb") as large:
        large.truncate(pickles.MAX_FILE_BYTES + 1)
    with pytest.raises(InputError, match=r"is too large \(more than 1,073,741,824 bytes\)"):
        pickles.load(path)


def test_too_little_memory_is_said_in_one_line(tmp_path):
    hole = 700_000_000
    before, after = file(array((hole // 4,), plain(b"hole"))).split(b"\4\0\0\0hole")
    with open(tmp_path / "a.pickle", "wb") as sparse:
        sparse.write(before + hole.to_bytes(4, "little"))
        sparse.seek(hole, os.SEEK_CUR)
        sparse.write(after)
    done = run_limited(_SAFE_LOADING, tmp_path)
    assert done.returncode == 0
    assert done.stdout == f"{tmp_path / 'a.pickle'}: needs more memory than there is\n"


def test_a_name_of_chinese_characters_is_kept():
    state = {"层1.weight": np.ones(1, "float32")}
    assert_equal(pickles.loads(pickle.dumps(state, 2), "state"), state)


def test_loading_does_not_change_or_share_the_bytes():
    data = pickles.dump({"a": np.zeros(4, "float32")})
    before = io.BytesIO(data).getvalue()
    pickles.loads(data, "state")["a"][:] = 1
    assert data == before
