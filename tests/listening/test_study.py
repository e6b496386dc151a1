"""From a STUDY.toml to a folder that can be served."""

from __future__ import annotations

import io
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import soundfile
import torch

from timbrel.audio.io import Waveform, write
from timbrel.errors import AudioError, ConfigError, EvaluationError, OutputError, TimbrelError
from timbrel.listening import audio, invitations, study
from timbrel.listening.building import build

from .making import RATE, SECONDS, material, sound


def test_a_study_has_a_sample_of_every_system_for_every_pair(made: Path) -> None:
    found = study.load(made)
    assert [system.name for system in found.systems] == ["baseline", "proposed", "natural"]
    assert [system.role for system in found.systems] == ["system", "system", "reference"]
    assert {(one.item, one.system) for one in found.samples} == {
        (item, system) for item in ("0000", "0001") for system in ("baseline", "proposed", "natural")
    }
    assert found.conditions == ("seen", "unseen")
    assert len(found.voices) == 2
    assert found.pairs == found.competitors == (("baseline", "proposed"),)


def test_recordings_are_found_by_id_and_by_item(made: Path, tmp_path: Path) -> None:
    found = study.load(made)
    for sample in found.samples:
        assert found.sample(sample.id) is found.of_item(sample.item)[sample.system] is sample
    with pytest.raises(KeyError, match="nobody"):
        found.sample("nobody")
    assert found.of_item("nothing") == {}
    named = replace(found, comparisons=(("proposed", "natural"),), samples=found.samples[:1])
    assert (named.pairs, named.competitors) == ((("proposed", "natural"),), (("baseline", "proposed"),))
    # What was indexed is that of the study itself, and no part of what is written of it.
    assert named.of_item("0001") == {}
    study.save(found, tmp_path)
    assert study.load(tmp_path) == found


def test_only_the_pairs_that_are_asked_for_must_be_there(tmp_path: Path) -> None:
    wanted = material(tmp_path)
    wanted.write_text(f"items = 2\n{wanted.read_text()}")
    for path in tmp_path.glob("converted/*/0003.wav"):
        path.unlink()
    assert build(wanted, tmp_path / "study").items == ("0000", "0001")


def test_the_recording_of_a_sample_is_the_systems_own(made: Path) -> None:
    """Sounds of 150 Hz and more are told apart by where their spectrum begins."""
    found = study.load(made)
    pitches = {("0000", "baseline"): 150, ("0001", "proposed"): 175, ("0001", "natural"): 120}
    for (item, system), pitch in pitches.items():
        samples, rate = soundfile.read(study.audio_path(made, found.of_item(item)[system].id))
        spectrum = np.abs(np.fft.rfft(samples, 1 << 17))
        low = np.fft.rfftfreq(1 << 17, 1 / rate) < 1.4 * pitch
        assert np.argmax(spectrum * low) * rate / (1 << 17) == pytest.approx(pitch, abs=1.5)


def test_every_recording_is_equally_loud(made: Path) -> None:
    found = study.load(made)
    meter = pyloudnorm.Meter(RATE, filter_class="DeMan")
    for one in (*found.samples, *found.voices):
        samples, rate = soundfile.read(study.audio_path(made, one.id))
        assert rate == RATE
        assert one.seconds == pytest.approx(len(samples) / RATE)
        assert meter.integrated_loudness(samples) == pytest.approx(found.loudness, abs=0.1)


def test_names_of_files_tell_nothing(made: Path) -> None:
    names = [path.stem for path in (made / "audio").iterdir()]
    assert len(names) == len(study.load(made).recordings) == len(set(names))
    assert all(len(name) == 16 and set(name) <= set("0123456789abcdef") for name in names)


