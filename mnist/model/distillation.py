"""Distillation: training on what other models, the teachers, make of each image.

After Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network". A teacher is
any checkpoint. It sees the very batch that is trained on, distorted as it is, in evaluation mode.
"""

from pathlib import Path
from typing import Any, List, Optional

import numpy as np

from mnist.base.errors import InputError
from mnist.base.files import sha256_of
from mnist.checkpoints import course_pairs, reading
from mnist.checkpoints.records import PARAMETERS
from mnist.config import Config
from mnist.config.classes import Classes
from mnist.fluid.door import fluid, to_variable
from mnist.fluid.processes import ALONE, Group
from mnist.model import losses
from mnist.model.opening import find_checkpoint, open_checkpoint
from mnist.model.restore import load_model


def digests(config: Config, classes: Classes) -> List[str]:
    """The SHA-256 of each teacher's file of parameters; InputError for one that cannot be used."""
    try:
        sources = [open_checkpoint(name) for name in config.train.teachers]
    except InputError as error:
        raise InputError(f"train.teachers: {error}") from error
    for source in sources:
        if tuple(source.classes) != tuple(classes):
            names = ", ".join(source.classes)
            raise InputError(f"train.teachers: {source.named} tells apart other classes: {names}")
        if source.path.resolve().parent == Path(config.checkpoint.dir).resolve():
            raise InputError(
                f"train.teachers: {source.named} is in checkpoint.dir, where this run's own"
                " checkpoints go; name another folder with --set checkpoint.dir=…"
            )
    pair = course_pairs.PARAMETERS
    return [
        sha256_of(source.path / PARAMETERS if source.state else f"{source.path}{pair}")
        for source in sources
    ]


class Teachers:
    """A run's teachers, none or several. Must be made inside ``fluid.dygraph.guard``."""

    def __init__(self, config: Config, group: Group = ALONE) -> None:
        names = config.train.teachers
        sources = group.from_main(lambda: [reading.load(find_checkpoint(name)) for name in names])
        # The kernels need not be able to compute a teacher, though they must the model.
        kernels = "auto" if config.device.kernels == "c" else config.device.kernels
        device = config.device.model_copy(update={"kernels": kernels})
        # Evaluation mode switches autograd off in the whole process, but in here only.
        with fluid.dygraph.no_grad():
            self.models = [load_model(source, device) for source in sources]

    def targets(self, images: Any) -> Optional[Any]:
        """The mean of the teachers' probabilities, float32 ``[B,10]``; None without teachers.

        ``images`` are float32 ``[B,1,28,28]``.
        """
        if not self.models:
            return None
        with fluid.dygraph.no_grad():
            outputs = [(model.config.loss, model(images).numpy()) for model in self.models]
        each = [losses.probabilities(*output) for output in outputs]
        return to_variable(np.mean(each, axis=0).astype(np.float32))
