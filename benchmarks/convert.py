"""How fast `convert` is beside a HiFi-GAN V1 that only vocodes, and how much memory long audio needs.

    python benchmarks/convert.py
    python benchmarks/convert.py --threads 2 --runs 5 --minutes 1 60

Prints a table in Markdown. Speeds are medians over runs that take turns, so that whatever else the
machine does slows both alike. The vocoder has random weights, which cost as much as trained ones.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

import soundfile
import torch

import timbrel
from timbrel.audio.mel import PRESETS
from timbrel.models.hifigan import HiFiGAN, HiFiGANConfig
from timbrel.pipeline import VoiceConverter
from timbrel.registry import DEFAULT_MODEL

T = TypeVar("T")

DEMO = Path(timbrel.__file__).parent / "assets" / "demo"
SOURCE, TARGET = DEMO / "first.flac", DEMO / "second.flac"


@dataclass(frozen=True, slots=True)
class Speed:
    """Medians in seconds; real-time factors are seconds of computing for a second of audio."""

    load: float
    enrol: float
    convert_factor: float
    vocoder_factor: float
    vocoder_rate: int


def main() -> None:
    options = arguments()
    if options.peak_of is not None:
        print(peak_memory(options.model, options.threads, options.peak_of))
        return
    load_before = os.getloadavg()
    speed = measure_speed(options.model, options.threads, options.runs)
    with tempfile.TemporaryDirectory() as folder:
        peaks = {
            minutes: peak_in_process(options.model, options.threads, minutes, Path(folder))
            for minutes in options.minutes
        }
    for line in table(options.model, options.threads, options.runs, speed, peaks):
        print(line)
    print(f"\nLoad average over 1 minute: {load_before[0]:.2f} before, {os.getloadavg()[0]:.2f} after.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures the speed and the memory of `convert` on the CPU.")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or folder (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="runs a median is taken over (default: 5)")
    parser.add_argument(
        "--minutes", type=float, nargs="*", default=[1, 60], help="lengths whose memory counts"
    )
    parser.add_argument("--peak-of", type=Path, help=argparse.SUPPRESS)  # what the subprocesses do
    return parser.parse_args()


def measure_speed(model: str, threads: int, runs: int) -> Speed:
    """Converts the demo recording and vocodes as many seconds, by turns."""
    torch.set_num_threads(threads)
    converter = VoiceConverter.from_pretrained(model, device="cpu")
    voice, enrol = timed(lambda: converter.enrol(TARGET))
    seconds = soundfile.info(SOURCE).duration
    spec = PRESETS["hifigan-22k"]
    vocoder = HiFiGAN(HiFiGANConfig.v1(spec)).eval()
    mel = torch.randn(1, round(seconds * spec.frame_rate), spec.dim) - 5.0
    converting, vocoding = [], []
    for run in range(runs + 1):
        took_converting = timed(lambda: converter.convert(SOURCE, voice))[1]
        with torch.inference_mode():
            took_vocoding = timed(lambda: vocoder(mel))[1]
        if run > 0:  # the first run of either makes its caches
            converting.append(took_converting / seconds)
            vocoding.append(took_vocoding / seconds)
    return Speed(converter.load_seconds, enrol, median(converting), median(vocoding), spec.sample_rate)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What `work` gives and the seconds it took."""
    started = time.perf_counter()
    made = work()
    return made, time.perf_counter() - started


def peak_in_process(model: str, threads: int, minutes: float, folder: Path) -> float:
    """Peak memory in MiB of a process that converts so many minutes of speech, file to file."""
    source = folder / f"{minutes:g}-minutes.flac"
    repeat(SOURCE, source, 60 * minutes)
    options = ["--model", model, "--threads", str(threads), "--peak-of", str(source)]
    ended = subprocess.run(
        [sys.executable, __file__, *options], stdout=subprocess.PIPE, text=True, check=True
    )
    return float(ended.stdout)


def peak_memory(model: str, threads: int, source: Path) -> float:
    """Converts a file and gives the peak resident memory of this process in MiB."""
    torch.set_num_threads(threads)
    converter = VoiceConverter.from_pretrained(model, device="cpu")
    converter.convert_file(source, converter.enrol(TARGET), source.with_suffix(".wav"))
    return peak_resident()


def peak_resident() -> float:
    """Peak resident memory of this process in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux: ru_maxrss would count what the parent held when it forked
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def repeat(recording: Path, output: Path, seconds: float) -> None:
    """Writes a recording over and over until `seconds` are full."""
    samples, rate = soundfile.read(recording, dtype="int16")
    left = round(seconds * rate)
    with soundfile.SoundFile(output, "w", rate, 1, subtype="PCM_16") as file:
        while left > 0:
            file.write(samples[:left])
            left -= len(samples)


def table(model: str, threads: int, runs: int, speed: Speed, peaks: dict[float, float]) -> Iterator[str]:
    yield f"| {model}, {threads} CPU threads, medians of {runs} runs | |"
    yield "|---|---|"
    yield f"| Loading the model | {speed.load:.2f} s |"
    yield f"| Enrolling {soundfile.info(TARGET).duration:.1f} s of speech | {speed.enrol:.2f} s |"
    yield f"| Real-time factor of `convert` | {speed.convert_factor:.3f} |"
    yield f"| Real-time factor of HiFi-GAN V1 alone, {speed.vocoder_rate} Hz | {speed.vocoder_factor:.3f} |"
    yield f"| `convert` against HiFi-GAN V1 alone | {speed.convert_factor / speed.vocoder_factor:.2f} |"
    for minutes, peak in peaks.items():
        yield f"| Peak memory, {minutes:g} min of source | {peak:.0f} MiB |"


if __name__ == "__main__":
    main()
