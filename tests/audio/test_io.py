"""Reading: every format comes back whole, every broken file is refused in a sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from timbrel.audio.io import AudioInfo, probe, read, stream
from timbrel.errors import AudioError

CODECS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
}


def save(path: Path, samples: np.ndarray, rate: int = 16000) -> Path:
    """Written by libsndfile itself, not by what is tested."""
    container, subtype = CODECS[path.suffix]
    soundfile.write(path, samples, rate, format=container, subtype=subtype)
    return path


def save_float(path: Path, samples: np.ndarray, rate: int = 16000) -> Path:
    soundfile.write(path, samples, rate, format="WAV", subtype="FLOAT")
    return path


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_is_read_whole(suffix: str, channels: int, tmp_path: Path, voice: np.ndarray) -> None:
    path = save(tmp_path / f"a{suffix}", np.stack([voice] * channels, axis=1))
    info = probe(path)
    assert info == AudioInfo(path, suffix[1:], 16000, channels, len(voice))
    assert info.duration == 3.0
    waveform = read(path)
    assert waveform.sample_rate == 16000
    assert waveform.samples.shape == (len(voice),)
    lossless = suffix in (".wav", ".flac")
    assert np.corrcoef(waveform.samples.numpy(), voice)[0, 1] > (0.99999 if lossless else 0.97)


def test_channels_are_averaged(tmp_path: Path, voice: np.ndarray) -> None:
    path = save(tmp_path / "a.wav", np.stack([voice, np.zeros_like(voice)], axis=1))
    np.testing.assert_allclose(read(path).samples.numpy(), voice / 2, atol=1e-4)


def test_reading_at_another_rate_is_soxr_at_high_quality(tmp_path: Path, voice: np.ndarray) -> None:
    path = save_float(tmp_path / "a.wav", voice, 44100)
    waveform = read(path, 16000)
    assert waveform.sample_rate == 16000
    np.testing.assert_allclose(waveform.samples.numpy(), soxr.resample(voice, 44100, 16000, "HQ"), atol=1e-6)


@pytest.mark.parametrize("rate", [16000, 22050])
@pytest.mark.parametrize("block_seconds", [0.1, 0.7, 100.0])
def test_stream_is_bit_equal_to_read(
    rate: int, block_seconds: float, tmp_path: Path, voice: np.ndarray
) -> None:
    path = save(tmp_path / "a.flac", voice)
    blocks = list(stream(path, rate, block_seconds))
    assert {len(block) for block in blocks[:-1]} <= {round(rate * block_seconds)}
    np.testing.assert_array_equal(np.concatenate(blocks), read(path, rate).samples.numpy())


def test_streaming_ten_minutes_holds_a_few_blocks_only(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    noise = 0.1 * np.random.default_rng(0).standard_normal(8000 * 10)
    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        for _ in range(60):
            file.write(noise)
    tracemalloc.start()
    total = sum(len(block) for block in stream(path, 16000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 600 * 16000
    assert peak < 8 * 16000 * 10 * 4  # the whole would be 60 blocks


def test_silence_within_a_recording_is_kept(tmp_path: Path, voice: np.ndarray) -> None:
    path = save(tmp_path / "a.wav", np.concatenate([voice, np.zeros(32000)]))
    assert not read(path).samples[-31000:].any()


# --- what is refused ------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    """The sentence with which both ways of reading refuse a file; it names the file."""
    with pytest.raises(AudioError) as by_read:
        read(path, 16000)
    with pytest.raises(AudioError) as by_stream:
        list(stream(path, 16000))
    assert str(by_read.value) == str(by_stream.value)
    message = str(by_read.value)
    assert str(path) in message
    assert "\n" not in message
    assert message.endswith((".", "?"))
    return message


def test_no_such_file(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "missing.wav")


def test_a_folder(tmp_path: Path) -> None:
    assert "is a folder" in refusal(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
def test_a_name_that_is_no_text(tmp_path: Path, voice: np.ndarray) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.wav"))
    save(tmp_path / "a.wav", voice).rename(path)
    assert "has a name that is no text" in refusal(path)


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.touch()
    assert "empty (0 bytes)" in refusal(path)


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize("name", ["a.wav", "a.raw", "a.m4a", "a"])
def test_text_under_any_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("This is not audio.\n" * 100)
    assert "is not audio in WAV, FLAC, MP3, Ogg or Opus; install ffmpeg" in refusal(path)


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_a_truncated_file(suffix: str, share: float, tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(48000)
    path = save(tmp_path / f"a{suffix}", noise)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "truncated" in refusal(path)


@pytest.mark.parametrize("kind", ["AIFF", "AU", "W64", "RF64", "WAVEX"])
def test_a_truncated_file_of_a_rarer_kind(kind: str, tmp_path: Path, voice: np.ndarray) -> None:
    path = tmp_path / "a"
    soundfile.write(path, voice, 16000, format=kind, subtype="PCM_16")
    assert len(read(path).samples) == len(voice)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "truncated" in refusal(path)


def test_a_wav_of_unknown_length_is_no_truncation(tmp_path: Path, voice: np.ndarray) -> None:
    """What a program writes that pipes a WAV: 0xFFFFFFFF where the size belongs."""
    path = save(tmp_path / "a.wav", voice)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert len(read(path).samples) == len(voice)


def test_no_samples_at_all(tmp_path: Path) -> None:
    assert "holds no samples" in refusal(save(tmp_path / "a.wav", np.zeros(0)))


@pytest.mark.parametrize("rate", [2000, 2_000_000])
def test_an_absurd_rate(rate: int, tmp_path: Path, voice: np.ndarray) -> None:
    assert f"sample rate of {rate:,} Hz" in refusal(save(tmp_path / "a.wav", voice, rate))


def test_too_many_channels(tmp_path: Path) -> None:
    assert "16 channels" in refusal(save(tmp_path / "a.wav", np.full((16000, 16), 0.1)))


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path, voice: np.ndarray) -> None:
    """A FLAC of some kilobytes that claims 2^35 samples: refused before anything is decoded."""
    path = save(tmp_path / "a.flac", voice)
    content = bytearray(path.read_bytes())
    content[21] |= 0x08  # the top bit but one of the 36-bit sample count
    path.write_bytes(content)
    with pytest.raises(AudioError, match="hours"):
        probe(path)
    assert "beyond the limit" in refusal(path)


def test_more_than_memory_holds_must_be_streamed(
    tmp_path: Path, voice: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.flac", voice)
    monkeypatch.setattr("timbrel.audio.io.MAX_READ_SECONDS", 2.9)
    with pytest.raises(AudioError, match="too much to hold in memory"):
        read(path)
    assert sum(len(block) for block in stream(path, 16000)) == len(voice)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite(value: float, tmp_path: Path, voice: np.ndarray) -> None:
    samples = voice.copy()
    samples[40000] = value
    assert "not finite" in refusal(save_float(tmp_path / "a.wav", samples))


@pytest.mark.parametrize("peak", [32768.0, 1e10])
def test_samples_far_beyond_full_scale(peak: float, tmp_path: Path, voice: np.ndarray) -> None:
    samples = voice / np.abs(voice).max() * peak
    assert "scaled wrongly" in refusal(save_float(tmp_path / "a.wav", samples))


def test_a_little_over_full_scale_is_read(tmp_path: Path, voice: np.ndarray) -> None:
    path = save_float(tmp_path / "a.wav", voice / np.abs(voice).max() * 1.5)
    assert float(read(path).samples.abs().max()) == pytest.approx(1.5)


@pytest.mark.parametrize("level", [0.0, 5e-5])
def test_a_silent_file(level: float, tmp_path: Path) -> None:
    assert "silent throughout" in refusal(save_float(tmp_path / "a.wav", np.full(16000, level)))


def test_channels_that_cancel_each_other(tmp_path: Path, voice: np.ndarray) -> None:
    path = save(tmp_path / "a.wav", np.stack([voice, -voice], axis=1))
    assert "channels averaged" in refusal(path)


def test_shorter_than_needed(tmp_path: Path, voice: np.ndarray) -> None:
    assert "lasts 0.29 s" in refusal(save(tmp_path / "a.wav", voice[: int(0.29 * 16000)]))


def test_a_stream_refuses_at_the_call_what_the_header_tells(tmp_path: Path) -> None:
    with pytest.raises(AudioError):
        stream(tmp_path / "missing.wav", 16000)


# --- ffmpeg ---------------------------------------------------------------------------------------

AU_TONE = """
import math
out.write(struct.pack(">4s5I", b".snd", 28, 0xFFFFFFFF, 6, 32000, 2) + b"note")
for i in range(32000):
    value = math.sin(0.05 * i)
    out.write(struct.pack(">ff", value, 0.5 * value))
