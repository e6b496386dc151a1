"""The CSTR VCTK corpus: 110 speakers of English accents, some 400 sentences each, at 48 kHz.

    0.80   wav48/p225/p225_001.wav
    0.92   wav48_silence_trimmed/p225/p225_001_mic1.flac and _mic2.flac
    both   txt/p225/p225_001.txt, speaker-info.txt

What the releases say of themselves and what a reader meets: in 0.80 `speaker-info.txt` has bare
numbers, in 0.92 the folder's names; its columns are aligned by any number of spaces, accents and
regions may be two words, regions and remarks may be missing. p315 has no transcripts; p280 and p315
have no second microphone; one speaker is called s5.
"""

from __future__ import annotations

import re
from pathlib import Path

from timbrel.corpora import Utterance, check_ids, read_text, with_held_out, wrong_layout
from timbrel.errors import CorpusError

EXPECTED = (
    "VCTK, that is wav48 (0.80) or wav48_silence_trimmed (0.92) with a folder of recordings per speaker, "
    "beside txt and speaker-info.txt"
)
_OLD, _NEW = "wav48", "wav48_silence_trimmed"
_LICENCES = {_OLD: "ODC-By-1.0", _NEW: "CC-BY-4.0"}
_MICROPHONES = (1, 2)
_NAME = re.compile(r"(?P<clip>.+)_mic(?P<microphone>[12])")
#: "Australian English" and "NewZealand English" are two words; a remark stands in brackets.
_SPEAKER = re.compile(
    r"(?P<id>\S+)\s+(?P<age>\S+)\s+(?P<sex>[FM])\b\s*(?P<accent>\S+(?:\s+English\b)?)?\s*"
    r"(?P<region>[^(]*)(?:\((?P<remark>[^)]*)\)?)?"
)


def matches(root: Path) -> bool:
    """Whether the folder looks like VCTK."""
    return (root / _OLD).is_dir() or (root / _NEW).is_dir()


def read(root: Path, microphone: int = 1) -> list[Utterance]:
    """All recordings by one of the microphones, sorted by id; every 20th of a speaker is split "dev".

    A clip that this microphone lacks is a row with a `problem`. Version 0.80 has one microphone.

    Raises:
        CorpusError: the folder is not laid out as VCTK is, or `microphone` is neither 1 nor 2.
    """
    if microphone not in _MICROPHONES:
        raise CorpusError(f"VCTK has the microphones 1 and 2, not {microphone}.")
    if not matches(root):
        raise wrong_layout(root, EXPECTED)
    release = _NEW if (root / _NEW).is_dir() else _OLD
    recordings = root / release
    if release == _OLD and microphone != 1:
        raise CorpusError(f"{root} is VCTK 0.80, which has one microphone: leave the choice out.")
    paths = _two_microphones(recordings, microphone) if release == _NEW else _one_microphone(recordings)
    if not paths:
        raise wrong_layout(recordings, f"recordings such as {_example(release)}")
    people = _people(root / "speaker-info.txt")
    extra = {"licence": _LICENCES[release]} | ({"microphone": str(microphone)} if release == _NEW else {})
    utterances = [_utterance(root, path, people, extra) for path in paths]
    check_ids(utterances)
    return with_held_out(utterances)


def _example(release: str) -> str:
    return "p225/p225_001_mic1.flac" if release == _NEW else "p225/p225_001.wav"


def _one_microphone(recordings: Path) -> list[Path]:
    return sorted(recordings.glob("*/[!.]*.wav"))


def _two_microphones(recordings: Path, microphone: int) -> list[Path]:
    """A path for every clip that either microphone has, as the wanted one would be called."""
    clips = {
        path.with_name(f"{name['clip']}_mic{microphone}.flac")
        for path in recordings.glob("*/[!.]*.flac")
        if (name := _NAME.fullmatch(path.stem))
    }
    return sorted(clips)


def _utterance(root: Path, path: Path, people: dict[str, dict[str, str]], extra: dict[str, str]) -> Utterance:
    speaker = path.parent.name
    name = _NAME.fullmatch(path.stem)
    clip = name["clip"] if name else path.stem
    person = people.get(speaker, {})
    facts = {key: person[key] for key in ("age", "accent", "region", "remark") if person.get(key)}
    missing = f"there is no recording of it by microphone {extra.get('microphone')}."
    return Utterance(
        id=f"{speaker}/{clip}",
        speaker=speaker,
        path=path,
        language="en",
        sex=person.get("sex", ""),
        text=read_text(root / "txt" / speaker / f"{clip}.txt"),
        extra=facts | extra,
        problem=missing if name and not path.is_file() else "",
    )


def _people(table: Path) -> dict[str, dict[str, str]]:
    """Rows of speaker-info.txt by the names of the speakers' folders; none if there is no such file."""
    if not table.is_file():
        return {}
    rows = map(_SPEAKER.match, table.read_text(encoding="utf-8-sig", errors="replace").splitlines())
    return {
        _folder(row["id"]): {key: " ".join((row[key] or "").split()) for key in row.groupdict()}
        for row in rows
        if row
    }


def _folder(number: str) -> str:
    """225 -> p225, as the folders of 0.80 are called; p225 and s5 stay."""
    return f"p{number}" if number.isdigit() else number
