"""What ``mnist.train`` prints: summary, progress, epoch lines, closing table.

A progress bar with speed, loss and time to go on a terminal; plain lines elsewhere.
"""

import time
from typing import Any, List, Optional, Tuple

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from mnist.base.console import make_console, make_progress, make_table, percent, print_table
from mnist.checkpoints.records import EpochRecord, best_record

_SECONDS_BETWEEN_DRAWINGS = 0.1


class Reporter:
    """Tells the user how a run goes. Use as a context manager."""

    def __init__(
        self, epochs: int, steps_per_epoch: int, plain_every: int, prints: bool = True
    ) -> None:
        self._console = make_console()
        self._console.quiet = not prints
        self._epochs = epochs
        self._steps_per_epoch = steps_per_epoch
        self._plain_every = plain_every
        self._bar = make_progress(
            self._console,
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}  {task.fields[speed]:,.0f} images/s"),
            TimeRemainingColumn(),
        )
        self._task: Optional[Any] = None
        self._drawn = 0.0

    def __enter__(self) -> "Reporter":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def line(self, text: str) -> None:
        """Print one line, above the progress bar where there is one."""
        self._console.print(text)

    def model(self, name: str, rows: List[Tuple[str, str, int]], total: int) -> None:
        """The layers that have parameters, with their shapes and counts."""
        table = make_table("layer", "weight and bias", "parameters")
        for layer, shapes, count in rows:
            table.add_row(layer, shapes, f"{count:,}")
        print_table(self._console, f"{name}: {total:,} parameters", table)

    def begin_epoch(self, epoch: int, step: int) -> None:
        """An epoch starts, or goes on after ``step`` of its batches."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(
            "",
            total=self._steps_per_epoch,
            completed=step,
            epoch=f"{epoch}/{self._epochs}",
            loss=0.0,
            speed=0.0,
        )

    def step(self, epoch: int, step: int, loss: float, speed: float) -> None:
        """One more batch is trained; ``step`` counts within the epoch."""
        if self._console.is_terminal:
            self._draw(step, loss, speed)
        elif step % self._plain_every == 0:
            self.line(
                f"epoch {epoch}/{self._epochs}  step {step}/{self._steps_per_epoch}"
                f"  loss {loss:.4f}  {speed:,.0f} images/s"
            )

    def _draw(self, step: int, loss: float, speed: float) -> None:
        now = time.perf_counter()
        if self._task is None or now - self._drawn < _SECONDS_BETWEEN_DRAWINGS:
            return
        self._drawn = now
        self._bar.update(self._task, completed=step, loss=loss, speed=speed)

    def epoch(self, record: EpochRecord, is_best: bool) -> None:
        """An epoch is finished and evaluated on valid."""
        self.line(
            f"epoch {record.epoch}/{self._epochs}"
            f"  train loss {record.train_loss:.4f} accuracy {percent(record.train_accuracy)}"
            f"  valid loss {record.valid_loss:.4f} accuracy {percent(record.valid_accuracy)}"
            f"  {record.seconds:.1f} s" + ("  best so far" if is_best else "")
        )

    def closing_table(self, history: List[EpochRecord], notes: List[Tuple[str, str]]) -> None:
        """Every epoch, the best one marked, and where things were written."""
        best = best_record(history)
        table = make_table(
            *("epoch", "train\nloss", "train\naccuracy", "valid\nloss", "valid\naccuracy"),
            *("learning\nrate", "images\nper s", "seconds"),
        )
        for record in history:
            table.add_row(
                f"{record.epoch}{' *' if record is best else ''}",
                f"{record.train_loss:.4f}",
                percent(record.train_accuracy),
                f"{record.valid_loss:.4f}",
                percent(record.valid_accuracy),
                f"{record.learning_rate:.2g}",
                f"{record.images_per_second:,.0f}",
                f"{record.seconds:.1f}",
            )
        print_table(self._console, "The run (* best on valid)", table)
        width = max(len(name) for name, _ in notes)
        for name, text in notes:
            self.line(f"{name:<{width}}  {text}")
