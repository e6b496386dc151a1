"""The converter: scenes, sources, the two updates, and runs through the real entry point."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

from timbrel import checkpoint, registry
from timbrel.errors import ConfigError, ContractError
from timbrel.methods.rehearing import reconsidered
from timbrel.models.converter import Converter, Prosody, mel_pairs
from timbrel.models.phonetic import PhoneticConfig, PhoneticEncoder
from timbrel.models.source_filter import random_sources
from timbrel.models.speaker import ConvSpeakerEncoder, SpeakerConfig
from timbrel.models.voice_tokens import VoiceTokens
from timbrel.train import log, state
from timbrel.train.augment import Perturbation
from timbrel.train.data import Batch, Data
from timbrel.train.recipe import DataRecipe
from timbrel.train.tasks.conversion import ConverterTask
from timbrel.train.tasks.converter import Settings, build
from timbrel.train.tasks.ears import Ears
from timbrel.train.tasks.exchange import in_other_pitch
from timbrel.train.tasks.guide import filter_distance
from timbrel.train.tasks.judges import Weights
from timbrel.train.tasks.scenes import Disturbance, Scene
from timbrel.train.taught import speaker_vectors
from timbrel.train.teachers import Resemblyzer
from timbrel.train.voice_adversary import Lineup

SIZES: dict[str, Any] = {
    "width": 16,
    "blocks": 2,
    "reference_width": 16,
    "reference_blocks": 1,
    "heads": 2,
    "attend_after": [1],
}
#: 16 content frames of the piece and 40 of the reference.
CUT: dict[str, Any] = {"seconds": 0.33, "reference_seconds": 0.8}
STILL = Disturbance(voice=Perturbation(speed=(1.2, 1.2), speed_share=1.0))


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A content encoder with random weights, as a checkpoint."""
    torch.manual_seed(1)
    config = PhoneticConfig(width=16, layers=1, heads=2, rotary=4, reach=3, detail=5, detail_after=1)
    path = tmp_path_factory.mktemp("student") / "content"
    tensors = PhoneticEncoder(config).state_dict()
    tensors["detail_map"].normal_()
    checkpoint.write(
        path, family="phonetic", name="s", config=config, tensors=tensors, provenance={}, card=""
    )
    return str(path)


@pytest.fixture(scope="module")
def resemblyzer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Random weights in the layout of the published file."""
    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("judge") / "pretrained.pt"
    torch.save({"model_state": dict(Resemblyzer().state_dict())}, path)
    return str(path)


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A speaker encoder with random weights, as a checkpoint."""
    torch.manual_seed(3)
    config = SpeakerConfig(width=16, blocks=2, embedding_dim=8)
    path = tmp_path_factory.mktemp("voices") / "speaker"
    tensors = ConvSpeakerEncoder(config).state_dict()
    checkpoint.write(path, family="speaker", name="v", config=config, tensors=tensors, provenance={}, card="")
    return str(path)


def batch(taught: Path, step: int = 0) -> Batch:
    return data(taught).batch(step)


def data(taught: Path, **changes: Any) -> Data:
    return Data(taught, replace(DataRecipe(str(taught), batch=4, **CUT), **changes), "train", 0)


def task(taught: Path, student: str, **settings: Any) -> ConverterTask:
    torch.manual_seed(0)
    return build(Settings(**{"student": student, "model": SIZES, **settings}), data(taught))


def full(taught: Path, student: str, resemblyzer: str, speaker: str, **settings: Any) -> ConverterTask:
    weights = Weights(
        adversarial=1.5, likeness=2.0, similarity=1.5, speaker=1.0, words=0.5, voice=1.5, apart=1.0
    )
    sizes = {"discriminator_width": 2, "voice_width": 8}
    teachers = {"resemblyzer": resemblyzer, "speaker": speaker}
    return task(taught, student, **{"weights": weights, **sizes, **teachers, **settings})


def test_a_scene_is_the_clips_at_their_standard_level_with_their_pitch(taught: Path, student: str) -> None:
    stage = task(taught, student, disturbance=STILL).stage
    crops = batch(taught).source
    scene = stage.clean(batch(taught))
    frames = scene.content.shape[1]
    assert scene.target.shape == (4, 128 * (2 * frames - 1))
    for row, clip in enumerate(crops.ids):
        stored = load_file(taught / f"clips/{clip}.safetensors")
        first = int(crops.starts[row])
        # These voices have no pauses, so their active level is about that of the whole clip.
        level = np.sqrt(np.mean((stored["audio"] / 32768.0) ** 2))
        expected = stored["audio"][256 * first :][: scene.target.shape[1]] / 32768.0 * 0.1 / level
        np.testing.assert_allclose(scene.target[row].numpy(), expected, atol=0.01)
        np.testing.assert_allclose(scene.prosody.f0[row], stored["f0"][first : first + frames], rtol=0.02)


