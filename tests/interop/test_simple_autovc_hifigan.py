"""The vocoder of RF5/simple-autovc: a whole HiFi-GAN in a torch.package, made here of the table's layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.interop import publishing
from tests.interop import vocoder_tables as tables
from tests.interop.imports import imported, refusal
from tests.models import published
from torch import Tensor, nn

from timbrel.audio.mel import PRESETS
from timbrel.contract import Bridge, Exact, compare
from timbrel.interop.family import Options

#: torch warns of its own way to write packages, and of the weight norm of that time.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning:torch.*")

PAIRS = ((1, 3, 5),) * 3
RATES = (8, 8, 2, 2)

#: Code that travels in the archive: a module like the official one, which keeps its settings in a dict
#: that is its own namespace, and a line that leaves a trace when it runs there.
SOURCE = """
import torch
from pathlib import Path

if __name__.startswith("<torch_package"):
    Path({trace!r}).touch()


class AttrDict(dict):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.__dict__ = self


class Generator(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.h = AttrDict(resblock="1", upsample_rates=[8, 8, 2, 2])
"""


def whole_module(module: Any, table: Mapping[str, tables.Shape], state: dict[str, Tensor]) -> nn.Module:
    """A `Generator` with the table's convolutions at their places, weight-normed if the weights are."""
    generator: nn.Module = module.Generator()
    for name, shape in table.items():
        place = generator
        *path, last = name.split(".")
        for step in path:
            if step not in dict(place.named_children()):
                place.add_module(step, nn.ModuleList() if place is generator else nn.Module())
            place = place.get_submodule(step)
        transposed = name.startswith("ups.")
        kind = nn.ConvTranspose1d if transposed else nn.Conv1d
        wide = shape[:2] if transposed else shape[1::-1]
        layer: nn.Module = kind(*wide, shape[2])
        if f"{name}.weight_g" in state:
            layer = torch.nn.utils.weight_norm(layer)
        place.add_module(last, layer)
    generator.load_state_dict(state)
    return generator


def packaged(folder: Path, table: Mapping[str, tables.Shape], state: dict[str, Tensor]) -> Path:
    (folder / "shelf").mkdir()
    source = SOURCE.format(trace=str(folder / "trace"))
    return publishing.save_package(
        folder / "packaged_hifigan.pt",
        source,
        lambda module: whole_module(module, table, state),
        folder / "shelf",
    )


@pytest.mark.parametrize("spelling", ["old", "plain"])
def test_it_speaks_as_published(tmp_path: Path, spelling: tables.Spelling) -> None:
    table = tables.hifigan()
    state = tables.weights(table, spelling)
    model, report = imported(packaged(tmp_path, table, state))
    assert (report.family, report.registry_family) == ("simple-autovc-hifigan", "hifigan")
    assert report.parameters == 13_926_017
    assert not (tmp_path / "trace").exists()
    mel = tables.mel(4)
    expected = published.hifigan(tables.folded(state), mel, RATES, PAIRS)
    torch.testing.assert_close(model(mel), expected, atol=1e-4, rtol=0)


def test_it_reads_plain_logarithms_of_simple_autovcs_mel(tmp_path: Path) -> None:
    """AutoVC's (ln + 12) / 12 is undone by the joint, exactly; the mel of AutoVC itself does not fit."""
    table = tables.hifigan(16)
    model, report = imported(packaged(tmp_path, table, tables.weights(table)))
    wanted = model.spec_in
    assert (wanted.sample_rate, wanted.hop, wanted.log, wanted.f_min, wanted.f_max) == (
        16000,
        256,
        "ln",
        0,
        8000,
    )
    match compare(PRESETS["simple-autovc-16k"], wanted):
        case Bridge(scale, offset):
            assert (scale, offset) == pytest.approx((12.0, -12.0))
        case other:
            pytest.fail(f"{other} is no bridge")
    assert compare(replace(PRESETS["simple-autovc-16k"], scale=1.0, offset=0.0), wanted) == Exact()
    assert "which simple-autovc gives it" in report.notes[0]


def test_a_mel_may_be_stated(tmp_path: Path) -> None:
    table = tables.hifigan(16)
    path = packaged(tmp_path, table, tables.weights(table, "plain"))
    model, _ = imported(path, options=Options(mel="hifigan-16k"))
    assert model.spec_in == PRESETS["hifigan-16k"]


def test_the_same_weights_in_a_torch_file_are_a_plain_hifigan(tmp_path: Path) -> None:
    state = tables.weights(tables.hifigan(16))
    path = publishing.save_zip(tmp_path / "saved.pt", state)
    assert imported(path)[1].family == "hifigan"
    stated, report = imported(path.rename(tmp_path / "again.pt"), "simple-autovc-hifigan")
    assert report.family == "simple-autovc-hifigan"
    assert stated.spec_in.sample_rate == 16000


def test_the_first_key_that_does_not_fit_is_named(tmp_path: Path) -> None:
    table = tables.hifigan(16)
    del table["resblocks.11.convs2.2"]
    path = packaged(tmp_path, table, tables.weights(table, "plain"))
    assert "resblocks.11.convs2.2.weight is missing" in refusal(path)


def test_an_archive_cut_short_is_refused(tmp_path: Path) -> None:
    table = tables.hifigan(16)
    path = packaged(tmp_path, table, tables.weights(table, "plain"))
    path.write_bytes(path.read_bytes()[:-2000])
    assert "damaged or cut short" in refusal(path)
