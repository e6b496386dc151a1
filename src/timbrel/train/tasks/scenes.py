"""What the converter is given in a step: a piece to say, and a reference of its speaker to say it like.

The piece may be played faster or slower, and so may the reference, by the same factor: a new speaker.
Its content is what the content encoder, the student, hears of it through another throat and equaliser,
so that what the content still says of the speaker is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from timbrel.audio.mel import MelSpectrogram
from timbrel.contract import FeatureSpec
from timbrel.models.converter import Prosody, mel_pairs
from timbrel.models.phonetic import PhoneticEncoder
from timbrel.train.augment import (
    Perturbation,
    amplify,
    another_person,
    change_speed,
    disguise,
    draw_speeds,
    repeat,
    uniform,
)
from timbrel.train.data import Batch, Crops
from timbrel.train.tracks import Tracks, frame_places

#: Frames of a reference that count however short it is.
_LEAST_FRAMES = 8
_ANOTHER_VOICE = Perturbation(
    speed=(0.86, 1.18), speed_share=0.5, gain_db=(-3.0, 3.0), warp=0.16, equaliser_db=4.0
)
_ANOTHER_PERSON = Perturbation(warp=0.13, equaliser_db=4.0)


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What training does to a scene; the recipe `timbrel-converter` has what made the bundled model.

    Fields:
        voice: speed and level of the piece, and throat and equaliser through which the student hears it.
        reference_gain_db: of the level of the reference.
        short_references: share of references that are cut to a random length of `least_reference` frames
            or more.
        other_people: share of scenes in which piece and reference get another throat and equaliser alike, as
            `person` says: with few speakers to learn from, the converter would learn these by heart.
        content_noise: deviation of noise on the content, times a random factor of 0 to 2 for each clip.
        energy_noise: deviation of noise on the energies.
    """

    voice: Perturbation = _ANOTHER_VOICE
    reference_gain_db: tuple[float, float] = (-2.0, 2.0)
    short_references: float = 0.5
    least_reference: int = 60
    content_noise: float = 0.1
    energy_noise: float = 0.1
    other_people: float = 0.0
    person: Perturbation = _ANOTHER_PERSON


@dataclass(frozen=True, slots=True)
class Scene:
    """B pieces of K content frames with their references of R.

    Fields:
        target: what is to be rebuilt, (B, hop * K - hop / 2).
        content: what the student hears of the piece in disguise, (B, K, C).
        prosody: of the piece.
        reference_content, reference_mel: (B, R, C) and (B, R, 2 D).
        mask: (B, R), true where there is a reference.
        references: ids of the clips that the references are from.
        reference: their sound as it is played, over and over where it is short, (B, hop * R).
        speakers: (B,) indices of the people; one of its own below 0 where speed or throat made somebody else.
        as_recorded: (B,), true where nothing did, so that a teacher's vector of the clip holds.
        log_f0_mean, reference_log_f0_mean: of both clips at the speed they have here, (B,); 0 where a clip
            has no voiced frame.
        log_f0_std, reference_log_f0_std: likewise.
    """

    target: Tensor
    content: Tensor
    prosody: Prosody
    reference_content: Tensor
    reference_mel: Tensor
    mask: Tensor
    references: tuple[str, ...]
    reference: Tensor
    speakers: Tensor
    as_recorded: Tensor
    log_f0_mean: Tensor
    log_f0_std: Tensor
    reference_log_f0_mean: Tensor
    reference_log_f0_std: Tensor


@dataclass(frozen=True, slots=True)
class _Played:
    """Crops as they are played: audio (B, L), the speeds (B,), and the samples of the clips on which the
    content frames are centred, (B, K)."""

    crops: Crops
    audio: Tensor
    speeds: Tensor
    places: np.ndarray


