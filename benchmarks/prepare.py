"""What a second worker brings to `prepare`: processes of this machine, and actors of a Ray cluster.

    python benchmarks/prepare.py
    python benchmarks/prepare.py --clips 200 --runs 5

Prints a table in Markdown. The clips are pieces of the demo recording of 2 to 11 seconds. Engines
take turns within a run, and the ratios are medians over runs, so that whatever else the machine does
slows all alike. The clock starts with the first clips done, since workers take seconds to start and
`prepare` of a real corpus takes minutes or hours.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import soundfile

import timbrel
from timbrel.corpora import Utterance, folder
from timbrel.engines import Engine
from timbrel.engines.cluster import connect
from timbrel.engines.local import Processes
from timbrel.train.prepare import prepare

SOURCE = Path(timbrel.__file__).parent / "assets" / "demo" / "first.flac"
KINDS = ("local", "Ray")
#: Clips that are done before the clock starts.
_WAKING = 4


def main() -> None:
    options = arguments()
    os.environ["OMP_NUM_THREADS"] = "1"  # of each worker
    load_before = os.getloadavg()
    seconds: dict[tuple[str, int], list[float]] = {(kind, n): [] for kind in KINDS for n in (1, 2)}
    with tempfile.TemporaryDirectory() as name:
        corpus = make_corpus(Path(name) / "corpus", options.clips)
        for run in range(options.runs):
            for (kind, workers), taken in seconds.items():
                out = Path(name) / f"{kind}-{workers}-{run}"
                taken.append(timed(corpus, out, kind, workers))
    title = f"`prepare`, {options.clips} clips, medians of {options.runs} runs"
    print(f"| {title} | 1 worker | 2 workers | speed-up |")
    print("|---|---|---|---|")
    for kind in KINDS:
        one, two = seconds[kind, 1], seconds[kind, 2]
        ratio = median(before / now for before, now in zip(one, two, strict=True))
        print(f"| {kind} | {median(one):.1f} s | {median(two):.1f} s | {ratio:.2f} |")
    print(f"\nLoad average over 1 minute: {load_before[0]:.2f} before, {os.getloadavg()[0]:.2f} after.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures the speed-up of `prepare` by a second worker.")
    parser.add_argument("--clips", type=int, default=100, help="in the corpus (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="runs a median is taken over (default: 3)")
    return parser.parse_args()


def make_corpus(root: Path, clips: int) -> list[Utterance]:
    """Clips of unequal length, all different, since what was prepared before would be kept."""
    samples, rate = soundfile.read(SOURCE)
    (root / "speaker").mkdir(parents=True)
    for number in range(clips):
        length = rate * (2 + number % 10)
        piece = samples.take(range(number, number + length), mode="wrap")
        soundfile.write(root / "speaker" / f"{number}.wav", piece, rate)
    return folder.read(root)


def timed(corpus: list[Utterance], out: Path, kind: str, workers: int) -> float:
    """Seconds of `prepare` once its workers are there."""
    with opened(kind, workers) as engine:
        begun = [0.0]

        def note(done: int, _total: int) -> None:
            if done == _WAKING:
                begun[0] = time.perf_counter()

        prepare(corpus, out, engine=engine, progress=note)
        return time.perf_counter() - begun[0]


@contextmanager
def opened(kind: str, workers: int) -> Iterator[Engine]:
    """So many workers of a kind."""
    if kind == "local":
        yield Processes(workers)
        return
    with connect("local", workers) as cluster:
        yield cluster


if __name__ == "__main__":
    main()
