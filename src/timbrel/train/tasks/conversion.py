"""Training of the converter: to say a piece again in the voice of a reference from elsewhere.

Rebuilding a speaker's own speech teaches it to take timbre from the reference and words from the
content. Within a batch each piece is also said in the next one's voice: nobody has recorded that, so
speaker encoders judge the voice, the student the words, and discriminators the sound and, against its
reference, the voice once more. Where a recipe says so, what was converted is then said again in the
voice it came from, and that has been recorded: a source in another voice than its reference's, with the
true outcome beside it (back-translation, Sennrich et al. 2016; no gradient flows into the first half of
the way, so that nothing can be hidden in it).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel.audio.io import Waveform
from timbrel.errors import ConfigError
from timbrel.methods.rehearing import reconsidered, speech
from timbrel.models.converter import Converter, mel_pairs
from timbrel.models.source_filter import random_sources
from timbrel.models.voice_tokens import VoiceTokens
from timbrel.train.average import follow
from timbrel.train.data import Batch
from timbrel.train.spectral import SpectralDistance
from timbrel.train.tasks import Export, Preview, Task, Update, mean_figures
from timbrel.train.tasks.ears import Ears
from timbrel.train.tasks.exchange import contest, in_other_pitch, next_rows
from timbrel.train.tasks.guide import Guide, filter_distance
from timbrel.train.tasks.judges import Adversaries, Known, Teachers, Weights
from timbrel.train.tasks.scenes import Scene, Stage, pitch_of
from timbrel.train.taught import speaker_vectors
from timbrel.train.voice_adversary import Lineup

#: Content frames at either end of a converted piece that the student cannot hear well.
_EDGE = 2
#: Of a reference, for a teacher that has no vector of it as it is played.
_HEARD_SECONDS = 3.0
#: Values of Resemblyzer's vector.
_TIMBRE_DIM = 256

CARD = """# Converter

