"""`timbrel info` says what a file or a folder is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from timbrel.checkpoint import write

from .conftest import Command, is_one_sentence


def test_a_recording(timbrel: Command) -> None:
    seconds = np.arange(2 * 44100) / 44100
    tone = 0.5 * np.sin(2 * np.pi * 440 * seconds)
    soundfile.write("tone.flac", np.stack([tone, tone], axis=1), 44100)
    ended = timbrel("info", "tone.flac")
    assert ended.code == 0
    for text in ("flac, 2.00 s", "44100 Hz", "2 channels", "88200 frames", "-9.0 dBFS"):
        assert text in ended.out


def test_a_long_recording_is_not_taken_into_memory(timbrel: Command) -> None:
    soundfile.write("long.flac", np.random.default_rng(0).normal(0, 0.1, 601 * 4000), 4000)
    ended = timbrel("info", "long.flac")
    assert ended.code == 0
    assert "not assessed" in ended.out


def test_a_checkpoint(timbrel: Command, tmp_path: Path) -> None:
    provenance = {"licence": "CC0-1.0", "data": ["one", "two"], "recipe": {"steps": "7 " * 400}}
    spec = {"kind": "learned", "sample_rate": 16000, "hop": 320, "dim": 1024, "encoder": "abcd"}
    write(
        tmp_path / "little",
        family="vqvc",
        name="little",
        config={"features": spec},
        tensors={},
        provenance=provenance,
        card="",
    )
    ended = timbrel("info", tmp_path / "little")
    assert ended.code == 0
    for text in (
        "family vqvc",
        "features: learned, 1024 values, 50 frames/s",
        "abcd",
        "CC0-1.0",
        '["one", "two"]',
        "(whole in provenance.json)",
    ):
        assert text in ended.out
    assert max(map(len, ended.out.splitlines())) < 400


def test_the_bundled_model(timbrel: Command) -> None:
    from timbrel import registry

    ended = timbrel("info", registry.find(registry.DEFAULT_MODEL))
    assert ended.code == 0
    for text in ("family pipeline", "content", "speaker", "converter", "licence"):
        assert text in ended.out


def test_what_it_does_not_know_is_refused(timbrel: Command, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("words")
    (tmp_path / "no.voice").write_text("words")
    for path in (tmp_path / "text.wav", tmp_path / "no.voice", tmp_path / "absent.wav", tmp_path):
        ended = timbrel("info", path)
        assert ended.code == 2
        assert is_one_sentence(ended.err)
        assert path.name in ended.err
