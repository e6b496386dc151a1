"""Configurations go to TOML and back, and a key nobody knows is refused by name."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timbrel.config import decode_config, encode_config, read_toml, to_toml
from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError, ContractError

MEL = FeatureSpec("mel", 16000, 128, 80, n_fft=512, window=512, f_max=8000.0, clip=(-4.0, 4.0))


@dataclass(frozen=True, slots=True)
class Stage:
    width: int
    rate: float = 0.5


@dataclass(frozen=True, slots=True)
class Network:
    mel: FeatureSpec
    width: int = 256
    kind: Literal["wide", "deep"] = "wide"
    stages: tuple[Stage, ...] = field(default=())
    ending: Stage | None = None


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "notepad.toml"
    path.write_bytes(b'\xef\xbb\xbfname = "z\xc3\xbcrich"\n')
    assert read_toml(path) == {"name": "zürich"}


def test_a_configuration_survives_the_file() -> None:
    network = Network(MEL, 64, "deep", (Stage(3), Stage(4, 1.0)), None)
    tables = tomllib.loads(to_toml(encode_config(network)))
    assert decode_config(tables, Network) == network


keys = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=8)
floats = st.floats(allow_nan=False)
values = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | floats | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(keys, values, max_size=4))
def test_what_is_written_is_what_the_standard_reader_reads(data: dict[str, Any]) -> None:
    assert tomllib.loads(to_toml(data)) == data


@dataclass(frozen=True, slots=True)
class Choir:
    voices: dict[str, Stage]


def test_tables_by_name_are_decoded_and_checked() -> None:
    choir = Choir({"alto": Stage(2), "bass": Stage(3, 0.1)})
    assert decode_config(encode_config(choir), Choir) == choir
    with pytest.raises(ConfigError, match=r'unknown key "voices\.alto\.widths".*mean "width"'):
        decode_config({"voices": {"alto": {"widths": 2}}}, Choir)


def test_an_unknown_key_is_named_with_those_that_exist() -> None:
    tables = {"mel": encode_config(MEL), "widthh": 3}
    with pytest.raises(ConfigError, match=r'net\.toml: unknown key "widthh".*mel, width.*mean "width"\?'):
        decode_config(tables, Network, name="net.toml")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"mel": encode_config(MEL) | {"hopp": 1}}, "mel.hopp"),
        ({"stages": [{"width": 1}, {"width": 1, "depth": 2}]}, "stages.depth"),
        ({"ending": {"width": 1, "depth": 2}}, "ending.depth"),
    ],
)
def test_an_unknown_key_is_found_at_any_depth(change: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=f'unknown key "{key}"'):
        decode_config({"mel": encode_config(MEL)} | change, Network)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"width": "wide"}, "width: expected `int`, got `str`"),
        ({"kind": "round"}, "kind: invalid enum value 'round'"),
        ({"ending": {}}, "ending: there is no key `width`"),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        decode_config({"mel": encode_config(MEL)} | change, Network)


def test_an_impossible_spec_keeps_its_own_message() -> None:
    with pytest.raises(ContractError, match="hop must be positive"):
        decode_config({"mel": encode_config(MEL) | {"hop": 0}}, Network)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("a = = 1")
    with pytest.raises(ConfigError, match=r"recipe\.toml is not valid TOML"):
        read_toml(path)
    with pytest.raises(ConfigError, match=r"absent\.toml cannot be read"):
        read_toml(tmp_path / "absent.toml")
    path.write_text("a = 1", encoding="utf-16")
    with pytest.raises(ConfigError, match=r"recipe\.toml is not text in UTF-8: save it as that\."):
        read_toml(path)
