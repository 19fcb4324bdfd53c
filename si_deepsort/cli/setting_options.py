"""Command line options made from a settings dataclass: one option for each setting, with its own description."""

import inspect
import json
import tomllib
import types
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import typer

from ..settings import SettingError, Settings, params_description, settings_from_dict
from .topics import short_description, topic_of, topic_place

# What stands for a value in the help.
METAVARS = {int: "N", float: "X", str: "TEXT", dict: "JSON"}


def setting_parameters(settings_class: type[Settings]) -> list[inspect.Parameter]:
    """Parameters for a typer command, one for each setting in panels by topic; None where the user gives none."""
    descriptions = params_description(settings_class)
    defaults = settings_class()
    parameters = []
    for record in sorted(fields(settings_class), key=lambda record: topic_place(record.name)):
        names = [option_name(record.name)]
        kind = _option_type(record.type)
        if kind is bool:
            names = [f"{names[0]}/--no-{names[0][2:]}"]
        default = getattr(defaults, record.name)
        shown_default = "" if default == {} else f". Default: {default}"
        option = typer.Option(
            *names,
            help=short_description(descriptions[record.name]) + shown_default,
            show_default=False,
            metavar=METAVARS.get(kind),
            rich_help_panel=topic_of(record.name),
        )
        annotation: Any = typing.Annotated[(str if kind is dict else kind) | None, option]
        parameters.append(
            inspect.Parameter(record.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        )
    return parameters


def with_setting_options(command: Callable[..., None], settings_class: type[Settings]) -> Callable[..., None]:
    """
    A command that takes the settings as options beside its own parameters.

    Parameters
    ----------
    command : callable
        Its last parameter is `given`, the dictionary of the settings that the user gave.
    """
    own = [parameter for name, parameter in inspect.signature(command).parameters.items() if name != "given"]
    own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    generated = setting_parameters(settings_class)
    names = [parameter.name for parameter in generated]

    def run(**values: Any) -> None:
        given = {name: value for name in names if (value := values.pop(name)) is not None}
        command(**values, given=parsed_settings(settings_class, given))

    run.__doc__, run.__name__ = command.__doc__, command.__name__
    run.__signature__ = inspect.Signature([*own, *generated])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *generated)}
    return run


def parsed_settings(settings_class: type[Settings], given: dict[str, Any]) -> dict[str, Any]:
    """Option texts as values: "none" is None where that is allowed, JSON is read."""
    types_of = {record.name: record.type for record in fields(settings_class)}
    values: dict[str, Any] = {}
    for name, value in given.items():
        if _option_type(types_of[name]) is dict:
            values[name] = _json_dict(name, value)
        else:
            values[name] = _none_if_said(settings_class, name, value)
    return values


def option_name(name: str) -> str:
    """Name of the option of a setting."""
    return f"--{name.replace('_', '-')}"


@contextmanager
def in_words_of_options() -> Iterator[None]:
    """Turn the names of settings in errors into those of options."""
    try:
        yield
    except SettingError as error:
        raise ValueError(f"{option_name(error.name)}: {error.reason}") from error


def check_settings(
    settings_class: type[Settings], given: dict[str, Any], from_file: dict[str, Any], file: Path | None
) -> dict[str, Any]:
    """
    Settings of options and of a file, options first, as the settings class has them.

    Raises
    ------
    ValueError
        If one is wrong; it is named as the user gave it.
    """
    values = {**from_file, **given}
    with in_words_of_options():
        try:
            settings = settings_from_dict(settings_class, values)
        except SettingError as error:
            if error.name in from_file and error.name not in given:
                raise ValueError(f"{error.name} in {file}: {error.reason}") from error
            raise
    return {name: getattr(settings, name) for name in values}


def read_settings_file(settings_class: type[Settings], file: Path) -> dict[str, Any]:
    """
    Settings of a TOML file; "none" is None where that is allowed.

    Raises
    ------
    ValueError
        If it is missing or not TOML.
    """
    if not file.exists():
        raise ValueError(
            f"--config: there is no file {file}. si-deepsort settings --toml > {file} writes one with all settings."
        )
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(
            f"{file} cannot be read as TOML ({error}). Expected lines such as freq_min = 300.0."
        ) from error
    # TOML has no None.
    return {name: _none_if_said(settings_class, name, value) for name, value in values.items()}


def _none_if_said(settings_class: type[Settings], name: str, value: Any) -> Any:
    allowed = {record.name: typing.get_args(record.type) for record in fields(settings_class)}.get(name, ())
    is_none = isinstance(value, str) and value.lower() == "none" and types.NoneType in allowed
    return None if is_none else value


def _option_type(annotation: Any) -> Any:
    members = [member for member in typing.get_args(annotation) if member is not types.NoneType]
    return members[0] if isinstance(annotation, types.UnionType) and members else annotation


def _json_dict(name: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{option_name(name)}: got {text!r}, expected JSON such as '{{\"n_jobs\": 2}}' ({error})."
        ) from error
    if not isinstance(value, dict):
        raise ValueError(f"{option_name(name)}: got {text!r}, expected a JSON object such as '{{\"n_jobs\": 2}}'.")
    return value
