"""Fixtures that several tests need."""

import os

import pytest
from helpers import PROJECT, ROOT, verb
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

settings.register_profile(
    "project",
    # How long an input takes says something about the machine, not about the code.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    database=DirectoryBasedExampleDatabase(ROOT / ".hypothesis" / "examples"),
)
settings.load_profile("project")


def pytest_collection_modifyitems(items):
    """What is known to be slow may take its time."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(0))


OF_THE_USER = ("checkpoints", "log", "data/mnist.json.gz", "data/.cache", "data/.download",
               "report.html", "exported")  # fmt: skip


def what_is_there(root):
    """Path → time and size of everything that a user's own commands write in the project."""
    tops = [root / name for name in OF_THE_USER]
    paths = [path for top in tops for path in (top, *top.rglob("*")) if os.path.lexists(str(path))]
    return {path: (path.lstat().st_mtime_ns, path.lstat().st_size) for path in paths}


@pytest.fixture(scope="session", autouse=True)
def the_users_own_is_left_alone():
    """Tests work in a copy of the project, and neither it nor the project is changed by them."""
    before = what_is_there(ROOT)
    os.chdir(str(PROJECT))
    yield
    os.chdir(str(ROOT))
    after = what_is_there(ROOT)
    changed = [path for path in before.keys() | after.keys() if before.get(path) != after.get(path)]
    assert not changed, "changed while the tests ran, by one of them or by a run of your own"
    left = [path for path in what_is_there(PROJECT) if ".cache" not in path.parts]
    assert not left, "a test wrote into the copy of the project, where others will find it"


@pytest.fixture(scope="session")
def real_mnist():
    """The folder with the four official MNIST files; tests skip where it is absent."""
    folder = ROOT.parent / "shared" / "mnist"
    if not (folder / "train-images-idx3-ubyte.gz").exists():
        pytest.skip("the real MNIST files are not beside the project (../shared/mnist)")
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder in which the quickstart was run for a few epochs, and what that printed."""
    folder = tmp_path_factory.mktemp("a run")
    settings = ["--config", "configs/quickstart.yaml", "--set", "train.epochs=6"]
    return folder, verb("train", *settings, cwd=folder, check=0)
