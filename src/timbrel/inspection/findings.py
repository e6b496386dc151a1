"""What a report on a corpus warns of, in sentences with numbers."""

from __future__ import annotations

from collections.abc import Iterator

from timbrel.audio.condition import LOW_SNR_DB, MUCH_SILENCE, NARROW_BAND_HZ
from timbrel.inspection.check import CorpusReport
from timbrel.wording import counted, listed

#: Beyond these a warning is given.
FEW_MINUTES = 1.0
LONG_SECONDS = 20.0
MUCH_AT_THE_ENDS = 0.4
LOW_LEVEL_DBFS = -40.0
UNEVEN = 10.0
#: Names and clips that a sentence lists.
_LISTED = 5


def warnings(report: CorpusReport) -> list[str]:
    """What may spoil a training, the gravest first; empty if nothing does."""
    return [
        *_unusable(report),
        *_same_voice(report),
        *_other_voices(report),
        *_amounts(report),
        *_sounds(report),
    ]


def _unusable(report: CorpusReport) -> Iterator[str]:
    if report.unusable:
        first = report.unusable[0]
        count = counted(len(report.unusable), "recording")
        yield f"{count} cannot be used, first {first.path}: {first.reason}"
    for ids in report.same_file[:_LISTED]:
        yield f"{listed(ids, _LISTED)} are the same file."
    if len(report.same_file) > _LISTED:
        yield f"{counted(len(report.same_file) - _LISTED, 'further group')} of recordings that are one file."


def _same_voice(report: CorpusReport) -> Iterator[str]:
    voices = report.voices
    for pair in voices.twins[: 2 * _LISTED]:
        yield (
            f"{' and '.join(pair.speakers)} may be one person: their cosine is {pair.cosine:.3f}, "
            f"where {voices.twin_threshold:.3f} is as alike as halves of one speaker."
        )
    if len(voices.twins) > 2 * _LISTED:
        yield f"{counted(len(voices.twins) - 2 * _LISTED, 'further pair')} may be one person."


def _other_voices(report: CorpusReport) -> Iterator[str]:
    voices = report.voices
    for name in voices.divided[:_LISTED]:
        yield (
            f"{name} may be several people: the clips fall into two groups with a cosine of "
            f"{voices.splits[name]:.3f}, where one voice gives {voices.split_threshold:.3f} and more."
        )
    for odd in voices.odd[:_LISTED]:
        yield (
            f"{odd.id} sounds more like {odd.nearest} (cosine {odd.other:.3f}) than like the other clips of "
            f"its speaker ({odd.own:.3f})."
        )
    if len(voices.divided) > _LISTED:
        yield f"{counted(len(voices.divided) - _LISTED, 'further speaker')} may be several people."
    if len(voices.odd) > _LISTED:
        yield f"{counted(len(voices.odd) - _LISTED, 'further clip')} nearer to another speaker."


def _amounts(report: CorpusReport) -> Iterator[str]:
    speakers = report.speakers
    few = [name for name, own in speakers.items() if own.minutes < FEW_MINUTES]
    if few:
        yield f"{counted(len(few), 'speaker')} with less than {FEW_MINUTES:.0f} min: {listed(few, _LISTED)}."
    most = max(speakers, key=lambda name: speakers[name].minutes)
    least = min(speakers, key=lambda name: speakers[name].minutes)
    if speakers[most].minutes > UNEVEN * speakers[least].minutes:
        yield (
            f"Speakers are uneven: {most} has {speakers[most].minutes:.1f} min, "
            f"{least} {speakers[least].minutes:.1f} min."
        )
    longest = report.total.clip_seconds["longest"]
    if longest > LONG_SECONDS:
        yield f"The longest recording lasts {longest:.0f} s: sentences train better."
    if len(report.sample_rates) > 1:
        rates = ", ".join(f"{rate} Hz ({count})" for rate, count in report.sample_rates.items())
        yield f"The recordings have several sample rates: {rates}."
    if 0 < report.without_text < report.total.clips:
        yield f"{counted(report.without_text, 'clip')} of {report.total.clips} have no transcript."


def _sounds(report: CorpusReport) -> Iterator[str]:
    near = {name: own.sound for name, own in report.speakers.items() if own.sound is not None}
    for names, what in (
        (
            [n for n, s in near.items() if s.speechless_clips < s.clips and s.snr_db < LOW_SNR_DB],
            f"noisy, below {LOW_SNR_DB:.0f} dB SNR",
        ),
        (
            [n for n, s in near.items() if s.bandwidth_hz < NARROW_BAND_HZ],
            f"narrow-band, nothing above {NARROW_BAND_HZ / 1000:.0f} kHz",
        ),
        (
            [n for n, s in near.items() if s.silence_share > MUCH_SILENCE],
            f"mostly silence, above {MUCH_SILENCE:.0%}",
        ),
        (
            [n for n, s in near.items() if s.end_seconds > MUCH_AT_THE_ENDS],
            f"silent at the ends for {MUCH_AT_THE_ENDS:g} s and more, which prepare --trim cuts off",
        ),
        ([n for n, s in near.items() if s.level_dbfs < LOW_LEVEL_DBFS], f"below {LOW_LEVEL_DBFS:.0f} dBFS"),
        ([n for n, s in near.items() if s.speechless_clips], "with clips that hold no speech"),
        ([n for n, s in near.items() if s.clipped_clips], "clipped in some of their clips"),
    ):
        if names:
            yield f"{counted(len(names), 'speaker')} {what}: {listed(names, _LISTED)}."
