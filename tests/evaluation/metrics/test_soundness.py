"""Files with something wrong are flagged, and can be heard nevertheless."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from timbrel.errors import AudioError
from timbrel.evaluation.metrics.recordings import Judge, hear
from timbrel.evaluation.metrics.soundness import soundness

from .cases import RATE, Given, write

TONE = 0.5 * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE)


def flagged(tmp_path: Path, converted: np.ndarray) -> dict[str, float]:
    source = write(tmp_path / "source.wav", TONE)
    return soundness("", False).measure(Given(source, source, write(tmp_path / "converted.wav", converted)))


def test_a_copy_is_sound(tmp_path: Path) -> None:
    assert flagged(tmp_path, TONE) == {"duration_ratio": 1.0, "clipped": 0.0, "flagged": 0.0}


@pytest.mark.parametrize(
    "broken",
    [
        np.append(TONE, np.nan),
        np.append(TONE, np.inf),
        TONE * 1e-4,
        TONE[: RATE // 10],
        np.clip(4 * TONE, -1, 1),
        np.tile(TONE, 3),
        TONE[: RATE * 2 // 5],
    ],
    ids=["nan", "infinite", "silent", "very short", "clipped", "three times as long", "under half as long"],
)
def test_what_is_broken_is_flagged(tmp_path: Path, broken: np.ndarray) -> None:
    assert flagged(tmp_path, broken)["flagged"] == 1


def test_the_clipped_share_of_a_tone_cut_at_half_its_height(tmp_path: Path) -> None:
    # |sin| exceeds 1/2 during two thirds of a period.
    assert flagged(tmp_path, np.clip(4 * TONE, -1, 1))["clipped"] == pytest.approx(200 / 3, abs=1.5)


def test_broken_samples_are_heard_as_silence_and_loud_ones_clipped(tmp_path: Path) -> None:
    heard = hear(write(tmp_path / "odd.wav", np.array([np.nan, 0.5, -3.0, np.inf] + [0.25] * 9000)))
    assert heard[:4].tolist() == [0.0, 0.5, -1.0, 0.0]
    assert len(heard) == 9004


def test_channels_are_averaged_rates_changed_and_short_ones_filled_up(tmp_path: Path) -> None:
    stereo = np.stack([np.full(1000, 0.5), np.full(1000, 0.1)], axis=1)
    assert hear(write(tmp_path / "stereo.wav", stereo))[500] == pytest.approx(0.3)
    assert len(hear(write(tmp_path / "stereo.wav", stereo))) == RATE // 2
    assert len(hear(write(tmp_path / "fast.wav", np.tile(TONE, 3), 48000))) == RATE


def test_a_judge_is_loaded_once_and_hears_a_file_once_until_it_changes(tmp_path: Path) -> None:
    loaded, heard = [], []

    def load() -> object:
        loaded.append(1)
        return lambda samples: heard.append(len(samples)) or len(heard)

    judge = Judge(load, lambda: "one")
    path = write(tmp_path / "one.wav", TONE)
    assert not loaded
    assert [judge(path), judge(path)] == [1, 1]
    write(path, np.tile(TONE, 2))
    assert judge(path) == 2
    assert (len(loaded), heard) == (1, [RATE, 2 * RATE])


def test_what_cannot_be_decoded_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    with pytest.raises(AudioError, match=r"text\.wav"):
        hear(tmp_path / "text.wav")
