"""What a user reads who lacks a package or its weights, and what every metric says of itself."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

from timbrel.errors import EvaluationError
from timbrel.evaluation.metrics import METRICS, Metric, SpeakerMetric, available, load
from timbrel.evaluation.metrics.packages import hub_folder
from timbrel.packages import packaged

#: Metrics that need no package beyond Timbrel's own.
PLAIN = ("prosody", "spectrum", "soundness")


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


@pytest.mark.parametrize("name", sorted(set(METRICS) - set(PLAIN)))
@pytest.mark.usefixtures("no_packages")
def test_a_missing_package_is_said_in_one_sentence_with_a_way_out(name: str) -> None:
    with pytest.raises(EvaluationError) as refused:
        load(name)
    sentence = str(refused.value)
    assert "pip install" in sentence
    assert "works offline" in sentence or "downloaded once" in sentence
    assert sentence.count(". ") == 0
    assert sentence.endswith(".")


@pytest.mark.usefixtures("no_packages")
def test_what_is_to_be_had_is_told_from_what_is_not() -> None:
    found = available()
    assert list(found) == list(METRICS)
    assert [name for name, reason in found.items() if reason is None] == list(PLAIN)


def test_metrics_say_what_they_measure_in_which_unit_and_by_whom() -> None:
    columns = [column for name, why in available().items() if why is None for column in load(name).columns]
    assert len({column.name for column in columns}) == len(columns)
    assert all(column.paper and column.title for column in columns)


@pytest.mark.parametrize("name", PLAIN)
def test_a_metric_is_one_and_names_its_formula(name: str) -> None:
    metric = load(name)
    assert isinstance(metric, Metric)
    assert not isinstance(metric, SpeakerMetric)
    assert metric.name == name
    assert metric.fingerprint == load(name).fingerprint != ""


def test_an_unknown_metric_is_refused_with_those_there_are() -> None:
    with pytest.raises(EvaluationError, match=r"no metric pesq: there are campp, .*soundness\."):
        load("pesq")


def test_a_package_without_the_file_is_not_the_version_that_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hollow").mkdir()
    (tmp_path / "hollow" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(EvaluationError, match=r"Judge needs weights\.pt .* does not hold: get it"):
        packaged("Judge", "hollow", "weights.pt", "get it")
    (tmp_path / "hollow" / "weights.pt").touch()
    assert packaged("Judge", "hollow", "weights.pt", "get it") == tmp_path / "hollow" / "weights.pt"


def test_weights_of_a_hub_are_not_fetched_without_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    asked = []

    def snapshot(repository: str, allow_patterns: list[str], local_files_only: bool) -> str:
        asked.append(local_files_only)
        raise hub.errors.LocalEntryNotFoundError("nothing here")

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    with pytest.raises(EvaluationError, match=r"are not on this machine: allow the download once.*offline"):
        hub_folder("Judge", "some/where", ["*"], download=False)
    with pytest.raises(EvaluationError, match=r"could not be downloaded: try again"):
        hub_folder("Judge", "some/where", ["*"], download=True)
    assert asked == [True, False]


def test_whisper_knows_sizes_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    utils = SimpleNamespace(
        available_models=lambda: ["base", "large-v3"],
        download_model=lambda model, local_files_only: (_ for _ in ()).throw(OSError(model)),
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace())
    monkeypatch.setitem(__import__("sys").modules, "faster_whisper", SimpleNamespace(utils=utils))
    monkeypatch.setitem(__import__("sys").modules, "faster_whisper.utils", utils)
    with pytest.raises(EvaluationError, match=r"Whisper \(base\) are not on this machine"):
        load("whisper")
    with pytest.raises(EvaluationError, match=r"no Whisper model huge: name a folder, or one of base, large"):
        load("whisper:huge")
    with pytest.raises(EvaluationError, match=r"holds no model\.bin"):
        load(f"whisper:{tmp_path}")
    (tmp_path / "model.bin").touch()
    assert load(f"whisper:{tmp_path}").name == "whisper"
