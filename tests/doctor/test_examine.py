"""The whole examination: the mission's squeak is named first, and a sound set-up has nothing wrong."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.doctor.making import MEL, autovc, convgru, gru, space
from tests.doctor.speech import FIRST, SECOND, samples, write
from tests.methods.making import part, pipeline
from torch import nn

from timbrel.audio.mel import MelSpectrogram
from timbrel.contract import FeatureSpec
from timbrel.doctor.examine import _unsigned, examine
from timbrel.doctor.findings import Area, Finding, Severity, ranked
from timbrel.errors import AudioError, CheckpointError, ConfigError
from timbrel.models.griffin_lim import GriffinLim, GriffinLimConfig
from timbrel.pipeline import VoiceConverter


def about_voices(findings: tuple[Finding, ...]) -> list[Finding]:
    return [one for one in findings if one.area is Area.VOICE]


def test_nothing_is_wrong_with_the_bundled_model_and_the_shipped_recordings() -> None:
    seen = examine([], FIRST, SECOND)
    assert seen.findings == ()
    assert set(seen.parts) == {"content", "speaker", "converter"}
    assert all(line.endswith(": the same") for line in seen.joints)
    assert seen.conversion is not None
    assert seen.conversion.to_target > seen.conversion.to_source


@pytest.mark.parametrize("by_family", [True, False])
def test_convgru_vectors_in_a_model_of_gru_vectors_come_first(tmp_path: Path, by_family: bool) -> None:
    wanted, other = gru(), convgru()
    parts = [part(tmp_path / "autovc", autovc(space(wanted, by_family=by_family)))]
    audio = write(tmp_path / "clipped.wav", np.clip(6 * samples(), -0.95, 0.95))
    seen = examine([*parts, part(tmp_path / "convgru", other)], audio)
    first, *rest = seen.findings
    assert (first.severity, first.area) == (Severity.FAULT, Area.VOICE)
    assert {18, 20} <= set(first.traps)
    assert "squeaks" in first.why
    assert any(22 in one.traps for one in rest)
    assert seen.conversion is None  # what would come out of it would tell nothing

    right = examine([*parts, part(tmp_path / "gru", wanted)])
    assert about_voices(right.findings) == []
    assert right.findings == ()
    assert right.joints == ("speaker encoder to converter: the same",)


def test_another_training_of_the_same_encoder_is_found(tmp_path: Path) -> None:
    parts = [part(tmp_path / "autovc", autovc(space(gru(0), by_family=False)))]
    (finding,) = examine([*parts, part(tmp_path / "gru", gru(1))]).findings
    assert "encoder is" in finding.what


def test_sound_synthetic_parts_have_nothing_wrong(tmp_path: Path) -> None:
    encoder = gru()
    vocoder = GriffinLim(GriffinLimConfig(MEL))
    parts = {"speaker": encoder, "converter": autovc(space(encoder, by_family=False)), "vocoder": vocoder}
    seen = examine([pipeline(tmp_path / "whole", **parts)])
    assert seen.findings == ()
    assert len(seen.joints) == 2


def test_an_untrained_part_is_found(tmp_path: Path) -> None:
    torch.manual_seed(0)
    fresh = type(gru())(gru().config)
    (finding,) = examine([part(tmp_path / "fresh", fresh)]).findings
    assert "as at the start of training" in finding.what


def test_features_are_compared_with_what_the_parts_want(tmp_path: Path) -> None:
    vocoder = part(tmp_path / "vocoder", GriffinLim(GriffinLimConfig(MEL)))
    audio = samples()
    frames = MelSpectrogram(MEL)(torch.from_numpy(audio)[None])[0].numpy()
    np.save(tmp_path / "sound.npy", frames)
    np.save(tmp_path / "natural.npy", frames * 12 - 12)
    assert examine([vocoder, tmp_path / "sound.npy"]).findings == ()
    (finding,) = examine([vocoder, tmp_path / "natural.npy"]).findings
    assert 5 in finding.traps


def test_a_voice_of_another_encoder_is_found(tmp_path: Path) -> None:
    voice = tmp_path / "somebody.voice"
    VoiceConverter.from_pretrained().enrol(FIRST).save(voice)
    assert examine(["timbrel-one", voice]).findings == ()
    (finding,) = examine([part(tmp_path / "gru", gru()), voice]).findings
    assert finding.traps == (18,)


def test_a_part_that_names_no_layer_is_doubted() -> None:
    vocoder = SimpleNamespace(spec_in=FeatureSpec(kind="learned", sample_rate=16000, hop=320, dim=1024))
    for layer, final, count in ((6, False, 0), (5, False, 1), (24, True, 1)):
        content = SimpleNamespace(family="wavlm", config=SimpleNamespace(layer=layer, final_norm=final))
        found = list(_unsigned({"content": content, "vocoder": vocoder}))
        assert [one.traps for one in found] == [(35,)] * count


def test_causes_come_before_what_they_bring_about() -> None:
    def made(severity: Severity, area: Area) -> Finding:
        return Finding(severity, area, "", "", "", "")

    minor, sound = made(Severity.MINOR, Area.WEIGHTS), made(Severity.FAULT, Area.SOUND)
    voice, audio = made(Severity.FAULT, Area.VOICE), made(Severity.RISK, Area.RECORDING)
    assert ranked([minor, audio, sound, voice]) == (voice, sound, audio, minor)


def test_what_does_not_exist_is_refused(tmp_path: Path) -> None:
    for named, error in ((["no-such-model"], CheckpointError), ([tmp_path / "no.npy"], CheckpointError)):
        with pytest.raises(error):
            examine(named)
    with pytest.raises(AudioError):
        examine([], tmp_path / "no.wav")


def test_two_parts_of_one_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="are both a speaker encoder"):
        examine([part(tmp_path / "a", gru(0)), part(tmp_path / "b", gru(1))])


def test_a_part_without_a_config_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError):
        examine([tmp_path / "empty"])


def test_broken_weights_are_found_and_not_tried(tmp_path: Path) -> None:
    encoder = gru()
    nn.init.constant_(encoder.projection.bias, float("nan"))
    (finding,) = examine([part(tmp_path / "gru", encoder)], FIRST).findings
    assert "NaN" in finding.what
