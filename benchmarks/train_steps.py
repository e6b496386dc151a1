"""Training steps per second of AutoVC and VQVC beside the loop that was published with AutoVC.

    python benchmarks/train_steps.py
    python benchmarks/train_steps.py --threads 2 --steps 20 --batch 2

Prints a table in Markdown. The published loop is written here from its description (Qian et al. 2019;
28.4 million parameters, crops of 128 frames, a batch of 2, Adam at 1e-4, mels made beforehand, losses as
they are there, broadcast and all), in plain PyTorch. Ours reads clips, crops and makes mels in each
step. All take turns, and each figure is a median, so that whatever else the machine does slows all alike.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional

import timbrel
from timbrel.corpora import folder
from timbrel.train import recipe, tasks
from timbrel.train.data import Data
from timbrel.train.prepare import prepare

DEMO = Path(timbrel.__file__).parent / "assets" / "demo"
FRAMES, BANDS, VOICE = 128, 80, 256
NECK, FREQ = 32, 32
SECONDS = FRAMES * 256 / 16000

Step = Callable[[int], None]


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as place:
        corpus = demo_corpus(Path(place))
        steps = {
            "AutoVC, the published loop": published(options.batch),
            "AutoVC, ours": ours("autovc-vctk", corpus, options.batch, "settings.size=paper"),
            "VQVC, ours": ours("vqvc", corpus, options.batch),
        }
        seconds = time_in_turns(steps, options.steps)
    base = seconds["AutoVC, the published loop"]
    print(
        f"{options.threads} threads, batch {options.batch}, {FRAMES} frames, load {os.getloadavg()[0]:.1f}\n"
    )
    print("| loop | steps/s | as fast as the published one |\n| --- | --- | --- |")
    for name, each in seconds.items():
        print(f"| {name} | {1 / each:.2f} | {base / each:.2f} times |")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--steps", type=int, default=10, help="of each, after one to warm up")
    parser.add_argument("--batch", type=int, default=2)
    return parser.parse_args()


def time_in_turns(steps: dict[str, Step], count: int) -> dict[str, float]:
    """Median seconds of a step."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for index in range(count + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step(index)
            if index:
                taken[name].append(time.perf_counter() - started)
    return {name: median(seconds) for name, seconds in taken.items()}


def demo_corpus(place: Path) -> Path:
    """The recordings that ship with the package, prepared."""
    for recording in DEMO.glob("*.flac"):
        (place / "raw" / recording.stem).mkdir(parents=True)
        for copy in range(2):
            shutil.copy(recording, place / "raw" / recording.stem / f"{copy}.flac")
    prepare(folder.read(place / "raw"), place / "prepared")
    return place / "prepared"


def ours(name: str, corpus: Path, batch: int, *changes: str) -> Step:
    """A step of a shipped recipe: batch, mels, forward, backward, optimizer."""
    settings = recipe.load(
        name, [f"data.corpus={corpus}", f"data.batch={batch}", f"data.seconds={SECONDS}", *changes]
    )
    data = Data(corpus, settings.data, "train", 0)
    task = tasks.build(settings, data).train()
    rate = settings.optimizer["model"].learning_rate
    optimizer = torch.optim.AdamW(task.networks["model"].parameters(), rate)

    def step(index: int) -> None:
        for update in task.updates(data.batch(index), index, torch.Generator()):
            optimizer.zero_grad()
            update.loss.backward()
            optimizer.step()

    return step


def published(batch: int) -> Step:
    """A step of the published loop, on mels at hand."""
    network = Described()
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    mel, voice = torch.rand(batch, FRAMES, BANDS), functional.normalize(torch.randn(batch, VOICE), dim=-1)

    def step(index: int) -> None:
        codes = network.encode(mel, voice)
        before, after = network.decode(codes, voice)
        again = network.encode(after.squeeze(1), voice)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the broadcast, which is the published loop's
            loss = functional.mse_loss(mel, after) + functional.mse_loss(mel, before)
        loss = loss + functional.l1_loss(torch.cat(codes, -1), torch.cat(again, -1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


class Described(nn.Module):
    """AutoVC as its description says, (B, 128, 80) -> (B, 1, 128, 80)."""

    def __init__(self) -> None:
        super().__init__()
        self.listen = stack([BANDS + VOICE, 512, 512, 512], nn.ReLU())
        self.narrow = nn.LSTM(512, NECK, 2, batch_first=True, bidirectional=True)
        self.first = nn.LSTM(2 * NECK + VOICE, 512, batch_first=True)
        self.speak = stack([512] * 4, nn.ReLU())
        self.second = nn.LSTM(512, 1024, 2, batch_first=True)
        self.project = nn.Linear(1024, BANDS)
        self.polish = nn.Sequential(stack([BANDS, 512, 512, 512, 512], nn.Tanh()), *stack([512, BANDS], None))

    def encode(self, mel: Tensor, voice: Tensor) -> list[Tensor]:
        """Codes (B, 64), one for every `FREQ` frames."""
        both = torch.cat([mel.transpose(1, 2), voice[:, :, None].expand(-1, -1, FRAMES)], 1)
        states, _ = self.narrow(self.listen(both).transpose(1, 2))
        forwards, backwards = states[..., :NECK], states[..., NECK:]
        return [
            torch.cat([forwards[:, start + FREQ - 1], backwards[:, start]], -1)
            for start in range(0, FRAMES, FREQ)
        ]

    def decode(self, codes: list[Tensor], voice: Tensor) -> tuple[Tensor, Tensor]:
        """Mels before and after the postnet, with the axis that makes the loss broadcast."""
        spread = torch.cat([code[:, None].expand(-1, FREQ, -1) for code in codes], 1)
        hidden, _ = self.first(torch.cat([spread, voice[:, None].expand(-1, FRAMES, -1)], -1))
        hidden, _ = self.second(self.speak(hidden.transpose(1, 2)).transpose(1, 2))
        before = self.project(hidden)
        after = before + self.polish(before.transpose(1, 2)).transpose(1, 2)
        return before[:, None], after[:, None]


def stack(widths: list[int], activation: nn.Module | None) -> nn.Sequential:
    """Convolutions of five frames, each with batch normalisation and, if there is one, the activation."""
    layers: list[nn.Module] = []
    for one, two in pairwise(widths):
        layers += [nn.Conv1d(one, two, 5, padding=2), nn.BatchNorm1d(two)]
        layers += [activation] if activation else []
    return nn.Sequential(*layers)


if __name__ == "__main__":
    main()
