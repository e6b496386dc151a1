"""The main job, as a user meets it: with the bundled model on speech, with small networks on the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from timbrel.audio.io import Waveform, read_metadata
from timbrel.audio.loudness import integrated_loudness
from timbrel.audio.pitch import log_f0_statistics, track
from timbrel.audio.resample import resample
from timbrel.errors import AudioError, CheckpointError, ConfigError, ContractError, OutputError
from timbrel.methods.attending import AttendingMethod
from timbrel.pipeline import VoiceConverter
from timbrel.results import Conversion
from timbrel.steering import Steering
from timbrel.voice import Voice

from .methods import making
from .methods.making import attending, speechlike

Pair = tuple[Path, Path]
#: 16-bit files round: half a step, and the writer's full scale is a step below 1.
STEP = 1.5 / 32768


@pytest.fixture(scope="module")
def bundled() -> VoiceConverter:
    """The model that ships with the package."""
    return VoiceConverter.from_pretrained(device="cpu")


@pytest.fixture(scope="module")
def target(bundled: VoiceConverter, demo_pair: Pair) -> Voice:
    """The voice of the second demo recording."""
    return bundled.enrol(demo_pair[1])


@pytest.fixture(scope="module")
def spoken(demo_pair: Pair) -> Waveform:
    """Two seconds of the first demo recording."""
    samples, rate = soundfile.read(demo_pair[0], dtype="float32")
    return Waveform(torch.from_numpy(samples[rate // 2 : rate // 2 + 2 * rate]), rate)


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of small random networks."""
    return attending(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def tiny(tiny_folder: Path) -> VoiceConverter:
    return VoiceConverter.from_pretrained(tiny_folder)


@pytest.fixture(scope="module")
def tiny_voice(tiny: VoiceConverter) -> Voice:
    return tiny.enrol(synthetic(4.0, pitch=200.0))


def synthetic(seconds: float, sample_rate: int = 16000, pitch: float = 130.0) -> Waveform:
    return Waveform(torch.from_numpy(speechlike(seconds, sample_rate, pitch)), sample_rate)


def small_windows(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr("timbrel.pipeline.WINDOW_SECONDS", seconds)


# What a user hears and gets, with the bundled model.


def test_library_file_and_command_give_the_same_samples(
    bundled: VoiceConverter, target: Voice, demo_pair: Pair, tmp_path: Path
) -> None:
    from timbrel.cli.app import app

    made = bundled.convert(demo_pair[0], target, seed=3)
    made.save(tmp_path / "library.wav")
    summary = bundled.convert_file(demo_pair[0], target, tmp_path / "file.wav", seed=3)
    command = ["convert", demo_pair[0], "--target", demo_pair[1], "-o", tmp_path / "command.wav", "--seed", 3]
    assert CliRunner().invoke(app, [*map(str, command), "--device", "cpu"]).exit_code == 0
    one, two, three = ((tmp_path / f"{name}.wav").read_bytes() for name in ("library", "file", "command"))
    assert one == two == three
    written, rate = soundfile.read(tmp_path / "file.wav", dtype="float32")
    assert rate == made.sample_rate == bundled.sample_rate
    np.testing.assert_allclose(written, made.waveform.numpy(), atol=STEP, rtol=0)
    assert summary.seconds == made.summary.seconds
    assert summary.level_dbfs == made.summary.level_dbfs
    comment = read_metadata(tmp_path / "file.wav")["comment"].lower()
    assert all(word in comment for word in ("timbrel", bundled.name, "synthetic voice"))


def test_the_voice_is_the_targets_and_the_length_and_loudness_the_sources(
    bundled: VoiceConverter, target: Voice, demo_pair: Pair
) -> None:
    made = bundled.convert(demo_pair[0], target)
    report = bundled.report(Waveform(made.waveform, made.sample_rate), demo_pair[0], target, made.summary)
    assert report.similarity_to_target > report.similarity_to_source
    assert max(abs(report.similarity_to_target), abs(report.similarity_to_source)) <= 1.0 + 1e-5
    assert (report.seconds, report.level_dbfs) == (made.summary.seconds, made.summary.level_dbfs)
    samples, rate = soundfile.read(demo_pair[0])
    assert len(made.waveform) / made.sample_rate == pytest.approx(len(samples) / rate, abs=0.016)
    loudness = integrated_loudness(made.waveform.numpy(), made.sample_rate)
    assert loudness == pytest.approx(integrated_loudness(samples, rate), abs=1.5)
    rms = float(np.sqrt(np.square(made.waveform.numpy(), dtype=np.float64).mean()))
    assert made.summary.level_dbfs == pytest.approx(20 * np.log10(rms), abs=0.01)
    assert made.timings.total == pytest.approx(made.summary.elapsed)
    assert made.summary.real_time_factor == pytest.approx(made.summary.elapsed / made.summary.seconds)


def test_a_seed_is_a_performance(bundled: VoiceConverter, target: Voice, spoken: Waveform) -> None:
    first, again, other = (bundled.convert(spoken, target, seed=seed).waveform for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    # Only the breath is drawn at random: it stays the same utterance.
    assert torch.corrcoef(torch.stack([first, other]))[0, 1] > 0.5


@pytest.mark.parametrize("seconds", [0.3, 0.7])
def test_windows_do_not_matter(
    bundled: VoiceConverter,
    target: Voice,
    spoken: Waveform,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
) -> None:
    whole = bundled.convert(spoken, target).waveform
    small_windows(monkeypatch, seconds)
    torch.testing.assert_close(bundled.convert(spoken, target).waveform, whole, atol=1e-5, rtol=0)


def test_digital_silence_comes_out_silent(bundled: VoiceConverter, target: Voice, spoken: Waveform) -> None:
    rate = spoken.sample_rate
    source = torch.cat([spoken.samples, torch.zeros(rate), spoken.samples])
    made = bundled.convert(Waveform(source, rate), target)
    # Two frames at the edges are the source's own, fading.
    start, stop = (round((2 + at) * made.sample_rate) for at in (0.032, 1 - 0.032))
    assert made.waveform[start:stop].abs().max() < 1e-3
    assert made.waveform[: 2 * made.sample_rate].abs().max() > 0.05


def test_a_loud_source_is_not_clipped(bundled: VoiceConverter, target: Voice, spoken: Waveform) -> None:
    loud = Waveform(spoken.samples / spoken.samples.abs().max(), spoken.sample_rate)
    made = bundled.convert(loud, target).waveform
    assert made.abs().max() <= 1.0
    assert (made.abs() > 0.999).float().mean() < 1e-3


def test_a_quiet_source_comes_out_as_quiet(bundled: VoiceConverter, target: Voice, spoken: Waveform) -> None:
    made = bundled.convert(spoken, target).summary
    quiet = bundled.convert(Waveform(spoken.samples * 0.1, spoken.sample_rate), target).summary
    assert made.level_dbfs - quiet.level_dbfs == pytest.approx(20.0, abs=0.5)


# How it is steered: pitch, strength, blends.


def likenesses(converter: VoiceConverter, made: Conversion, *voices: Voice) -> list[float]:
    """Cosines of a conversion and of voices, by the model's own speaker encoder."""
    heard = converter.enrol(Waveform(made.waveform, made.sample_rate))
    (own,) = heard.embeddings.values()
    return [float(own @ vector) for voice in voices for vector in voice.embeddings.values()]


def mean_pitch(made: Conversion) -> float:
    return log_f0_statistics(track(made.waveform.numpy()))[0]


def test_strength_goes_from_the_source_to_the_target(
    bundled: VoiceConverter, target: Voice, demo_pair: Pair
) -> None:
    own = bundled.enrol(demo_pair[0])
    strengths = (0.0, 0.25, 0.5, 0.75, 1.0)
    made = [bundled.convert(demo_pair[0], target, steering=Steering(strength=s)) for s in strengths]
    to_source, to_target = zip(*(likenesses(bundled, one, own, target) for one in made), strict=True)
    assert list(to_target) == sorted(to_target)
    assert list(to_source) == sorted(to_source, reverse=True)
    assert to_source[0] > 0.9 > to_target[0] + 0.1
    # So does the pitch, in even steps on the logarithmic scale.
    steps = np.diff([mean_pitch(one) for one in made])
    np.testing.assert_allclose(steps, (target.log_f0_mean - own.log_f0_mean) / 4, atol=0.03)


def test_a_blend_lies_between_its_voices(bundled: VoiceConverter, demo_pair: Pair, spoken: Waveform) -> None:
    first, second = (bundled.enrol(path) for path in demo_pair)
    blends = [bundled.blend((first, 1 - share), (second, share)) for share in (0.2, 0.5, 0.8)]
    made = [bundled.convert(spoken, voice) for voice in (first, *blends, second)]
    to_first, to_second = zip(*(likenesses(bundled, one, first, second) for one in made), strict=True)
    for likeness in (to_second, tuple(reversed(to_first))):
        # Near an end a blend and the voice itself are one to the encoder, give or take a hundredth.
        assert all(later > earlier - 0.01 for earlier, later in pairwise(likeness))
        assert likeness[0] < likeness[2] - 0.03 < likeness[4] - 0.06


@pytest.mark.parametrize(("f0", "semitones"), [("keep", 0.0), (3.0, 3.0), (-4.5, -4.5)])
def test_pitch_is_kept_or_shifted(
    bundled: VoiceConverter, target: Voice, spoken: Waveform, f0: Any, semitones: float
) -> None:
    source, _ = log_f0_statistics(track(resample(spoken.samples.numpy(), spoken.sample_rate, 16000)))
    made = bundled.convert(spoken, target, steering=Steering(f0))
    assert mean_pitch(made) - source == pytest.approx(semitones * np.log(2) / 12, abs=0.03)


def test_a_steering_is_said_in_the_file(tiny: VoiceConverter, tiny_voice: Voice, tmp_path: Path) -> None:
    steering = Steering(-2.0, 0.5)
    tiny.convert_file(synthetic(1.0), tiny_voice, tmp_path / "file.wav", steering=steering)
    tiny.convert(synthetic(1.0), tiny_voice, steering=steering).save(tmp_path / "memory.wav")
    for name in ("file.wav", "memory.wav"):
        assert read_metadata(tmp_path / name)["comment"].endswith("tiny, f0 -2 semitones, strength 0.5")
    assert (tmp_path / "file.wav").read_bytes() == (tmp_path / "memory.wav").read_bytes()


def test_windows_do_not_matter_to_a_steered_conversion(
    tiny: VoiceConverter, tiny_voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    steering = Steering("keep", 0.4)
    whole = tiny.convert(synthetic(2.0), tiny_voice, steering=steering).waveform
    small_windows(monkeypatch, 0.5)
    again = tiny.convert(synthetic(2.0), tiny_voice, steering=steering).waveform
    torch.testing.assert_close(again, whole, atol=1e-5, rtol=0)


def test_no_strength_is_the_sources_own_voice(tiny: VoiceConverter, tiny_voice: Voice) -> None:
    source = synthetic(3.0)
    none = tiny.convert(source, tiny_voice, steering=Steering(strength=0.0)).waveform
    torch.testing.assert_close(none, tiny.convert(source, tiny.enrol(source)).waveform, atol=1e-5, rtol=0)
    other = tiny.enrol(synthetic(4.0, pitch=300.0))
    assert torch.equal(tiny.convert(source, other, steering=Steering(strength=0.0)).waveform, none)


def test_a_voice_is_known_from_where_it_begins_to_speak(
    tiny: VoiceConverter, tiny_voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[torch.Tensor] = []
    hear = AttendingMethod.hear
    monkeypatch.setattr(AttendingMethod, "hear", lambda self, given: heard.extend(given) or hear(self, given))
    late = torch.cat([torch.zeros(70 * 16000), torch.from_numpy(speechlike(4.0))])
    tiny.convert(Waveform(late, 16000), tiny_voice, steering=Steering(strength=0.5))
    (own,) = heard
    # The minute and more of silence before it would have been all that is heard of a voice.
    assert 3 * 16000 <= len(own) <= 5 * 16000
    assert own.square().mean().sqrt() > 0.03


def test_a_voice_blended_with_itself_is_itself(tiny: VoiceConverter, tiny_voice: Voice) -> None:
    source = synthetic(1.0)
    blended = tiny.blend((tiny_voice, 3.0), (tiny_voice, 1.0))
    made, plain = (tiny.convert(source, voice).waveform for voice in (blended, tiny_voice))
    torch.testing.assert_close(made, plain, atol=1e-5, rtol=0)
    assert blended.sources == ("a waveform (75%)", "a waveform (25%)")


def test_a_saved_blend_converts_alike(tiny: VoiceConverter, tiny_voice: Voice, tmp_path: Path) -> None:
    blend = tiny.blend((tiny_voice, 1.0), (tiny.enrol(synthetic(3.0)), 2.0))
    blend.save(tmp_path / "both.voice")
    source, loaded = synthetic(1.0), Voice.load(tmp_path / "both.voice")
    assert torch.equal(tiny.convert(source, loaded).waveform, tiny.convert(source, blend).waveform)
    plain = tiny.convert(source, tiny_voice).waveform
    assert not torch.allclose(tiny.convert(source, blend).waveform, plain, atol=1e-4)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_a_weight_that_makes_no_sense(tiny: VoiceConverter, tiny_voice: Voice, weight: float) -> None:
    with pytest.raises(ConfigError, match=r"^A weight is "):
        tiny.blend((tiny_voice, 1.0), (tiny_voice, weight))


@pytest.mark.parametrize("count", [0, 9])
def test_a_blend_of_too_few_or_too_many(tiny: VoiceConverter, tiny_voice: Voice, count: int) -> None:
    with pytest.raises(ConfigError, match=f"^A blend has {count} voices: give 1 to 8"):
        tiny.blend(*[(tiny_voice, 1.0)] * count)


@pytest.mark.parametrize("kind", ["autovc", "vqvc"])
def test_networks_that_make_pitch_themselves(tmp_path: Path, kind: str) -> None:
    encoder = making.speaker()
    parts = {"autovc": {"speaker": encoder, "converter": making.autovc(encoder)}}.get(kind)
    folder = making.pipeline(tmp_path / kind, **(parts or {"converter": making.vqvc()}))
    converter = VoiceConverter.from_pretrained(folder)
    voice, other = (converter.enrol(synthetic(3.0, pitch=pitch)) for pitch in (200.0, 150.0))
    sentence = rf'^f0 is "keep", but "{kind}" finds the pitch itself: .*\.$'
    with pytest.raises(ConfigError, match=sentence):
        converter.convert_file(synthetic(2.0), voice, tmp_path / "a.wav", steering=Steering("keep"))
    assert not (tmp_path / "a.wav").exists()
    with pytest.raises(ConfigError, match=rf'^strength is 1\.2, but "{kind}" goes no farther than the voice'):
        converter.convert(synthetic(2.0), voice, steering=Steering(strength=1.2))
    # Strength and blends are theirs as well: vectors between vectors.
    none = converter.convert(synthetic(2.0), voice, steering=Steering(strength=0.0)).waveform
    same = converter.convert(synthetic(2.0), other, steering=Steering(strength=0.0)).waveform
    torch.testing.assert_close(none, same, atol=1e-5, rtol=0)
    whole = converter.convert(synthetic(2.0), converter.blend((voice, 1.0))).waveform
    torch.testing.assert_close(whole, converter.convert(synthetic(2.0), voice).waveform, atol=1e-5, rtol=0)


# What is given: any rate, channels, several references.


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_a_waveform_of_any_rate(tiny: VoiceConverter, tiny_voice: Voice, rate: int) -> None:
    made = tiny.convert(synthetic(1.5, rate), tiny_voice)
    assert made.sample_rate == 16000
    assert len(made.waveform) == pytest.approx(24000, abs=256)
    # The same sound at another rate is the same source.
    reference = tiny.convert(synthetic(1.5), tiny_voice)
    assert made.summary.level_dbfs == pytest.approx(reference.summary.level_dbfs, abs=1.0)


@pytest.mark.parametrize("samples", [4800, 16000, 16001, 16127, 16128, 16255, 128000, 128001])
def test_no_sample_is_lost_or_added(tiny: VoiceConverter, tiny_voice: Voice, samples: int) -> None:
    source = Waveform(torch.from_numpy(speechlike(8.1)[:samples]), 16000)
    assert tiny.convert(source, tiny_voice).waveform.shape == (samples,)


def test_stereo_is_heard_as_its_mean(tiny: VoiceConverter, tiny_voice: Voice, tmp_path: Path) -> None:
    mono = speechlike(1.5, 22050)
    soundfile.write(tmp_path / "mono.wav", mono, 22050, subtype="FLOAT")
    soundfile.write(tmp_path / "stereo.wav", np.stack([2 * mono, 0 * mono], 1), 22050, subtype="FLOAT")
    one, two = (tiny.convert(tmp_path / f"{name}.wav", tiny_voice).waveform for name in ("mono", "stereo"))
    torch.testing.assert_close(one, two, atol=1e-5, rtol=0)


def test_several_references_are_one_voice(tiny: VoiceConverter, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "one.wav", speechlike(3.0), 16000)
    soundfile.write(tmp_path / "two.flac", speechlike(2.0, 44100, pitch=150.0), 44100)
    one, two = tiny.enrol(tmp_path / "one.wav"), tiny.enrol(str(tmp_path / "two.flac"))
    both = tiny.enrol(tmp_path / "one.wav", tmp_path / "two.flac")
    assert both.sources == ("one.wav", "two.flac")
    assert both.seconds == pytest.approx(one.seconds + two.seconds)
    assert both.log_f0_mean == pytest.approx((one.log_f0_mean + two.log_f0_mean) / 2)
    for name, frames in both.frames.items():
        assert torch.equal(frames, torch.cat([one.frames[name], two.frames[name]]))
    assert any(warning.startswith("two.flac: It holds ") for warning in both.warnings)


def test_a_saved_voice_converts_alike(tiny: VoiceConverter, tiny_voice: Voice, tmp_path: Path) -> None:
    tiny_voice.save(tmp_path / "her.voice")
    loaded = Voice.load(tmp_path / "her.voice")
    source = synthetic(1.0)
    assert torch.equal(tiny.convert(source, loaded).waveform, tiny.convert(source, tiny_voice).waveform)


def test_progress_rises_to_the_end(
    tiny: VoiceConverter, tiny_voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch, 0.5)
    told: list[tuple[float, float]] = []
    tiny.convert(synthetic(2.0), tiny_voice, progress=lambda done, total: told.append((done, total)))
    done = [seconds for seconds, _ in told]
    assert len(done) >= 4
    assert done == sorted(set(done))
    assert {total for _, total in told} == {2.0}
    assert done[-1] == pytest.approx(2.0)


# What is refused, in one sentence each.


def changed(change: Callable[[torch.Tensor], torch.Tensor]) -> Waveform:
    return Waveform(change(torch.from_numpy(speechlike(2.0))), 16000)


def with_sample(samples: torch.Tensor, value: float) -> torch.Tensor:
    samples[100] = value
    return samples


UNUSABLE = {
    "empty": (changed(lambda s: s[:0]), "0.00 s"),
    "short": (changed(lambda s: s[:4000]), "0.25 s"),
    "silent": (changed(torch.zeros_like), "silent"),
    "not a number": (changed(lambda s: with_sample(s, float("nan"))), "not finite"),
    "infinite": (changed(lambda s: with_sample(s, float("inf"))), "not finite"),
    "integers": (changed(lambda s: s * 32768), "full scale"),
    "of a rate of 0": (Waveform(torch.from_numpy(speechlike(2.0)), 0), "sample rate of 0 Hz"),
    "of a rate below 0": (Waveform(torch.from_numpy(speechlike(2.0)), -5), "sample rate of -5 Hz"),
    "stereo": (changed(lambda s: torch.stack([s, s])), "one channel"),
}


def test_a_waveform_of_another_precision(tiny: VoiceConverter, tiny_voice: Voice) -> None:
    plain = changed(lambda s: s)
    coarse = changed(lambda s: s.bfloat16())
    expected = tiny.convert(Waveform(coarse.samples.float(), 16000), tiny_voice).waveform
    assert torch.equal(tiny.convert(coarse, tiny_voice).waveform, expected)
    assert expected.shape == plain.samples.shape


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_waveform_that_cannot_be_used(tiny: VoiceConverter, tiny_voice: Voice, name: str) -> None:
    waveform, words = UNUSABLE[name]
    with pytest.raises(AudioError, match=words):
        tiny.convert(waveform, tiny_voice)
    with pytest.raises(AudioError, match=words):
        tiny.enrol(waveform)


@pytest.mark.parametrize(("seconds", "level", "words"), [(0.2, 0.1, "0.20 s"), (2.0, 0.0, "silent")])
def test_a_source_that_cannot_be_used_leaves_nothing(
    tiny: VoiceConverter, tiny_voice: Voice, tmp_path: Path, seconds: float, level: float, words: str
) -> None:
    soundfile.write(tmp_path / "source.wav", level * np.sin(np.arange(round(seconds * 16000))), 16000)
    with pytest.raises(AudioError, match=rf"source\.wav .*{words}"):
        tiny.convert_file(tmp_path / "source.wav", tiny_voice, tmp_path / "out.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["source.wav"]


def test_a_reference_without_speech(tiny: VoiceConverter, tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(48000)
    soundfile.write(tmp_path / "noise.wav", noise, 16000)
    with pytest.raises(AudioError, match=r"noise\.wav holds .* s of speech"):
        tiny.enrol(synthetic(3.0), tmp_path / "noise.wav")
    with pytest.raises(AudioError, match="at least one recording"):
        tiny.enrol()


def test_a_voice_of_another_model(tiny: VoiceConverter, tiny_voice: Voice, tmp_path: Path) -> None:
    other = VoiceConverter.from_pretrained(attending(tmp_path / "other", seed=1))
    sentence = r'^The voice was enrolled with the model "tiny" .*"other".*: enrol it again with this model\.$'
    with pytest.raises(ContractError, match=sentence):
        other.convert(synthetic(1.0), tiny_voice)
    with pytest.raises(ContractError, match=sentence):
        other.convert_file(synthetic(1.0), tiny_voice, tmp_path / "out.wav")
    assert not (tmp_path / "out.wav").exists()
    made = tiny.convert(synthetic(1.0), tiny_voice)
    waveform = Waveform(made.waveform, made.sample_rate)
    with pytest.raises(ContractError, match='speaker encoder is not that of "other"'):
        other.report(waveform, synthetic(1.0), tiny_voice, made.summary)


def test_an_unknown_model_names_those_that_exist() -> None:
    with pytest.raises(CheckpointError, match=r'no model "nobody".*timbrel-one'):
        VoiceConverter.from_pretrained("nobody")


@pytest.mark.parametrize("device", ["cuda", "abacus"])
def test_a_device_that_is_not_there(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=f'no device "{device}": use one of cpu'):
        VoiceConverter.from_pretrained(tiny_folder, device=device)


def test_an_existing_output_is_kept_unless_forced(
    tiny: VoiceConverter, tiny_voice: Voice, tmp_path: Path
) -> None:
    path = tmp_path / "out.wav"
    path.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        tiny.convert_file(synthetic(1.0), tiny_voice, path)
    with pytest.raises(OutputError, match="exists already"):
        tiny.convert(synthetic(1.0), tiny_voice).save(path)
    assert path.read_text() == "mine"
    tiny.convert_file(synthetic(1.0), tiny_voice, path, force=True)
    assert soundfile.info(path).frames == 16000


# What happens to files and memory.


def test_an_exception_in_the_middle_leaves_nothing(
    tiny: VoiceConverter, tiny_voice: Voice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch, 0.5)

    def stop(done: float, total: float) -> None:
        if done > 0.9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny.convert_file(synthetic(2.0), tiny_voice, tmp_path / "out.flac", progress=stop)
    assert list(tmp_path.iterdir()) == []


def run(code: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    """Runs lines of Python in a process of their own, on one thread; glibc gives back what is freed."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_a_kill_in_the_middle_leaves_no_file_of_that_name(
    tiny_folder: Path, tiny_voice: Voice, tmp_path: Path
) -> None:
    tiny_voice.save(tmp_path / "her.voice")
    soundfile.write(tmp_path / "source.wav", speechlike(3.0), 16000)
    code = (
        "import os, signal, sys\n"
        "from timbrel import Voice, VoiceConverter, pipeline\n"
        "pipeline.WINDOW_SECONDS = 0.5\n"
        "model, voice, source, out = sys.argv[1:]\n"
        "def kill(done, total):\n"
        "    if done > 1.9: os.kill(os.getpid(), signal.SIGKILL)\n"
        "converter = VoiceConverter.from_pretrained(pipeline.Path(model))\n"
        "converter.convert_file(source, Voice.load(voice), out, progress=kill)\n"
    )
    ended = run(code, tiny_folder, tmp_path / "her.voice", tmp_path / "source.wav", tmp_path / "out.wav")
    assert ended.returncode == -9, ended.stderr
    assert not (tmp_path / "out.wav").exists()
    # What a later run would find in the way is nothing.
    converter = VoiceConverter.from_pretrained(tiny_folder)
    converter.convert_file(tmp_path / "source.wav", tiny_voice, tmp_path / "out.wav")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["her.voice", "out.wav", "source.wav"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
def test_memory_does_not_grow_with_the_source(tiny_folder: Path, tiny_voice: Voice, tmp_path: Path) -> None:
    tiny_voice.save(tmp_path / "her.voice")
    minute = speechlike(60.0)
    for name, minutes in (("short", 1), ("long", 5)):
        with soundfile.SoundFile(tmp_path / f"{name}.flac", "w", 16000, 1) as file:
            for _ in range(minutes):
                file.write(minute)
    code = (
        "import sys\n"
        "from timbrel import Steering, Voice, VoiceConverter, pipeline\n"
        "model, voice, folder = map(pipeline.Path, sys.argv[1:])\n"
        "converter, voice = VoiceConverter.from_pretrained(model), Voice.load(voice)\n"
        "steering = Steering(-2.0, 0.5)\n"
        "for name in ('short', 'short', 'long'):\n"
        "    source, out = folder / f'{name}.flac', folder / f'{name}.wav'\n"
        "    converter.convert_file(source, voice, out, steering=steering, force=True)\n"
        "    status = pipeline.Path('/proc/self/status').read_text()\n"
        "    print(status.split('VmHWM:')[1].split()[0])\n"
    )
    # Not ru_maxrss: a process inherits that of its parent, here pytest.
    ended = run(code, tiny_folder, tmp_path / "her.voice", tmp_path)
    assert ended.returncode == 0, ended.stderr
    # The first conversion fills caches; only from then on does memory tell of the source.
    _, short, long = (int(line) / 1024 for line in ended.stdout.split())
    # The four minutes more are 15 MiB as float32, were they held even once.
    assert long - short < 7
    assert soundfile.info(tmp_path / "long.wav").frames == 5 * 60 * 16000


def test_references_beyond_the_limit_are_named_and_not_heard(
    bundled: VoiceConverter, monkeypatch: pytest.MonkeyPatch, demo_pair: Pair
) -> None:
    monkeypatch.setattr("timbrel.methods.attending.AttendingMethod.reference_seconds", 8.0)
    voice = bundled.enrol(*demo_pair)
    assert voice.sources == (demo_pair[0].name,)
    assert any("second.flac: It lasts 7 s" in w and "it is not heard" in w for w in voice.warnings)
