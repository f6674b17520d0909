"""What a run is: every key of a config with its type, its default and what it may be.

A config is immutable, and checked completely when it is made. ``docs/config.md`` lists every key.
"""

import os
from typing import Any, ClassVar, Dict, Iterator, List, Optional, Tuple, Type, Union

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)
from pydantic.fields import FieldInfo
from typing_extensions import Annotated, Literal, get_args, get_origin

PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
# Not empty, and without the NUL that no file name can hold; ~ is the home folder.
PathText = Annotated[
    str, Field(min_length=1, pattern=r"^[^\x00]+$"), AfterValidator(os.path.expanduser)
]


class Section(BaseModel):
    """Keys that belong together; no other is allowed."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, protected_namespaces=(),
        # Predicting needs one of the sections: each is made ready when it is first used.
        defer_build=True,
    )  # fmt: skip


class LoaderConfig(Section):
    """How ``fluid.io.DataLoader.from_generator`` is fed, and its parameters that do something."""

    mode: Literal["batch_generator", "sample_list_generator", "sync"] = "batch_generator"
    capacity: Annotated[int, Field(gt=0, le=10_000)] = 8
    use_double_buffer: bool = True


class AugmentationConfig(Section):
    """How strongly training images are distorted; all zero: not at all.

    ``shift`` is in pixels, ``rotation`` in degrees, ``scaling`` and ``shear`` in parts, all of
    them the most that is drawn; ``elastic`` is the standard deviation, in pixels, of random
    displacements on a grid of ``elastic_grid``² points over the image.
    """

    shift: Annotated[float, Field(ge=0, le=14)] = 0.0
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    scaling: Annotated[float, Field(ge=0, le=1)] = 0.0
    shear: Annotated[float, Field(ge=0, le=1)] = 0.0
    elastic: Annotated[float, Field(ge=0, le=14)] = 0.0
    elastic_grid: Annotated[int, Field(ge=2, le=28)] = 4

    @property
    def active(self) -> bool:
        """Whether anything is distorted at all."""
        return any((self.shift, self.rotation, self.scaling, self.shear, self.elastic))


class DataConfig(Section):
    """Which data set, how it is cut into batches, and how its training images are distorted."""

    path: PathText = "data/mnist.json.gz"
    fallback: Optional[PathText] = None
    prepare: bool = True
    cache: bool = True
    batch_size: Annotated[int, Field(gt=0, le=1_000_000)] = 100
    augmentation: AugmentationConfig = AugmentationConfig()
    loader: LoaderConfig = LoaderConfig()


Loss = Literal["softmax_cross_entropy", "square_error"]
Activation = Literal["relu", "sigmoid", "tanh"]


class _Model(Section):
    dropout: Fraction = 0.0
    loss: Loss = "softmax_cross_entropy"


def _require_difference(ends: List[float]) -> List[float]:
    if ends[0] == ends[1]:
        raise ValueError("must be two numbers that differ")
    return ends


# What a blank pixel and one full of ink are to the model.
InputRange = Annotated[
    List[Annotated[float, Field(ge=-1e6, le=1e6)]],
    Field(min_length=2, max_length=2),
    AfterValidator(_require_difference),
]


class FcConfig(_Model):
    """Fully connected layers; with no hidden ones, softmax regression."""

    name: Literal["fc"] = "fc"
    hidden_sizes: List[PositiveInt] = [200, 100]
    activation: Activation = "relu"
    input_range: InputRange = [0.0, 1.0]


class LenetConfig(_Model):
    """The course's network: two 5×5 convolutions, each padded, with activation and pooling."""

    name: Literal["lenet"] = "lenet"
    filters: Annotated[List[PositiveInt], Field(min_length=2, max_length=2)] = [20, 20]
    paddings: Annotated[List[Literal[0, 2]], Field(min_length=2, max_length=2)] = [2, 2]
    hidden_sizes: List[PositiveInt] = []
    activation: Activation = "relu"
    pooling: Literal["max", "avg"] = "max"
    input_range: InputRange = [0.0, 1.0]


class Lenet5Config(_Model):
    """LeNet-5's layout of 1998: 6 and 16 filters, then 120, 84 and 10 units."""

    name: Literal["lenet5"] = "lenet5"
    activation: Activation = "relu"


class ConvNetConfig(_Model):
    """Five convolutions with batch normalisation: 5×5, then 3×3, two poolings, one dense layer."""

    name: Literal["convnet"] = "convnet"
    filters: Annotated[List[PositiveInt], Field(min_length=5, max_length=5)] = [16, 32, 32, 48, 64]
    activation: Activation = "relu"


class EmbeddingConfig(_Model):
    """Ink as tokens: one ``Embedding`` row for each (position, grey level of the ink)."""

    name: Literal["embedding"] = "embedding"
    levels: Annotated[int, Field(ge=2, le=256)] = 4
    embedding_size: PositiveInt = 64
    scale: PositiveFloat = 0.05


# How a config, and a complaint about one, spells the name of a model in a file of the user's.
OWN = "MODULE:LAYER"


