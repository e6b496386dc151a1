"""What a content encoder says of a prepared corpus, computed once and read in training.

    CORPUS/frames/FINGERPRINT/SPEAKER/NAME.safetensors              frames (T, D) float16
    CORPUS/frames/FINGERPRINT-prematched/SPEAKER/NAME.safetensors   the same from the speaker's other clips

The fingerprint is that of the encoder's weights. Prematched frames are what kNN-VC (Baas et al. 2023) trains
its vocoder on: each frame becomes the mean of the nearest frames of the speaker's other clips, as each frame
of a conversion will.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from timbrel.audio.pitch import FRAME_RATE
from timbrel.checkpoint import Checkpoint
from timbrel.contract import FeatureSpec
from timbrel.corpora import by_speaker
from timbrel.corpora.prepared import Clip, read_index
from timbrel.errors import CorpusError, TrainingError
from timbrel.methods.content import content_encoder
from timbrel.models import ContentEncoder
from timbrel.models.content import content_frames
from timbrel.models.knn import matched
from timbrel.train.data import Crops, Data, check_sample_rate
from timbrel.train.taught import load_clip, write_tensors

FOLDER, PREMATCHED = "frames", "-prematched"
#: The published number of nearest frames.
NEIGHBOURS = 4
_KEY = "frames"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What became of a corpus: clips whose frames were made now, and clips in all.

    Fields:
        alone: clips of speakers who have no other, whose frames stay as they are when prematched.
    """

    made: int
    clips: int
    alone: int = 0


def prepare_frames(
    root: Path, encoder: ContentEncoder, device: torch.device, progress: Progress | None = None
) -> Prepared:
    """Computes the frames of every clip, or what is missing of them.

    Raises:
        CorpusError: the folder is no prepared corpus at 16 kHz, or a clip is too long.
        OutputError: it cannot be written.
    """
    clips = read_index(root)
    folder = root / FOLDER / encoder.spec_out.encoder
    made = 0
    for done, clip in enumerate(clips, 1):
        samples, source = load_clip(root, clip)
        if _origin(folder, clip) != {"source": source}:
            with torch.inference_mode():
                frames = content_frames(
                    encoder, torch.from_numpy(samples), device=device, dtype=torch.float16
                )
            _write(folder, clip, frames, source)
            made += 1
        if progress:
            progress(done, len(clips))
    return Prepared(made, len(clips))


def prematch(
    root: Path, encoder: ContentEncoder, device: torch.device, progress: Progress | None = None
) -> Prepared:
    """Rebuilds the frames of every clip, as `prepare_frames` left them, from the speaker's other clips.

    A clip is made again when its own recording or any other of the speaker has changed.

    Raises:
        CorpusError: it is no prepared corpus.
        TrainingError: frames are missing.
        OutputError: it cannot be written.
    """
    whole = root / FOLDER / encoder.spec_out.encoder
    target = whole.with_name(whole.name + PREMATCHED)
    clips = read_index(root)
    made = alone = done = 0
    for _, own in sorted(by_speaker(clips).items()):
        sources = _digest((_origin(whole, clip) or {}).get("source", "") for clip in own)
        stale = [clip for clip in own if _origin(target, clip) != {"source": sources}]
        frames = {clip.id: _read(whole, clip) for clip in own} if stale else {}
        for clip in stale:
            _write(target, clip, _rebuilt(frames, clip, device), sources)
        made, alone, done = made + len(stale), alone + (len(own) == 1), done + len(own)
        if progress:
            progress(done, len(clips))
    return Prepared(made, len(clips), alone)