Content, pitch and energy of a recording and the frames of a reference in, waveform out: the words of
the one in the voice of the other. It goes with the content encoder it names, and no other. The voice
that comes out should not be passed off as the person's own speech.
"""


class ConverterTask(Task):
    """An update for each adversary and one for the converter; a running average of its weights is exported.

    Args:
        model: to be trained.
        stage: makes scenes of batches.
        root: the prepared corpus, for the teacher's vectors.
        adversaries: of sound and of voice.
        teachers: of voices.
        average: the largest share that the averaged weights keep in a step.
        retell: whether every piece is converted, and each conversion said again in the piece's own voice;
            otherwise half of the pieces are converted, and that is all.
    """

    def __init__(
        self,
        model: Converter,
        stage: Stage,
        root: Path,
        weights: Weights,
        adversaries: Adversaries,
        teachers: Teachers,
        average: float,
        retell: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.stage, self.root, self.weights = model, stage, root, weights
        self.reading = nn.Linear(model.config.reference_width, _TIMBRE_DIM)
        self.trained = nn.ModuleDict({"model": model, "reading": self.reading})
        self.averaged = copy.deepcopy(model).requires_grad_(False)
        self.adversary, self.voices = adversaries.sound, adversaries.voice
        self.voice_after, self.alone = adversaries.voice_after, adversaries.alone
        self.average, self.retell = average, retell
        self.resemblyzer, self.own, self.guide = teachers.resemblyzer, teachers.own, teachers.guide
        self.distance = SpectralDistance(model.config.mel.sample_rate)

    @property
    def networks(self) -> dict[str, nn.Module]:
        adversaries = Adversaries(self.adversary, self.voices).networks
        return {"converter": self.trained, "average": self.averaged, **adversaries}

    def updates(self, batch: Batch, step: int, generator: torch.Generator) -> Iterator[Update]:
        if self.weights.converts and len(batch.source.ids) < 2:
            raise ConfigError(
                "data.batch must be 2 or more in each process: clips are said in each other's voices."
            )
        scene = self.stage.disturbed(batch, generator)
        said = self.stage.with_noise(scene, generator)
        self._admit(scene, step, generator)
        if step < self.alone:
            yield from self._adversaries_alone(scene, said, generator)
        else:
            yield from self._all(scene, said, step, generator)

    def _adversaries_alone(self, scene: Scene, said: Scene, generator: torch.Generator) -> Iterator[Update]:
        """Every piece is heard as it was recorded, and half of them as they are rebuilt, half converted."""
        with torch.no_grad():
            voice = self._voice(self.model, scene)
            count = len(scene.target) // 2 if self.weights.converts else 0
            converted = self._convert(self.model, said, voice, count, generator)
            rebuilt = self._rebuild(self.model, said, voice, generator)
            ears = self._ears(rebuilt, converted, scene)
        if self.adversary is not None:
            made = torch.cat([rebuilt[count:], converted])
            told_apart, _ = self.adversary.tell_apart(self.adversary.choose(generator), scene.target, made)
            yield Update(told_apart, "discriminator", {"discriminator": told_apart})
        if self.voices is not None and ears is not None:
            told_apart = self.voices.tell_apart(self._line_up(rebuilt, converted, ears.references, scene))
            yield Update(told_apart, "voices", {"voices": told_apart})

    def _all(self, scene: Scene, said: Scene, step: int, generator: torch.Generator) -> Iterator[Update]:
        voice = self._voice(self.model, scene)
        rebuilt = self._rebuild(self.model, said, voice, generator)
        known = self._known(scene)
        figures = self._reading(voice, known)
        converted = rebuilt[:0]
        if self.weights.converts:
            count = len(rebuilt) if self.retell else len(rebuilt) // 2
            pieces, others = self._for_the_next(self.model, said, voice, count, generator)
            filters = self.model.filters(pieces.content, pieces.prosody, others).float()
            converted = self._sound(filters, pieces, generator)
            figures |= self._conversion(converted, scene, known)
            if self.guide is not None:
                wanted = self._wanted(self.guide, said, count, generator)
                figures["guided"] = filter_distance(filters, wanted, pieces.prosody.energy)
        target = scene.target
        if self.retell:
            retold = self.stage.retold(scene, converted.detach())
            again = self._rebuild(self.model, self.stage.with_noise(retold, generator), voice, generator)
            rebuilt, target = torch.cat([rebuilt, again]), torch.cat([target, target])
        figures |= self._rebuilding(rebuilt, target)
        ears = self._ears(rebuilt, converted, scene)
        figures |= self._by_ear(ears, scene)
        loss = self._weighted(figures)
        if self.adversary is not None:
            judges = self.adversary.choose(generator)
            real, made, sample = contest(target, rebuilt, converted)
            told_apart, opinions = self.adversary.tell_apart(judges, real, sample)
            yield Update(told_apart, "discriminator", {"discriminator": told_apart})
            deceived, features = self.adversary.deceive(judges, opinions, made)
            loss = loss + self.weights.adversarial * (deceived + self.weights.features * features)
            figures |= {"adversarial": deceived, "features": features}
        if self.voices is not None and ears is not None:
            lineup = self._line_up(rebuilt, converted, ears.references, scene)
            told_apart = self.voices.tell_apart(lineup)
            yield Update(told_apart, "voices", {"voices": told_apart})
            if step >= self.voice_after:
                figures["voice"] = self.voices.deceive(lineup)
                loss = loss + self.weights.voice * figures["voice"]
        yield Update(loss, "converter", {"loss": loss, **figures})

    def after_step(self, step: int) -> None:
        follow(self.averaged, self.model, step, self.average)

    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        figures = []
        for batch in batches:
            scene = self.stage.clean(batch)
            voice = self._voice(self.averaged, scene)
            rebuilt = self._rebuild(self.averaged, scene, voice, torch.Generator().manual_seed(1))
            one = self._rebuilding(rebuilt, scene.target)
            figures.append({"loss": self._weighted(one), **one})
        return mean_figures(figures)

    def preview(self, batch: Batch) -> Preview:
        scene, generator = self.stage.clean(batch), torch.Generator().manual_seed(1)
        voice = self._voice(self.averaged, scene)
        audio = {
            "recorded": scene.target,
            "rebuilt": self._rebuild(self.averaged, scene, voice, generator),
            "converted": self._convert(self.averaged, scene, voice, len(scene.target), generator),
        }
        rate = self.model.config.mel.sample_rate
        return Preview(
            {name: self.stage.front_end(sound[:1])[0] for name, sound in audio.items()},
            {name: Waveform(sound[0].float().cpu(), rate) for name, sound in audio.items()},
        )

    def export(self) -> Export:
        return Export(Converter.family, self.model.config, self.averaged.state_dict(), CARD)

    def _voice(self, model: Converter, scene: Scene) -> VoiceTokens:
        tokens: VoiceTokens = model.reference(scene.reference_content, scene.reference_mel, scene.mask)
        return tokens

    @torch.no_grad()
    def _admit(self, scene: Scene, step: int, generator: torch.Generator) -> None:
        """One person of the scene takes the oldest place in the crowd, as the averaged weights know them."""
        crowd = self.averaged.crowd
        if crowd is None:
            return
        people, each, _ = crowd.tokens.shape
        fits = scene.as_recorded & (scene.reference_log_f0_mean > 0) & (scene.mask.sum(dim=1) >= each)
        if not bool(fits.any()):
            return
        row = fits.nonzero()[0]
        heard = (scene.reference_content[row], scene.reference_mel[row], scene.mask[row])
        voice: VoiceTokens = self.averaged.reference(*heard)
        frames = voice.mask[0].nonzero()[:, 0].cpu()
        drawn = frames[torch.randperm(len(frames), generator=generator)[:each]]
        log_f0 = float(scene.reference_log_f0_mean[row])
        for model in (self.model, self.averaged):  # alike in both, so that averaging mixes no two people
            assert model.crowd is not None
            model.crowd.admit(step % people, voice.tokens[0, drawn].float(), voice.summary[0].float(), log_f0)

    def _rebuild(
        self, model: Converter, scene: Scene, voice: VoiceTokens, generator: torch.Generator
    ) -> Tensor:
        """The scene's pieces in the voices that are recorded, (B, L), and so without the guidance that the
        model has learned: what goes beyond a voice is no recording of it."""
        scene, voice = self._reconsidered(model, scene, voice, generator)
        filters = model.filters(scene.content, scene.prosody, voice).float()
        common = model.in_common(pitch_of(scene.log_f0_mean, scene.prosody))
        plain = model.unguided(filters, scene.content, scene.prosody, common)
        return self._sound(plain, scene, generator)

    def _reconsidered(
        self, model: Converter, scene: Scene, voice: VoiceTokens, generator: torch.Generator
    ) -> tuple[Scene, VoiceTokens]:
        """The scene and the voices as the model is told them after a first attempt, if it makes one; no
        gradient flows through that."""
        if model.config.attempts == 1:
            return scene, voice
        words = self.stage.student.config.width
        with torch.no_grad():
            made = self._say(model, scene, voice, generator)
            heard = self.stage.retold(scene, made)
            told = replace(heard, content=reconsidered(scene.content, heard.content, words, model.config))
            if model.config.contrast <= 0:
                return told, voice
            pairs, _ = mel_pairs(self.stage.front_end(made), scene.content.shape[1])
            attempt = model.reference(heard.content, pairs, speech(scene.prosody.energy))
        return told, replace(voice, attempt=attempt)

    def _say(self, model: Converter, scene: Scene, voice: VoiceTokens, generator: torch.Generator) -> Tensor:
        """The scene's pieces in the voices given, (B, L)."""
        return self._sound(model.filters(scene.content, scene.prosody, voice).float(), scene, generator)

    def _sound(self, filters: Tensor, scene: Scene, generator: torch.Generator) -> Tensor:
        """The scene's pieces through filters (B, 2 K, 3, F), (B, L)."""
        length, rate = scene.target.shape[1], self.model.config.mel.sample_rate
        sources = random_sources(scene.prosody.f0, self.stage.hop, length, rate, generator)
        return self.model.render(filters, *sources).float()

    def _convert(
        self, model: Converter, scene: Scene, voice: VoiceTokens, count: int, generator: torch.Generator
    ) -> Tensor:
        """The first pieces, each in the voice and at the pitch of the next one's reference."""
        pieces, others = self._for_the_next(model, scene, voice, count, generator)
        return self._say(model, pieces, others, generator)

    def _for_the_next(
        self, model: Converter, scene: Scene, voice: VoiceTokens, count: int, generator: torch.Generator
    ) -> tuple[Scene, VoiceTokens]:
        """The first pieces as the model is told to say them in the next ones' voices, and these."""
        others = voice.select(next_rows(count))
        return self._reconsidered(model, in_other_pitch(scene, count), others, generator)

    def _wanted(self, guide: Guide, scene: Scene, count: int, generator: torch.Generator) -> Tensor:
        """The guide's filters, (`count`, 2 K, 3, F), of the first pieces in the next ones' voices."""
        pieces, others = self._for_the_next(guide.converter, scene, guide.voice(scene), count, generator)
        return guide.filters(pieces, others, scene.reference_log_f0_mean[next_rows(count)])

    def _rebuilding(self, rebuilt: Tensor, target: Tensor) -> dict[str, Tensor]:
        mel, spectra = self.distance(rebuilt, target)
        return {"mel": mel, "spectra": spectra}

    def _reading(self, voice: VoiceTokens, known: Known) -> dict[str, Tensor]:
        with torch.autocast(voice.summary.device.type, enabled=False):
            read = self.reading(voice.summary.float())
        return {"timbre": known.distance(read)}

    def _known(self, scene: Scene) -> Known:
        """Stored are the teacher's vectors of clips as they were recorded; of others only it can say them."""
        stored = torch.from_numpy(speaker_vectors(self.root, scene.references)).to(scene.target.device)
        changed = ~scene.as_recorded
        if self.resemblyzer is None or not bool(changed.any()):
            return Known(stored, scene.as_recorded)
        with torch.no_grad():
            seconds = round(_HEARD_SECONDS * self.model.config.mel.sample_rate)
            heard = self.resemblyzer(scene.reference[changed, :seconds])
        vectors = stored.index_put((changed.nonzero()[:, 0],), heard.to(stored.dtype))
        return Known(vectors, torch.ones_like(changed))

    def _ears(self, rebuilt: Tensor, converted: Tensor, scene: Scene) -> Ears | None:
        if self.own is None or not self.weights.hears:
            return None
        return Ears.of(self.own, self.stage, rebuilt, converted, scene)

    def _by_ear(self, ears: Ears | None, scene: Scene) -> dict[str, Tensor]:
        """What our speaker encoder finds wanting in what was rebuilt and in what was converted."""
        if ears is None:
            return {}
        there = next_rows(len(ears.converted))
        judgements: dict[str, Callable[[], Tensor]] = {
            "likeness": ears.likeness,
            "speaker": lambda: ears.distance(there),
            "apart": lambda: ears.nearness(scene.speakers),
        }
        return {name: judge() for name, judge in judgements.items() if getattr(self.weights, name) > 0}

    def _line_up(self, rebuilt: Tensor, converted: Tensor, references: Tensor, scene: Scene) -> Lineup:
        """Everything made, as the student's first layers hear it, beside the recordings it should be like."""
        hear = self.stage.student.beginnings
        with torch.no_grad():
            recorded = hear(scene.target[..., None])
        made = hear(torch.cat([rebuilt, converted])[..., None])
        own = torch.arange(len(rebuilt)) % len(references)
        voices = torch.cat([own, next_rows(len(converted))]).to(rebuilt.device)
        return Lineup(recorded, made, references, voices, scene.speakers)

    def _conversion(self, converted: Tensor, scene: Scene, known: Known) -> dict[str, Tensor]:
        figures, count = {}, len(converted)
        there = next_rows(count)
        if self.weights.words > 0:
            frames, inner = scene.content.shape[1], slice(_EDGE, -_EDGE)
            heard = self.stage.listen(converted, frames)
            with torch.no_grad():
                wanted = self.stage.listen(scene.target[:count], frames)
            figures["words"] = functional.mse_loss(heard[:, inner], wanted[:, inner])
        if self.resemblyzer is not None and self.weights.similarity > 0:
            figures["similarity"] = known.select(there).distance(self.resemblyzer(converted))
        return figures

    def _weighted(self, figures: dict[str, Tensor]) -> Tensor:
        """Sum of the losses, each times the weight of its name."""
        return torch.stack([getattr(self.weights, name) * value for name, value in figures.items()]).sum()
