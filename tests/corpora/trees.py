"""Miniature corpora of exactly the layouts that are published, with made-up voices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000


def voice(f0: float, seconds: float = 0.8, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """Harmonics with a wandering pitch, (T,) within [-1, 1]."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(f0 * (1 + 0.1 * np.sin(2 * np.pi * 1.5 * time))) / rate
    sound = sum(np.sin(k * phase) / k for k in range(1, 12))
    return np.asarray(0.2 * sound + 0.001 * random.standard_normal(len(time)))


def write(root: Path, files: Mapping[str, str | np.ndarray | None], rate: int = RATE) -> Path:
    """Text, sound or, for None, a short sound under each name below `root`."""
    for number, (name, content) in enumerate(files.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            sound = voice(120.0, 0.4, number, rate) if content is None else content
            soundfile.write(path, sound, rate)
    return root


def vctk_old(root: Path) -> Path:
    """VCTK 0.80: wav, bare numbers, no remarks."""
    info = (
        "ID  AGE  GENDER  ACCENTS  REGION \n"
        "225  23  F    English    Southern  England\n"
        "226  22  M    English    Surrey\n"
        "376  22  M    Indian\n"
    )
    return write(
        root,
        {
            "speaker-info.txt": info,
            "COPYING": "ODC-By",
            "txt/p225/p225_001.txt": "Please call Stella.\n",
            "txt/p226/p226_001.txt": "Please call Stella.\n",
            "wav48/p225/p225_001.wav": None,
            "wav48/p225/p225_002.wav": None,
            "wav48/p226/p226_001.wav": None,
            "wav48/p376/p376_295.wav": None,
        },
    )


def vctk_new(root: Path) -> Path:
    """VCTK 0.92: two microphones but for p280 and p315, no text of p315, a speaker called s5."""
    info = (
        "ID  AGE  GENDER  ACCENTS  REGION COMMENTS \n"
        "p225  23  F    English    Southern  England\n"
        "p280  25  F    Unknown    France (mic2 files unavailable)\n"
        "p315  18  M  American    New England (Text and mic2 files unavailable)\n"
        "p326  26  M  Australian English    Sydney\n"
        "p329  23  F    American\n"
        "p335  25  F    NewZealand  English\n"
    )
    recordings = {
        f"wav48_silence_trimmed/{speaker}/{speaker}_{clip}_mic{microphone}.flac": None
        for speaker, clip, microphones in (
            ("p225", "001", (1, 2)),
            ("p225", "002", (1, 2)),
            ("p280", "001", (1,)),
            ("p315", "001", (1,)),
            ("p326", "001", (1, 2)),
            ("p329", "001", (1, 2)),
            ("p335", "001", (1, 2)),
            ("s5", "001", (1, 2)),
        )
        for microphone in microphones
    }
    texts = {f"txt/{name}/{name}_001.txt": "Please call Stella.\n" for name in ("p225", "p280", "p326", "s5")}
    return write(root, {"speaker-info.txt": info, "wav48_silence_trimmed/log.txt": "", **texts, **recordings})


def librispeech(root: Path) -> Path:
    """LibriSpeech: two subsets, three speakers."""
    chapter = "train-clean-100/19/198/19-198"
    table = (
        "; The meaning of the fields in left-to-right order is as follows:\n"
        ";ID  |SEX| SUBSET           |MINUTES| NAME\n"
        "19   | F | train-clean-100  | 25.19 | Kara Shallenberg\n"
        "26   | M | train-clean-100  | 25.08 | Denny Sayers\n"
        "84   | F | dev-clean        | 8.02  | Christie Nowak\n"
    )
    return write(
        root,
        {
            "SPEAKERS.TXT": table,
            "README.TXT": "",
            f"{chapter}.trans.txt": "19-198-0000 NORTHANGER ABBEY\n19-198-0001 THIS LITTLE WORK\n",
            f"{chapter}-0000.flac": None,
            f"{chapter}-0001.flac": None,
            "train-clean-100/26/495/26-495.trans.txt": "26-495-0000 ONE\n",
            "train-clean-100/26/495/26-495-0000.flac": None,
            "dev-clean/84/121123/84-121123.trans.txt": "84-121123-0000 GO DO YOU HEAR\n",
            "dev-clean/84/121123/84-121123-0000.flac": None,
        },
    )


def libritts(root: Path) -> Path:
    """LibriTTS: two subsets, two speakers, a table with tabs."""
    clip, dev = "train-clean-100/19/198/19_198_000000_000000", "dev-clean/84/121123/84_121123_000007_000001"
    return write(
        root,
        {
            "speakers.tsv": "READER\tGENDER\tSUBSET\tNAME\n19\tF\ttrain-clean-100\tA\n84\tM\tdev-clean\tB\n",
            f"{clip}.wav": None,
            f"{clip}.normalized.txt": "Mister Collins had two.",
            f"{clip}.original.txt": "Mr. Collins had 2.",
            "train-clean-100/19/198/19_198.trans.tsv": "",
            f"{dev}.wav": None,
            f"{dev}.original.txt": "Maximilian.",
        },
        rate=24000,
    )


COMMON_VOICE_COLUMNS = (
    "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender\taccents\tvariant"
    "\tlocale\tsegment"
)


def common_voice(root: Path) -> Path:
    """Common Voice: four validated clips of three people, two of them in a split."""
    ada, bob, eve = ("a" * 128, "b" * 128, "e" * 128)

    def row(person: str, clip: int, sentence: str, facts: str) -> str:
        return f"{person}\tcommon_voice_en_{clip}.mp3\tid{clip}\t{sentence}\t\t2\t0\t{facts}\t\ten\t"

    rows = [
        row(ada, 1, 'He said "so.', "twenties\tfemale_feminine\tScottish English"),
        row(ada, 2, "A second one.", "twenties\tfemale_feminine\tScottish English"),
        row(bob, 3, "Good\u2028day.", "\tmale_masculine\t"),
        row(eve, 4, "Of nobody known.", "\t\t"),
    ]
    tables = {"validated": rows, "train": [rows[2]], "dev": [rows[0]], "test": []}
    texts = {f"en/{name}.tsv": "\n".join([COMMON_VOICE_COLUMNS, *own]) + "\n" for name, own in tables.items()}
    return write(root, texts | {f"en/clips/common_voice_en_{clip}.mp3": None for clip in (1, 2, 3, 4)})