def test_a_faster_scene_has_a_higher_pitch_and_no_voice_that_the_teacher_knows(
    taught: Path, student: str
) -> None:
    stage = task(taught, student, disturbance=STILL).stage
    clean, fast = stage.clean(batch(taught)), stage.disturbed(batch(taught), torch.Generator())
    torch.testing.assert_close(fast.prosody.f0[:, 0], 1.2 * clean.prosody.f0[:, 0])
    torch.testing.assert_close(fast.prosody.f0[:, 10], 1.2 * clean.prosody.f0[:, 12])
    torch.testing.assert_close(fast.reference_log_f0_mean, clean.reference_log_f0_mean + math.log(1.2))
    assert clean.as_recorded.all()
    assert not fast.as_recorded.any()


def test_other_people_have_another_throat_in_piece_and_reference_and_the_same_pitch(
    taught: Path, student: str
) -> None:
    loud = {"voice": Perturbation(), "reference_gain_db": (0.0, 0.0), "short_references": 0.0}
    stage = task(taught, student, disturbance=Disturbance(**loud, other_people=0.5)).stage
    clean = stage.clean(batch(taught))
    scenes = [stage.disturbed(batch(taught), torch.Generator().manual_seed(seed)) for seed in range(8)]
    for scene in scenes:
        same = scene.as_recorded
        # Nothing else is disturbed: whoever is as recorded is just as in the clean scene.
        torch.testing.assert_close(scene.target[same], clean.target[same])
        torch.testing.assert_close(scene.reference_mel[same], clean.reference_mel[same])
        assert ((scene.target - clean.target)[~same].abs().amax(dim=1) > 1e-3).all()
        assert ((scene.reference_mel - clean.reference_mel)[~same].abs().amax(dim=(1, 2)) > 0.1).all()
        assert torch.equal(scene.prosody.f0, clean.prosody.f0)
        # Each of them is somebody of his own.
        assert torch.equal(scene.speakers[same], clean.speakers[same])
        strangers = scene.speakers[~same].tolist()
        assert len(set(strangers)) == len(strangers)
        assert all(speaker < 0 for speaker in strangers)
    # Of 32 draws with probability a half; three standard deviations are 8.5.
    assert 7 < sum(int(scene.as_recorded.sum()) for scene in scenes) < 25


def test_the_teacher_is_asked_where_it_has_no_vector_of_the_reference(
    taught: Path, student: str, resemblyzer: str
) -> None:
    weights = Weights(similarity=1.0)
    trainer = task(taught, student, resemblyzer=resemblyzer, weights=weights, disturbance=STILL)
    clean, fast = (
        trainer.stage.clean(batch(taught)),
        trainer.stage.disturbed(batch(taught), torch.Generator()),
    )
    stored = torch.from_numpy(speaker_vectors(taught, clean.references))
    assert torch.equal(trainer._known(clean).vectors, stored)
    mixed = replace(fast, as_recorded=torch.tensor([True, False, True, False]))
    known = trainer._known(mixed)
    assert known.counts.all()
    assert torch.equal(known.vectors[::2], stored[::2])
    assert trainer.resemblyzer is not None
    torch.testing.assert_close(known.vectors[1::2], trainer.resemblyzer(fast.reference[1::2]))
    # Without a teacher those do not count.
    plain = task(taught, student, disturbance=STILL)._known(mixed)
    assert plain.counts.tolist() == [True, False, True, False]


def test_references_are_cut_short_at_times_but_never_to_nothing(taught: Path, student: str) -> None:
    settings = replace(STILL, short_references=1.0, least_reference=10)
    scene = task(taught, student, disturbance=settings).stage.disturbed(batch(taught), torch.Generator())
    lengths = scene.mask.sum(dim=1)
    assert ((lengths >= 8) & (lengths < scene.mask.shape[1])).all()
    # What counts is at the beginning.
    assert (scene.mask.int().diff(dim=1) <= 0).all()


def test_the_pulses_have_the_pitch_asked_for() -> None:
    f0 = torch.full((1, 63), 200.0)
    pulses, noise = random_sources(f0, 256, 16000, 16000, torch.Generator().manual_seed(0))
    spectrum = torch.fft.rfft(pulses[0]).abs()
    # A second long, so bin k is k Hz: all power is in the multiples of 200 Hz.
    assert spectrum[200:8000:200].square().sum() > 0.99 * spectrum.square().sum()
    assert float(noise.std()) == pytest.approx(1.0, abs=0.02)