def test_attention_checks_end_in_as_many_beeps_as_their_answer(made: Path) -> None:
    """A beep is 0.2 s of 880 Hz: counted by where that frequency starts to sound."""
    for check in study.load(made).attention:
        samples, rate = soundfile.read(study.audio_path(made, check.id))
        after = samples[round(SECONDS * rate) :]
        frames = after[: len(after) // 160 * 160].reshape(-1, 160)
        steps = np.exp(-2j * np.pi * 880 * np.arange(160) / rate)
        sounding = np.abs(frames @ steps) > 4
        assert np.count_nonzero(np.diff(sounding.astype(int)) == 1) == check.answer


def test_every_test_but_mushra_has_its_attention_checks(made: Path) -> None:
    assert [check.test for check in study.load(made).attention] == ["mos", "smos", "smos4", "ab", "abx"]


def test_only_the_owner_reads_the_links(made: Path) -> None:
    invited = invitations.load(made)
    assert stat.S_IMODE((made / "invitations.csv").stat().st_mode) == 0o600
    assert len(set(invited.personal)) == 3
    assert all(len(token) >= 22 for token in (*invited.personal, invited.open))  # 128 bits in base 64


def test_one_cannot_be_guessed_from_another() -> None:
    tokens = [invitations.token() for _ in range(200)]
    assert len({token[:4] for token in tokens}) > 190


def test_tones_differ_as_woods_and_others_say() -> None:
    """Of the three tones the second is 6 dB softer and the third out of phase."""
    samples, rate = soundfile.read(io.BytesIO(audio.tones(1, 2)))
    middles = [samples[round((1.5 * tone + 0.3) * rate) :][: round(0.4 * rate)] for tone in range(3)]
    levels = [float(np.sqrt((middle[:, 0] ** 2).mean())) for middle in middles]
    assert levels[1] / levels[0] == pytest.approx(10 ** (-6 / 20), rel=1e-2)
    assert levels[2] == pytest.approx(levels[0], rel=1e-2)
    np.testing.assert_array_equal(middles[0][:, 0], middles[0][:, 1])
    np.testing.assert_allclose(middles[2][:, 0], -middles[2][:, 1], atol=1e-4)
    tone = middles[0][:, 0]
    crossings = np.count_nonzero((tone[:-1] < 0) & (tone[1:] >= 0))
    assert crossings / 0.4 == pytest.approx(200, abs=3)


def test_an_anchor_has_nothing_above_its_frequency() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    filtered = audio.low_pass(Waveform(torch.from_numpy(noise), RATE), 3500).samples.numpy()
    before, after = (np.abs(np.fft.rfft(samples)) ** 2 for samples in (noise, filtered))
    assert after[100:2500].sum() / before[100:2500].sum() == pytest.approx(1, abs=0.05)
    assert after[4500:].sum() / before[4500:].sum() < 1e-3


def test_a_study_is_softer_as_a_whole_where_peaks_would_clip(tmp_path: Path) -> None:
    """A click 46 dB above the rest cannot have -10 LUFS."""
    file = material(tmp_path, ("mos",), items=1)
    text = file.read_text().replace('title = "Which', 'loudness = -10.0\ntitle = "Which')
    file.write_text(text)
    click = sound(150, 0.002)
    click.samples[3000] = 0.5
    write(tmp_path / "converted/baseline/0000.wav", click, force=True)
    made = build(file, tmp_path / "study")
    assert made.loudness < -11
    for one in made.samples:
        samples, _ = soundfile.read(study.audio_path(tmp_path / "study", one.id))
        assert np.abs(samples).max() < 0.95


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('["mos"', '["mso"', "tests"),
        ("seed", "sead", 'unknown key "sead".*did you mean "seed"'),
        ('"pairs.csv"', '"nothing.csv"', "nothing.csv"),
        ("listeners = 15", "listeners = 0", "listeners must be from 1"),
        ("listeners = 15", "listeners = 1000000000", "listeners must be from 1"),
        ("seed = 3", "seed = -3", "seed must be from 0"),
        ('"Which voice is better?"', '""', "title is empty"),
        ('column = "source"', 'column = "parallel"', '"natural" has no recordings'),
        ('pairs = "pairs.csv"\nconverted = "converted"', 'evaluation = "none"', r"none/pairs\.csv"),
        ("seed = 3", "seed = 99999999999999999999", "seed must be from 0"),
        ('"pairs.csv"', '"pairs\\u0000.csv"', "null character"),
        ("[systems.baseline]", '[systems.".."]', "cannot be the name of a system"),
        ("[systems.baseline]", '[systems.baseline]\ntitle = "proposed"', "one title"),
        ('role = "reference"', 'role = "anchor"\nlowpass_hz = nan', "lowpass_hz must be 0"),
        (
            "seed = 3",
            'comparisons = [["baseline", "proposed"], ["proposed", "baseline"]]',
            "names a pair twice",
        ),
        ('["mos", "smos"]', "[]", "tests is empty"),
        ('role = "reference"', 'role = "reference"\nfolder = "x"', "a folder or a column, not both"),
        ("[systems.proposed]", "[systems.missing]", "missing"),
        ("attention = 2", "attention = -1", "attention"),
        (
            "[systems.baseline]",
            '[systems.baseline]\nrole = "anchor"\n[systems.x]\nlowpass_hz = -3',
            "lowpass_hz",
        ),
        ("seed = 3", 'seed = 3\nevaluation = "there"', "either pairs, or the folder of an evaluation"),
        ("seed = 3", 'seed = 3\ncomparisons = [["baseline", "best"]]', '"best"'),
        ("seed = 3", "seed = 3\nloudness = 3.0", "loudness"),
        ('["mos", "smos"]', '["mos", "mos"]', "twice"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    file = material(tmp_path)
    changed = file.read_text().replace(old, new)
    assert changed != file.read_text()
    file.write_text(changed)
    before = sorted(tmp_path.iterdir())
    with pytest.raises((ConfigError, EvaluationError), match=message):
        build(file, tmp_path / "study")
    assert sorted(tmp_path.iterdir()) == before


def test_a_study_straight_from_an_evaluation(tmp_path: Path) -> None:
    """Its folder has pairs.csv, with absolute paths, and a folder in converted for each model."""
    evaluation = tmp_path / "evaluation"
    material(evaluation, items=2)
    (evaluation / "converted" / "copy-synthesis").mkdir()
    rows = [f"{evaluation}/recordings/s{item}.wav,{evaluation}/recordings/t{item}.wav" for item in range(2)]
    (evaluation / "pairs.csv").write_text("\n".join(["source,target", *rows, ""]))
    file = tmp_path / "STUDY.toml"
    file.write_text('title = "Straight"\ntests = ["mushra"]\nevaluation = "evaluation"\n')
    made = build(file, tmp_path / "study")
    assert [(one.name, one.role) for one in made.systems] == [
        ("baseline", "system"),
        ("proposed", "system"),
        ("source", "reference"),
    ]
    assert len(made.samples) == 6 and made.conditions == ("all",)


def test_mushra_needs_a_reference(tmp_path: Path) -> None:
    file = material(tmp_path, ("mushra",))
    file.write_text(file.read_text().replace('role = "reference"', 'role = "system"'))
    with pytest.raises(ConfigError, match="mushra needs a system whose role"):
        build(file, tmp_path / "study")


def test_a_recording_that_cannot_be_used_leaves_nothing(tmp_path: Path) -> None:
    file = material(tmp_path)
    (tmp_path / "converted/proposed/0001.wav").write_bytes(b"RIFF and nothing")
    with pytest.raises(AudioError, match=r"0001\.wav"):
        build(file, tmp_path / "study")
    assert not [path for path in tmp_path.iterdir() if "study" in path.name]


def test_a_long_recording_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "long.wav", sound(100, seconds=61))
    with pytest.raises(AudioError, match="60 s at most"):
        audio.read(tmp_path / "long.wav")


def test_a_study_is_never_replaced(tmp_path: Path, made: Path) -> None:
    with pytest.raises(OutputError, match="perhaps with ratings"):
        build(material(tmp_path), made)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"format":1', '"format":2'),
        ('"seed":', '"sead":'),
        ('"items_per_listener":0', '"items_per_listener":-1'),
    ],
)
def test_a_study_changed_by_hand_into_nonsense_is_refused(folder: Path, old: str, new: str) -> None:
    path = folder / "study.json"
    text = path.read_text().replace('": ', '":')
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=r"study\.json"):
        study.load(folder)


def test_a_recordings_id_is_no_path(folder: Path) -> None:
    path = folder / "study.json"
    path.write_text(path.read_text().replace(study.load(folder).samples[0].id, "../../secret"))
    with pytest.raises(ConfigError, match="is not an id"):
        study.load(folder)


@pytest.mark.parametrize("text", ["", "kind,token\nopen,short\n", "a,b\n1,2\n"])
def test_damaged_invitations_are_refused(folder: Path, text: str) -> None:
    (folder / "invitations.csv").write_text(text)
    with pytest.raises(TimbrelError, match=r"invitations\.csv"):
        invitations.load(folder)
