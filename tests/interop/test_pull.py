"""A pulled model is what its publisher states, or what it was the first time, and has a name afterwards."""

from __future__ import annotations

import hashlib
import json
import random
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants, utils

from timbrel import registry
from timbrel.errors import CheckpointError, DownloadError, TimbrelError
from timbrel.interop import FAMILIES, shelf
from timbrel.interop.family import Options
from timbrel.interop.pull import pull
from timbrel.interop.shelf import KnownFile, KnownModel

from . import publisher as ways
from .publisher import Publisher

BODY = random.Random(2).randbytes(50_000)
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    with ways.opened(tmp_path_factory.mktemp("authority")) as publisher:
        yield publisher


@pytest.fixture
def publisher(opened: Publisher, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """A trusted server that has /one.pt, and is the hub too."""
    monkeypatch.setenv("SSL_CERT_FILE", str(opened.authority))
    template = f"{opened.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", opened.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    utils.close_session()
    opened.files, opened.ways, opened.asked = {"/one.pt": BODY}, {}, []
    yield opened
    utils.close_session()


@pytest.fixture
def one(publisher: Publisher) -> KnownModel:
    """A model of one file of which nothing is stated."""
    file = KnownFile("one.pt", f"{publisher.url}/one.pt")
    return KnownModel("one", "resemblyzer", "a test", "https://example.org/one", (file,), licence="MIT")


def run(known: KnownModel, *, install: bool = False, force: bool = False) -> tuple[Path, list[str]]:
    """Where it is afterwards, and what was said."""
    said: list[str] = []
    path = pull(known, install=install, force=force, progress=lambda *_step: None, say=said.append)
    return path, said


def refused(known: KnownModel, error: type[TimbrelError] = DownloadError) -> str:
    with pytest.raises(error) as caught:
        run(known, install=error is CheckpointError)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


def on_the_hub(publisher: Publisher, etag: str, way: ways.Way = ways.whole) -> KnownModel:
    """A model of one file on the hub, under the name that the hub gives to its content."""
    address = f"/someone/model/resolve/{'a' * 40}/weights.bin"
    publisher.files[address] = BODY
    publisher.ways[address] = ways.hub(way, etag=etag)
    page = "https://example.org/someone/model"
    return KnownModel(
        "two", "vocos", "", page, (KnownFile("weights.bin"),), hub="someone/model", revision="a" * 40
    )


def test_a_hash_that_nobody_states_is_shown_and_recorded(one: KnownModel) -> None:
    path, said = run(one)
    assert path == registry.home() / "downloads" / "one" / "one.pt"
    assert path.read_bytes() == BODY
    assert said == [f"one.pt: 50000 bytes, SHA-256 {DIGEST} (stated by nobody, so recorded now)"]
    record = json.loads((registry.home() / "downloads" / "one.json").read_text())["one.pt"]
    assert (record["bytes"], record["sha256"], record["url"]) == (50000, DIGEST, one.files[0].url)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", record["date"])


def test_what_is_there_is_checked_and_not_fetched_again(publisher: Publisher, one: KnownModel) -> None:
    run(one)
    assert run(one)[1] == ["one.pt is there already, with the SHA-256 it should have"]
    assert len(publisher.asked) == 1


def test_what_was_altered_on_the_disk_is_fetched_again(publisher: Publisher, one: KnownModel) -> None:
    path, _ = run(one)
    path.write_bytes(BODY[:100])
    _, said = run(one)
    assert "no longer what it was" in said[0]
    assert "(as before)" in said[1]
    assert path.read_bytes() == BODY


def test_another_file_at_the_same_address_is_refused(publisher: Publisher, one: KnownModel) -> None:
    path, _ = run(one)
    path.unlink()
    publisher.files["/one.pt"] = b"another"
    message = refused(one)
    assert DIGEST in message
    book = registry.home() / "downloads" / "one.json"
    assert f"remove {book} to accept another" in message
    assert not path.exists()
    book.unlink()
    assert "recorded now" in run(one)[1][0]


def test_a_stated_hash_and_size_are_held_to(publisher: Publisher, one: KnownModel) -> None:
    stated = replace(one, files=(replace(one.files[0], bytes=50_000, sha256=DIGEST),))
    assert "(as stated)" in run(stated)[1][0]
    wrong = replace(one, name="other", files=(replace(one.files[0], sha256="0" * 64),))
    assert f"has the SHA-256 {DIGEST}, not {'0' * 64}" in refused(wrong)
    short = replace(one, name="third", files=(replace(one.files[0], bytes=7),))
    assert "its publisher states 7" in refused(short)


def test_a_dead_link_says_where_else_and_what_then(publisher: Publisher, one: KnownModel, home: Path) -> None:
    del publisher.files["/one.pt"]
    known = replace(one, options=Options(sample_rate=16000))
    message = refused(known)
    assert message.startswith("one was not downloaded: ")
    assert "404" in message
    assert "get one.pt by hand from https://example.org/one" in message
    line = f"timbrel import resemblyzer one.pt -o {home / 'models' / 'one'} --sample-rate 16000."
    assert message.endswith(line)


def test_two_files_by_hand_go_into_one_folder(one: KnownModel) -> None:
    known = replace(one, files=(KnownFile("config.json"), KnownFile("weights.bin")))
    assert known.by_hand
    message = refused(known)
    assert "get config.json and weights.bin by hand" in message
    assert "timbrel import resemblyzer FOLDER" in message


def test_the_hub_says_what_a_large_file_is(publisher: Publisher) -> None:
    known = on_the_hub(publisher, DIGEST)
    path, said = run(known)
    assert path.read_bytes() == BODY
    assert "(as stated)" in said[0]
    assert [asked[0] for asked in publisher.asked] == ["HEAD", "GET"]
    assert run(known)[1] == ["weights.bin is there already, with the SHA-256 it should have"]
    assert len(publisher.asked) == 2


def test_the_hub_names_small_files_otherwise(publisher: Publisher) -> None:
    assert "recorded now" in run(on_the_hub(publisher, "f" * 40))[1][0]


def test_wrong_bytes_from_the_hub(publisher: Publisher) -> None:
    known = on_the_hub(publisher, "0" * 64)
    assert f"has the SHA-256 {DIGEST}, not {'0' * 64}" in refused(known)
    assert not known.source.exists()


def test_a_hub_that_states_something_else_than_the_list(publisher: Publisher) -> None:
    known = on_the_hub(publisher, "0" * 64)
    listed = replace(known, files=(KnownFile("weights.bin", sha256=DIGEST),))
    assert "the hub states the SHA-256 000" in refused(listed)
    listed = replace(known, files=(KnownFile("weights.bin", bytes=5),))
    assert "the hub states the size 50000 of weights.bin, which should be 5" in refused(listed)
    assert [asked[0] for asked in publisher.asked] == ["HEAD", "HEAD"]


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_hub_that_refuses(publisher: Publisher, status: int) -> None:
    known = on_the_hub(publisher, DIGEST)
    publisher.ways[next(iter(publisher.ways))] = ways.plain({"Content-Length": "0"}, status)
    message = refused(known)
    assert f"answers {status}" in message
    assert "by hand from https://example.org/someone/model" in message


def test_a_hub_that_nobody_trusts(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    utils.close_session()
    assert "localhost cannot be trusted" in refused(on_the_hub(publisher, DIGEST))


def test_offline_is_said_at_once(
    publisher: Publisher, one: KnownModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(one)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE forbids" in refused(on_the_hub(publisher, DIGEST))
    assert "HF_HUB_OFFLINE forbids" in refused(replace(one, name="other"))
    assert run(one)[0].is_file()  # what is there needs no network
    assert len(publisher.asked) == 1


def test_two_at_once_fetch_it_once(publisher: Publisher, one: KnownModel) -> None:
    publisher.ways["/one.pt"] = ways.slow(0.5)
    said: list[list[str]] = []
    threads = [threading.Thread(target=lambda: said.append(run(one)[1])) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(publisher.asked) == 1
    assert one.source.read_bytes() == BODY
    assert "recorded now" in said[0][0]
    assert "waiting for another process" in said[1][0]
    assert "is there already" in said[1][1]


@pytest.mark.parametrize("text", ["{", "[]", '{"one.pt": {"url": 5}}', '{"one.pt": 5}'])
def test_a_record_that_cannot_be_read_is_not_ignored(one: KnownModel, home: Path, text: str) -> None:
    (home / "downloads").mkdir()
    (home / "downloads" / "one.json").write_text(text)
    with pytest.raises(TimbrelError, match=r"one\.json"):
        run(one)


def test_a_home_that_is_no_folder(one: KnownModel, home: Path) -> None:
    (home / "downloads").write_text("a file")
    with pytest.raises(TimbrelError, match=r"downloads cannot be written"):
        run(one)


def resemblyzer_file(path: Path) -> bytes:
    """A checkpoint of exactly the published keys and shapes (published_weights.md, section 10)."""
    shapes = {"lstm.weight_ih_l0": (1024, 40), "linear.weight": (256, 256), "linear.bias": (256,)}
    shapes |= {f"lstm.weight_ih_l{layer}": (1024, 256) for layer in (1, 2)}
    for layer in range(3):
        shapes |= {f"lstm.weight_hh_l{layer}": (1024, 256)}
        shapes |= {f"lstm.bias_{side}_l{layer}": (1024,) for side in ("ih", "hh")}
    shapes |= {"similarity_weight": (1,), "similarity_bias": (1,)}
    torch.save({"model_state": {name: torch.full(shape, 0.01) for name, shape in shapes.items()}}, path)
    return path.read_bytes()


def test_a_pulled_model_has_a_name(publisher: Publisher, one: KnownModel, tmp_path: Path) -> None:
    publisher.files["/one.pt"] = resemblyzer_file(tmp_path / "made.pt")
    path, _ = run(one, install=True)
    assert path == registry.find("one")
    provenance: dict[str, Any] = registry.checkpoints.read(path).provenance
    assert provenance["imported"]["sha256"] == hashlib.sha256(publisher.files["/one.pt"]).hexdigest()
    assert run(one, install=True)[1] == [f"one is there already: {path}"]
    run(one, install=True, force=True)
    assert len(publisher.asked) == 1


def test_what_cannot_be_imported_stays_and_can_be_by_hand(one: KnownModel, home: Path) -> None:
    message = refused(one, CheckpointError)
    line = f"timbrel import resemblyzer {one.source} -o {home / 'models' / 'one'}."
    assert message.endswith(line)
    assert one.source.read_bytes() == BODY
    assert not one.is_installed


def test_the_list_can_be_relied_on() -> None:
    models = shelf.known()
    assert len({model.name for model in models}) == len(models)
    assert {model.family for model in models} == set(FAMILIES)
    for model in models:
        assert model.page.startswith("https://")
        assert model.licence or model.terms
        assert all(file.url.startswith("https://") for file in model.files if file.url)
        assert all(re.fullmatch(r"[0-9a-f]{64}|", file.sha256) for file in model.files)
        assert all(Path(file.name).name == file.name for file in model.files)


def test_what_publishers_state_is_in_the_list() -> None:
    """Sizes of Real-Time-Voice-Cloning's default_models.py; SHA-256 of the hub's pages."""
    stated = {
        (model.name, file.name): (file.bytes, file.sha256[:8])
        for model in shelf.known()
        for file in model.files
        if file.bytes or file.sha256
    }
    assert stated == {
        ("rtvc-encoder", "encoder.pt"): (17_090_379, ""),
        ("vocos-mel-24khz", "pytorch_model.bin"): (None, "97ec976a"),
        ("wavlm-base", "pytorch_model.bin"): (None, "b41ab60f"),
        ("wavlm-large", "pytorch_model.bin"): (None, "fdee460e"),
    }


def test_an_unknown_name_is_told_what_is_known() -> None:
    with pytest.raises(DownloadError, match=r'did you mean "wavlm-large"\?$'):
        shelf.find("wavlm-larg")
    with pytest.raises(DownloadError, match=r"those known are wavlm-large, .*\.$"):
        shelf.find("zzzz")


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (17_090_379, "17.1 MB"), (1_260_000_000, "1.26 GB")],
)
def test_sizes_in_words(number: int, words: str) -> None:
    assert shelf.byte_count(number) == words
