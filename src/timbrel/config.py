"""Plain-data configurations: dataclasses to TOML and back, strictly.

A key that nobody knows is a typing error that would silently train or load another model, so it is
refused by name. Plain data: nothing here imports torch.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from timbrel.contract import LARGEST
from timbrel.errors import ConfigError

T = TypeVar("T")


def decode_config(data: Mapping[str, Any], cls: type[T], *, name: str = "configuration") -> T:
    """Makes a `cls`, a dataclass of plain values and dataclasses, from nested tables.

    Args:
        name: what the tables came from, named in errors.

    Raises:
        ConfigError: a key is unknown or missing, or a value has the wrong type or is impossible.
        ContractError: it holds a `FeatureSpec` that cannot be.
    """
    for key, allowed in _unknown_keys(data, cls, ""):
        near = difflib.get_close_matches(key.rpartition(".")[2], allowed, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else "."
        raise ConfigError(f'{name}: unknown key "{key}": known here are {", ".join(allowed)}{hint}')
    try:
        return msgspec.convert(data, cls)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {_readable(str(error))}.") from error


def encode_config(config: Any) -> dict[str, Any]:
    """Nested tables of the dataclass `config`; `None` is left out, since TOML has no such value."""
    if not dataclasses.is_dataclass(config):
        raise TypeError(f"a configuration is a dataclass, not {type(config).__name__}")
    return {
        item.name: _plain(getattr(config, item.name))
        for item in dataclasses.fields(config)
        if getattr(config, item.name) is not None
    }


def require_sizes(config: Any, *names: str, least: int = 1) -> None:
    """Sees to it that what these fields of `config` count, alone or in tuples, can be had.

    Raises:
        ConfigError: one is not `least` to `LARGEST`; a network of it could not be built, or would fill the
            memory first.
    """
    for name in names:
        for size in _flat(getattr(config, name)):
            if not least <= size <= LARGEST:
                bound = f"at least {least}" if size < least else f"at most {LARGEST}"
                raise ConfigError(f"{name} must be {bound}, not {size}.")


def _flat(sizes: Any) -> Iterator[int]:
    if isinstance(sizes, tuple):
        for one in sizes:
            yield from _flat(one)
    else:
        yield sizes


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        ConfigError: the file is missing or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text in UTF-8: save it as that.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error


def to_toml(data: Mapping[str, Any]) -> str:
    """TOML text of nested tables of strings, numbers, booleans and lists."""
    return "\n".join(_toml_lines(data, ())) + "\n"


@cache
def _hints(cls: Any) -> dict[str, Any]:
    """Types of its fields; evaluating them takes long, and an index has thousands of rows."""
    return get_type_hints(cls)


def _unknown_keys(data: Mapping[str, Any], cls: Any, where: str) -> Iterator[tuple[str, list[str]]]:
    """Pairs of a dotted key that `cls` does not have and the keys that it has instead."""
    hints = _hints(cls)
    for key, value in data.items():
        if key not in hints:
            yield f"{where}{key}", list(hints)
            continue
        for nested in _dataclasses_in(hints[key]):
            for place, table in _tables(hints[key], value, f"{where}{key}."):
                yield from _unknown_keys(table, nested, place)


def _tables(hint: Any, value: Any, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The tables that a value of this type holds, each with its dotted place."""
    if get_origin(hint) is dict and isinstance(value, Mapping):
        named = [(f"{where}{name}.", table) for name, table in value.items()]
    else:
        named = [(where, table) for table in (value if isinstance(value, list) else [value])]
    yield from ((place, table) for place, table in named if isinstance(table, Mapping))


def _dataclasses_in(hint: Any) -> Iterator[Any]:
    if dataclasses.is_dataclass(hint):
        yield hint
    for argument in get_args(hint):
        yield from _dataclasses_in(argument)


def _readable(message: str) -> str:
    """msgspec's message with its path, `$.mel.hop`, as a dotted key."""
    text, _, path = message.partition(" - at `$")
    text = text.replace("Object missing required field", "There is no key").replace("`object`", "a table")
    key = path.rstrip("`").lstrip(".")
    return f"{key}: {text[:1].lower()}{text[1:]}" if key else text[:1].lower() + text[1:]


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return encode_config(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


def _toml_lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterable[str]:
    if path:
        yield f"[{'.'.join(map(_toml_key, path))}]"
    for key, value in table.items():
        if not isinstance(value, Mapping):
            yield f"{_toml_key(key)} = {_toml_value(value)}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield ""
            yield from _toml_lines(value, (*path, key))


def _toml_key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else _toml_string(key)


def _toml_string(text: str) -> str:
    # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _toml_string(value)
        case int() | float():
            return repr(value)  # "inf" and "nan" are TOML's spelling as well
        case list() | tuple():
            return f"[{', '.join(map(_toml_value, value))}]"
        case Mapping():
            return f"{{ {', '.join(f'{_toml_key(k)} = {_toml_value(v)}' for k, v in value.items())} }}"
    raise TypeError(f"TOML has no value of type {type(value).__name__}")
