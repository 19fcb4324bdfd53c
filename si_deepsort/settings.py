"""
Settings that a user chooses: one frozen dataclass per step, strictly typed and checked when it is made.

SpikeInterface wants a dictionary of defaults and a dictionary of descriptions for each sorter. Both are derived from
the dataclass, so they cannot drift apart. pydantic's strict mode refuses the scalars of numpy and words its errors for
programmers, so the check is our own.
"""

import difflib
import math
import os
import types
import typing
from dataclasses import Field, dataclass, field, fields
from functools import cache
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np

AnySettings = TypeVar("AnySettings", bound="Settings")
# What a value of each type is called in an error message.
EXPECTED_WORDS = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", dict: "a dictionary"}


class SettingError(ValueError):
    """
    A setting has a wrong name, type or value.

    Attributes
    ----------
    name : str
        Name of the setting; the command line turns it into the name of an option.
    reason : str
        What came, what was expected, and what the setting does.
    """

    def __init__(self, name: str, reason: str):
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason


def setting(
    default: Any,
    description: str,
    *,
    choices: tuple | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
) -> Any:
    """
    Declare one field of a `Settings` dataclass. Its annotation is the type that is allowed.

    Parameters
    ----------
    default : Any
        The value if the user gives none. A default of `None` makes `None` an allowed value.
    description : str
        What the setting does, with its unit, for a user.
    choices : tuple | None, default: None
        The allowed values.
    minimum, maximum : float | None, default: None
        The allowed range, both ends included.
    """
    metadata = dict(description=description, choices=choices, minimum=minimum, maximum=maximum)
    if isinstance(default, dict | list):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def with_default(settings_class: type["Settings"], name: str, default: Any) -> Any:
    """Declare a setting of a parent class again with another default; its description and its limits stay."""
    return setting(default, **settings_class.__dataclass_fields__[name].metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """
    Parent of all settings: every value is checked when the object is made.

    Scalars of numpy become Python's, whole numbers become floats where a float is expected, and paths become texts.

    Raises
    ------
    SettingError
        If a value has a wrong type, is not finite, or is not allowed.
    """

    def __post_init__(self) -> None:
        own_class: type = type(self)
        annotations = _annotations(own_class)
        for record in fields(self):
            value = _checked(record, annotations[record.name], getattr(self, record.name))
            object.__setattr__(self, record.name, value)


def default_params(settings_class: type[Settings]) -> dict[str, Any]:
    """Default of each setting, by name, as SpikeInterface's `_default_params`."""
    defaults = settings_class()
    return {record.name: getattr(defaults, record.name) for record in fields(settings_class)}


def params_description(settings_class: type[Settings]) -> dict[str, str]:
    """Description of each setting, by name, as SpikeInterface's `_params_description`."""
    return {record.name: _describe(record) for record in fields(settings_class)}


def settings_from_dict(settings_class: type[AnySettings], values: dict[str, Any]) -> AnySettings:
    """
    Make settings from a dictionary (a TOML file, command line options).

    Raises
    ------
    SettingError
        If a name is unknown (the message lists the nearest known names), or a value is wrong.
    """
    known = [record.name for record in fields(settings_class)]
    for name in values:
        if name not in known:
            from spikeinterface.core.job_tools import job_keys

            if "job_kwargs" in known and name in job_keys:
                hint = f"it is one of SpikeInterface's job_kwargs. Give job_kwargs=dict({name}={values[name]!r})."
                raise SettingError(str(name), hint)
            nearest = difflib.get_close_matches(str(name), known, n=3) or known
            raise SettingError(
                str(name), f"there is no such setting. Did you mean {', '.join(nearest)}? All settings: {known}"
            )
    return settings_class(**values)


@cache
def _annotations(settings_class: type[Settings]) -> dict[str, Any]:
    return typing.get_type_hints(settings_class)


def _describe(record: Field) -> str:
    choices = record.metadata["choices"]
    description = record.metadata["description"]
    return f"{description}{'' if description.endswith('.') else '.'} One of {choices}." if choices else description


def _checked(record: Field, annotation: Any, value: Any) -> Any:
    """The value as its annotation has it."""
    metadata = record.metadata
    allowed = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    if value is None and (record.default is None or types.NoneType in allowed):
        return None
    converted = next((found for kind in allowed if (found := _as_type(kind, value)) is not None), None)
    is_allowed = converted is not None
    if is_allowed and metadata["choices"]:
        is_allowed = converted in metadata["choices"]
    minimum, maximum = metadata["minimum"], metadata["maximum"]
    is_allowed = is_allowed and (minimum is None or converted >= minimum)
    is_allowed = is_allowed and (maximum is None or converted <= maximum)
    if not is_allowed:
        reason = f"got {value!r}, expected {_expected(record, allowed)}. The setting: {metadata['description']}."
        raise SettingError(record.name, reason.replace("..", "."))
    return converted


def _as_type(kind: type, value: Any) -> Any:
    """The value as a Python object of a type, or None if it has another type or is not finite."""
    if kind is bool:
        return bool(value) if isinstance(value, bool | np.bool_) else None
    if isinstance(value, bool | np.bool_):
        return None
    if kind is int:
        return int(value) if isinstance(value, Integral) else None
    if kind is float:
        return float(value) if isinstance(value, Real) and math.isfinite(value) else None
    if kind is str:
        return os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if kind is tuple:
        return tuple(value) if isinstance(value, tuple | list) else None
    if kind is dict:
        return dict(value) if isinstance(value, dict) else None
    return value if isinstance(value, kind) else None


def _expected(record: Field, allowed: tuple) -> str:
    metadata = record.metadata
    if metadata["choices"]:
        return f"one of {', '.join(map(repr, metadata['choices']))}"
    words = [EXPECTED_WORDS.get(kind, kind.__name__) for kind in allowed if kind is not types.NoneType]
    minimum, maximum = metadata["minimum"], metadata["maximum"]
    if minimum is not None and maximum is not None:
        words[0] += f" from {minimum} to {maximum}"
    elif minimum is not None:
        words[0] += f" of at least {minimum}"
    elif maximum is not None:
        words[0] += f" of at most {maximum}"
    is_optional = record.default is None or types.NoneType in allowed
    return " or ".join([*words, "None"] if is_optional else words)