def test_conversion_takes_the_next_ones_voice_and_pitch(
    taught: Path, student: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = task(taught, student)
    scene = trainer.stage.clean(batch(taught))
    scene = replace(
        scene,
        log_f0_mean=torch.tensor([5.0, 5.0, 5.2, 0.0]),
        log_f0_std=torch.tensor([0.2, 0.2, 0.1, 0.0]),
        reference_log_f0_mean=torch.tensor([4.9, 5.3, 5.1, 5.0]),
        reference_log_f0_std=torch.tensor([0.2, 0.3, 0.2, 0.9]),
    )
    voice = trainer.model.reference(scene.reference_content, scene.reference_mel, scene.mask)
    said: list[tuple[Scene, VoiceTokens]] = []
    monkeypatch.setattr(
        trainer, "_say", lambda model, pieces, tokens, generator: said.append((pieces, tokens))
    )
    trainer._convert(trainer.model, scene, voice, 4, torch.Generator())
    pieces, tokens = said[0]
    before, after = scene.prosody.f0.log(), pieces.prosody.f0.log()
    # Half as lively again, as lively, and not nine times but twice; the last has no pitch to move from.
    for row, (wider, own, other) in enumerate([(1.5, 5.0, 5.3), (1.0, 5.0, 5.1), (2.0, 5.2, 5.0)]):
        expected = (other + wider * (before[row] - own)).clamp(math.log(52), math.log(545))
        torch.testing.assert_close(after[row], expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(after[3], before[3], atol=1e-4, rtol=0)
    torch.testing.assert_close(tokens.summary, voice.summary.roll(-1, dims=0))
    assert torch.equal(tokens.tokens, voice.tokens.roll(-1, dims=0))


@pytest.mark.parametrize("retell", [False, True])
def test_gradients_reach_what_learns_and_nothing_else(
    taught: Path, student: str, resemblyzer: str, speaker: str, retell: bool
) -> None:
    trainer = full(taught, student, resemblyzer, speaker, retell=retell)
    updates = trainer.updates(batch(taught), 0, torch.Generator().manual_seed(0))
    for expected in ("discriminator", "voices", "converter"):
        update = next(updates)
        assert update.network == expected
        update.loss.backward()
        for name, network in trainer.networks.items():
            reached = [p.grad is not None and bool(p.grad.abs().sum() > 0) for p in network.parameters()]
            if name == "discriminator" and expected == name:
                assert sum(reached) > len(reached) / 2  # two of the three judge
            elif name == expected:
                assert all(reached)
            else:
                assert not any(reached)
            network.zero_grad(set_to_none=True)
    assert next(updates, None) is None
    named = {"mel", "spectra", "timbre", "likeness", "words", "similarity", "speaker", "adversarial", "voice"}
    named |= {"apart"}
    assert named <= update.logs.keys()
    assert trainer.own is not None
    assert trainer.resemblyzer is not None
    for frozen in (trainer.stage, trainer.own, trainer.resemblyzer):
        assert not any(parameter.requires_grad for parameter in frozen.parameters())


def test_what_was_converted_is_said_again_in_its_own_voice(
    taught: Path, student: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = Disturbance(content_noise=0.0, energy_noise=0.0)
    trainer = task(taught, student, retell=True, disturbance=quiet, weights=Weights(words=1.0))
    filters, sound = trainer.model.filters, trainer._sound
    voices: list[VoiceTokens] = []
    calls: list[tuple[Scene, torch.Tensor]] = []

    def looking(content: torch.Tensor, prosody: Prosody, voice: VoiceTokens) -> torch.Tensor:
        voices.append(voice)
        return filters(content, prosody, voice)

    def listening(found: torch.Tensor, pieces: Scene, generator: torch.Generator) -> torch.Tensor:
        calls.append((pieces, sound(found, pieces, generator)))
        return calls[-1][-1]

    monkeypatch.setattr(trainer.model, "filters", looking)
    monkeypatch.setattr(trainer, "_sound", listening)
    update = next(trainer.updates(batch(taught), 0, torch.Generator().manual_seed(0)))
    (first, rebuilt), (_, converted), (second, retold) = calls
    own, other, again = voices
    frames = first.content.shape[1]
    assert len(rebuilt) == len(converted) == len(retold) == 4
    assert torch.equal(own.summary, again.summary)
    assert not torch.equal(own.summary, other.summary)
    # What it is to say is what is heard in the conversion, at the pitch of the recording.
    torch.testing.assert_close(second.content, trainer.stage.listen(converted, frames))
    _, energy = mel_pairs(trainer.stage.front_end(converted), frames)
    torch.testing.assert_close(second.prosody.energy, energy)
    assert torch.equal(second.prosody.f0, first.prosody.f0)
    # And it is to become the recording, as what was rebuilt is.
    both = [float(trainer.distance(sound.detach(), first.target)[0]) for sound in (rebuilt, retold)]
    assert float(torch.as_tensor(update.logs["mel"]).detach()) == pytest.approx(np.mean(both), rel=1e-4)


def test_what_is_learned_is_the_second_attempt(
    taught: Path, student: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = {"restore": 0.6, "adopt": 1.2, "contrast": 0.5, "articulate": 0.3}
    trainer = task(taught, student, model=SIZES | shares, weights=Weights(words=1.0))
    filters, sound = trainer.model.filters, trainer._sound
    told: list[torch.Tensor] = []
    voices: list[VoiceTokens] = []
    loudness: list[torch.Tensor] = []
    made: list[torch.Tensor] = []

    def looking(content: torch.Tensor, prosody: Prosody, voice: VoiceTokens) -> torch.Tensor:
        told.append(content)
        voices.append(voice)
        loudness.append(prosody.energy)
        return filters(content, prosody, voice)

    def listening(found: torch.Tensor, pieces: Scene, generator: torch.Generator) -> torch.Tensor:
        made.append(sound(found, pieces, generator))
        return made[-1]

    monkeypatch.setattr(trainer.model, "filters", looking)
    monkeypatch.setattr(trainer, "_sound", listening)
    next(trainer.updates(batch(taught), 0, torch.Generator().manual_seed(0)))
    assert len(told) == 4  # pieces rebuilt, and half of them converted, twice each
    pairs = zip(told[::2], told[1::2], made[::2], made[1::2], loudness[1::2], strict=True)
    for first, second, attempt, outcome, energy in pairs:
        heard = trainer.stage.listen(attempt, first.shape[1])
        torch.testing.assert_close(second, reconsidered(first, heard, 16, trainer.model.config))
        assert not torch.allclose(second, first)
        torch.testing.assert_close(energy, mel_pairs(trainer.stage.front_end(attempt), first.shape[1])[1])
        assert outcome.requires_grad
        assert not attempt.requires_grad
    for before, after, attempt in zip(voices[::2], voices[1::2], made[::2], strict=True):
        assert before.attempt is None
        assert after.attempt is not None and not after.attempt.tokens.requires_grad
        frames = after.attempt.tokens.shape[1]
        pairs_of, _ = mel_pairs(trainer.stage.front_end(attempt.detach()), frames)
        heard = trainer.stage.listen(attempt.detach(), frames)
        with torch.no_grad():
            again = trainer.model.reference(heard, pairs_of, after.attempt.mask)
        torch.testing.assert_close(after.attempt.tokens, again.tokens)


def test_the_weights_say_what_counts(taught: Path, student: str) -> None:
    weights = Weights(mel=2.0, spectra=0.5, timbre=0.25, words=3.0)
    trainer = task(taught, student, weights=weights)
    update = next(trainer.updates(batch(taught), 0, torch.Generator().manual_seed(0)))
    logs = {name: float(torch.as_tensor(value).detach()) for name, value in update.logs.items()}
    expected = 2.0 * logs["mel"] + 0.5 * logs["spectra"] + 0.25 * logs["timbre"] + 3.0 * logs["words"]
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)


def test_rebuilding_improves(taught: Path, student: str) -> None:
    trainer, pieces = task(taught, student), batch(taught)
    optimizer = torch.optim.Adam(trainer.trained.parameters(), 1e-2)
    losses = []
    for step in range(10):
        update = next(trainer.updates(pieces, step, torch.Generator().manual_seed(0)))
        update.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(update.loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_what_is_exported_is_an_average_over_steps(taught: Path, student: str) -> None:
    trainer = task(taught, student, average=0.5)
    name = "head.bias"
    trainer.averaged.state_dict()[name].fill_(0.0)
    trainer.model.state_dict()[name].fill_(1.0)
    trainer.after_step(0)  # keeps 2 / 11
    torch.testing.assert_close(trainer.export().tensors[name], torch.full((1542,), 9 / 11))
    trainer.after_step(1000)  # keeps a half
    torch.testing.assert_close(trainer.export().tensors[name], torch.full((1542,), 10 / 11))


def test_the_student_hears_the_piece_in_disguise_and_the_reference_as_it_is(
    taught: Path, student: str
) -> None:
    disguised = Disturbance(voice=Perturbation(warp=0.16, equaliser_db=4.0), reference_gain_db=(0.0, 0.0))
    stage = task(taught, student, disturbance=disguised).stage
    clean, scene = stage.clean(batch(taught)), stage.disturbed(batch(taught), torch.Generator())
    assert (scene.content - clean.content).abs().amax(dim=(1, 2)).min() > 1e-3
    torch.testing.assert_close(scene.reference_content, clean.reference_content)
    # What is to be rebuilt, and how loudly, is the recording.
    torch.testing.assert_close(scene.target, clean.target)
    torch.testing.assert_close(scene.prosody.energy, clean.prosody.energy)
    frames = scene.content.shape[1]
    inner = slice(0, frames - 8)  # the last frames also hear half a hop more than the target has
    torch.testing.assert_close(stage.listen(scene.target, frames)[:, inner], clean.content[:, inner])


def test_likeness_is_relative_and_of_every_block(taught: Path, student: str, speaker: str) -> None:
    trainer = task(taught, student, speaker=speaker, weights=Weights(likeness=1.0))
    scene = trainer.stage.clean(batch(taught))
    nothing = scene.target[:0]

    def likeness(rebuilt: torch.Tensor) -> float:
        return float(trainer._by_ear(trainer._ears(rebuilt, nothing, scene), scene)["likeness"].detach())

    assert likeness(scene.target) == 0.0
    made = torch.randn(scene.target.shape, generator=torch.Generator().manual_seed(0)) * 0.1
    encoder = registry.build(checkpoint.read(speaker))
    assert isinstance(encoder, ConvSpeakerEncoder)
    expected = []
    for one, other in zip(
        *(encoder.trunk(trainer.stage.front_end(x)) for x in (made, scene.target)), strict=True
    ):
        expected.append(float(((one - other).abs().mean() / other.abs().mean()).detach()))
    assert len(expected) == 2
    assert likeness(made) == pytest.approx(np.mean(expected), rel=1e-4)


def test_the_voice_is_compared_with_the_next_ones_reference(taught: Path, student: str, speaker: str) -> None:
    trainer = task(taught, student, speaker=speaker, weights=Weights(speaker=1.0))
    scene = trainer.stage.clean(batch(taught))
    assert batch(taught).reference is not None
    references = trainer.stage._play(batch(taught).reference, torch.ones(4), torch.zeros(4), 0)
    # As if the converter had said the next one's reference itself.
    samples = references.audio

    def unlike(converted: torch.Tensor) -> float:
        ears = trainer._ears(samples, converted, scene)
        return float(trainer._by_ear(ears, scene)["speaker"].detach())

    itself, another = unlike(samples.roll(-1, dims=0)), unlike(samples)
    assert itself == pytest.approx(0.0, abs=1e-3)
    assert another > 2 * itself


def test_what_lies_behind_a_short_reference_is_not_heard(taught: Path, student: str, speaker: str) -> None:
    trainer = task(taught, student, speaker=speaker, weights=Weights(speaker=1.0))
    given = batch(taught)
    assert given.reference is not None
    whole = given.reference
    there = whole.audio.shape[1] // 2

    def references(beyond: float) -> torch.Tensor:
        audio = whole.audio.clone()
        audio[:, there:] = beyond
        lengths = torch.full_like(whole.lengths, there)
        short = replace(given, reference=replace(whole, audio=audio, lengths=lengths))
        scene = trainer.stage.clean(short)
        ears = trainer._ears(scene.target, scene.target[:0], scene)
        assert ears is not None
        return ears.references

    torch.testing.assert_close(references(0.0), references(0.5))


def test_the_voice_is_not_judged_before_its_discriminator_has_learnt(
    taught: Path, student: str, speaker: str
) -> None:
    settings = {"speaker": speaker, "weights": Weights(voice=1.0), "voice_after": 2, "voice_width": 8}
    trainer = task(taught, student, **settings)
    for step, judged in ((1, False), (2, True)):
        updates = list(trainer.updates(batch(taught), step, torch.Generator().manual_seed(0)))
        assert [update.network for update in updates] == ["voices", "converter"]
        assert ("voice" in updates[-1].logs) == judged


def test_discriminators_learn_alone_at_first(
    taught: Path, student: str, resemblyzer: str, speaker: str
) -> None:
    made = full(taught, student, resemblyzer, speaker, retell=True, discriminators_alone=2)
    given = data(taught)
    before = {name: weight.clone() for name, weight in made.trained.named_parameters()}
    for step in range(3):
        updates = []
        for update in made.updates(given.batch(step), step, torch.Generator().manual_seed(step)):
            update.loss.backward()  # type: ignore[no-untyped-call]
            updates.append(update.network)
            # Of the discriminators of sound two judge in each step.
            assert any(p.grad is not None for p in made.networks[update.network].parameters())
            assert step == 2 or all(p.grad is None for p in made.trained.parameters())
            for network in made.networks.values():
                network.zero_grad(set_to_none=True)
        assert updates == ["discriminator", "voices"] + (["converter"] if step == 2 else [])
    assert all(torch.equal(weight, before[name]) for name, weight in made.trained.named_parameters())


def test_alone_they_judge_each_conversion_against_the_voice_it_was_given(
    taught: Path, student: str, resemblyzer: str, speaker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = full(taught, student, resemblyzer, speaker, retell=True, discriminators_alone=1)
    assert made.voices is not None
    told: list[VoiceTokens] = []
    lineups: list[Lineup] = []
    say, tell_apart = made._say, made.voices.tell_apart

    def saying(
        model: Converter, pieces: Scene, tokens: VoiceTokens, generator: torch.Generator
    ) -> torch.Tensor:
        told.append(tokens)
        return say(model, pieces, tokens, generator)

    def telling(lineup: Lineup) -> torch.Tensor:
        lineups.append(lineup)
        return tell_apart(lineup)

    monkeypatch.setattr(made, "_say", saying)
    monkeypatch.setattr(made.voices, "tell_apart", telling)
    given, generator = batch(taught), torch.Generator().manual_seed(0)
    list(made.updates(given, 0, generator))
    scene = made.stage.disturbed(given, torch.Generator().manual_seed(0))
    voice = made._voice(made.model, scene)
    (lineup,), converted = lineups, told[0].summary
    assert len(lineup.voices) == len(scene.target) + len(converted)
    torch.testing.assert_close(converted, voice.summary[lineup.voices[-len(converted) :]])


def test_discriminators_go_on_with_what_those_of_another_run_have_learned(
    taught: Path, student: str, resemblyzer: str, speaker: str, tmp_path: Path
) -> None:
    other = full(taught, student, resemblyzer, speaker)
    with torch.no_grad():
        for network in other.networks.values():
            for weight in network.parameters():
                weight.add_(0.5)
    save_file(state.collect(other.networks, {}), tmp_path / state.TENSORS)
    made = full(taught, student, resemblyzer, speaker, discriminators=str(tmp_path))
    for name, network in made.networks.items():
        same = [
            torch.equal(a, b)
            for a, b in zip(network.parameters(), other.networks[name].parameters(), strict=True)
        ]
        assert all(same) if name in ("discriminator", "voices") else not any(same)
    with pytest.raises(ConfigError, match=r"settings\.discriminators: .* trained with another discriminator"):
        full(taught, student, resemblyzer, speaker, discriminators=str(tmp_path), discriminator_width=3)
    with pytest.raises(ConfigError, match=r"settings\.discriminators: .* holds no training\.safetensors"):
        full(taught, student, resemblyzer, speaker, discriminators=student)


def test_what_still_sounds_like_its_source_costs_what_is_more_than_strangers_share() -> None:
    """By hand: four people at right angles, then two who share half."""
    references, converted = torch.eye(4), torch.tensor([[0.6, 0.8, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])

    def cost(speakers: torch.Tensor) -> float:
        return float(Ears([], [], references, converted).nearness(speakers))

    assert cost(torch.arange(4)) == pytest.approx((0.6 + 0.0) / 2)
    references[1] = torch.tensor([0.5, 0.75**0.5, 0.0, 0.0])
    assert cost(torch.arange(4)) == pytest.approx((0.6 - 2 * 0.5 / 12) / 2)
    assert cost(torch.zeros(4)) == pytest.approx((0.6 + 0.0) / 2)


def test_runs_of_all_kinds_one_after_the_other(
    train: Callable[..., Path], student: str, resemblyzer: str, speaker: str
) -> None:
    tables: dict[str, Any] = {
        "task": "converter",
        "data": {**CUT, "same_clip": 0.3, "balance": "seconds", "evenness": 0.5},
        "optimizer": {"converter": {"learning_rate": 1e-3, "clip": 5.0}},
    }
    model = {**SIZES, "crowd": 2, "crowd_tokens": 3}
    first = train("first", **tables, settings={"student": student, "model": model})

    tables["optimizer"] |= {name: {"learning_rate": 1e-3} for name in ("discriminator", "voices")}
    settings: dict[str, Any] = {
        "student": student,
        "start": str(first),
        "resemblyzer": resemblyzer,
        "speaker": speaker,
        "model": model,
        "discriminator_width": 2,
        "voice_width": 8,
        "voice_after": 1,
        "retell": True,
        "disturbance": {"other_people": 0.5, "person": {"warp": 0.1, "equaliser_db": 2.0}},
        "weights": {
            "adversarial": 1.0,
            "voice": 1.5,
            "likeness": 2.0,
            "similarity": 1.5,
            "speaker": 1.0,
            "words": 0.5,
        },
    }
    second = train("second", **tables, settings=settings)
    settings |= {name: str(second) for name in ("start", "guide", "discriminators")}
    settings |= {"beyond": 0.5, "discriminators_alone": 1}
    settings["weights"] = {**settings["weights"], "guided": 8.0}
    third = train("third", **tables, settings=settings)
    for made in (second, third):
        converter = registry.build(checkpoint.read(made))
        assert isinstance(converter, Converter)
        encoder = registry.build(checkpoint.read(student))
        assert isinstance(encoder, PhoneticEncoder)
        assert converter.spec_in == encoder.spec_out
        figures = [row for row in log.read(made.parent) if row["kind"] == "validation"]
        assert {"loss", "mel", "spectra"} <= figures[-1].keys()
    steps = [row for row in log.read(third.parent) if row["kind"] != "validation"]
    assert any("guided" in row for row in steps)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"retell": True}, r"settings\.retell needs conversions"),
        ({"weights": Weights(similarity=1.0)}, "settings.resemblyzer, a file"),
        ({"weights": Weights(speaker=1.0)}, "settings.speaker, a checkpoint"),
        ({"weights": Weights(likeness=1.0)}, "settings.speaker, a checkpoint"),
        ({"weights": Weights(voice=1.0)}, "settings.speaker, a checkpoint"),
        ({"speaker": "runs/timbrel-speaker/final"}, "settings.speaker, a checkpoint"),
        ({"weights": Weights(guided=1.0)}, "settings.guide, a checkpoint"),
        ({"guide": "runs/timbrel-converter/final"}, "settings.guide, a checkpoint"),
        ({"beyond": -0.1}, r"settings\.beyond must be at least 0"),
        ({"discriminators_alone": 10}, r"settings\.discriminators_alone needs discriminators"),
        (
            {"discriminators": "runs/timbrel-converter/final"},
            r"settings\.discriminators needs discriminators",
        ),
    ],
)
def test_settings_that_lack_a_part_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Settings("runs/timbrel-content/final", **settings)


def test_parts_of_another_kind_and_a_batch_without_references_are_refused(
    taught: Path, student: str, speaker: str
) -> None:
    with pytest.raises(ConfigError, match=r"data\.reference_seconds"):
        build(Settings(student, model=SIZES), data(taught, reference_seconds=0.0))
    with pytest.raises(ConfigError, match="another network than the settings make, a phonetic"):
        task(taught, student, start=student)
    with pytest.raises(ConfigError, match=r"settings\.student: .* holds a speaker, not a PhoneticEncoder"):
        task(taught, speaker)
    with pytest.raises(
        ConfigError, match=r"settings\.speaker: .* holds a phonetic, not a ConvSpeakerEncoder"
    ):
        task(taught, student, speaker=student, weights=Weights(speaker=1.0))


def test_one_clip_has_nobody_to_be_converted_to(taught: Path, student: str, resemblyzer: str) -> None:
    made = task(taught, student, resemblyzer=resemblyzer, weights=Weights(similarity=1.0))
    with pytest.raises(ConfigError, match=r"data\.batch must be 2 or more in each process"):
        next(made.updates(data(taught, batch=1).batch(0), 0, torch.Generator().manual_seed(0)))


def test_those_heard_last_are_the_crowd(taught: Path, student: str) -> None:
    made = task(taught, student, model={**SIZES, "crowd": 2, "crowd_tokens": 3}, disturbance=Disturbance())
    crowd = made.averaged.crowd
    assert crowd is not None
    steps = range(6)
    for step in steps:
        for update in made.updates(batch(taught, step), step, torch.Generator().manual_seed(step)):
            update.loss.backward()
        made.after_step(step)
        if bool(crowd.log_f0[step % 2] > 0):
            break
    place = step % 2
    heard = math.exp(float(crowd.log_f0[place]))
    assert 60 < heard < 400
    assert crowd.tokens[place].abs().sum() > 0 and crowd.summaries[place].abs().sum() > 0
    # No average of two people, and what is exported has them.
    torch.testing.assert_close(made.model.state_dict()["crowd.tokens"], crowd.tokens)
    torch.testing.assert_close(made.export().tensors["crowd.tokens"], crowd.tokens)


def test_other_people_do_not_join_the_crowd(taught: Path, student: str) -> None:
    """Nobody speaks like a clip played faster, so nobody is there to keep away from."""
    made = task(taught, student, model={**SIZES, "crowd": 2, "crowd_tokens": 3}, disturbance=STILL)
    for step in range(2):
        list(made.updates(batch(taught, step), step, torch.Generator().manual_seed(step)))
    assert made.averaged.crowd is not None
    assert made.averaged.crowd.at(torch.tensor([5.0])) is None


@pytest.fixture
def guide(taught: Path, student: str, tmp_path: Path) -> str:
    """A converter with a crowd of two, as a checkpoint."""
    return _guide(tmp_path / "guide", taught, student, people=2)


def _guide(path: Path, taught: Path, student: str, people: int, **shares: float) -> str:
    made = task(taught, student, model={**SIZES, "crowd": 2, "crowd_tokens": 3, **shares}).averaged
    generator = torch.Generator().manual_seed(4)
    assert made.crowd is not None
    for place, f0 in enumerate((110.0, 220.0)[:people]):
        tokens, summary = torch.randn(3, 16, generator=generator), torch.randn(16, generator=generator)
        made.crowd.admit(place, tokens, summary, math.log(f0))
    made.head.weight.data.mul_(10.0)  # so that voices differ by more than a rounding
    tensors = made.state_dict()
    checkpoint.write(
        path, family="converter", name="g", config=made.config, tensors=tensors, provenance={}, card=""
    )
    return str(path)


def test_the_guide_is_as_far_as_it_goes_beyond_its_own_voice(taught: Path, student: str, guide: str) -> None:
    """What it says itself, without guidance, is that share of the way from the crowd's away."""
    weights = Weights(guided=1.0)
    made = {
        share: task(taught, student, guide=guide, beyond=share, weights=weights) for share in (0.25, 0.5, 1.0)
    }
    scene = made[0.5].stage.clean(batch(taught))
    there = torch.tensor([1, 2, 3, 0])
    own = registry.build(checkpoint.read(guide))
    assert isinstance(own, Converter)
    pieces = in_other_pitch(scene, 4)
    with torch.no_grad():
        voice = own.reference(scene.reference_content, scene.reference_mel, scene.mask).select(there)
        filters = own.filters(pieces.content, pieces.prosody, voice).float()
    far = {}
    for share, trainer in made.items():
        assert trainer.guide is not None
        wanted = trainer._wanted(trainer.guide, scene, 4, torch.Generator())
        far[share] = float(filter_distance(filters, wanted, pieces.prosody.energy))
    assert far[0.5] > 1e-4
    assert far[0.25] == pytest.approx(0.5 * far[0.5], rel=1e-3)
    assert far[1.0] == pytest.approx(2.0 * far[0.5], rel=1e-3)


def test_who_learned_from_a_guide_knows_how_far_it_goes_beyond_voices(
    taught: Path, student: str, tmp_path: Path
) -> None:
    settings = {"model": {**SIZES, "crowd": 2, "crowd_tokens": 3}, "weights": Weights(guided=1.0)}
    first = task(taught, student, guide=_guide(tmp_path / "guide", taught, student, people=2), **settings)
    assert first.export().config.beyond == pytest.approx(0.5)
    exported, again = first.export(), tmp_path / "again"
    assert first.guide is not None
    tensors = first.guide.converter.state_dict()  # whose crowd is there
    checkpoint.write(
        again, family="converter", name="a", config=exported.config, tensors=tensors, provenance={}, card=""
    )
    # What is apart by 1.5 is made 1.2 times as much.
    second = task(taught, student, guide=str(again), beyond=0.2, **settings)
    assert second.export().config.beyond == pytest.approx(0.8)
    # Without a crowd of its own it cannot say how it was before.
    alone = task(taught, student, guide=str(again), weights=Weights(guided=1.0))
    assert alone.export().config.beyond == 0.0


def test_a_guide_is_heard_in_its_last_attempt(taught: Path, student: str, tmp_path: Path) -> None:
    """With no guidance, and for a student that makes one: what it is told after its own first attempt."""
    path = _guide(tmp_path / "guide", taught, student, people=0, restore=0.6, adopt=1.25)
    trainer = task(taught, student, guide=path, beyond=0.0, weights=Weights(guided=1.0))
    assert trainer.guide is not None and trainer.model.config.attempts == 1
    scene, there = trainer.stage.clean(batch(taught)), torch.tensor([1, 2, 3, 0])
    own, pieces = trainer.guide.converter, in_other_pitch(scene, 4)
    with torch.no_grad():
        voice = own.reference(scene.reference_content, scene.reference_mel, scene.mask).select(there)
        first = own.filters(pieces.content, pieces.prosody, voice).float()
        length, generator = scene.target.shape[1], torch.Generator().manual_seed(3)
        sources = random_sources(pieces.prosody.f0, trainer.stage.hop, length, 16_000, generator)
        heard = trainer.stage.retold(pieces, own.render(first, *sources).float())
        words = trainer.stage.student.config.width
        told = pieces.content + 1.25 * (heard.content - pieces.content)
        told[..., :words] = pieces.content[..., :words] + 0.6 * (pieces.content - heard.content)[..., :words]
        second = own.filters(told, heard.prosody, voice).float()
    wanted = trainer._wanted(trainer.guide, scene, 4, torch.Generator().manual_seed(3))
    assert torch.allclose(wanted, second, atol=1e-5)
    assert float((wanted - first).abs().mean()) > 1e-3


def test_filters_are_compared_where_there_is_speech_and_not_in_phase() -> None:
    wanted, energy = torch.randn(4, 12, 3, 9), torch.zeros(4, 6, 2)
    energy[:, :3] = -20.0  # the first half is silent
    silent, spoken, phase = (torch.zeros_like(wanted) for _ in range(3))
    silent[:, :6] = 3.0
    spoken[:, 6:, (0, 2)] = 3.0
    phase[:, :, 1] = 3.0
    assert float(filter_distance(wanted + silent, wanted, energy)) == pytest.approx(0.0, abs=1e-4)
    assert float(filter_distance(wanted + phase, wanted, energy)) == 0.0
    assert float(filter_distance(wanted + spoken, wanted, energy)) == pytest.approx(3.0, rel=1e-3)


def test_only_the_student_learns_from_the_guide(taught: Path, student: str, guide: str) -> None:
    trainer = task(
        taught, student, guide=guide, weights=Weights(mel=0.0, spectra=0.0, timbre=0.0, guided=1.0)
    )
    update = next(trainer.updates(batch(taught), 0, torch.Generator().manual_seed(0)))
    update.loss.backward()
    assert "guided" in update.logs
    assert trainer.guide is not None
    assert not any(parameter.requires_grad for parameter in trainer.guide.parameters())
    head = trainer.model.head.weight.grad
    assert head is not None and bool(head.abs().sum() > 0)
    optimizer = torch.optim.Adam(trainer.model.parameters(), 3e-3)
    losses = []
    for _ in range(30):
        update = next(trainer.updates(batch(taught), 0, torch.Generator().manual_seed(0)))
        optimizer.zero_grad()
        update.loss.backward()
        optimizer.step()
        losses.append(float(update.loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_a_guide_with_nothing_to_teach_or_of_other_content_is_refused(
    taught: Path, student: str, tmp_path: Path
) -> None:
    weights = Weights(guided=1.0)
    with pytest.raises(ConfigError, match=r"settings\.guide: .*: there is nobody in its crowd"):
        task(taught, student, guide=_guide(tmp_path / "empty", taught, student, people=0), weights=weights)
    alone = _guide(tmp_path / "alone", taught, student, people=2)
    with pytest.raises(ConfigError, match=r"settings\.guide: .*: it makes one attempt"):
        task(taught, student, guide=alone, beyond=0.0, weights=weights)
    with pytest.raises(ConfigError, match=r"settings\.guide: .* holds a phonetic, not a Converter"):
        task(taught, student, guide=student, weights=weights)
    torch.manual_seed(5)
    config = PhoneticConfig(width=16, layers=1, heads=2, rotary=4, reach=3, detail=5, detail_after=1)
    checkpoint.write(
        tmp_path / "content", family="phonetic", name="o", config=config,
        tensors=PhoneticEncoder(config).state_dict(), provenance={}, card="",
    )  # fmt: skip
    other = _guide(tmp_path / "other", taught, str(tmp_path / "content"), people=2)
    with pytest.raises(ContractError, match="encoder"):
        task(taught, student, guide=other, weights=weights)
