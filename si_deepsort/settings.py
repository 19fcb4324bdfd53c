"""
Settings chosen by a user: one frozen dataclass per step, one record per setting.

SpikeInterface wants a dictionary of defaults and a dictionary of descriptions for each sorter; both are derived from
the dataclass, so they cannot drift apart. Values are checked when the object is made.
"""

from dataclasses import dataclass, field, fields
from typing import Any


def setting(default: Any, description: str, *, choices=None, minimum=None, maximum=None) -> Any:
    """
    Declare one field of a `Settings` dataclass.

    Parameters
    ----------
    default : Any
        The value when the user says nothing. `None` is then always an allowed value.
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


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of all settings: every value is checked against its record when the object is made."""

    def __post_init__(self):
        for record in fields(self):
            _check_value(type(self).__name__, record, getattr(self, record.name))


def default_params(settings_class: type[Settings]) -> dict[str, Any]:
    """Default of each setting, by name, as SpikeInterface's `_default_params`."""
    defaults = settings_class()
    return {record.name: getattr(defaults, record.name) for record in fields(settings_class)}


def params_description(settings_class: type[Settings]) -> dict[str, str]:
    """Description of each setting, by name, as SpikeInterface's `_params_description`."""
    return {record.name: _describe(record) for record in fields(settings_class)}


def settings_from_dict(settings_class: type[Settings], values: dict[str, Any]) -> Settings:
    """
    Make settings from a dictionary (a TOML file, command line options).

    Raises
    ------
    ValueError
        If a name is unknown; the message lists the nearest known names.
    """
    import difflib

    known = [record.name for record in fields(settings_class)]
    for name in values:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=3) or known
            raise ValueError(f"Unknown setting '{name}'. Did you mean {', '.join(nearest)}? All settings: {known}")
    return settings_class(**values)


def _describe(record) -> str:
    choices = record.metadata["choices"]
    description = record.metadata["description"]
    return f"{description}{'' if description.endswith('.') else '.'} One of {choices}." if choices else description


def _check_value(owner: str, record, value):
    metadata, default = record.metadata, record.default
    where = f"{owner}.{record.name} ({metadata['description']})"
    if value is None and (default is None or (metadata["choices"] and None in metadata["choices"])):
        return
    if metadata["choices"] and value not in metadata["choices"]:
        raise ValueError(f"{where}: got {value!r}, expected one of {metadata['choices']}")
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ValueError(f"{where}: got {value!r}, expected True or False")
    elif isinstance(default, int | float) and (not isinstance(value, int | float) or isinstance(value, bool)):
        raise ValueError(f"{where}: got {value!r}, expected a number")
    if metadata["minimum"] is not None and value < metadata["minimum"]:
        raise ValueError(f"{where}: got {value!r}, expected at least {metadata['minimum']}")
    if metadata["maximum"] is not None and value > metadata["maximum"]:
        raise ValueError(f"{where}: got {value!r}, expected at most {metadata['maximum']}")