"""


def test_other_formats_are_decoded_by_ffmpeg(tmp_path: Path, fake_ffmpeg: Callable[[str], None]) -> None:
    fake_ffmpeg(AU_TONE)
    path = tmp_path / "a.m4a"
    path.write_bytes(b"something only ffmpeg knows")
    assert probe(path) == AudioInfo(path, "ffmpeg", 32000, 2, 32000)
    np.testing.assert_allclose(read(path).samples.numpy(), 0.75 * np.sin(0.05 * np.arange(32000)), atol=1e-6)


def test_what_ffmpeg_complains_about_is_damaged(tmp_path: Path, fake_ffmpeg: Callable[[str], None]) -> None:
    fake_ffmpeg(AU_TONE + 'sys.stderr.write("[in#0] File ended prematurely\\n")')
    path = tmp_path / "a.webm"
    path.write_bytes(b"half of something")
    assert "damaged or truncated (ffmpeg: File ended prematurely)" in refusal(path)


def test_what_ffmpeg_cannot_read_is_not_audio(tmp_path: Path, fake_ffmpeg: Callable[[str], None]) -> None:
    fake_ffmpeg('sys.stderr.write("[in#0] Invalid data found\\n"); sys.exit(183)')
    path = tmp_path / "a.wav"
    path.write_text("text")
    assert "is not audio (ffmpeg: Invalid data found)" in refusal(path)


def test_endless_output_of_ffmpeg_is_cut_short(tmp_path: Path, fake_ffmpeg: Callable[[str], None]) -> None:
    """A bomb that only shows while it is decoded."""
    fake_ffmpeg(
        'out.write(struct.pack(">4s5I", b".snd", 24, 0xFFFFFFFF, 6, 4000, 8))\n'
        "while True: out.write(bytes(1 << 20))"
    )
    path = tmp_path / "a.m4a"
    path.write_bytes(b"small")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(AudioError, match="beyond the limit"):
        patch.setattr("timbrel.audio.decode.MAX_SECONDS", 60)
        probe(path)


@pytest.mark.usefixtures("no_ffmpeg")
def test_a_flac_of_unknown_length_needs_ffmpeg(tmp_path: Path, voice: np.ndarray) -> None:
    path = save(tmp_path / "a.flac", voice)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert "does not say in its header how long it is; install ffmpeg" in refusal(path)


def mp3_frame(bit_rate_index: int, bit_rate: int) -> bytes:
    """A silent MPEG-1 Layer III frame at 44.1 kHz."""
    length = 144 * bit_rate * 1000 // 44100
    return (bytes([0xFF, 0xFB, bit_rate_index << 4, 0xC0])).ljust(length, b"\0")


@pytest.mark.usefixtures("no_ffmpeg")
def test_an_mp3_of_varying_bit_rate_without_a_length_is_not_cut_silently(tmp_path: Path) -> None:
    """libsndfile would guess the length from the first frame's bit rate and stop there."""
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3_frame(9, 128) * 10 + mp3_frame(1, 32) * 200)
    assert "does not say in its header how long it is" in refusal(path)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="this machine has no ffmpeg")
@pytest.mark.parametrize("suffix", [".m4a", ".webm", ".mp4"])
def test_a_real_ffmpeg_reads_and_notices_truncation(suffix: str, tmp_path: Path, voice: np.ndarray) -> None:
    source = save(tmp_path / "a.wav", voice)
    path = tmp_path / f"b{suffix}"
    subprocess.run(["ffmpeg", "-v", "error", "-i", source, path], check=True)
    assert read(path, 16000).duration == pytest.approx(3.0, abs=0.1)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "ffmpeg" in refusal(path)
