"""Training of AutoVC (Qian et al. 2019): one network, one update, the paper's loss on equal shapes.

The speaker encoder is trained beforehand and stays as it is; its checkpoint goes into AutoVC's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from timbrel import registry
from timbrel.audio.io import Waveform
from timbrel.audio.mel import PRESETS, MelSpectrogram
from timbrel.config import decode_config, encode_config
from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError
from timbrel.methods.listening import Listener
from timbrel.models.autovc import AutoVC, AutoVCConfig, AutoVCLosses, losses
from timbrel.models.griffin_lim import GriffinLim, GriffinLimConfig
from timbrel.models.losses import l1, mean_square
from timbrel.registry import DEFAULT_MODEL
from timbrel.train.data import Batch, Crops, Data, check_sample_rate
from timbrel.train.tasks import Export, Preview, Task, Update, mean_figures
from timbrel.train.tracks import Tracks
from timbrel.train.voices import Voices

CARD = """# AutoVC

Voice conversion with only an autoencoder's loss (Qian et al., ICML 2019): content is what fits through
the bottleneck, the voice is the vector of the speaker encoder in the folder `speaker`. Mel in, mel out;
a vocoder of the same mel makes sound, in the folder `vocoder` if there is one.
The voice that comes out should not be passed off as the person's own speech.
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """Fields:

    front_end: name of the mel, see `timbrel.audio.mel.PRESETS`.
    size: "paper" (dim_neck 32, freq 32) or "code" (16, 16).
    model: sizes that differ from these, see `AutoVCConfig`.
    speaker_encoder: its checkpoint, or a pipeline that has one.
    voice: "speaker" gives the network the mean vector of a speaker's utterances, as in the paper;
        "utterance" that of one of them, drawn anew for each crop, as a single reference gives it in use.
    utterances: how many of a speaker are heard for that.
    before_weight, content_weight: mu and lambda of the loss.
    distance: of a rebuilt mel from the true one: squared error, as in the paper, or "l1".
    """

    front_end: str = "autovc-16k"
    size: Literal["paper", "code"] = "paper"
    model: dict[str, Any] = field(default_factory=dict)
    speaker_encoder: str = DEFAULT_MODEL
    voice: Literal["speaker", "utterance"] = "speaker"
    utterances: int = 10
    before_weight: float = 1.0
    content_weight: float = 1.0
    distance: Literal["l2", "l1"] = "l2"

    def __post_init__(self) -> None:
        if self.front_end not in PRESETS:
            raise ConfigError(
                f"settings.front_end must be one of {', '.join(PRESETS)}, not {self.front_end}."
            )
        if self.utterances < 1:
            raise ConfigError(f"settings.utterances must be at least 1, not {self.utterances}.")
        if "window" in self.model:
            raise ConfigError("settings.model.window is not to be set: it follows from data.seconds.")


def build(settings: Settings, data: Data) -> AutoVCTask:
    """The task, with windows as long as the crops of `data`.

    Raises:
        CheckpointError: there is no such speaker encoder.
        ConfigError: a size is impossible, or crops are shorter than a code.
        TrainingError: the corpus has another sample rate than the mel.
    """
    spec = PRESETS[settings.front_end]
    check_sample_rate(data, spec.sample_rate)
    speaker = registry.find_part(settings.speaker_encoder, "speaker")
    listener = Listener.of(speaker, torch.device("cpu"))
    tables = encode_config(AutoVCConfig.of(settings.size, listener.spec, spec)) | settings.model
    window = _window(spec, data, int(tables["freq"]))
    config = decode_config(tables | {"window": window}, AutoVCConfig, name="settings.model")
    return AutoVCTask(config, settings, data, Voices(data, listener, settings.utterances), speaker.path)


class AutoVCTask(Task):
    """Rebuilds mels through the bottleneck, given who speaks."""

    def __init__(
        self, config: AutoVCConfig, settings: Settings, data: Data, voices: Voices, speaker: Path
    ) -> None:
        """`speaker` is the folder of the encoder that makes the `voices`."""
        super().__init__()
        self.model = AutoVC(config)
        self.front_end = MelSpectrogram(config.spec)
        self.settings, self.data, self.voices, self.speaker = settings, data, voices, speaker
        self.tracks = Tracks(data.root)

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"model": self.model}

    def mel(self, crops: Crops) -> Tensor:
        """Crops of clips at the standard level, (B, `window`, D)."""
        gains = torch.tensor([track.gain for track in self.tracks.of(crops.ids)], device=crops.audio.device)
        mel: Tensor = self.front_end(crops.audio * gains[:, None])
        return mel[:, : self.model.config.window]

    def updates(self, batch: Batch, step: int, generator: torch.Generator) -> Iterator[Update]:
        mel, ids = self.mel(batch.source), batch.source.ids
        one = self.settings.voice == "utterance"
        voices = self.voices.drawn(ids, generator) if one else self.voices.mean(ids)
        terms = self._terms(mel, voices.to(mel.device))
        yield Update(terms.total, "model", dict(_figures(terms)))

    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        """The loss's terms, and beside them those of as many batches that are trained on."""
        device = batches[0].source.audio.device
        trained = [self.data.batch(index).to(device) for index in range(len(batches))]
        known = mean_figures([self._judge(batch) for batch in trained])
        return mean_figures([self._judge(batch) for batch in batches]) | {
            f"training_{name}": value for name, value in known.items()
        }

    def preview(self, batch: Batch) -> Preview:
        mel = self.mel(batch.source)
        voices = self.voices.mean(batch.source.ids).to(mel.device)
        # The last clip's words in the first clip's voice; of a single one, its own.
        converted = self.model.convert(mel[-1:], voices[-1:], voices[:1])[0].float()
        mels = {"source": mel[-1], "target": mel[0], "converted": converted}
        vocoder = GriffinLim(GriffinLimConfig(self.model.spec_out)).to(mel.device)
        rate = self.model.spec_out.sample_rate
        audio = {name: Waveform(vocoder(one[None])[0].cpu(), rate) for name, one in mels.items()}
        return Preview(mels, audio)

    def export(self) -> Export:
        parts = {"speaker": self.speaker}
        return Export(AutoVC.family, self.model.config, self.model.state_dict(), CARD, parts)

    def _judge(self, batch: Batch) -> dict[str, Tensor]:
        mel = self.mel(batch.source)
        return _figures(self._terms(mel, self.voices.mean(batch.source.ids).to(mel.device)))

    def _terms(self, mel: Tensor, voices: Tensor) -> AutoVCLosses:
        """`mel` (B, T, D) rebuilt in its own voices (B, E), and judged."""
        output = self.model(mel, voices, voices)
        recoded = self.model.encode(output.after, voices)
        settings = self.settings
        return losses(
            output,
            recoded,
            mel,
            before_weight=settings.before_weight,
            content_weight=settings.content_weight,
            distance=l1 if settings.distance == "l1" else mean_square,
        )


def _figures(terms: AutoVCLosses) -> dict[str, Tensor]:
    return {
        "loss": terms.total,
        "reconstruction": terms.reconstruction,
        "reconstruction_before_postnet": terms.before_postnet,
        "content": terms.content,
    }


def _window(spec: FeatureSpec, data: Data, freq: int) -> int:
    """Frames of a crop, in whole codes."""
    frames = spec.frames(round(data.recipe.seconds * spec.sample_rate))
    if not 0 < freq <= frames:
        raise ConfigError(
            f"data.seconds is {data.recipe.seconds:g}, {frames} frames; a code of AutoVC takes freq = {freq}."
        )
    return frames - frames % freq
