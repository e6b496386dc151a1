"""Targets as they are written, and the voice they stand for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from timbrel.errors import ConfigError
from timbrel.targets import Target, parse_targets, target_voice
from timbrel.voice import Voice


@dataclass
class Recorder:
    """Stands for a `VoiceConverter`: says what it was asked."""

    denoised: list[bool] = field(default_factory=list)

    def enrol(self, *references: Path, denoise: bool = False) -> Voice:
        self.denoised.append(denoise)
        return Voice("recorder", "", {}, {}, 5.0, 0.2, 3.0, tuple(str(path) for path in references))

    def recall(self, path: Path) -> Voice:
        return Voice.load(path)

    def blend(self, *parts: tuple[Voice, float]) -> Voice:
        sources = tuple(f"{weight} of {'&'.join(voice.sources)}" for voice, weight in parts)
        return Voice("recorder", "", {}, {}, 5.0, 0.2, 3.0, sources)


def test_recordings_without_weights_are_one_voice() -> None:
    targets = parse_targets(["a.wav", Path("b.wav")])
    assert targets == (Target(Path("a.wav")), Target(Path("b.wav")))
    converter: Any = Recorder()
    assert target_voice(converter, targets).sources == ("a.wav", "b.wav")


def test_recordings_with_weights_are_a_blend() -> None:
    targets = parse_targets(["a.wav:0.7", "b.wav:3e-1"])
    assert targets == (Target(Path("a.wav"), 0.7), Target(Path("b.wav"), 0.3))
    converter: Any = Recorder()
    assert target_voice(converter, targets).sources == ("0.7 of a.wav", "0.3 of b.wav")


def test_a_saved_voice_may_be_part_of_a_blend(tmp_path: Path) -> None:
    converter: Any = Recorder()
    converter.enrol(Path("anna.wav")).save(tmp_path / "anna.voice")
    targets = parse_targets([f"{tmp_path}/anna.voice:1", "b.wav:2"])
    assert target_voice(converter, targets).sources == ("1.0 of anna.wav", "2.0 of b.wav")


def test_a_saved_voice_is_loaded_and_stands_alone(tmp_path: Path) -> None:
    converter: Any = Recorder()
    voice = converter.enrol(Path("a.wav"))
    voice.save(tmp_path / "anna.voice")
    assert target_voice(converter, parse_targets([tmp_path / "anna.voice"])) == voice
    with pytest.raises(ConfigError, match=r"cannot be joined.*anna\.voice:0\.5"):
        target_voice(converter, parse_targets([tmp_path / "anna.voice", Path("b.wav")]))
    with pytest.raises(ConfigError, match="denoise when it is enrolled"):
        target_voice(converter, parse_targets([tmp_path / "anna.voice"]), denoise=True)


def test_noise_is_taken_out_where_that_is_asked() -> None:
    converter: Any = Recorder()
    target_voice(converter, parse_targets(["a.wav:1", "b.wav:1"]), denoise=True)
    target_voice(converter, parse_targets(["a.wav"]))
    assert converter.denoised == [True, True, False]


def test_colons_may_be_part_of_a_name(tmp_path: Path) -> None:
    for name in ("take:2", "9:30.wav"):
        (tmp_path / name).touch()
    written = [f"{tmp_path}/take:2:0.5", f"{tmp_path}/9:30.wav:0.5"]
    assert parse_targets(written) == (
        Target(tmp_path / "take:2", 0.5),
        Target(tmp_path / "9:30.wav", 0.5),
    )
    assert parse_targets([f"{tmp_path}/take:2"]) == (Target(tmp_path / "take:2"),)
    assert parse_targets(["C:\\voices\\a.wav"]) == (Target(Path("C:\\voices\\a.wav")),)
    assert parse_targets([":0.5"]) == (Target(Path(":0.5")),)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (["a.wav:0", "b.wav:1"], r"^a\.wav: A weight is 0: "),
        (["a.wav:0", "b.wav:0"], r"^a\.wav: A weight is 0: "),
        (["a.wav:1", "b.wav:-1"], r"^b\.wav: A weight is -1: "),
        (["a.wav:nan", "b.wav:1"], r"^a\.wav: A weight is nan: "),
        (["a.wav:1", "b.wav:inf"], r"^b\.wav: A weight is inf: "),
        (["a.wav:1", "b.wav"], r"^b\.wav has no weight and a\.wav has one: "),
        (["a.wav:0.5"], r"^a\.wav is the only target, .* --strength\.$"),
    ],
)
def test_weights_that_make_no_sense(written: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_targets(written)
