"""A config as hyperparameters, for TensorBoard's table of runs.

A hyperparameter is a key of the config from which the run's numbers follow. TensorBoard
takes its columns from whichever run it finds first, so every run declares the keys of
every model, optimizer and schedule.
"""

from typing import Any, Dict, Iterator, Tuple, Type, Union

from pydantic import BaseModel

from mnist import config as configs
from mnist.config import Config

Value = Union[bool, float, str]

# Where the run computes and where things lie is not what is compared.
_SECTIONS = ("data", "model", "optimizer", "train")
METRICS = (
    "eval/accuracy",
    "eval/loss",
    "valid/accuracy",
    "valid/loss",
    "train/accuracy",
    "train/loss",
)


def values(config: Config) -> Dict[str, Value]:
    """The hyperparameters of a run by their dotted key; those that are null are left out."""
    flat = configs.flatten(config)
    return {
        key: value if isinstance(value, (bool, int, float)) else str(value)
        for key, value in flat.items()
        if _counts(key) and value is not None
    }


def columns() -> Dict[str, type]:
    """Every key that some config can have, with the type of its values: bool, float or str."""
    schemas = Config.model_json_schema()["$defs"]
    return {key: kind for key, kind in _keys(Config, "", schemas) if _counts(key)}


def _counts(key: str) -> bool:
    free = any(key == name or key.startswith(name + ".") for name in configs.FREE_ON_RESUME)
    return key == "data.path" or (key.partition(".")[0] in _SECTIONS and not free)


def _keys(
    section: Type[BaseModel], path: str, schemas: Dict[str, Any]
) -> Iterator[Tuple[str, type]]:
    for name, field in section.model_fields.items():
        key = f"{path}.{name}" if path else name
        if key in configs.CHOICES:
            for choice in configs.CHOICES[key].values():
                yield from _keys(choice, key, schemas)
        elif isinstance(field.default, BaseModel):
            yield from _keys(type(field.default), key, schemas)
        else:
            yield key, _type(schemas[section.__name__]["properties"][name])


def _type(schema: Dict[str, Any]) -> type:
    """The type of a key's values, from its JSON schema; a list is shown as text."""
    names = {option.get("type") for option in [schema, *schema.get("anyOf", [])]}
    if "boolean" in names:
        return bool
    return float if names & {"integer", "number"} else str