class OwnConfig(Section):
    """``my_models:Wide``: a ``Layer`` in the user's my_models.py, made with ``options``."""

    dropout: ClassVar[float] = 0.0

    name: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*:[A-Za-z_]\w*$")] = OWN
    options: Dict[str, Any] = {}
    loss: Loss = "softmax_cross_entropy"


def kind_of(name: Any) -> str:
    """The name in ``CHOICES`` of what ``name`` names there."""
    return OWN if ":" in str(name) else str(name)


def _tag_of(model: Any) -> str:
    return kind_of(model.get("name") if isinstance(model, dict) else getattr(model, "name", None))


ModelConfig = Annotated[
    Union[
        Annotated[FcConfig, Tag("fc")],
        Annotated[LenetConfig, Tag("lenet")],
        Annotated[Lenet5Config, Tag("lenet5")],
        Annotated[ConvNetConfig, Tag("convnet")],
        Annotated[EmbeddingConfig, Tag("embedding")],
        Annotated[OwnConfig, Tag(OWN)],
    ],
    Field(discriminator=Discriminator(_tag_of)),
]


class _Schedule(Section):
    warmup_steps: Annotated[int, Field(ge=0)] = 0


class ConstantSchedule(_Schedule):
    """The learning rate as given (after the warm-up, if any)."""

    name: Literal["constant"] = "constant"


class PolynomialSchedule(_Schedule):
    """``PolynomialDecay`` over the whole run, down to ``end_learning_rate``."""

    name: Literal["polynomial"] = "polynomial"
    end_learning_rate: NonNegativeFloat = 0.0
    power: PositiveFloat = 1.0


class CosineSchedule(_Schedule):
    """Half a cosine over the whole run, down to zero."""

    name: Literal["cosine"] = "cosine"


class PiecewiseSchedule(_Schedule):
    """``factors[i]`` times the learning rate between ``boundaries[i-1]`` and ``[i]``, in epochs."""

    name: Literal["piecewise"] = "piecewise"
    boundaries: List[PositiveFloat]
    factors: List[PositiveFloat]

    @model_validator(mode="after")
    def _check(self) -> "PiecewiseSchedule":
        if self.boundaries != sorted(set(self.boundaries)):
            raise ValueError("boundaries must rise")
        if len(self.factors) != len(self.boundaries) + 1:
            raise ValueError("factors must be one more than boundaries")
        return self


ScheduleConfig = Annotated[
    Union[ConstantSchedule, PolynomialSchedule, CosineSchedule, PiecewiseSchedule],
    Field(discriminator="name"),
]


class _Optimizer(Section):
    l2_decay: NonNegativeFloat = 0.0
    clip_norm: Optional[PositiveFloat] = None
    schedule: ScheduleConfig = ConstantSchedule()


class SgdConfig(_Optimizer):
    """Plain stochastic gradient descent."""

    name: Literal["sgd"] = "sgd"
    learning_rate: PositiveFloat = 0.1


class MomentumConfig(_Optimizer):
    """SGD with (optionally Nesterov) momentum."""

    name: Literal["momentum"] = "momentum"
    learning_rate: PositiveFloat = 0.05
    momentum: Fraction = 0.9
    use_nesterov: bool = False


class AdagradConfig(_Optimizer):
    """Adagrad (Duchi et al. 2011)."""

    name: Literal["adagrad"] = "adagrad"
    learning_rate: PositiveFloat = 0.02
    epsilon: PositiveFloat = 1e-6


class AdamConfig(_Optimizer):
    """Adam (Kingma and Ba 2015)."""

    name: Literal["adam"] = "adam"
    learning_rate: PositiveFloat = 0.001
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    epsilon: PositiveFloat = 1e-8


OptimizerConfig = Annotated[
    Union[SgdConfig, MomentumConfig, AdagradConfig, AdamConfig], Field(discriminator="name")
]


class TrainConfig(Section):
    """How long, from which seed, and what is done to labels and weights on the way.

    ``averaging_decay``: evaluate and save an exponential moving average of the weights with
    this decay a step; None: the weights themselves. ``teachers`` are checkpoints whose
    probabilities are what is learnt, instead of the labels.
    """

    epochs: Annotated[int, Field(gt=0, le=100_000)] = 5
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    early_stopping_patience: Optional[PositiveInt] = None
    label_smoothing: Fraction = 0.0
    averaging_decay: Optional[Fraction] = None
    teachers: List[PathText] = []


class ParallelConfig(Section):
    """How many processes train together, each on its share of every batch."""

    workers: Annotated[int, Field(gt=0, le=1024)] = 1
    # Seconds that one of them waits for the others in a step before it takes them for lost.
    timeout: Annotated[float, Field(ge=1, le=86400)] = 120.0


class DeviceConfig(Section):
    """Where the run computes. ``threads`` are CPU threads of one process.

    ``kernels``: convolutions and norms by our own C (``mnist.kernels``) or Paddle's operators.
    """

    place: Literal["cpu", "gpu", "auto"] = "cpu"
    gpu_id: Annotated[int, Field(ge=0, le=1023)] = 0
    fallback: Optional[Literal["cpu"]] = None
    kernels: Literal["auto", "fluid", "c"] = "auto"
    threads: Annotated[int, Field(gt=0, le=1024)] = 1


