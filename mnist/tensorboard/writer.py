"""TensorBoard: event files through tb-paddle, each step in them once.

tb-paddle 0.4.0 names a file after the second it was opened in, so that two writers in one
second overwrite each other; writes on a thread that a full disk ends, whereupon its flush hangs;
and cannot purge what a killed run wrote beyond the checkpoint it is resumed from. So its summaries
go straight into its file here, without its thread, and are purged.
"""

import os
import time
from pathlib import Path
from textwrap import indent
from typing import Any, Callable, Dict, List, Sequence

import cv2
import numpy as np
from tb_paddle import hparams_summary, summary
from tb_paddle.event_file_writer import EventsWriter
from tb_paddle.hparams_summary import Discrete, HParam, Metric
from tb_paddle.paddle_graph import paddle_graph
from tb_paddle.proto import api_pb2
from tb_paddle.proto.event_pb2 import Event
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

_WAY_OUT = "name another folder with --set log.dir=…"
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
        self._ended = False
        with failing_as(f"{folder}: curves cannot be written; {_WAY_OUT}"):
            self.is_new = not reader.event_files(folder)
            folder.mkdir(parents=True, exist_ok=True)
            # Sorts by time within the second, and no two processes share it.
            suffix = f".{time.time_ns()}.{os.getpid()}"
            self._events = EventsWriter(str(folder / "events"), suffix)

    def scalars(self, values: Dict[str, float], step: int) -> None:
        """Add one point to each named curve."""
        points = [Summary.Value(tag=tag, simple_value=float(values[tag])) for tag in values]
        self._add(points, step)

    def histograms(self, arrays: Arrays, step: int) -> None:
        """Add how the finite numbers of each named array are spread; none without any."""
        values: List[Any] = []
        for name, array in arrays.items():
            numbers = array[np.isfinite(array)]
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

    def precision_recall(self, name: str, truth: Array, scores: Array, step: int) -> None:
        """Add a precision-recall curve; truth (bool) and scores (0–1) are ``[N]``."""
        self._add(summary.pr_curve(name, truth, scores, _THRESHOLDS).value, step)

    def graph(self, program: Any) -> None:
        """Add a static ``Program`` as the run's graph."""
        graph = paddle_graph(program, echo_vars=True).SerializeToString()
        self._attempt(self._write, Event(graph_def=graph))

    def hyperparameters(self, values: Dict[str, hparams.Value]) -> None:
        """Make the run a row of TensorBoard's table of runs, called as its curves are."""
        columns = [HParam(key, Discrete([], kind)) for key, kind in hparams.columns().items()]
        metrics = [Metric(tag) for tag in hparams.METRICS]
        self._add(hparams_summary.hparams_config_pb(columns, metrics).value, 0)
        # Runs with one name for their group would be averaged; without, each is its own.
        self._add(hparams_summary.hparams_pb(values, trial_id="").value, 0)

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
        self._add(summary.text(name, indent(content, "    ")).value, step)

    def close(self) -> None:
        """Flush and close; every point is on disk afterwards."""
        self._attempt(self._events.close)

    def _add(self, values: Sequence[Any], step: int) -> None:
        """One event for all of them; it is in the file then, whatever kills the process."""
        self._attempt(self._write, Event(summary=Summary(value=values), step=step))

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._events.write_event(event)
        self._events.flush()

    def _attempt(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call, unless an error has ended the curves, which is told once."""
        if self._ended:
            return
        try:
            call(*arguments)
        except (OSError, Failure) as error:
            self._ended = True
            reason = getattr(error, "strerror", None) or error
            notes.warn(f"{self._folder}: curves are not written any more ({reason})")


def set_aside(folder: Path, name: str) -> bool:
    """Move an earlier run's files to the sub-folder ``name``; False if there are none.

    TensorBoard shows a sub-folder as a run of its own, so nothing is lost from sight. Raises
    Failure for what the disk refuses.
    """
    target = folder / name
    with failing_as(f"{folder}: curves of an earlier run cannot be moved to {name}; {_WAY_OUT}"):
        earlier = [*projector.files_in(folder), *reader.event_files(folder)]
        for path in earlier:
            target.mkdir(exist_ok=True)
            path.rename(target / path.name)
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
