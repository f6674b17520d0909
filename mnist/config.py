"""What a run is: the schema of a config, its YAML file and the ``--set`` overrides.

A config is read with the safe YAML loader only, checked completely before anything
else happens, and immutable afterwards. ``docs/config.md`` lists every key.
"""

import difflib
import re
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Tuple, Type, Union

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import Annotated, Literal

from mnist.errors import InputError
from mnist.files import PathLike, find_input

MAX_CONFIG_BYTES = 64 * 1024

PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
# A path: not empty, and without the NUL that no file name can hold.
Text = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")]


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, protected_namespaces=(),
        # Predicting needs one of the sections: each is made ready when it is first used.
        defer_build=True,
    )  # fmt: skip


class LoaderConfig(_Section):
    """The parameters of ``fluid.io.DataLoader.from_generator``, and how it is fed.

    ``feed_list``, ``iterable`` and ``return_list`` are handed on as they are; in dygraph
    Paddle 1.8.5 keeps the first unused and takes the other two as true, with a warning.
    """

    mode: Literal["batch_generator", "sample_list_generator", "sync"] = "batch_generator"
    feed_list: Optional[List[str]] = None
    capacity: Annotated[int, Field(gt=0, le=10_000)] = 8
    use_double_buffer: bool = True
    iterable: bool = True
    return_list: bool = True


class AugmentationConfig(_Section):
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


class DataConfig(_Section):
    """Which data set, how it is cut into batches, and how its training images are distorted."""

    path: Text = "data/mnist.json.gz"
    fallback: Optional[Text] = None
    prepare: bool = True
    cache: bool = True
    batch_size: Annotated[int, Field(gt=0, le=1_000_000)] = 100
    augmentation: AugmentationConfig = AugmentationConfig()
    loader: LoaderConfig = LoaderConfig()


Loss = Literal["softmax_cross_entropy", "square_error"]
Activation = Literal["relu", "sigmoid", "tanh"]


class FcConfig(_Section):
    """Fully connected layers; with no hidden ones, softmax regression."""

    name: Literal["fc"] = "fc"
    hidden_sizes: List[PositiveInt] = [200, 100]
    activation: Activation = "relu"
    dropout: Fraction = 0.0
    loss: Loss = "softmax_cross_entropy"


class LenetConfig(_Section):
    """The course's network: two padded 5×5 convolutions, each with ReLU and max-pooling."""

    name: Literal["lenet"] = "lenet"
    filters: Annotated[List[PositiveInt], Field(min_length=2, max_length=2)] = [20, 20]
    hidden_sizes: List[PositiveInt] = []
    dropout: Fraction = 0.0
    loss: Loss = "softmax_cross_entropy"


class Lenet5Config(_Section):
    """LeNet-5's layout of 1998: 6 and 16 filters, then 120, 84 and 10 units."""

    name: Literal["lenet5"] = "lenet5"
    activation: Activation = "relu"
    dropout: Fraction = 0.0
    loss: Loss = "softmax_cross_entropy"


class ConvNetConfig(_Section):
    """Five convolutions with batch normalisation: 5×5, then 3×3, two poolings, one dense layer."""

    name: Literal["convnet"] = "convnet"
    filters: Annotated[List[PositiveInt], Field(min_length=5, max_length=5)] = [16, 32, 32, 48, 64]
    activation: Activation = "relu"
    dropout: Fraction = 0.0
    loss: Loss = "softmax_cross_entropy"


class EmbeddingConfig(_Section):
    """Ink as tokens: one ``Embedding`` row for each (position, grey level of the ink)."""

    name: Literal["embedding"] = "embedding"
    levels: Annotated[int, Field(ge=2, le=256)] = 4
    embedding_size: PositiveInt = 64
    scale: PositiveFloat = 0.05
    dropout: Fraction = 0.0
    loss: Loss = "softmax_cross_entropy"


ModelConfig = Annotated[
    Union[FcConfig, LenetConfig, Lenet5Config, ConvNetConfig, EmbeddingConfig],
    Field(discriminator="name"),
]


class ConstantSchedule(_Section):
    """The learning rate as given (after the warm-up, if any)."""

    name: Literal["constant"] = "constant"
    warmup_steps: Annotated[int, Field(ge=0)] = 0


class PolynomialSchedule(_Section):
    """``PolynomialDecay`` over the whole run, down to ``end_learning_rate``."""

    name: Literal["polynomial"] = "polynomial"
    end_learning_rate: NonNegativeFloat = 0.0
    power: PositiveFloat = 1.0
    warmup_steps: Annotated[int, Field(ge=0)] = 0


