"""A config as hyperparameters, for TensorBoard's table of runs.

A hyperparameter is a key of the config from which the run's numbers follow. TensorBoard
takes its columns from whichever run it finds first, so every run declares the keys of
every model, optimizer and schedule.
"""

from typing import Any, Dict, Iterator, Tuple, Union

from mnist import config as configs
from mnist.config import Config

Value = Union[bool, float, str]
Schema = Dict[str, Any]

# The curves of which the table of runs shows the last points.
METRICS = tuple(
    f"{split}/{name}" for name in ("accuracy", "loss") for split in ("eval", "valid", "train")
)
# Where the run computes and where things lie is not what is compared, and the options of models
# have no columns that all runs could share.
_LEFT_OUT = {"device", "model.options", *configs.FREE_ON_RESUME} - {"data.path", "train.teachers"}
# TensorBoard shows five columns at first.
_FIRST = (
    "optimizer.name", "optimizer.learning_rate", "model.name", "data.batch_size", "train.epochs",
)  # fmt: skip


def values(config: Config) -> Dict[str, Value]:
    """The hyperparameters of a run by their dotted key; those that are null are left out."""
    return {
        key: value if isinstance(value, (bool, int, float)) else str(value)
        for key, value in configs.flatten(config).items()
        if _counts(key) and value is not None
    }


def columns() -> Dict[str, type]:
    """The type of every key that some config can have, the most telling first."""
    whole = Config.model_json_schema()
    keys = _keys(whole, whole["$defs"])
    types = {key: _type_of(schema) for key, schema in keys if _counts(key)}
    return {key: types[key] for key in (*_FIRST, *types)}


def _counts(key: str) -> bool:
    return not f"{key}.".startswith(tuple(f"{name}." for name in _LEFT_OUT))


def _keys(section: Schema, sections: Schema, path: str = "") -> Iterator[Tuple[str, Schema]]:
    """Every key with its JSON schema; one that several choices have comes several times."""
    for name, schema in section["properties"].items():
        references = [kind["$ref"] for kind in schema.get("oneOf", [schema]) if "$ref" in kind]
        for reference in references:
            yield from _keys(sections[reference.rpartition("/")[2]], sections, f"{path}{name}.")
        if not references:
            yield path + name, schema


def _type_of(schema: Schema) -> type:
    names = {option.get("type") for option in [schema, *schema.get("anyOf", [])]}
    # A list is shown as text.
    return bool if "boolean" in names else float if names & {"integer", "number"} else str
