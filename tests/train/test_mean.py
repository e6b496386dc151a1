"""The mean of checkpoints: of the weights, share by share, and of nothing that does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from tests.methods.making import attending, autovc, part, speaker, vqvc
from typer.testing import CliRunner

from timbrel import checkpoint, registry
from timbrel.cli.app import app
from timbrel.errors import CheckpointError, ConfigError, OutputError
from timbrel.targets import Target
from timbrel.train.mean import average


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """One network with three sets of weights."""
    return [part(tmp_path / f"one{seed}", speaker(seed)) for seed in range(3)]


@pytest.fixture
def converter(tmp_path: Path) -> Path:
    return attending(tmp_path / "pipeline") / "converter"


def weights(path: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load_tensors(checkpoint.read(path))


def test_each_counts_by_its_weight(three: list[Path], tmp_path: Path) -> None:
    shares = [Target(path, weight) for path, weight in zip(three, (1.0, 2.0, 5.0), strict=True)]
    made = average(shares, tmp_path / "mean")
    one, two, last = (weights(path) for path in three)
    assert weights(made).keys() == one.keys()
    for name, tensor in weights(made).items():
        torch.testing.assert_close(tensor, one[name] / 8 + two[name] / 4 + last[name] * 5 / 8)
    assert registry.build(checkpoint.read(made)).state_dict().keys() == one.keys()


def test_without_weights_all_count_alike(three: list[Path], tmp_path: Path) -> None:
    made = weights(average([Target(path) for path in three[:2]], tmp_path / "mean"))
    one, two = (weights(path) for path in three[:2])
    for name, tensor in made.items():
        torch.testing.assert_close(tensor, (one[name] + two[name]) / 2)


def test_it_says_what_it_is_the_mean_of(three: list[Path], tmp_path: Path) -> None:
    made = average([Target(three[0], 3.0), Target(three[1], 1.0)], tmp_path / "mean")
    facts = checkpoint.read(made).provenance
    assert [(one["name"], one["share"]) for one in facts["mean_of"]] == [("one0", 0.75), ("one1", 0.25)]
    assert facts["licence"] == "MIT"
    card = (made / checkpoint.CARD).read_text(encoding="utf-8")
    assert "75% one0" in card and "25% one1" in card


def test_what_counts_instead_of_weighing_is_the_firsts(tmp_path: Path) -> None:
    one, two = (part(tmp_path / f"vqvc{seed}", vqvc(seed=seed)) for seed in range(2))
    counts = {name: tensor for name, tensor in weights(one).items() if not tensor.is_floating_point()}
    assert counts
    made = weights(average([Target(one), Target(two)], tmp_path / "mean"))
    assert all(torch.equal(made[name], tensor) for name, tensor in counts.items())


def test_people_in_the_crowd_are_mixed_with_nobody(tmp_path: Path) -> None:
    paths = [attending(tmp_path / str(n), guidance=0.25) / "converter" for n in range(2)]
    for n, path in enumerate(paths):
        found = checkpoint.read(path)
        tensors = weights(path) | {
            "crowd.log_f0": torch.full((3,), 4.5 + n),
            "crowd.tokens": torch.full_like(weights(path)["crowd.tokens"], float(n)),
            "head.bias": torch.full_like(weights(path)["head.bias"], float(n)),
        }
        checkpoint.write(
            path,
            family=found.family,
            name=found.name,
            config=found.config,
            tensors=tensors,
            provenance=found.provenance,
            card="",
            overwrite=True,
        )
    made = weights(average([Target(paths[1]), Target(paths[0])], tmp_path / "mean"))
    assert set(made["crowd.log_f0"].tolist()) == {5.5}
    assert set(made["crowd.tokens"].flatten().tolist()) == {1.0}
    assert set(made["head.bias"].tolist()) == {0.5}


def test_settings_can_be_changed_with_the_weights_as_they_are(converter: Path, tmp_path: Path) -> None:
    made = average([Target(converter)], tmp_path / "changed", overrides=["restore=0.65", "adopt=1.25"])
    assert checkpoint.read(made).config["restore"] == 0.65
    assert registry.build(checkpoint.read(made)).config.attempts == 2
    before, now = weights(converter), weights(made)
    assert all(torch.equal(now[name], tensor) for name, tensor in before.items())


def test_checkpoints_that_differ_in_a_setting_meet_once_it_is_set(converter: Path, tmp_path: Path) -> None:
    other = average([Target(converter)], tmp_path / "other", overrides=["adopt=1.25"])
    with pytest.raises(CheckpointError, match=r"other is another network .*: adopt was 0\.0 and is 1\.25\."):
        average([Target(converter), Target(other)], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()
    made = average([Target(converter), Target(other)], tmp_path / "mean", overrides=["adopt=1"])
    assert checkpoint.read(made).config["adopt"] == 1


def test_stored_in_8_bits_it_is_a_quarter_as_large(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = speaker()
    path = part(tmp_path / "whole", network)
    made = average([Target(path)], tmp_path / "small", bits=8)
    stored, before = weights(made), weights(path)
    sizes = [(one / checkpoint.WEIGHTS).stat().st_size for one in (path, made)]
    assert sizes[1] < 0.6 * sizes[0]
    for name, tensor in before.items():
        assert float((stored[name] - tensor).abs().max()) <= float(tensor.abs().max()) / 127


@pytest.mark.parametrize("key", ["hidden=3", "=3", "restore"])
def test_a_setting_that_is_none_is_refused(converter: Path, tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"--set {key}"):
        average([Target(converter)], tmp_path / "mean", overrides=[key])


def test_what_is_no_network_or_another_is_refused(three: list[Path], converter: Path, tmp_path: Path) -> None:
    out = tmp_path / "mean"
    with pytest.raises(CheckpointError, match=r"is a pipeline .* average .*converter"):
        average([Target(converter.parent)], out)
    with pytest.raises(CheckpointError, match=r"of the family speaker .* of converter: a mean is of one"):
        average([Target(three[0]), Target(converter)], out)
    with pytest.raises(CheckpointError, match="there is no such folder"):
        average([Target(three[0]), Target(tmp_path / "nowhere")], out)
    with pytest.raises(ConfigError, match="Give the checkpoints"):
        average([], out)
    with pytest.raises(ConfigError, match=r"one0 has no weight and others have"):
        average([Target(three[0]), Target(three[1], 0.5)], out)
    for weight in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="A weight is"):
            average([Target(three[0], weight), Target(three[1], 1.0)], out)
    assert not out.exists()


def test_a_model_keeps_the_parts_that_lie_in_it(tmp_path: Path) -> None:
    encoder = speaker()
    whole = part(tmp_path / "autovc", autovc(encoder))
    part(whole / "speaker", encoder)
    made = average([Target(whole), Target(whole)], tmp_path / "mean")
    assert weights(made / "speaker").keys() == encoder.state_dict().keys()


def test_what_is_averaged_is_not_replaced(three: list[Path], tmp_path: Path) -> None:
    before = weights(three[0])
    for out in (three[0], three[0] / "inside", tmp_path):
        with pytest.raises(OutputError, match="lie one in the other"):
            average([Target(three[1]), Target(three[0])], out, force=True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(three[0]).items())
    assert sorted(path.name for path in three[0].iterdir()) == sorted(
        path.name for path in three[1].iterdir()
    )


def test_weights_that_are_no_numbers_are_refused(three: list[Path], tmp_path: Path) -> None:
    found = checkpoint.read(three[0])
    tensors = weights(three[0])
    name = next(iter(tensors))
    tensors[name] = torch.full_like(tensors[name], float("nan"))
    checkpoint.write(
        three[0],
        family=found.family,
        name=found.name,
        config=found.config,
        tensors=tensors,
        provenance=found.provenance,
        card="",
        overwrite=True,
    )
    with pytest.raises(CheckpointError, match="is not finite"):
        average([Target(path) for path in three], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_a_full_disk_is_said(three: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: File too large (os error 27)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(CheckpointError, match=r"mean cannot be written: .*File too large"):
        average([Target(path) for path in three], tmp_path / "mean")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one0", "one1", "one2"]


def test_the_command_replaces_nothing_unasked(three: list[Path], tmp_path: Path) -> None:
    out, runner = tmp_path / "mean", CliRunner()
    shares = [f"{three[0]}:0.3", f"{three[1]}:0.7"]
    first = runner.invoke(app, ["average", *shares, "-o", str(out), "--bits", "16"])
    assert first.exit_code == 0
    assert first.stdout.strip() == str(out)
    before = weights(out)
    again = runner.invoke(app, ["average", str(three[2]), "-o", str(out)])
    assert isinstance(again.exception, CheckpointError)
    assert all(torch.equal(weights(out)[name], tensor) for name, tensor in before.items())
    assert runner.invoke(app, ["average", str(three[2]), "-o", str(out), "--force"]).exit_code == 0
    assert not all(torch.equal(weights(out)[name], tensor) for name, tensor in before.items())