class CheckpointConfig(Section):
    """Where checkpoints go, and how many stay. ``best`` and ``latest`` always stay.

    ``on_failure``: what a save that the disk refuses does to the run, end it or be passed
    over with a warning.
    """

    dir: PathText = "checkpoints"
    every_steps: Optional[PositiveInt] = None
    keep_last: Optional[PositiveInt] = 10
    on_failure: Literal["stop", "warn"] = "stop"


class LogConfig(Section):
    """Where TensorBoard's event files go, and how often what is drawn; null: never.

    Steps are batches. ``projector_points`` are digits of eval, at the end.
    """

    dir: PathText = "log/data"
    every_steps: PositiveInt = 100
    norms_every_steps: Optional[PositiveInt] = 100
    pictures_every_epochs: Optional[PositiveInt] = 1
    histograms_every_epochs: Optional[PositiveInt] = 1
    projector_points: Optional[Annotated[int, Field(gt=1, le=5000)]] = 1000
    graph: bool = True
    hparams: bool = True


class Config(Section):
    """A whole run."""

    data: DataConfig = DataConfig()
    model: ModelConfig = LenetConfig()
    optimizer: OptimizerConfig = AdamConfig()
    train: TrainConfig = TrainConfig()
    device: DeviceConfig = DeviceConfig()
    parallel: ParallelConfig = ParallelConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    log: LogConfig = LogConfig()

    @model_validator(mode="after")
    def _check(self) -> "Config":
        schedule = self.optimizer.schedule
        end = schedule.end_learning_rate if isinstance(schedule, PolynomialSchedule) else 0.0
        if end > self.optimizer.learning_rate:
            raise ValueError(
                f"optimizer.schedule.end_learning_rate ({end}) must not be above"
                f" optimizer.learning_rate ({self.optimizer.learning_rate})"
            )
        if self.train.teachers and self.model.loss != "softmax_cross_entropy":
            raise ValueError("train.teachers needs model.loss: softmax_cross_entropy")
        if self.train.teachers and self.train.label_smoothing:
            raise ValueError("train.teachers give the targets: train.label_smoothing must be 0")
        return self


def _kinds_of(field: FieldInfo) -> List[Type[Section]]:
    kinds = get_args(field.annotation)
    # A kind may come with the tag that tells it apart.
    return [get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in kinds]


_CHOICE_FIELDS = {
    "model": Config.model_fields["model"],
    "optimizer": Config.model_fields["optimizer"],
    "optimizer.schedule": _Optimizer.model_fields["schedule"],
}
# The sections whose other keys depend on their ``name``, and the names that they have by default.
CHOICES: Dict[str, Dict[str, Type[Section]]] = {
    path: {kind.model_fields["name"].default: kind for kind in _kinds_of(field)}
    for path, field in _CHOICE_FIELDS.items()
}
DEFAULT_NAMES: Dict[str, str] = {path: f.default.name for path, f in _CHOICE_FIELDS.items()}

# What a run may change when it goes on from a checkpoint and still be the same run, number
# for number: where things lie and how they are shown.
FREE_ON_RESUME = (
    "data.path", "data.fallback", "data.prepare", "data.cache", "data.loader",
    "train.early_stopping_patience", "train.teachers", "device.fallback", "device.gpu_id",
    "device.kernels", "parallel", "checkpoint", "log",
)  # fmt: skip


def flatten(config: Config) -> Dict[str, Any]:
    """Every key in dotted form with its value: ``{"data.batch_size": 100, …}``."""
    return dict(dotted(config.model_dump()))


def differences(saved: Config, given: Config) -> List[Tuple[str, Any, Any]]:
    """The keys that two configs disagree on: (dotted key, saved value, given value)."""
    ours, theirs = flatten(saved), flatten(given)
    pairs = ((key, ours.get(key), theirs.get(key)) for key in {**ours, **theirs})
    return [pair for pair in pairs if pair[1] != pair[2]]


def changes(saved: Config, given: Config) -> List[Tuple[str, Any, Any]]:
    """The differences that make a run that goes on a different run."""
    return [each for each in differences(saved, given) if changes_the_run(each[0], given)]


def changes_the_run(key: str, config: Config) -> bool:
    """Whether another value of ``key`` makes a run that goes on a different run."""
    if key == "train.epochs":
        # A longer run is the same run as far as it goes, unless its schedule is
        # stretched over the whole of it.
        return config.optimizer.schedule.name in ("polynomial", "cosine")
    return not any(key == free or key.startswith(free + ".") for free in FREE_ON_RESUME)


def dotted(values: Dict[str, Any], path: str = "") -> Iterator[Tuple[str, Any]]:
    """(dotted key, value) of sections inside sections."""
    for name, inner in values.items():
        key = f"{path}.{name}" if path else str(name)
        if isinstance(inner, dict) and inner:
            yield from dotted(inner, key)
        else:
            yield key, inner
