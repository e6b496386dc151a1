"""What the content encoder says: how much of the phones it keeps, and how much of the speaker.

    pip install pocketsphinx scikit-learn
    python benchmarks/content.py prepared
    python benchmarks/content.py prepared --model runs/timbrel-content/final --split dev

Prints a table in Markdown. Its columns are the accuracies of perceptrons with one hidden layer, which learn
from single frames: of phones, learned from one half of the speakers and asked of the other, and of
speakers, learned from some sentences of everybody and asked of others, frame by frame and by the sum of
their opinions over a sentence. Phones come from forced alignment, so they are as good as that is; silence
is left out. What is called the speaker holds his microphone and room too, since a speaker of these corpora
has one of each.

The rows are the log-mel for comparison, each layer, what the encoder says, and that with fewer directions of
its detail: how many it has is the knob for leakage (`settings.detail` of the recipe timbrel-content).
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

from timbrel import checkpoint, registry
from timbrel.audio.loudness import level_gain
from timbrel.audio.mel import PRESETS, MelSpectrogram
from timbrel.corpora.prepared import Clip, read_index
from timbrel.models.phonetic import HOP, WAVEFORM, PhoneticEncoder
from timbrel.train.data import FULL_SCALE

#: For comparison: the front end of the converter.
_MEL = PRESETS["timbrel-16k"]
#: Seconds between the aligner's frames.
_STEP = 0.01
_SILENCE = ("SIL", "+NSN+", "+SPN+")
#: Of each speaker's sentences, every so manieth is asked about.
_ASKED = 3


@dataclass(frozen=True, slots=True)
class Sentence:
    """Fields:

    phones: of each frame in which one is spoken, (N,).
    features: of the same frames, by name, each (N, D).
    """

    speaker: str
    phones: np.ndarray
    features: dict[str, np.ndarray]


def main() -> None:
    options = arguments()
    clips = [clip for clip in read_index(options.corpus) if clip.split == options.split and clip.text]
    encoder = content_encoder(options.model)
    sentences = list(heard(encoder, options.corpus, clips, options.detail))
    speakers = sorted({sentence.speaker for sentence in sentences})
    print(
        f"{len(sentences)} of {len(clips)} sentences aligned, {len(speakers)} speakers, "
        f"{sum(len(sentence.phones) for sentence in sentences):,} frames; by chance a speaker is right in "
        f"{100 / len(speakers):.0f} %.\n"
    )
    print("| frames | values | phone % | speaker, frame % | speaker, sentence % |\n|---|--:|--:|--:|--:|")
    for name in sentences[0].features:
        phone = phone_accuracy(sentences, name, set(speakers[::2]))
        frame, sentence = speaker_accuracy(sentences, name)
        values = sentences[0].features[name].shape[1]
        print(
            f"| {name} | {values} | {100 * phone:.1f} | {100 * frame:.1f} | {100 * sentence:.1f} |",
            flush=True,
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Probes the content encoder for phones and for the speaker.")
    parser.add_argument("corpus", type=Path, help="prepared at 16 kHz, with transcripts in English")
    parser.add_argument(
        "--split", default="dev", help="of speakers it was not trained on (default: %(default)s)"
    )
    parser.add_argument(
        "--model", default=registry.DEFAULT_MODEL, help="or a content encoder (default: %(default)s)"
    )
    parser.add_argument(
        "--detail",
        type=int,
        nargs="*",
        default=[0, 32, 64, 112, 160],
        help="directions, no more than the encoder has (default: %(default)s)",
    )
    return parser.parse_args()


def content_encoder(name: str) -> PhoneticEncoder:
    folder = registry.find(name)
    inner = folder / "content"
    network = registry.build(checkpoint.read(inner if inner.is_dir() else folder))
    if not isinstance(network, PhoneticEncoder):
        raise SystemExit(f"{name} holds a {network.family}, not a content encoder.")
    return network


def heard(encoder: PhoneticEncoder, root: Path, clips: list[Clip], details: list[int]) -> Iterator[Sentence]:
    """The sentences that can be aligned."""
    from pocketsphinx import Decoder

    aligner = Decoder(samprate=WAVEFORM.sample_rate, loglevel="FATAL")
    front_end = MelSpectrogram(_MEL)
    for clip in clips:
        audio = load_file(root / clip.file)["audio"]
        phones = aligned(aligner, audio, clip.text)
        if phones is None:
            continue
        samples = audio.astype(np.float32) / FULL_SCALE
        waveform = torch.from_numpy(samples * np.float32(level_gain(samples, WAVEFORM.sample_rate)))
        features = {name: frames.numpy() for name, frames in said(encoder, front_end, waveform, details)}
        count = min(len(phones), *(len(frames) for frames in features.values()))
        spoken = np.flatnonzero(phones[:count] != "")
        yield Sentence(
            clip.speaker, phones[spoken], {name: frames[spoken] for name, frames in features.items()}
        )


@torch.inference_mode()
def said(
    encoder: PhoneticEncoder, front_end: MelSpectrogram, waveform: torch.Tensor, details: list[int]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Frames (T, D) by name, of which frame k is centred on sample 256 k."""
    yield "log-mel", front_end(waveform[None])[0, :: HOP // _MEL.hop]
    stem, *layers = encoder.behind_layers(waveform[None, :, None])
    yield "convolutions", stem[0]
    for number, frames in enumerate(layers, 1):
        yield f"layer {number}", frames[0]
    content, width = encoder(waveform[None, :, None])[0], encoder.config.width
    for detail in details:
        if detail <= encoder.config.detail:
            yield f"content, detail {detail}", content[:, : width + detail]
    if encoder.config.detail:
        yield "detail alone", content[:, width:]


def aligned(aligner: Any, audio: np.ndarray, text: str) -> np.ndarray | None:
    """The phone spoken in each content frame, "" in silence; None of a text that cannot be aligned."""
    words = re.sub(r"[^a-z' ]", " ", text.lower()).split()
    if not words or any(aligner.lookup_word(word) is None for word in words):
        return None
    try:
        aligner.set_align_text(" ".join(words))
        listen(aligner, audio)
        aligner.set_alignment()  # from words to phones
        listen(aligner, audio)
    except RuntimeError:  # no path through the whole of the text
        return None
    phones = np.full(-(-len(audio) // HOP), "", dtype="<U8")
    for phone in aligner.get_alignment().phones():
        if phone.name not in _SILENCE:
            first, last = (
                round(at * _STEP * WAVEFORM.sample_rate / HOP)
                for at in (phone.start, phone.start + phone.duration)
            )
            phones[first:last] = phone.name
    return phones


def listen(aligner: Any, audio: np.ndarray) -> None:
    aligner.start_utt()
    aligner.process_raw(audio.astype(np.int16).tobytes(), full_utt=True)
    aligner.end_utt()


def phone_accuracy(sentences: list[Sentence], name: str, learned_from: set[str]) -> float:
    """Share of frames of the other speakers whose phone is known."""
    known = [sentence for sentence in sentences if sentence.speaker in learned_from]
    asked = [sentence for sentence in sentences if sentence.speaker not in learned_from]
    probe = fitted(known, name, [sentence.phones for sentence in known])
    frames = np.concatenate([sentence.features[name] for sentence in asked])
    return float(probe.score(frames, np.concatenate([sentence.phones for sentence in asked])))


def speaker_accuracy(sentences: list[Sentence], name: str) -> tuple[float, float]:
    """Shares of frames and of sentences whose speaker is known."""
    known: list[Sentence] = []
    asked: list[Sentence] = []
    seen = Counter[str]()
    for sentence in sentences:
        seen[sentence.speaker] += 1
        (asked if seen[sentence.speaker] % _ASKED == 0 else known).append(sentence)
    probe = fitted(known, name, [np.full(len(sentence.phones), sentence.speaker) for sentence in known])
    right, frames, whole = 0, 0, 0
    for sentence in asked:
        opinions = probe.predict_log_proba(sentence.features[name])
        mine = list(probe.classes_).index(sentence.speaker)
        right += int((opinions.argmax(axis=1) == mine).sum())
        whole += int(opinions.sum(axis=0).argmax() == mine)
        frames += len(opinions)
    return right / frames, whole / len(asked)


def fitted(sentences: list[Sentence], name: str, labels: list[np.ndarray]) -> Any:
    """A perceptron that learns from single frames until a tenth of them, kept apart, is known no better."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    network = MLPClassifier(
        (256,), batch_size=512, early_stopping=True, n_iter_no_change=3, max_iter=60, random_state=0
    )
    frames = np.concatenate([sentence.features[name] for sentence in sentences])
    return make_pipeline(StandardScaler(), network).fit(frames, np.concatenate(labels))


if __name__ == "__main__":
    main()
