"""A name finds a checkpoint, a family its class, and what does not fit is refused by name."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from timbrel import checkpoint, registry
from timbrel.contract import FeatureSpec
from timbrel.errors import CheckpointError, ConfigError

MEL = FeatureSpec("mel", 16000, 128, 80, n_fft=512, window=512, f_max=8000.0)


@dataclass(frozen=True, slots=True)
class LineConfig:
    mel: FeatureSpec = MEL
    width: int = 3


class Line(nn.Module):
    """A family of another package."""

    family = "line"
    Config = LineConfig

    def __init__(self, config: LineConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(config.width, 1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, values: Tensor) -> Tensor:
        return self.dropout(self.linear(values))


class Plain(nn.Module):
    """A family without weights."""

    family = "plain"
    Config = LineConfig

    def __init__(self, config: LineConfig) -> None:
        super().__init__()
        self.width = config.width


@pytest.fixture(autouse=True)
def another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that brings two families."""
    mine = [
        EntryPoint("line", f"{__name__}:Line", "timbrel.models"),
        EntryPoint("plain", f"{__name__}:Plain", "timbrel.models"),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: [e for e in mine if e.group == group])


def write(path: Path, *, width: int = 3, **changes: Any) -> Path:
    options: dict[str, Any] = {
        "family": "line",
        "name": path.name,
        "config": LineConfig(width=width),
        "tensors": Line(LineConfig(width=width)).state_dict(),
        "provenance": {"licence": "CC0-1.0", "measured": {"nearer": 0.75}},
        "card": "",
    }
    checkpoint.write(path, **(options | changes))
    return path


def test_a_name_is_looked_up_at_home(home: Path) -> None:
    path = write(home / "models" / "mine")
    assert registry.find("mine") == path


def test_a_path_comes_first(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home / "models" / "mine")
    here = write(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert registry.find("mine").resolve() == here
    assert registry.find(here) == here


def test_a_folder_whose_replacement_was_killed_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "mine")
    path.rename(tmp_path / ".mine.previous")
    assert registry.find(path) == path
    assert (path / "config.toml").is_file()


def test_home_hides_what_is_bundled(home: Path) -> None:
    path = write(home / "models" / registry.DEFAULT_MODEL)
    assert registry.find(registry.DEFAULT_MODEL) == path


def test_the_default_model_is_bundled() -> None:
    path = registry.find(registry.DEFAULT_MODEL)
    assert path.is_relative_to(Path(registry.__file__).parent)
    assert registry.parts(checkpoint.read(path)).keys() >= {"content", "speaker", "converter"}


def test_the_bundled_weights_stay_small() -> None:
    weights = Path(registry.__file__).parent / "weights"
    assert 0 < sum(file.stat().st_size for file in weights.rglob("*.safetensors")) < 40 * 2**20


def test_an_unknown_name_lists_those_that_exist(home: Path) -> None:
    write(home / "models" / "mine")
    with pytest.raises(CheckpointError, match=r'no model "yours": give a folder or one of .*mine'):
        registry.find("yours")


@pytest.mark.parametrize("name", ["./absent", "some/where/absent"])
def test_a_path_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(CheckpointError, match=r"absent is no checkpoint folder"):
        registry.find(Path(name))


def test_another_package_brings_a_checkpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "bringer"
    package.mkdir()
    (package / "__init__.py").touch()
    path = write(package / "brought")
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("gift", "bringer:brought", "timbrel.checkpoints")
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry] if group == entry.group else [])
    assert registry.find("gift") == path


def test_what_is_installed_is_described(home: Path) -> None:
    path = write(home / "models" / "mine")
    found = {model.name: model for model in registry.installed()}["mine"]
    assert (found.path, found.kind, found.licence) == (path, "line", "CC0-1.0")
    assert found.measured == {"nearer": 0.75}
    assert found.bytes == sum(file.stat().st_size for file in path.iterdir())
    assert found.contract == ("mel: mel 0 to 8000 Hz, ln, 80 values, 125 frames/s of 16000 Hz",)


def test_a_broken_one_does_not_hide_the_others(home: Path) -> None:
    write(home / "models" / "mine")
    (home / "models" / "torn").mkdir()
    (home / "models" / "torn" / "config.toml").write_text("format = ")
    odd = write(home / "models" / "odd") / "config.toml"
    odd.write_text(odd.read_text().replace("hop = 128", "hop = 0"))
    kinds = {model.name: model.kind for model in registry.installed()}
    assert (kinds["mine"], kinds["torn"], kinds["odd"]) == ("line", "broken", "broken")


