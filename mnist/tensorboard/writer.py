"""TensorBoard: event files through tb-paddle, each step in them once.

tb-paddle 0.4.0 names a file after the second it was opened in, so that two writers in one
second overwrite each other, and cannot purge what a killed run wrote beyond the checkpoint
it is resumed from. Both are mended here.
"""

import os
import re
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple, Union

import cv2
import numpy as np
from tb_paddle import SummaryWriter, hparams_summary, summary
from tb_paddle.hparams_summary import Discrete, HParam, Metric
from tb_paddle.proto import api_pb2
from tb_paddle.proto.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
from tb_paddle.proto.summary_pb2 import Summary

from mnist.base import notes
from mnist.base.arrays import Array, Arrays
from mnist.base.errors import Failure, failing_as
from mnist.base.files import atomic_write, open_input
from mnist.tensorboard import hparams, projector, reader

# What is drawn once an epoch's training is over, or the whole run's, by its tag.
_OF_VALID = ("valid",)
_END_OF_SESSION = "_hparams_/session_end_info"
_OF_THE_END = ("eval", _END_OF_SESSION)

_BINS = 64  # of a histogram; TensorBoard draws 30
_THRESHOLDS = 64  # of a precision-recall curve
_PNG_EFFORT = 3  # of 9; more takes longer than it saves in writing