class Stage(nn.Module):
    """Makes scenes of batches.

    Args:
        root: the prepared corpus.
        mel: front end of the converter; a content frame has two of its frames.
        student: who gives the content; frozen.
    """

    def __init__(
        self, root: Path, mel: FeatureSpec, student: PhoneticEncoder, disturbance: Disturbance
    ) -> None:
        super().__init__()
        self.tracks = Tracks(root)
        self.front_end = MelSpectrogram(mel)
        self.student = student.requires_grad_(False)
        self.disturbance = disturbance
        self.hop = 2 * mel.hop

    @torch.no_grad()
    def clean(self, batch: Batch) -> Scene:
        """A scene as it was recorded."""
        return self._scene(batch, None)

    @torch.no_grad()
    def disturbed(self, batch: Batch, generator: torch.Generator) -> Scene:
        """A scene as `Disturbance` says, but for the noise; see `with_noise`."""
        return self._scene(batch, generator)

    @torch.no_grad()
    def with_noise(self, scene: Scene, generator: torch.Generator) -> Scene:
        """The scene with noise on its content and energies."""
        content, energy = scene.content, scene.prosody.energy
        level = 2 * self.disturbance.content_noise * torch.rand(len(content), 1, 1, generator=generator)
        content = content + (level * torch.randn(content.shape, generator=generator)).to(content.device)
        noise = self.disturbance.energy_noise * torch.randn(energy.shape, generator=generator)
        prosody = replace(scene.prosody, energy=energy + noise.to(energy.device))
        return replace(scene, content=content, prosody=prosody)

    @torch.no_grad()
    def retold(self, scene: Scene, converted: Tensor) -> Scene:
        """The scene with what is heard in its pieces said in other voices (B, L) for content and energy."""
        frames = scene.content.shape[1]
        _, energy = mel_pairs(self.front_end(converted), frames)
        content = self.listen(converted, frames)
        return replace(scene, content=content, prosody=replace(scene.prosody, energy=energy))

    def listen(self, audio: Tensor, frames: int) -> Tensor:
        """What the student hears in the first frames of waveforms (B, L), (B, K, C)."""
        content: Tensor = self.student(audio[..., None])[:, :frames].float()
        return content

    def _scene(self, batch: Batch, generator: torch.Generator | None) -> Scene:
        assert batch.reference is not None
        count, voice = len(batch.source.ids), self.disturbance.voice
        speeds = draw_speeds(count, voice, generator) if generator else torch.ones(count)
        source_gain, reference_gain = self._draw_gains(count, generator)
        # Half a hop more than whole frames, so that the last frame's mel has its samples.
        source = self._play(batch.source, speeds, source_gain, self.hop // 2)
        reference = self._play(batch.reference, speeds, reference_gain, 0)
        as_recorded = (speeds == 1.0).to(source.audio.device)
        if generator is not None and self.disturbance.other_people > 0:
            source, reference, others = self._other_people(source, reference, generator)
            as_recorded = as_recorded & ~others
        frames, reference_frames = source.places.shape[1], reference.places.shape[1]
        heard = disguise(source.audio, voice, generator) if generator else source.audio
        _, energy = mel_pairs(self.front_end(source.audio), frames)
        log_f0_mean, log_f0_std = self._log_f0(source)
        reference_log_f0_mean, reference_log_f0_std = self._log_f0(reference)
        return Scene(
            target=source.audio[:, : self.hop * frames - self.hop // 2],
            content=self.listen(heard, frames),
            prosody=self._prosody(source, energy),
            reference_content=self.listen(reference.audio, reference_frames),
            reference_mel=mel_pairs(self.front_end(reference.audio), reference_frames)[0],
            mask=self._mask(reference, generator).to(energy.device),
            references=batch.reference.ids,
            reference=_over_and_over(reference),
            speakers=torch.where(
                as_recorded, batch.source.speakers, -1 - torch.arange(count).to(as_recorded.device)
            ),
            as_recorded=as_recorded,
            log_f0_mean=log_f0_mean,
            log_f0_std=log_f0_std,
            reference_log_f0_mean=reference_log_f0_mean,
            reference_log_f0_std=reference_log_f0_std,
        )

    def _other_people(
        self, source: _Played, reference: _Played, generator: torch.Generator
    ) -> tuple[_Played, _Played, Tensor]:
        """Both, with another throat and equaliser for a share of the rows, and which these are, (B,)."""
        share = torch.rand(len(source.audio), generator=generator)
        chosen = (share < self.disturbance.other_people).to(source.audio.device)
        changed = another_person(source.audio, reference.audio, self.disturbance.person, generator)
        one, two = (
            replace(played, audio=torch.where(chosen[:, None], audio, played.audio))
            for played, audio in zip((source, reference), changed, strict=True)
        )
        return one, two, chosen

    def _draw_gains(self, count: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Decibels for piece and reference, (B,) each."""
        if generator is None:
            return torch.zeros(count), torch.zeros(count)
        ranges = self.disturbance.voice.gain_db, self.disturbance.reference_gain_db
        piece, reference = (uniform((count,), *decibels, generator) for decibels in ranges)
        return piece, reference

    def _play(self, crops: Crops, speeds: Tensor, decibels: Tensor, more: int) -> _Played:
        """Whole frames and `more` samples of the crops at these speeds and gains."""
        length = int(crops.audio.shape[1] / self.disturbance.voice.speed[1])
        frames = (length - more) // self.hop
        audio = change_speed(crops.audio, speeds, self.front_end.spec.sample_rate, frames * self.hop + more)
        gains = torch.tensor([track.gain for track in self.tracks.of(crops.ids)])
        audio = amplify(audio * gains[:, None].to(audio.device), decibels.to(audio.device))
        return _Played(crops, audio, speeds, frame_places(crops, speeds, frames))

    def _prosody(self, played: _Played, energy: Tensor) -> Prosody:
        tracks = self.tracks.of(played.crops.ids)
        rows = [track.at(places) for track, places in zip(tracks, played.places, strict=True)]
        log_f0, voicing = (torch.from_numpy(np.stack(part)).float() for part in zip(*rows, strict=True))
        f0 = torch.exp(log_f0) * played.speeds[:, None]
        return Prosody(f0.to(energy.device), voicing.to(energy.device), energy)

    def _log_f0(self, played: _Played) -> tuple[Tensor, Tensor]:
        """Means and deviations, (B,) each."""
        tracks, device = self.tracks.of(played.crops.ids), played.audio.device
        means = torch.tensor([track.log_f0_mean for track in tracks])
        moved = torch.where(means > 0, means + played.speeds.log(), means)
        return moved.to(device), torch.tensor([track.log_f0_std for track in tracks]).to(device)

    def _mask(self, played: _Played, generator: torch.Generator | None) -> Tensor:
        """(B, R) on the CPU: what is there of a reference, or a first part of it."""
        count, frames = played.places.shape
        there = (played.crops.lengths.cpu() / played.speeds // self.hop).clamp(min=_LEAST_FRAMES)
        if generator is not None:
            cut = torch.rand(count, generator=generator) < self.disturbance.short_references
            least = min(self.disturbance.least_reference, frames)
            part = uniform((count,), least, frames, generator).floor()
            there = torch.where(cut, torch.minimum(there, part), there)
        return torch.arange(frames) < there[:, None]


def _over_and_over(played: _Played) -> Tensor:
    """Its sound with what there is of it again where it is padded, (B, L)."""
    length = played.audio.shape[1]
    there = (played.crops.lengths.cpu() / played.speeds).long().clamp(max=length)
    return repeat(played.audio, there.to(played.audio.device), length)


def pitch_of(known: Tensor, prosody: Prosody) -> Tensor:
    """Mean ln F0 (B,) as it is known, and where that is 0 as it is said."""
    return torch.where(known > 0, known, prosody.f0.log().mean(dim=1))