class Frames:
    """Reads the frames of crops of a corpus.

    Args:
        root: the prepared corpus.
        spec: of the frames, with the fingerprint of the encoder.
        prematched: those rebuilt from the speakers' other clips.

    Raises:
        TrainingError: the corpus has none.
    """

    def __init__(self, root: Path, spec: FeatureSpec, *, prematched: bool = False) -> None:
        self.spec = spec
        self._folder = root / FOLDER / (spec.encoder + PREMATCHED * prematched)
        if not self._folder.is_dir():
            kind, option = ("prematched frames", " --prematch") if prematched else ("frames", "")
            raise TrainingError(
                f"{root} has no {kind} of the content encoder {spec.encoder}: run "
                f"timbrel teach {root} --content CHECKPOINT{option} first."
            )

    def of(self, crops: Crops) -> tuple[Tensor, Tensor]:
        """Audio (B, T * hop) and its frames (B, T, D), on the device of the crops.

        Crops begin anywhere: what comes before their first whole frame is left out. Beyond the end of a
        clip, which is silence, its last frame is held.

        Raises:
            TrainingError: a clip's frames are missing, or the crops are shorter than a frame.
        """
        hop, rate = self.spec.hop, self.spec.sample_rate
        starts = (crops.starts.double().cpu() * rate / FRAME_RATE).round().long()
        count = (crops.audio.shape[1] - (hop - 1)) // hop
        if count < 1:
            raise TrainingError(f"A crop must hold two frames of {hop} samples: raise data.seconds.")
        audio, frames = [], []
        for row, (clip, start) in enumerate(zip(crops.ids, starts.tolist(), strict=True)):
            first = -(-start // hop)
            skipped = first * hop - start
            audio.append(crops.audio[row, skipped : skipped + count * hop])
            frames.append(self._at(clip, first, count))
        return torch.stack(audio), torch.stack(frames).to(crops.audio.device)

    def _at(self, clip: str, first: int, count: int) -> Tensor:
        """`count` frames (T, D), float32, from frame `first` on."""
        path = _path(self._folder, clip)
        try:
            with safe_open(path, framework="pt") as file:
                stored = file.get_slice(_KEY)
                last = int(stored.get_shape()[0]) - 1
                piece = torch.as_tensor(stored[min(first, last) : first + count]).float()
        except (OSError, SafetensorError) as error:
            raise _missing(path) from error
        return torch.cat([piece, piece[-1:].expand(count - len(piece), -1)])


def frames_of(data: Data, content: Checkpoint, *, prematched: bool = False) -> Frames:
    """The frames of a corpus by the content encoder of a checkpoint.

    Raises:
        CheckpointError: it holds no content encoder.
        TrainingError: the corpus has no such frames, or another sample rate.
    """
    spec = content_encoder(content, torch.device("cpu")).spec_out
    check_sample_rate(data, spec.sample_rate)
    return Frames(data.root, spec, prematched=prematched)


def _rebuilt(frames: dict[str, Tensor], clip: Clip, device: torch.device) -> Tensor:
    others = [one for name, one in frames.items() if name != clip.id]
    if not others:
        return frames[clip.id]
    matching = torch.cat(others).to(device)
    return matched(frames[clip.id].to(device), matching, NEIGHBOURS).to("cpu", torch.float16)


def _digest(sources: Iterable[str]) -> str:
    return hashlib.sha256(",".join(sorted(sources)).encode()).hexdigest()


def _path(folder: Path, clip: str) -> Path:
    return folder / f"{clip}.safetensors"


def _origin(folder: Path, clip: Clip) -> dict[str, str] | None:
    """What the stored frames of a clip were made from; None if there are none."""
    try:
        with safe_open(_path(folder, clip.id), framework="pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError):
        return None


def _read(folder: Path, clip: Clip) -> Tensor:
    path = _path(folder, clip.id)
    try:
        with safe_open(path, framework="pt") as file:
            return torch.as_tensor(file.get_tensor(_KEY))
    except (OSError, SafetensorError) as error:
        raise _missing(path) from error


def _write(folder: Path, clip: Clip, frames: Tensor, source: str) -> None:
    if not bool(frames.isfinite().all()):
        raise CorpusError(f"{clip.id}: the content encoder gives values that are not finite or too large.")
    write_tensors(_path(folder, clip.id), {_KEY: frames.contiguous().numpy()}, {"source": source})


def _missing(path: Path) -> TrainingError:
    return TrainingError(f"{path} is missing or damaged: run timbrel teach with the same --content again.")
