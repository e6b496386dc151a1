"""What speaker verification costs: embeddings a second, and time and memory of a million trials.

    python benchmarks/verify.py
    python benchmarks/verify.py --trials 100000 --recordings 10

Prints a table in Markdown. Embeddings are of pieces of 5 s of the demo recordings, from the file to the
vector, speech check included, by the encoder that is named; nothing comes from the cache. The trials are
scored from made-up vectors of 256 values in a process of its own, from the pairs to every figure
of the report but its pictures.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

import timbrel
from timbrel.registry import DEFAULT_MODEL
from timbrel.verification.evaluation import evaluate
from timbrel.verification.hearing import Hearing, Vectors
from timbrel.verification.scoring import score
from timbrel.verification.thresholds import EQUAL_ERRORS
from timbrel.verification.trials import Block, Trials

SOURCE = Path(timbrel.__file__).parent / "assets" / "demo" / "first.flac"
_SECONDS = 5.0


def main() -> None:
    options = arguments()
    if options.inner:
        print(*scored(options.trials, options.speakers))
        return
    load_before = os.getloadavg()[0]
    rate, busy = heard(options.recordings, options.model)
    command = [sys.executable, __file__, "--inner", "--trials", "{}", "--speakers", str(options.speakers)]
    few, many = (run([word.format(count) for word in command]) for count in (1000, options.trials))
    print("| figure | value |\n|---|--:|")
    print(f"| recordings of {_SECONDS:g} s embedded in a second, {options.model} | {rate:.1f} |")
    print(f"| the same in a second of processor time | {busy:.1f} |")
    print(f"| seconds for {options.trials:,} trials of {options.speakers:,} speakers | {many[0]:.1f} |")
    print(f"| of them processor time | {many[1]:.1f} |")
    print(f"| peak memory, MB | {many[2]:.0f} |")
    print(f"| of them with 1,000 trials, MB | {few[2]:.0f} |")
    print(f"\nLoad average over 1 minute: {load_before:.2f} before, {os.getloadavg()[0]:.2f} after.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures what speaker verification costs.")
    parser.add_argument("--trials", type=int, default=1_000_000, help="to score (default: %(default)s)")
    parser.add_argument("--speakers", type=int, default=1000, help="in the trials (default: %(default)s)")
    parser.add_argument("--recordings", type=int, default=40, help="to embed (default: %(default)s)")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="speaker encoder (default: %(default)s)")
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def heard(count: int, model: str) -> tuple[float, float]:
    """Recordings a second, and a second of processor time."""
    samples, rate = soundfile.read(SOURCE)
    length = round(_SECONDS * rate)
    with tempfile.TemporaryDirectory() as name:
        os.environ["TIMBREL_HOME"] = name
        paths = [Path(name) / f"{number}.wav" for number in range(count + 2)]
        for number, path in enumerate(paths):
            piece = samples.take(range(311 * number, 311 * number + length), mode="wrap")
            soundfile.write(path, piece, rate)
        hearing = Hearing(model)
        hearing.hear(paths[:2])  # whatever is slow the first time
        begun, worked = time.perf_counter(), time.process_time()
        found = hearing.hear(paths[2:])
        assert found.computed == count and not found.problems
        return count / (time.perf_counter() - begun), count / (time.process_time() - worked)


def run(command: list[str]) -> list[float]:
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(word) for word in ended.stdout.split()]


def scored(count: int, speakers: int) -> tuple[float, float, float]:
    """Seconds, seconds of processor time and peak memory in MB."""
    random = np.random.default_rng(0)
    numbers = np.repeat(np.arange(speakers, dtype=np.int32), 10)
    values = random.standard_normal((speakers, 256))[numbers] + random.standard_normal((len(numbers), 256))
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    first, second = random.integers(0, len(numbers), (2, count), dtype=np.int32)
    second[::10] = first[::10] // 10 * 10 + second[::10] % 10
    listed = Block(first, second, numbers[first] == numbers[second])
    paths = tuple(Path(f"{number}.wav") for number in range(len(numbers)))
    trials = Trials(paths, numbers, tuple(f"s{number:05d}" for number in range(speakers)), listed)
    contents = tuple(f"{number:064x}" for number in range(len(numbers)))
    begun, worked = time.perf_counter(), time.process_time()
    evaluate(score(trials, Vectors(values.astype(np.float32), contents, {}, 0)), EQUAL_ERRORS)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return time.perf_counter() - begun, time.process_time() - worked, memory


if __name__ == "__main__":
    main()
