"""`timbrel pull` says what it is about to do, asks where it must, and ends with a name or one sentence."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.interop import publisher as ways
from tests.interop.publisher import Publisher

from timbrel.interop import shelf
from timbrel.interop.shelf import KnownFile, KnownModel

from .conftest import Command, is_one_sentence

BODY = bytes(200_000)
#: What Real-Time-Voice-Cloning states of its encoder.
SIZE = 17_090_379
ENCODER = "/CorentinJ/SV2TTS/resolve/main/encoder.pt"
STATED = hashlib.sha256(bytes(SIZE)).hexdigest()

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    with ways.opened(tmp_path_factory.mktemp("authority")) as publisher:
        yield publisher


@pytest.fixture
def publisher(opened: Publisher) -> Publisher:
    opened.files, opened.ways, opened.asked = {"/one.pt": BODY}, {}, []
    return opened


@pytest.fixture
def known(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> KnownModel:
    """The only model of the list, from a trusted server, without a licence."""
    monkeypatch.setenv("SSL_CERT_FILE", str(publisher.authority))
    file = KnownFile("one.pt", f"{publisher.url}/one.pt", about="200 kB")
    model = KnownModel(
        "one", "resemblyzer", "a test", "https://example.org/one", (file,), terms="nobody says"
    )
    monkeypatch.setattr(shelf, "known", lambda: (model,))
    return model


@pytest.fixture
def start(start_timbrel: Start, publisher: Publisher) -> Start:
    """Starts the command in a process of its own, the hub being the server of the test."""

    def run(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        settings = {
            "SSL_CERT_FILE": str(publisher.authority),
            "HF_ENDPOINT": publisher.url,
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        return start_timbrel("pull", *arguments, **settings, **environment)

    return run


def on_the_hub(publisher: Publisher, way: ways.Way = ways.whole) -> None:
    """The encoder of Real-Time-Voice-Cloning, in size at least."""
    publisher.files[ENCODER] = bytes(SIZE)
    publisher.ways[ENCODER] = ways.hub(way, etag=STATED)


def test_alone_it_lists_what_is_known(timbrel: Command, home: Path) -> None:
    ended = timbrel("pull")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert len(lines) == len(shelf.known()) + 2
    large = next(line for line in lines if line.startswith("wavlm-large "))
    assert all(words in large for words in ("1.26 GB", "CC BY-SA 3.0", "huggingface.co"))
    simple = next(line for line in lines if line.startswith("simple-autovc "))
    assert "not stated  not stated" in simple
    assert "by hand" in next(line for line in lines if line.startswith("autovc "))
    assert str(home / "downloads") in lines[-1]
    assert str(home / "models") in lines[-1]


def test_without_a_licence_a_pipe_must_accept(
    timbrel: Command, known: KnownModel, publisher: Publisher
) -> None:
    ended = timbrel("pull", "one")
    assert ended.code == 2
    warning, refusal = ended.err.splitlines()
    assert warning == "timbrel: warning: no licence is stated for one: nobody says."
    assert is_one_sentence(refusal)
    assert "--accept-licence" in refusal
    assert publisher.asked == []
    assert not known.source.exists()


def test_what_comes_is_said_before_and_its_hash_after(
    timbrel: Command, known: KnownModel, publisher: Publisher
) -> None:
    ended = timbrel("pull", "one", "--accept-licence", "--no-import")
    assert ended.code == 0
    assert ended.err == ""
    lines = ended.out.splitlines()
    assert lines[0] == "one: a test"
    for words in ("not stated (nobody says)", f"{publisher.url}/one.pt", "200 kB", f"{known.downloaded}"):
        assert any(words in line for line in lines[1:-2])
    assert lines[-2].startswith("one.pt: 200000 bytes, SHA-256 ")
    assert lines[-1] == f"one: {known.source}"


@pytest.mark.parametrize(("answer", "code", "fetched"), [("y\n", 0, 1), ("n\n", 1, 0), ("\n", 1, 0)])
def test_on_a_terminal_it_asks(
    known: KnownModel, publisher: Publisher, answer: str, code: int, fetched: int
) -> None:
    import pty

    controller, terminal = pty.openpty()
    script = (
        "import sys; from timbrel.interop import shelf; from timbrel.interop.shelf import *; "
        f"file = KnownFile('one.pt', {known.files[0].url!r}); "
        "shelf.known = lambda: (KnownModel('one', 'resemblyzer', '', '', (file,), terms='nobody says'),); "
        "sys.argv = ['timbrel', 'pull', 'one', '--no-import']; from timbrel.cli import main; main()"
    )
    os.write(controller, answer.encode())
    ended = subprocess.run(
        [sys.executable, "-c", script],
        stdin=terminal,
        stderr=terminal,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    os.close(terminal)
    assert ended.returncode == code
    assert len(publisher.asked) == fetched
    assert b"all the same?" in os.read(controller, 10_000)
    os.close(controller)


def test_what_cannot_be_imported_is_one_sentence(timbrel: Command, known: KnownModel) -> None:
    ended = timbrel("pull", "one", "--accept-licence")
    assert ended.code == 2
    assert is_one_sentence(ended.err)
    assert f"timbrel import resemblyzer {known.source}" in ended.err
    assert not known.installed.exists()


def test_a_model_that_is_there_is_not_asked_about(
    timbrel: Command, known: KnownModel, publisher: Publisher
) -> None:
    known.installed.mkdir(parents=True)
    (known.installed / "config.toml").write_text("")
    ended = timbrel("pull", "one")
    assert ended.code == 0
    assert ended.out.endswith(f"one is there already: {known.installed}\none: {known.installed}\n")
    assert publisher.asked == []


def test_by_hand_and_unknown_are_one_sentence_each(timbrel: Command) -> None:
    for name, words in (("autovc", "ibm.box.com"), ("nothing", "those known are")):
        ended = timbrel("pull", name)
        assert ended.code == 2
        assert is_one_sentence(ended.err)
        assert words in ended.err


def test_without_the_extra_it_says_how_to_get_it(
    timbrel: Command, known: KnownModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "timbrel.interop.pull", raising=False)
    monkeypatch.setitem(sys.modules, "filelock", None)
    ended = timbrel("pull", "one", "--accept-licence")
    assert ended.code == 2
    assert is_one_sentence(ended.err)
    assert 'pip install "timbrel[pull]"' in ended.err


def test_the_list_needs_no_network_library() -> None:
    code = (
        "import sys; from timbrel.cli import pull; pull.pull(None); "
        "sys.exit(bool({'huggingface_hub', 'httpx2', 'torch'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


def test_offline_is_one_sentence(start: Start, publisher: Publisher) -> None:
    on_the_hub(publisher)
    process = start("rtvc-encoder", "--accept-licence", HF_HUB_OFFLINE="1")
    _, error = process.communicate()
    assert process.returncode == 2
    assert is_one_sentence(error)
    assert "HF_HUB_OFFLINE" in error
    assert "timbrel import resemblyzer encoder.pt" in error
    assert publisher.asked == []


def test_a_killed_download_goes_on(start: Start, publisher: Publisher, home: Path) -> None:
    on_the_hub(publisher, ways.slow(20.0, pieces=400))
    part = home / "downloads" / "rtvc-encoder" / "encoder.pt.part"
    process = start("rtvc-encoder", "--accept-licence", "--no-import")
    deadline = time.monotonic() + 60
    while not part.is_file() or part.stat().st_size < 200_000:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = part.stat().st_size
    assert not part.with_name("encoder.pt").exists()
    on_the_hub(publisher)
    output, error = start("rtvc-encoder", "--accept-licence", "--no-import").communicate()
    assert error == ""
    assert publisher.ranges() == [None, f"bytes={kept}-"]
    assert f"encoder.pt: {SIZE} bytes, SHA-256 {STATED} (as stated)" in output
    assert part.with_name("encoder.pt").read_bytes() == bytes(SIZE)


def test_two_processes_fetch_it_once(start: Start, publisher: Publisher, home: Path) -> None:
    on_the_hub(publisher, ways.slow(1.0))
    both = [start("rtvc-encoder", "--accept-licence", "--no-import") for _ in range(2)]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert len(publisher.ranges()) == 1
    assert sorted("is there already" in output for output in outputs) == [False, True]
    assert sorted(path.name for path in (home / "downloads" / "rtvc-encoder").iterdir()) == ["encoder.pt"]


def test_a_published_hash_of_the_list_is_held_against_the_hub(start: Start, publisher: Publisher) -> None:
    address = "/charactr/vocos-mel-24khz/resolve/a91e656a21df4e98ed0640ece71211deadd67933/pytorch_model.bin"
    publisher.files[address] = BODY
    publisher.ways[address] = ways.hub(ways.whole, etag=hashlib.sha256(BODY).hexdigest())
    process = start("vocos-mel-24khz")
    _, error = process.communicate()
    assert process.returncode == 2
    assert is_one_sentence(error)
    assert "should be 97ec976ad1fd67a33ab2682d29c0ac7df85234fae875aefcc5fb215681a91b2a" in error
    assert publisher.ranges() == []
