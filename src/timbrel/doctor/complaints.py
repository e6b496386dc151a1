"""What measured recordings give rise to, in findings."""

from __future__ import annotations

from collections.abc import Iterator

from timbrel.audio import condition
from timbrel.audio.condition import Condition
from timbrel.doctor.findings import Area, Finding, Severity
from timbrel.doctor.recording import RATES, Recording

FAULT, RISK, MINOR = Severity.FAULT, Severity.RISK, Severity.MINOR

#: Of a reference: below this there is hardly a voice to learn.
SHORT_SPEECH_SECONDS = 1.0
MUCH_SOFT = 0.3
LOUDEST_DBFS, SOFTEST_DBFS = -12.0, -35.0
_TELEPHONE_HZ = 4300.0
_DULL_HZ = 7000.0


def complaints(heard: Recording, *, reference: bool) -> Iterator[Finding]:
    """What is wrong with a source, or with a `reference`, whose speech is all that a voice is known by."""
    if not heard.finite:
        yield _finding(
            heard,
            FAULT,
            "It has samples that are not finite numbers.",
            "One such sample spoils every frame that sees it, and instance normalisation the whole output.",
            "Export it again.",
            (28,),
        )
    elif heard.condition is None and heard.largest > 4.0:
        yield from _scale(heard)
    elif heard.condition is None:
        yield _finding(
            heard,
            FAULT,
            "It is digitally silent, its channels averaged.",
            "There is nothing to convert; networks make a hum of it.",
            "Check the microphone or the export; of two channels in opposite phase take one.",
            (25, 27) if heard.channels > 1 else (25,),
        )
    else:
        yield from _scale(heard)
        yield from _channels(heard)
        yield from _rate(heard)
        yield from _level(heard, heard.condition)
        yield from _speech(heard, heard.condition, reference)


def _scale(heard: Recording) -> Iterator[Finding]:
    if heard.largest > 4.0:
        yield _finding(
            heard,
            FAULT,
            f"Its largest sample is {heard.largest:,.6g}, where full scale is 1.",
            "Integers taken for floating point: full noise, mels up to 12 instead of 2.",
            "Divide by the full scale of the integers (32768 for 16 bits) and save it again.",
            (28,),
        )
    elif heard.largest < 1e-3:
        yield _finding(
            heard,
            FAULT,
            f"Its largest sample is {heard.largest:.1e}: near silence.",
            "Divided by full scale once too often: the network hears next to nothing.",
            "Read it without a further division; a factor of 32768 or 256 brings it back.",
            (28,),
        )
    elif heard.largest > 1.0:
        yield _finding(
            heard,
            RISK,
            f"Its largest sample is {heard.largest:.2f}, beyond full scale.",
            "What stands above 1 is cut off where a network clips its input: crackle.",
            "Lower its level below full scale.",
            (22,),
        )


def _channels(heard: Recording) -> Iterator[Finding]:
    if heard.channels > 1 and heard.channel_correlation < -0.3:
        yield _finding(
            heard,
            FAULT,
            f"Its channels run against each other (correlation {heard.channel_correlation:.2f}).",
            "Averaging them takes the voice away and leaves the room: thin, hollow, reverberant.",
            "Take one channel, or turn the phase of one.",
            (27,),
        )
    elif heard.channels > 1 and (heard.channel_correlation < 0.7 or heard.channel_balance_db > 20.0):
        yield _finding(
            heard,
            RISK,
            f"Its channels differ (correlation {heard.channel_correlation:.2f}, "
            f"{heard.channel_balance_db:.0f} dB between the loudest and the softest).",
            "Averaging them filters the voice like a comb, or adds the noise of an empty channel.",
            "Save the better channel alone.",
            (27,),
        )


def _rate(heard: Recording) -> Iterator[Finding]:
    if heard.true_rate is not None:
        yield _finding(
            heard,
            FAULT,
            f"Its header says {heard.sample_rate} Hz, and at that it is no usual speech "
            f"(median pitch {heard.pitch_hz:.0f} Hz); at {heard.true_rate} Hz it would be.",
            "A file relabelled from another rate: everything is too fast and high, or too slow and low, and "
            "embeddings mean nothing.",
            f"Set the header to {heard.true_rate} Hz, then resample if need be.",
            (6, 7),
        )
    if heard.wall_hz is not None:
        yield _upsampled(heard, heard.wall_hz)


