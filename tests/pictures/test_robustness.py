"""What people write and photograph is read, what is no digit is refused, by ``data/pretrained``.

By default a few pictures of some kinds are tried; the slow tests hold the targets of
tests/material/targets.py over everything that ``benchmarks/robustness.py`` prints.
"""

from functools import lru_cache
from statistics import mean

import pytest

from tests.material import fonts, measure, reader, scenes, targets
from tests.material.dresses import DRESSES
from tests.material.mnist_c import CORRUPTIONS
from tests.material.scenes.nothing import FASHION
from tests.material.scenes.sheets import SHEETS

COUNT = 100
FONTS_COUNT = 40
FEW = 30
# So few may do a little worse than all.
SHARE_OF_FEW = 0.9

needs_mnist = pytest.mark.skipif(
    not reader.MNIST.exists(), reason="data/mnist.json.gz is not there; mnist.prepare makes it"
)

# Kinds that are read today, a few of each group; to be widened with the reading.
SAMPLE = [
    "crumpled paper", "brown envelope", "folded paper", "blackboard", "whiteboard", "fax",
    "ball pen", "pencil", "dotted", "coffee ring", "with a full stop", "coloured light",
    "seen askew", "JPEG turned by EXIF", "transparent PNG", "dark mode", "calendar leaf",
]  # fmt: skip
REFUSED_SAMPLE = ["textures", "blank in one colour"]


@pytest.mark.parametrize("dress", sorted(DRESSES))
def test_real_handwriting_is_read(dress):
    found = measure.dresses_part(dress, 0, 40, reader.PRETRAINED)
    assert found.share >= SHARE_OF_FEW


@needs_mnist
@pytest.mark.parametrize("name", SAMPLE)
def test_everyday_pictures_are_read(name):
    found = measure.scenes_part(name, 0, FEW, reader.PRETRAINED)
    assert found.share >= SHARE_OF_FEW and found.no_ink == 0


@needs_mnist
@pytest.mark.parametrize("name", REFUSED_SAMPLE)
def test_what_is_no_digit_is_refused(name):
    found = measure.scenes_part(name, 0, FEW, reader.PRETRAINED)
    assert found.share_refused >= SHARE_OF_FEW


@needs_mnist
@pytest.mark.parametrize("name", sorted(measure.PLAIN))
def test_mnists_own_digits_are_read_from_files(name):
    found = measure.plain_part(name, 0, 200, reader.PRETRAINED)
    assert found.share >= 0.98 and found.no_ink == 0


@needs_mnist
def test_sheets_of_lines_are_found_and_read():
    found = measure.sheets_part("lines", 0, 3, reader.PRETRAINED)
    assert min(found.found, found.boxes_right, found.read) >= 0.95 * found.n


# --- all of it, for as many minutes as that takes --------------------------------------


@pytest.fixture(scope="module")
def measured():
    """Measures a kind on all cores, once."""
    with measure.Measurer() as measurer:

        @lru_cache(maxsize=None)
        def once(part, name, count, chunk=measure.CHUNK):
            return measurer.start(part, name, count, chunk)()

        yield once


def of_scene(measured, kind):
    count = FONTS_COUNT if kind.group == "fonts" else COUNT
    return measured(measure.scenes_part, kind.name, count)


def of_kinds(measured, kinds):
    return [of_scene(measured, kind) for kind in kinds]


def in_group(kinds, group):
    return [kind for kind in kinds.values() if kind.group == group]


GROUPS = sorted({kind.group for kind in scenes.KINDS.values()})


@pytest.mark.slow
@pytest.mark.parametrize("dress", sorted(DRESSES))
def test_all_the_handwriting_is_read_in_every_dress(measured, dress):
    found = measured(measure.dresses_part, dress, 1797, 100)
    assert found.n == 1797 and found.share >= targets.DRESSES.each


@needs_mnist
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(scenes.KINDS))
def test_every_kind_is_read(measured, name):
    kind = scenes.KINDS[name]
    assert of_scene(measured, kind).share >= targets.of(kind.group).each


@needs_mnist
@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_the_kinds_of_a_group_are_read_in_the_mean(measured, group):
    found = of_kinds(measured, in_group(scenes.KINDS, group))
    assert mean(one.share for one in found) >= targets.of(group).mean


@needs_mnist
@pytest.mark.slow
def test_there_are_30_fonts():
    if fonts.missing():
        pytest.skip(f"fonts of these packages are not installed: {' '.join(fonts.missing())}")
    assert len(in_group(scenes.KINDS, "fonts")) >= 30


@needs_mnist
@pytest.mark.slow
def test_ink_is_nearly_always_found_and_errors_are_nearly_always_doubted(measured):
    found = measure.total(of_kinds(measured, scenes.KINDS.values()))
    assert found.no_ink <= targets.MOST_NO_INK * found.n
    assert found.wrong_and_sure <= targets.MOST_WRONG_AND_SURE * found.n


@needs_mnist
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(measure.PLAIN))
def test_all_of_mnists_eval_is_read_from_files(measured, name):
    found = measured(measure.plain_part, name, 10_000, 250)
    assert found.share >= targets.PLAIN and found.no_ink <= targets.PLAIN_NO_INK
    assert found.share_refused <= targets.MOST_EVAL_REFUSED


@needs_mnist
@pytest.mark.slow
def test_corrupted_digits_are_read(measured):
    found = [measured(measure.corrupted_part, name, 1000, 100) for name in CORRUPTIONS]
    straight, files = ([pair[i].share for pair in found] for i in (0, 1))
    assert min(*straight, *files) >= targets.CORRUPTED_WORST
    assert mean(straight) >= targets.CORRUPTED_MODEL and mean(files) >= targets.CORRUPTED_FILES


@needs_mnist
@pytest.mark.slow
def test_the_digits_of_sheets_are_found_and_read(measured):
    sheets = {name: measured(measure.sheets_part, name, COUNT, 5) for name in SHEETS}
    found = measure.total(list(sheets.values()))
    assert found.found >= targets.SHEETS.found * found.n
    assert found.boxes_right >= targets.SHEETS.rightly * found.boxes
    assert found.read >= targets.SHEETS.read * found.n
    touching = sheets["touching"]
    assert touching.read >= targets.TOUCHING_READ * touching.n


def kinds_to_refuse(group):
    if group == "Fashion-MNIST" and not FASHION.exists():
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    if group == "letters" and not fonts.installed():
        pytest.skip(f"no font is installed of {' '.join(fonts.missing())}")
    return in_group(scenes.NO_DIGITS, group)


@needs_mnist
@pytest.mark.slow
@pytest.mark.parametrize("group", sorted(targets.REFUSED))
def test_pictures_of_no_digit_are_refused(measured, group):
    for kind, found in [(kind, of_scene(measured, kind)) for kind in kinds_to_refuse(group)]:
        assert found.share_refused >= targets.REFUSED[group], kind.name
        if group == "several":
            assert found.several >= targets.REFUSED[group] * found.n, kind.name


@needs_mnist
@pytest.mark.slow
@pytest.mark.parametrize("group", sorted(targets.AUROC))
def test_scores_tell_digits_from_others(measured, group):
    digits = measured(measure.plain_part, "as it is", 10_000, 250)
    others = measure.total(of_kinds(measured, kinds_to_refuse(group)))
    assert measure.auroc(digits.scores, others.scores) >= targets.AUROC[group]


@pytest.mark.slow
def test_hardly_any_of_the_bundled_digits_is_refused(measured):
    found = measured(measure.dresses_part, "large", 1797, 100)
    assert found.share_refused <= targets.MOST_BUNDLED_REFUSED