def test_facts_of_another_shape_hide_nothing(home: Path) -> None:
    path = home / "models" / "odd"
    path.mkdir(parents=True)
    (path / checkpoint.CONFIG).write_text('format = 1\nfamily = "vqvc"\nname = "odd"\n')
    (path / checkpoint.PROVENANCE).write_text('{"measured": ["a"]}')
    assert "odd" in {one.name for one in registry.installed()}


def test_listing_imports_no_torch() -> None:
    code = "import sys; from timbrel import registry; registry.installed(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_network_is_built_with_its_weights(tmp_path: Path) -> None:
    path = write(
        tmp_path / "line", tensors={"linear.weight": torch.ones(1, 3), "linear.bias": torch.zeros(1)}
    )
    model = registry.build(checkpoint.read(path))
    assert not model.training
    # Dropout in training mode would give 0 or 12.
    assert model(torch.tensor([1.0, 2.0, 3.0])).item() == 6.0


def test_a_network_without_weights_needs_no_file(tmp_path: Path) -> None:
    path = write(tmp_path / "plain", family="plain", tensors={}, width=4)
    assert registry.build(checkpoint.read(path)).width == 4


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    weights = {"linear.weight": torch.ones(1, 4), "extra": torch.zeros(1)}
    path = write(tmp_path / "line", tensors=weights)
    with pytest.raises(CheckpointError) as refusal:
        registry.build(checkpoint.read(path))
    for text in (
        "linear.bias is missing",
        "extra is not part of it",
        "linear.weight is (1, 4), wanted (1, 3)",
    ):
        assert text in str(refusal.value)


def test_an_unknown_hyper_parameter_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "line", config={"depth": 2})
    with pytest.raises(ConfigError, match=r'config\.toml: unknown key "depth": known here are mel, width'):
        registry.build(checkpoint.read(path))


def test_an_unknown_family_lists_those_that_exist(tmp_path: Path) -> None:
    path = write(tmp_path / "odd", family="odd")
    with pytest.raises(CheckpointError, match=r'no model family "odd".*hifigan.*line.*vqvc'):
        registry.build(checkpoint.read(path))


@pytest.mark.parametrize("family", sorted(registry.FAMILIES))
def test_every_family_is_there(family: str) -> None:
    cls = registry.family_class(family)
    assert cls.family == family
    assert issubclass(cls, nn.Module)
    assert hasattr(cls, "Config")


def test_the_parts_of_a_pipeline(tmp_path: Path) -> None:
    part = write(tmp_path / "part")
    path = write(
        tmp_path / "whole", family="pipeline", config={"content": "c"}, tensors={}, parts={"c": part}
    )
    whole = checkpoint.read(path)
    assert {role: part.name for role, part in registry.parts(whole).items()} == {"content": "part"}
    assert next(registry.contract_lines(whole)).startswith("content mel: mel 0 to 8000 Hz")


def test_a_model_may_bring_another_along(tmp_path: Path) -> None:
    part = write(tmp_path / "part")
    path = write(tmp_path / "whole", parts={"speaker": part})
    write(path / ".half-written")
    whole = checkpoint.read(path)
    assert {role: part.path for role, part in registry.parts(whole).items()} == {"speaker": path / "speaker"}
    assert registry.parts(checkpoint.read(part)) == {}


@pytest.mark.parametrize("folder", ["../part", "/part", 3, ""])
def test_a_part_cannot_lie_outside(tmp_path: Path, folder: object) -> None:
    write(tmp_path / "part")
    path = write(tmp_path / "whole", family="pipeline", config={"content": folder}, tensors={})
    with pytest.raises(CheckpointError, match="content must name a folder inside it"):
        registry.parts(checkpoint.read(path))


def test_what_is_too_large_for_the_machine_is_one_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "line", tensors=Line(LineConfig()).state_dict(), config=LineConfig(width=1 << 60))
    with pytest.raises(
        CheckpointError, match=r"config\.toml asks for a line that cannot be built here: [^\n]*\.$"
    ):
        registry.build(checkpoint.read(path))