def _upsampled(heard: Recording, wall: float) -> Finding:
    rate = next((rate for rate in RATES if rate >= 2 * wall), heard.sample_rate)
    telephone = wall < _TELEPHONE_HZ
    return _finding(
        heard,
        RISK if wall < _DULL_HZ else MINOR,
        f"Its header says {heard.sample_rate} Hz, but above {wall / 1000:.1f} kHz there is nothing: its "
        f"effective rate is {rate} Hz{', a telephone' if telephone else ''}.",
        "Upper bands on the floor are what no network saw in training: muffled, unstable timbre."
        if wall < _DULL_HZ
        else "Only the uppermost bands are empty.",
        "Find the recording as it was before it was resampled; resampling upwards brings nothing back.",
        (24,),
    )


def _level(heard: Recording, found: Condition) -> Iterator[Finding]:
    if abs(found.dc_offset) > condition.MUCH_DC:
        yield _finding(
            heard,
            RISK,
            f"It has a DC offset of {found.dc_offset:+.3f}.",
            "Rumble: the lowest band stands up to 4 nats too high.",
            "Run a high-pass filter at 30 Hz over it.",
            (21,),
        )
    if found.clipped_share > condition.MUCH_CLIPPING:
        yield _finding(
            heard,
            RISK,
            f"It is clipped: {found.clipped_share:.1%} of its samples lie in flat tops.",
            "Crackle and a harsh voice, which conversion passes on or takes for the speaker.",
            "Record at a lower level.",
            (22,),
        )
    if heard.wraps > 2:
        yield _finding(
            heard,
            RISK,
            f"It jumps from one end of the scale to the other {heard.wraps} times.",
            "Clicks on loud vowels: integers ran over when it was written.",
            "Clip before the conversion to integers, and write it again.",
            (52,),
        )
    if not SOFTEST_DBFS <= found.level_dbfs <= LOUDEST_DBFS:
        yield _finding(
            heard,
            MINOR,
            f"Its level is {found.level_dbfs:.1f} dBFS ({heard.loudness_lufs:.1f} LUFS), outside "
            f"{SOFTEST_DBFS:.0f} to {LOUDEST_DBFS:.0f}.",
            "Encoders that hear the level as it is (WavLM, ConvGRU, Resemblyzer) give other features; dull, "
            "unstable when low.",
            f"Apply a gain of {-20.0 - found.level_dbfs:+.0f} dB.",
            (23,),
        )


def _speech(heard: Recording, found: Condition, reference: bool) -> Iterator[Finding]:
    if found.speech_seconds < condition.MIN_SPEECH_SECONDS:
        yield _finding(
            heard,
            FAULT,
            f"It holds {found.speech_seconds:.1f} s of speech in {found.seconds:.1f} s.",
            "Without speech there is no voice to learn and nothing to say.",
            "Use a recording of somebody speaking.",
            (25, 26),
        )
        return
    if reference and found.speech_seconds < condition.FEW_SPEECH_SECONDS:
        yield _short(heard, found.speech_seconds)
    if found.snr_db < condition.LOW_SNR_DB:
        yield _finding(
            heard,
            RISK,
            f"It is noisy: speech is {found.snr_db:.0f} dB above the noise.",
            "Noise is taken for breath or for part of the voice.",
            f"Record where speech is {condition.LOW_SNR_DB:.0f} dB or more above the noise.",
        )
    silent = found.silence_share > condition.MUCH_SILENCE or (reference and heard.soft_share > MUCH_SOFT)
    if silent:
        yield _finding(
            heard,
            RISK if reference else MINOR,
            f"{found.silence_share:.0%} of it hold no speech, {heard.soft_share:.0%} are 50 dB or more "
            "below the loudest.",
            "Encoders that read the last frame (D-vector, GRU) hear the silence: breathy or average voice.",
            "Trim the silence.",
            (25,),
        )


def _short(heard: Recording, speech_seconds: float) -> Finding:
    little = speech_seconds < SHORT_SPEECH_SECONDS
    return _finding(
        heard,
        RISK if little else MINOR,
        f"It holds {speech_seconds:.1f} s of speech.",
        "Too little to know a voice by, and trimming may take away the rest."
        if little
        else "The voice comes closer with more.",
        f"Give {condition.FEW_SPEECH_SECONDS:.0f} s of speech or more.",
        (26,),
    )


def _finding(
    heard: Recording, severity: Severity, what: str, why: str, remedy: str, traps: tuple[int, ...] = ()
) -> Finding:
    return Finding(severity, Area.RECORDING, str(heard.path), what, why, remedy, traps)