class Tracker:
    """Writes what a run shows to ``folder``; steps count the batches trained so far.

    A disk that fills up ends the curves, with a warning, and not the training. Names of
    what is drawn on valid begin with ``valid``, on eval with ``eval`` (see ``purge_after``).
    ``is_new``: whether the folder had no events of this run yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._error: Union[OSError, Failure, None] = None
        self._told = False
        self._together = False
        try:
            self.is_new = not reader.event_files(folder)
            folder.mkdir(parents=True, exist_ok=True)
            # Sorts by time within the second, and no two processes share it.
            suffix = f".{time.time_ns()}.{os.getpid()}"
            self._writer = SummaryWriter(str(folder), filename_suffix=suffix)
        except OSError as error:
            raise Failure(
                f"{folder}: curves cannot be written ({error.strerror});"
                " name another folder with --set log.dir=…"
            ) from error
        self._keep_the_writers_thread_alive()

    def scalars(self, values: Dict[str, float], step: int) -> None:
        """Add one point to each named curve."""
        points = [Summary.Value(tag=tag, simple_value=float(values[tag])) for tag in values]
        self._add(points, step)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Wait for the writer's thread once, at the end, for all that is added inside.

        Otherwise each call returns when it is in the file, whatever kills the process then.
        """
        self._together = True
        try:
            yield
        finally:
            self._together = False
            self._attempt(self._writer.flush)

    def histograms(self, arrays: Arrays, step: int) -> None:
        """Add how the finite numbers of each named array are spread; none without any."""
        values: List[Any] = []
        for name, array in arrays.items():
            is_finite = np.isfinite(array)
            numbers = array if is_finite.all() else array[is_finite]
            if numbers.size:
                values += summary.histogram(name, numbers, _BINS).value
        self._add(values, step)

    def image(self, name: str, pixels: Array, step: int) -> None:
        """Add a picture: grey, uint8 ``[H,W]``, or colours, uint8 ``[H,W,3]``, red first.

        Packed here: tb-paddle makes three channels of one and scales every picture.
        """
        turned = pixels[..., ::-1] if pixels.ndim == 3 else pixels
        png = cv2.imencode(".png", turned, [cv2.IMWRITE_PNG_COMPRESSION, _PNG_EFFORT])[1]
        image = Summary.Image(encoded_image_string=png.tobytes())
        image.height, image.width, *channels = pixels.shape
        image.colorspace = 3 if channels else 1
        self._add([Summary.Value(tag=name, image=image)], step)

    def precision_recall(self, truths: Arrays, scores: Arrays, step: int) -> None:
        """Add a precision-recall curve under each name; truths and scores (0–1) are ``[N]``."""
        values: List[Any] = []
        for name, truth in truths.items():
            table = precision_recall_table(truth, scores[name])
            values += summary.pr_curve_raw(name, *table, _THRESHOLDS).value
        self._add(values, step)

    def graph(self, program: Any) -> None:
        """Add a static ``Program`` as the run's graph."""
        self._attempt(self._writer.add_paddle_graph, program)

    def charts(self, layout: Dict[str, Dict[str, Sequence[str]]]) -> None:
        """Draw several curves in one chart: ``{category: {chart: names of curves}}``."""
        lines = {
            category: {
                chart: ["Multiline", list(map(re.escape, names))] for chart, names in charts.items()
            }
            for category, charts in layout.items()
        }
        self._attempt(self._writer.add_custom_scalars, lines)

    def hyperparameters(self, values: Dict[str, hparams.Value], name: str) -> None:
        """Make the run a row, called ``name``, of TensorBoard's table of runs."""
        columns = [HParam(key, _domain(column)) for key, column in hparams.columns().items()]
        metrics = [Metric(tag) for tag in hparams.METRICS]
        self._add(hparams_summary.hparams_config_pb(columns, metrics).value, 0)
        self._add(hparams_summary.hparams_pb(values, trial_id=name).value, 0)

    def finished(self, step: int) -> None:
        """Note in the table of runs that the run came to its end."""
        end = SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=time.time())
        content = HParamsPluginData(session_end_info=end)
        metadata = hparams_summary.create_summary_metadata(content)
        self._add([Summary.Value(tag=_END_OF_SESSION, metadata=metadata)], step)

    def vectors(self, sets: List[projector.VectorSet]) -> None:
        """Show sets of vectors in the projector; their files are there all or none."""
        self._attempt(projector.write, self._folder, sets)

    def text(self, name: str, content: str, step: int) -> None:
        """Add a text, shown as preformatted."""
        indented = "\n".join("    " + line for line in content.splitlines())
        self._attempt(self._writer.add_text, name, indented, step)

    def close(self) -> None:
        """Flush and close; every point is on disk afterwards."""
        self._attempt(self._writer.close)

    def _keep_the_writers_thread_alive(self) -> None:
        """tb-paddle writes on a thread that a disk error ends; its next flush then hangs."""
        events = self._writer.file_writer.event_writer._ev_writer
        write = events.write_event

        def write_or_keep_the_error(event: Any) -> None:
            try:
                write(event)
            except OSError as error:
                self._error = error

        events.write_event = write_or_keep_the_error

    def _add(self, values: Sequence[Any], step: int) -> None:
        """One event for all of them, which is quicker than one for each."""
        self._attempt(self._writer.file_writer.add_summary, Summary(value=values), step)
        if not self._together:
            self._attempt(self._writer.flush)

    def _attempt(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call, unless an error has ended the curves: the call's, or one of the writer's thread,
        which may come between two calls. It is told once.
        """
        if self._error is None:
            try:
                call(*arguments)
            except (OSError, Failure) as error:
                self._error = error
        if self._error is not None and not self._told:
            self._told = True
            reason = getattr(self._error, "strerror", None) or self._error
            notes.warn(f"{self._folder}: curves are not written any more ({reason})")


def precision_recall_table(truths: Array, scores: Array) -> Tuple[Array, ...]:
    """Six arrays, a number for each threshold from 0 to 1: true and false positives, true
    and false negatives, precision and recall.

    What tb-paddle computes in ``add_pr_curve``, ten times as fast.
    """
    buckets = np.floor(scores * (_THRESHOLDS - 1)).astype(np.int64)
    found, false = (
        np.bincount(buckets[chosen], minlength=_THRESHOLDS)[::-1].cumsum()[::-1]
        for chosen in (truths, ~truths)
    )
    precision, recall = found / np.maximum(found + false, 1), found / max(found[0], 1)
    return found, false, false[0] - false, found[0] - found, precision, recall


def _domain(column: hparams.Column) -> Any:
    return Discrete([], column) if isinstance(column, type) else Discrete(column, str)


def set_aside(folder: Path, name: str) -> bool:
    """Move an earlier run's files to the sub-folder ``name``; False if there are none.

    TensorBoard shows a sub-folder as a run of its own, so nothing is lost from sight. Raises
    Failure for what the disk refuses.
    """
    target = folder / name
    try:
        earlier = [*projector.files_in(folder), *reader.event_files(folder)]
        for path in earlier:
            target.mkdir(exist_ok=True)
            path.rename(target / path.name)
    except OSError as error:
        raise Failure(
            f"{folder}: curves of an earlier run cannot be moved to {name} ({error.strerror});"
            " name another folder with --set log.dir=…"
        ) from error
    return bool(earlier)


def purge_after(folder: Path, step: int, epoch_finished: bool) -> None:
    """Drop what a run going on from ``step`` will write again.

    Those are all points beyond ``step``; and at ``step`` itself the results on eval, and
    those on valid unless the epoch was finished when the checkpoint was written. The
    projector's files are made at the end of a run. Raises InputError for a file that cannot
    be read, Failure for one that cannot be written or removed.
    """
    projector.remove(folder)
    again = _OF_THE_END if epoch_finished else _OF_THE_END + _OF_VALID
    with failing_as(f"{folder}: curves cannot be gone on with"):
        for path in reader.event_files(folder):
            _purge_file(path, step, again)


def _purge_file(path: Path, step: int, again: Tuple[str, ...]) -> None:
    with open_input(path) as file:
        content = file.read()
    kept = []
    for record, event in reader.records(content):
        repeated = any(value.tag.startswith(again) for value in event.summary.value)
        if event.step < step or (event.step == step and not repeated):
            kept.append(record)
    if sum(map(len, kept)) < len(content):
        with atomic_write(path) as target:
            target.writelines(kept)