class CosineSchedule(_Section):
    """Half a cosine over the whole run, down to zero."""

    name: Literal["cosine"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 0


class PiecewiseSchedule(_Section):
    """``factors[i]`` times the learning rate between ``boundaries[i-1]`` and ``[i]``, in epochs."""

    name: Literal["piecewise"] = "piecewise"
    boundaries: List[PositiveFloat]
    factors: List[PositiveFloat]
    warmup_steps: Annotated[int, Field(ge=0)] = 0

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


class _Optimizer(_Section):
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


class TrainConfig(_Section):
    """How long, from which seed, and what is done to labels and weights on the way.

    ``averaging_decay``: evaluate and save an exponential moving average of the weights with
    this decay a step; None: the weights themselves.
    """

    epochs: Annotated[int, Field(gt=0, le=100_000)] = 5
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    early_stopping_patience: Optional[PositiveInt] = None
    label_smoothing: Fraction = 0.0
    averaging_decay: Optional[Fraction] = None


class ParallelConfig(_Section):
    """How many processes train together, each on its share of every batch."""

    workers: Annotated[int, Field(gt=0, le=1024)] = 1


class DeviceConfig(_Section):
    """Where the run computes. ``threads`` are CPU threads of one process.

    ``kernels``: convolutions and norms by our own C (``mnist.kernels``) or Paddle's operators.
    """

    place: Literal["cpu", "gpu", "auto"] = "cpu"
    gpu_id: Annotated[int, Field(ge=0, le=1023)] = 0
    fallback: Optional[Literal["cpu"]] = None
    kernels: Literal["auto", "fluid", "c"] = "auto"
    threads: Annotated[int, Field(gt=0, le=1024)] = 1


class CheckpointConfig(_Section):
    """Where checkpoints go, and how many stay. ``best`` and ``latest`` always stay.

    ``on_failure``: what a save that the disk refuses does to the run, end it or be passed
    over with a warning.
    """

    dir: Text = "checkpoints"
    every_steps: Optional[PositiveInt] = None
    keep_last: Optional[PositiveInt] = 10
    on_failure: Literal["stop", "warn"] = "stop"


class LogConfig(_Section):
    """Where TensorBoard's event files go, and how often what is drawn; null: never.

    Steps are batches. ``projector_points`` are digits of eval, at the end.
    """

    dir: Text = "log/data"
    every_steps: PositiveInt = 100
    norms_every_steps: Optional[PositiveInt] = 100
    inputs_every_epochs: Optional[PositiveInt] = 5
    histograms_every_epochs: Optional[PositiveInt] = 1
    filters_every_epochs: Optional[PositiveInt] = 1
    confusion_every_epochs: Optional[PositiveInt] = 1
    mistakes_every_epochs: Optional[PositiveInt] = 1
    pr_curves_every_epochs: Optional[PositiveInt] = 1
    projector_points: Optional[Annotated[int, Field(gt=1, le=5000)]] = 1000
    graph: bool = True
    hparams: bool = True


class Config(_Section):
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
        return self


# The sections whose other keys depend on their ``name``.
CHOICES: Dict[str, Dict[str, Type[_Section]]] = {
    "model": {
        "fc": FcConfig,
        "lenet": LenetConfig,
        "lenet5": Lenet5Config,
        "convnet": ConvNetConfig,
        "embedding": EmbeddingConfig,
    },
    "optimizer": {
        "sgd": SgdConfig,
        "momentum": MomentumConfig,
        "adagrad": AdagradConfig,
        "adam": AdamConfig,
    },
    "optimizer.schedule": {
        "constant": ConstantSchedule,
        "polynomial": PolynomialSchedule,
        "cosine": CosineSchedule,
        "piecewise": PiecewiseSchedule,
    },
}
_DEFAULT_NAMES = {"model": "lenet", "optimizer": "adam", "optimizer.schedule": "constant"}

# What a run may change when it goes on from a checkpoint and still be the same run, number
# for number: where things lie and how they are shown.
FREE_ON_RESUME = (
    "data.path",
    "data.fallback",
    "data.prepare",
    "data.cache",
    "data.loader",
    "train.early_stopping_patience",
    "device.fallback",
    "device.gpu_id",
    "device.kernels",
    "parallel",
    "checkpoint",
    "log",
)


def load(path: PathLike, overrides: Iterable[str] = ()) -> Config:
    """Read a YAML config and apply ``key=value`` overrides in their order.

    Raises InputError naming the file, the key, the value and the nearest valid key.
    """
    source = find_input(path)
    return _build(_read_yaml(source), list(overrides), str(path))


def default(overrides: Iterable[str] = ()) -> Config:
    """The defaults of every key, with overrides applied."""
    return _build({}, list(overrides), "defaults")


def from_dict(values: Dict[str, Any], source: str, overrides: Iterable[str] = ()) -> Config:
    """A config from plain values, as a checkpoint's ``state.json`` holds them."""
    return _build(values, list(overrides), source)


def to_yaml(config: Config) -> str:
    """The whole config as YAML, every default spelt out."""
    return str(yaml.safe_dump(config.model_dump(), sort_keys=False, allow_unicode=True))


def flatten(config: Config) -> Dict[str, Any]:
    """Every key in dotted form with its value: ``{"data.batch_size": 100, …}``."""
    return dict(_flatten(config.model_dump(), ""))


def differences(saved: Config, given: Config) -> List[Tuple[str, Any, Any]]:
    """The keys that two configs disagree on: (dotted key, saved value, given value)."""
    ours, theirs = flatten(saved), flatten(given)
    keys = list(ours) + [key for key in theirs if key not in ours]
    return [
        (key, ours.get(key), theirs.get(key)) for key in keys if ours.get(key) != theirs.get(key)
    ]


def changes_the_run(key: str, config: Config) -> bool:
    """Whether another value of ``key`` makes a run that goes on a different run."""
    if key == "train.epochs":
        # A longer run is the same run as far as it goes, unless its schedule is
        # stretched over the whole of it.
        return config.optimizer.schedule.name in ("polynomial", "cosine")
    return not any(key == free or key.startswith(free + ".") for free in FREE_ON_RESUME)


# --- YAML ------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """The safe loader, without YAML 1.1's surprises for people who write numbers."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):  # type: ignore[no-untyped-call]
            raise yaml.YAMLError("aliases (*name) are not allowed in a config")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key_node.tag != "tag:yaml.org,2002:str":
                raise yaml.YAMLError(f"key {key!r} is not a word")
            if key in seen:
                raise yaml.YAMLError(f"key {key!r} stands twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


# YAML 1.1 reads `1e-3` as a string, because it has no dot.
_Loader.add_implicit_resolver(  # type: ignore[no-untyped-call]
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+0123456789."),
)


def _parse_yaml(text: Union[str, bytes]) -> Any:
    return yaml.load(text, Loader=_Loader)  # noqa: S506 (a subclass of the safe loader)


def _read_yaml(path: Path) -> Dict[str, Any]:
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if len(raw) > MAX_CONFIG_BYTES:
        raise InputError(f"{path}: too large for a config (more than {MAX_CONFIG_BYTES} bytes)")
    try:
        values = _parse_yaml(raw)
    except (yaml.YAMLError, UnicodeError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid YAML: {_one_line(error)}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: a config is a mapping of sections, not {_kind(values)}")
    return values


def _one_line(error: BaseException) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return " ".join(str(problem).split())[:200] + where


# --- overrides -------------------------------------------------------------------------


def _build(values: Dict[str, Any], overrides: List[str], source: str) -> Config:
    merged = _copy(values)
    for override in overrides:
        _apply(merged, override)
    _fill_in_names(merged)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        named = _describe(error, merged, source, overrides)
        raise InputError(named) from error


def _fill_in_names(values: Dict[str, Any]) -> None:
    """A section that names no choice means the default one."""
    for path, name in _DEFAULT_NAMES.items():
        section: Any = values
        for part in path.split("."):
            section = section.get(part) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section.setdefault("name", name)


def _copy(value: Any) -> Any:
    return {k: _copy(v) for k, v in value.items()} if isinstance(value, dict) else value


def _apply(values: Dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise InputError(f"--set {override}: write it as key=value")
    try:
        value = _parse_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"--set {override}: {_one_line(error)}") from error
    parts = key.split(".")
    section = values
    for part in parts[:-1]:
        inner = section.setdefault(part, {})
        if not isinstance(inner, dict):
            raise InputError(f"--set {override}: {part} is not a section")
        section = inner
    if parts[-1] == "name":
        _forget_keys_of_the_former_choice(section, ".".join(parts[:-1]), value)
    section[parts[-1]] = value


def _forget_keys_of_the_former_choice(section: Dict[str, Any], path: str, name: Any) -> None:
    """``--set model.name=fc`` on a lenet config drops ``filters``, which fc does not have."""
    chosen = CHOICES.get(path, {}).get(name) if isinstance(name, str) else None
    former = CHOICES.get(path, {}).get(str(section.get("name", _DEFAULT_NAMES.get(path))))
    if chosen is None or former is None:
        return
    for key in list(section):
        if key in former.model_fields and key not in chosen.model_fields:
            del section[key]


# --- errors ----------------------------------------------------------------------------


def _describe(
    error: ValidationError, values: Dict[str, Any], source: str, overrides: List[str]
) -> str:
    valid = _valid_keys(values)
    lines = [_describe_one(dict(item), valid, source, overrides) for item in error.errors()]
    shown = "; ".join(dict.fromkeys(lines[:4]))
    return shown + (f"; and {len(lines) - 4} more" if len(lines) > 4 else "")


def _describe_one(item: Dict[str, Any], valid: List[str], source: str, overrides: List[str]) -> str:
    key = _dotted(item["loc"])
    named = key.split("[")[0]
    overridden = any(o.split("=")[0].strip() == named for o in overrides)
    where = f"{source} with --set" if overridden else source
    if item["type"] == "extra_forbidden":
        return f"{where}: {key}: there is no such key{_nearest(key, valid)}"
    if item["type"] == "missing":
        return f"{where}: {key}: is missing"
    if item["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return f"{where}: {key}.name: {_describe_choice(key, item)}"
    if item["type"] in ("model_type", "model_attributes_type"):
        return f"{where}: {key}: must be a section of keys, not {_shown(item['input'])}"
    message = item["msg"].replace("Value error, ", "").replace("Input should be", "must be")
    if not key:
        return f"{where}: {message}"
    return f"{where}: {key}: {message}, not {_shown(item.get('input'))}"


def _describe_choice(key: str, item: Dict[str, Any]) -> str:
    names = list(CHOICES[key])
    given = item["input"].get("name") if isinstance(item["input"], dict) else item["input"]
    close = difflib.get_close_matches(str(given), names, n=1)
    nearest = f" (nearest: {close[0]})" if close else ""
    return f"must be one of {', '.join(names)}, not {_shown(given)}{nearest}"


def _dotted(location: Tuple[Union[str, int], ...]) -> str:
    """A pydantic location as a dotted key, without the tags that unions add to it."""
    key = ""
    for part in location:
        if isinstance(part, int):
            key += f"[{part}]"
        elif part not in CHOICES.get(key, {}):
            key = f"{key}.{part}" if key else part
    return key


def _valid_keys(values: Dict[str, Any]) -> List[str]:
    """Every dotted key that the choices made in ``values`` allow."""
    return list(_section_keys(Config, values, ""))


def _section_keys(section: Type[BaseModel], values: Any, path: str) -> Iterable[str]:
    for name, field in section.model_fields.items():
        key = f"{path}.{name}" if path else name
        inner = values.get(name) if isinstance(values, dict) else None
        if key in CHOICES:
            chosen = inner.get("name") if isinstance(inner, dict) else None
            options = CHOICES[key]
            kind = options.get(str(chosen), options[_DEFAULT_NAMES[key]])
            yield from _section_keys(kind, inner, key)
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _section_keys(field.annotation, inner, key)
        else:
            yield key


def _nearest(key: str, valid: List[str]) -> str:
    """A hint at what was meant: the likeliest key, or the keys that there are."""
    section, _, last = key.rpartition(".")
    siblings = [name for name in valid if name.rpartition(".")[0] == section]
    by_last = {name.rpartition(".")[2]: name for name in reversed(valid)}
    by_initials = {"".join(word[0] for word in name.split("_")): by_last[name] for name in by_last}
    for names in ({n.rpartition(".")[2]: n for n in siblings}, by_last):
        close = difflib.get_close_matches(last, list(names), n=1, cutoff=0.6)
        if close:
            return f" (nearest: {names[close[0]]})"
    if last in by_initials:
        return f" (nearest: {by_initials[last]})"
    if siblings and section:
        return f" (there are: {', '.join(siblings)})"
    sections = dict.fromkeys(name.partition(".")[0] for name in valid)
    close = difflib.get_close_matches(key.partition(".")[0], list(sections), n=1, cutoff=0.6)
    return f" (nearest: {close[0]})" if close else f" (sections: {', '.join(sections)})"


def _flatten(value: Dict[str, Any], path: str) -> Iterable[Tuple[str, Any]]:
    for name, inner in value.items():
        key = f"{path}.{name}" if path else name
        if isinstance(inner, dict):
            yield from _flatten(inner, key)
        else:
            yield key, inner


def _kind(value: Any) -> str:
    if isinstance(value, (list, str)):
        return "a list" if isinstance(value, list) else "a text"
    return f"a {type(value).__name__}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
