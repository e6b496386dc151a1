"""What a reader can listen to: a player and a spectrogram for each recording of a pair, as HTML.

Audio is Opus in Ogg, of long recordings the beginning. It lies in the page as far as a stated number of
megabytes reaches, or beside it.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import torch

from timbrel import recordings
from timbrel.audio import io
from timbrel.audio.io import Waveform
from timbrel.audio.mel import PRESETS, MelSpectrogram
from timbrel.errors import AudioError
from timbrel.evaluation.pairs import Pair
from timbrel.evaluation.systems import SOURCE, System
from timbrel.reporting.image import heat

#: Of a longer recording the beginning is in the report.
SECONDS = 30.0
#: Natural logarithms of a mel's amplitude, of the darkest and the brightest colour.
_DARK, _BRIGHT = -9.0, 1.0
#: Frames of 8 ms that make one column of a picture.
_FRAMES = 2
FOLDER = "report-audio"


class Players:
    """Makes players until there is no room left.

    Args:
        room: bytes that audio and pictures may take.
        files: folder for them beside the page; None to put them into it.
    """

    def __init__(self, room: float, files: Path | None) -> None:
        self._room, self._files = room, files
        self._waiting = dict[str, bytes]()
        self._mel = MelSpectrogram(PRESETS["timbrel-16k"])

    def pair(self, pair: Pair, systems: Sequence[System]) -> str | None:
        """Source, target and what each system made of them; None if that does not fit any more."""
        self._waiting.clear()
        parts = [
            self._player(name, path, f"{pair.id}-{place}")
            for place, (name, path) in enumerate(_all(pair, systems))
        ]
        size = sum(size for _, size in parts)
        if size > self._room:
            return None
        self._room -= size
        self._write()
        said = f"<p>{escape(pair.text)}</p>" if pair.text else ""
        heading = escape(f"{pair.id}: {pair.source_speaker} to {pair.target_speaker}")
        players = f'<div class="pictures">{"".join(html for html, _ in parts)}</div>'
        return f"<article><h3>{heading}</h3>{said}{players}</article>"

    def _player(self, name: str, path: Path, file: str) -> tuple[str, int]:
        """HTML of one recording, and the bytes it takes."""
        try:
            heard = recordings.opening(path, io.probe(path).sample_rate, SECONDS)
            audio, picture = _opus(heard), self._picture(heard)
        except AudioError as error:
            return f"<figure><figcaption>{escape(name)}: {escape(str(error))}</figcaption></figure>", 0
        links = (
            self._link(f"{file}.opus", audio, "audio/ogg"),
            self._link(f"{file}.png", picture, "image/png"),
        )
        html = (
            f'<figure><img alt="Spectrogram of {escape(name)}, 0 to 8 kHz in mels" src="{links[1]}" '
            f'style="width: 100%; height: 6rem"><audio controls preload="none" src="{links[0]}" '
            f'aria-label="{escape(name)}" style="width: 100%"></audio>'
            f"<figcaption>{escape(name)}</figcaption></figure>"
        )
        in_page = self._files is None
        return html, sum(map(len, links)) if in_page else len(audio) + len(picture)

    def _link(self, name: str, data: bytes, kind: str) -> str:
        if self._files is None:
            return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
        self._waiting[name] = data
        return f"{quote(self._files.name)}/{quote(name)}"

    def _write(self) -> None:
        """The files of a pair that fits."""
        for name, data in self._waiting.items():
            assert self._files is not None
            self._files.mkdir(exist_ok=True)
            (self._files / name).write_bytes(data)

    def _picture(self, heard: Waveform) -> bytes:
        """A spectrogram, low notes at the bottom."""
        samples = recordings.whole(heard, self._mel.spec.sample_rate).samples
        with torch.inference_mode():
            mel = self._mel(samples[None])[0]
        columns = mel[: len(mel) // _FRAMES * _FRAMES].reshape(-1, _FRAMES, mel.shape[1]).mean(dim=1)
        return heat(((columns.T.flip(0) - _DARK) / (_BRIGHT - _DARK)).numpy())


def _all(pair: Pair, systems: Sequence[System]) -> Iterator[tuple[str, Path]]:
    yield "source", pair.source
    yield "target", pair.target
    for system in systems:
        if system.name != SOURCE and pair.id in system.files:
            yield system.name, system.files[pair.id]


def _opus(heard: Waveform) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audio.opus"
        io.write(path, heard)
        return path.read_bytes()
