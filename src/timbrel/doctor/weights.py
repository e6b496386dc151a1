"""What weights alone tell: broken numbers, networks that never learned, codebooks that collapsed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from timbrel.doctor.findings import Area, Finding, Severity
from timbrel.models.quantizer import perplexity
from timbrel.wording import listed

#: Tensors with fewer values say nothing about where they come from.
_LEAST_VALUES = 256
#: A tensor looks as at the start if deviation and largest value are so close to those of a fresh one.
_DEVIATION_NEAR, _LARGEST_NEAR = 0.03, 0.15
_UNTRAINED, _HALF_LOADED = 0.9, 0.25
#: A codebook that uses fewer codes than this has collapsed.
_FEW_CODES, _FEW_SHARE = 4.0, 0.05
#: Tensors that a finding names.
_NAMED = 3
_WEIGHT_NORM = (".weight_g", ".weight_v", ".parametrizations.weight.original0")


def spelling(subject: str, names: Iterable[str]) -> Iterator[Finding]:
    """What the names of stored tensors tell about how they were saved."""
    names = list(names)
    if any(name.endswith(_WEIGHT_NORM) for name in names):
        yield Finding(
            Severity.FAULT,
            Area.WEIGHTS,
            subject,
            "Its weights are stored in two factors: weight norm was left in.",
            "Loaded by names that match only half, a network keeps random weights and makes noise at the "
            "right level.",
            "Bring it in with timbrel import, which folds weight norm in each of its spellings.",
            (29, 30),
        )
    if names and all(name.startswith("module.") for name in names):
        yield Finding(
            Severity.FAULT,
            Area.WEIGHTS,
            subject,
            'Every name begins with "module.": it was saved from DataParallel.',
            "No weight finds its place; loaded without a check, all of them stay random.",
            "Bring it in with timbrel import, which strips the prefix.",
            (46,),
        )


def numbers(subject: str, tensors: Mapping[str, Tensor]) -> Iterator[Finding]:
    """Weights that are no numbers, or nothing."""
    broken = [name for name, tensor in tensors.items() if not _finite(tensor)]
    if broken:
        yield Finding(
            Severity.FAULT,
            Area.WEIGHTS,
            subject,
            f"{listed(broken, _NAMED)} {_holds(broken)} NaN or infinity.",
            "Everything after it is NaN: silence or full noise. Training diverged, or the file is damaged.",
            "Go back to an earlier checkpoint, or fetch the file again.",
        )
    empty = [name for name, t in tensors.items() if t.dim() >= 2 and t.numel() and not _any(t)]
    codebooks = [name for name in empty if _is_codebook(name)]
    empty = [name for name in empty if not _is_codebook(name)]
    if empty:
        yield Finding(
            Severity.FAULT,
            Area.WEIGHTS,
            subject,
            f"{listed(empty, _NAMED)} {_holds(empty)} nothing but zeros.",
            "That layer passes nothing on: silence, or a hum that does not depend on the input.",
            "Import or train it again; a conversion between formats lost these weights.",
        )
    if codebooks:
        yield _codebook(
            subject, f"{listed(codebooks, _NAMED)} holds nothing but zeros: the codebook never began."
        )


def never_learned(subject: str, network: nn.Module) -> Iterator[Finding]:
    """Whether weights look as they do at the start of training, all of them or a part."""
    fresh, total, alike = _fresh(network), 0, 0
    for name, tensor in network.named_parameters():
        start = fresh.get(name)
        if start is not None and _tells(start):
            total += tensor.numel()
            alike += tensor.numel() * _as_at_the_start(tensor.detach(), start)
    share = alike / total if total else 0.0
    if share >= _UNTRAINED:
        yield Finding(
            Severity.FAULT,
            Area.WEIGHTS,
            subject,
            f"{share:.0%} of its weights are distributed as at the start of training.",
            "A network that never learned: noise, buzz, or vectors that are the same for everybody.",
            "Train it, or check that the trained weights were the ones that were saved.",
            (29,),
        )
    elif share >= _HALF_LOADED:
        yield Finding(
            Severity.RISK,
            Area.WEIGHTS,
            subject,
            f"{share:.0%} of its weights are distributed as at the start of training, the rest are not.",
            "Half loaded: noise at a normal level. (Or frozen layers that were never trained.)",
            "Import the checkpoint again with names checked strictly.",
            (29,),
        )


def statistics(subject: str, tensors: Mapping[str, Tensor]) -> Iterator[Finding]:
    """Scales of features and running means that were never taken from any data."""
    for name, mean in tensors.items():
        owner = name.removesuffix(".mean")
        deviation = tensors.get(f"{owner}.deviation")
        if (
            name.endswith(".mean")
            and deviation is not None
            and not _any(mean)
            and bool((deviation == 1).all())
        ):
            yield Finding(
                Severity.FAULT,
                Area.WEIGHTS,
                subject,
                f"{owner} has mean 0 and deviation 1 throughout: the statistics of the corpus are missing.",
                "Mels come out with the wrong mean and range: a hum, or silence.",
                "Give the statistics it was trained with (VQVC's mel_stats.npy) when importing it.",
                (38,),
            )
    stale = [n for n, t in tensors.items() if n.endswith(".num_batches_tracked") and int(t.sum()) == 0]
    means = [n.removesuffix("num_batches_tracked") + "running_mean" for n in stale]
    unused = [n for n in means if n in tensors and not _any(tensors[n])]
    if unused:
        yield Finding(
            Severity.RISK,
            Area.WEIGHTS,
            subject,
            f"{listed(unused, _NAMED)} never saw a batch: running means are 0.",
            "In use, batch normalisation takes its running statistics: the output is off scale and noisy.",
            "Save the buffers with the weights, after training in train mode.",
            (31,),
        )


def codebooks(subject: str, tensors: Mapping[str, Tensor]) -> Iterator[Finding]:
    """Codebooks that collapsed, or that nothing was ever learned into."""
    for name, book in tensors.items():
        if not _is_codebook(name) or book.dim() != 2 or not _any(book):
            continue
        counts = tensors.get(name[: len(name) - len(name.rpartition(".")[2])] + "ema_count")
        distinct = len(torch.unique(book.round(decimals=5), dim=0))
        if distinct < max(_FEW_CODES, _FEW_SHARE * len(book)):
            yield _codebook(subject, f"{name} has {distinct} different codes of {len(book)}: it collapsed.")
        elif counts is not None and _any(counts):
            effective = float(perplexity(counts))
            if effective < max(_FEW_CODES, _FEW_SHARE * len(book)):
                yield _codebook(
                    subject, f"{name} uses {effective:.1f} codes of {len(book)} (perplexity): it collapsed."
                )
        elif counts is not None and bool(((book.norm(dim=1) - 1).abs() < 0.05).all()):
            yield Finding(
                Severity.MINOR,
                Area.WEIGHTS,
                subject,
                f"{name} was never trained: no choice was ever counted and its rows have unit length.",
                "As published, VQVC learns around a fixed random codebook; it works, and loses more words "
                "than a learned one.",
                "Keep exactly this codebook with these weights; any other makes babble.",
                (39,),
            )


def _codebook(subject: str, what: str) -> Finding:
    return Finding(
        Severity.FAULT,
        Area.WEIGHTS,
        subject,
        what,
        "All frames get the same few codes: babble, a hum with the rhythm of the source.",
        "Train it again from an earlier checkpoint, at a lower rate; check that buffers are saved.",
        (39,),
    )


def _is_codebook(name: str) -> bool:
    return name.endswith(("quantizer.codebook", "codebook.embedding"))


def _fresh(network: nn.Module) -> dict[str, Tensor]:
    """Parameters of an untrained network of the same configuration."""
    cls, config = type(network), getattr(network, "config", None)
    if config is None:
        return {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {name: tensor.detach() for name, tensor in cls(config).named_parameters()}


def _tells(start: Tensor) -> bool:
    return start.dim() >= 2 and start.numel() >= _LEAST_VALUES and float(start.std()) > 0


def _as_at_the_start(tensor: Tensor, start: Tensor) -> bool:
    deviation = float(tensor.std()) / float(start.std())
    largest = float(tensor.abs().max()) / float(start.abs().max())
    # A sample of n values knows its deviation to about 1 / sqrt(2 n).
    near = max(_DEVIATION_NEAR, 3 / math.sqrt(2 * start.numel()))
    return abs(deviation - 1) < near and abs(largest - 1) < max(_LARGEST_NEAR, near)


def _finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(tensor.isfinite().all())


def _any(tensor: Tensor) -> bool:
    return bool((tensor != 0).any())


def _holds(names: list[str]) -> str:
    return "holds" if len(names) == 1 else "hold"
