"""How much faster `prepare` is with two workers than with one, as a ratio.

    python benchmarks/prepare.py
    python benchmarks/prepare.py --clips 200 --workers 1 2 4 --runs 3

The corpus is the demo recordings cut into clips of unequal lengths. Runs take turns, so that whatever
else the machine does slows all alike; times include the start of the workers. Prints a table in
Markdown.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import soundfile

import timbrel
from timbrel.corpora import Utterance, folder
from timbrel.engines import Engine
from timbrel.engines.local import Processes
from timbrel.train.prepare import Wanted, prepare

DEMO = Path(timbrel.__file__).parent / "assets" / "demo"
#: Seconds of the shortest and the longest clip.
LENGTHS = (1.0, 12.0)


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as name:
        corpus = write_corpus(Path(name) / "corpus", options.clips)
        rows = folder.read(corpus)
        times: dict[int, list[float]] = {workers: [] for workers in options.workers}
        for run in range(options.runs):
            for workers in options.workers:
                out = Path(name) / f"{run}-{workers}"
                times[workers].append(timed(rows, out, engine_of(workers)))
    for line in table(times, options.clips):
        print(line)
    print(f"\n{os.cpu_count()} cores; load average over 1 minute {os.getloadavg()[0]:.2f}.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures the speed-up of `prepare` by more workers.")
    parser.add_argument("--clips", type=int, default=400, help="in the corpus (default: %(default)s)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="the first is compared with")
    parser.add_argument("--runs", type=int, default=3, help="runs a median is taken over (default: 3)")
    return parser.parse_args()


def write_corpus(root: Path, clips: int) -> Path:
    """Two speakers with pieces of the demo recordings, repeated where these are too short."""
    random = np.random.default_rng(0)
    for recording in sorted(DEMO.glob("*.flac")):
        samples, rate = soundfile.read(recording, dtype="int16")
        (root / recording.stem).mkdir(parents=True)
        for clip in range(clips // 2):
            start, length = random.integers(len(samples)), round(random.uniform(*LENGTHS) * rate)
            piece = np.resize(np.roll(samples, -start), length)
            soundfile.write(root / recording.stem / f"{clip:04}.flac", piece, rate)
    return root


def engine_of(workers: int) -> Engine | None:
    """One worker is this process itself, as in `timbrel prepare`."""
    return None if workers == 1 else Processes(workers)


def timed(rows: list[Utterance], out: Path, engine: Engine | None) -> float:
    """Seconds that preparing the corpus takes."""
    started = time.perf_counter()
    prepare(rows, out, wanted=Wanted(trim=True), engine=engine)
    return time.perf_counter() - started


def table(times: dict[int, list[float]], clips: int) -> Iterator[str]:
    first = next(iter(times))
    runs = len(times[first])
    yield f"| `prepare`, {clips} clips, medians of {runs} runs | seconds | faster than with {first} |"
    yield "|---|---|---|"
    for workers, taken in times.items():
        yield f"| {workers} workers | {median(taken):.1f} | {median(times[first]) / median(taken):.2f} |"


if __name__ == "__main__":
    main()
