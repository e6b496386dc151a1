"""A download is the publisher's file or nothing, whatever the server and the line do."""

from __future__ import annotations

import hashlib
import random
import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timbrel.errors import DownloadError
from timbrel.interop import download as module
from timbrel.interop.download import Remote, download

from . import publisher as ways
from .publisher import Publisher

BODY = random.Random(0).randbytes(300_000)
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    with ways.opened(tmp_path_factory.mktemp("authority")) as publisher:
        yield publisher


@pytest.fixture
def publisher(opened: Publisher, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    """A trusted server that has /file."""
    monkeypatch.setenv("SSL_CERT_FILE", str(opened.authority))
    opened.files, opened.ways, opened.asked = {"/file": BODY}, {}, []
    return opened


def fetch(publisher: Publisher, target: Path, size: int | None = None, sha256: str = "") -> str:
    remote = Remote(f"{publisher.url}/file", size, sha256)
    return download(remote, target, lambda _done, _total: None, pause=0)


def refused(publisher: Publisher, target: Path, size: int | None = None, sha256: str = "") -> str:
    """The one sentence with which it is refused; nothing may then pass for the file."""
    with pytest.raises(DownloadError) as caught:
        fetch(publisher, target, size, sha256)
    assert not target.exists()
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_whole_and_nothing_else_stays(publisher: Publisher, tmp_path: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    remote = Remote(f"{publisher.url}/file", len(BODY), DIGEST)
    digest = download(remote, tmp_path / "new" / "file", lambda *step: steps.append(step))
    assert digest == DIGEST
    assert (tmp_path / "new" / "file").read_bytes() == BODY
    assert left(tmp_path / "new") == ["file"]
    assert steps[0] == (0, len(BODY))
    assert steps[-1] == (len(BODY), len(BODY))
    assert steps == sorted(steps)


def test_a_broken_line_is_taken_up_where_it_broke(publisher: Publisher, tmp_path: Path) -> None:
    publisher.ways["/file"] = ways.breaking(100_000, 0, 50_000)
    assert fetch(publisher, tmp_path / "file") == DIGEST
    assert publisher.ranges() == [None, "bytes=100000-", "bytes=100000-", "bytes=150000-"]
    assert {asked[3] for asked in publisher.asked[1:]} == {'"one"'}


@settings(max_examples=15)
@given(stops=st.lists(st.integers(0, 120_000), max_size=4))
def test_it_does_not_matter_where_it_breaks(
    opened: Publisher, tmp_path_factory: pytest.TempPathFactory, stops: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(opened.authority))
        opened.files, opened.ways = {"/file": BODY}, {"/file": ways.breaking(*stops)}
        assert fetch(opened, tmp_path_factory.mktemp("broken") / "file") == DIGEST


def test_a_line_that_always_breaks_is_given_up_and_goes_on_another_day(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.ways["/file"] = ways.always_breaking
    assert "goes on from byte 150000" in refused(publisher, tmp_path / "file")
    assert left(tmp_path) == ["file.part", "file.part.json"]
    publisher.asked.clear()
    del publisher.ways["/file"]
    assert fetch(publisher, tmp_path / "file") == DIGEST
    assert publisher.ranges() == ["bytes=150000-"]
    assert left(tmp_path) == ["file"]


def test_a_server_that_ignores_ranges_sends_it_anew(publisher: Publisher, tmp_path: Path) -> None:
    publisher.ways["/file"] = ways.ignoring_ranges(100_000, 200_000)
    assert fetch(publisher, tmp_path / "file", sha256=DIGEST) == DIGEST
    assert publisher.ranges() == [None, "bytes=100000-", "bytes=200000-"]


def test_a_file_that_changed_meanwhile_is_not_patched_together(publisher: Publisher, tmp_path: Path) -> None:
    publisher.ways["/file"] = ways.always_breaking
    refused(publisher, tmp_path / "file")
    other = random.Random(1).randbytes(len(BODY))
    publisher.files["/file"] = other
    publisher.ways["/file"] = lambda handler, body: ways.whole(handler, body, etag='"two"')
    fetch(publisher, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == other


def test_without_a_name_for_the_version_nothing_is_taken_up(publisher: Publisher, tmp_path: Path) -> None:
    publisher.ways["/file"] = ways.plain({"Content-Length": f"{len(BODY) + 1}", "ETag": 'W/"weak"'})
    refused(publisher, tmp_path / "file")
    assert publisher.ranges() == [None] * 5


@pytest.mark.parametrize("stated", [True, False])
def test_a_process_killed_before_the_last_check_has_little_left_to_do(
    publisher: Publisher, tmp_path: Path, stated: bool
) -> None:
    publisher.ways["/file"] = ways.always_breaking
    refused(publisher, tmp_path / "file")
    (tmp_path / "file.part").write_bytes(BODY)
    publisher.ways.clear()
    publisher.asked.clear()
    assert fetch(publisher, tmp_path / "file", len(BODY) if stated else None) == DIGEST
    assert publisher.ranges() == ([] if stated else ["bytes=300000-"])


def test_a_part_longer_than_the_file_is_begun_anew(publisher: Publisher, tmp_path: Path) -> None:
    publisher.ways["/file"] = ways.always_breaking
    refused(publisher, tmp_path / "file")
    (tmp_path / "file.part").write_bytes(BODY + b"more")
    publisher.ways.clear()
    assert fetch(publisher, tmp_path / "file") == DIGEST


@pytest.mark.parametrize("note", ["", "{", "[]", '{"url": "https://elsewhere/", "validator": "\\"one\\""}'])
def test_a_part_of_unknown_origin_is_begun_anew(publisher: Publisher, tmp_path: Path, note: str) -> None:
    (tmp_path / "file.part").write_bytes(b"something else")
    (tmp_path / "file.part.json").write_text(note)
    assert fetch(publisher, tmp_path / "file") == DIGEST
    assert publisher.ranges() == [None]


def test_wrong_bytes_are_thrown_away(publisher: Publisher, tmp_path: Path) -> None:
    publisher.files["/file"] = BODY[:-1] + b"?"
    message = refused(publisher, tmp_path / "file", len(BODY), DIGEST)
    assert DIGEST in message
    assert hashlib.sha256(publisher.files["/file"]).hexdigest() in message
    assert left(tmp_path) == []


def test_another_size_than_stated_is_refused_before_it_comes(publisher: Publisher, tmp_path: Path) -> None:
    message = refused(publisher, tmp_path / "file", size=299_999)
    assert "300000" in message
    assert "299999" in message
    assert left(tmp_path) == []


def test_a_server_that_promises_more_than_it_sends(publisher: Publisher, tmp_path: Path) -> None:
    publisher.ways["/file"] = ways.plain({"Content-Length": f"{len(BODY) + 5}"})
    assert "breaks off" in refused(publisher, tmp_path / "file")


def test_a_server_that_promises_less_than_the_file_is_found_out(publisher: Publisher, tmp_path: Path) -> None:
    publisher.ways["/file"] = ways.plain({"Content-Length": "1000"})
    assert "1000" in refused(publisher, tmp_path / "file", size=len(BODY))
    assert "SHA-256" in refused(publisher, tmp_path / "file", sha256=DIGEST)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("times", "words"), [(3, "more than the 300000 bytes"), (0, "only 0 of 300000 bytes")]
)
def test_a_length_that_nobody_announced_is_watched(
    publisher: Publisher, tmp_path: Path, times: int, words: str
) -> None:
    publisher.ways["/file"] = ways.chunks(times)
    assert words in refused(publisher, tmp_path / "file", size=len(BODY))


def test_chunks_that_end_properly_are_a_file(publisher: Publisher, tmp_path: Path) -> None:
    publisher.ways["/file"] = ways.chunks(2)
    fetch(publisher, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BODY * 2


def test_an_endless_file_ends(publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 1_000_000)
    publisher.ways["/file"] = ways.chunks(100)
    assert "more than the 1000000 bytes" in refused(publisher, tmp_path / "file")
    assert left(tmp_path) == []


def test_an_end_that_cannot_be_told_from_a_break_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    publisher.ways["/file"] = ways.plain({})
    assert "how long" in refused(publisher, tmp_path / "file")
    assert fetch(publisher, tmp_path / "file", sha256=DIGEST) == DIGEST


@pytest.mark.parametrize(
    ("way", "words"),
    [
        (ways.plain({"Location": "http://localhost:1/file", "Content-Length": "0"}, 302), "not https"),
        (ways.plain({"Location": "/file", "Content-Length": "0"}, 302), "one address to the next"),
        (ways.plain({"Content-Length": "0"}, 404), "404"),
        (ways.plain({"Content-Length": "0"}, 403), "not for everyone"),
        (ways.plain({"Content-Length": "0"}, 503), "503"),
        (ways.plain({"Content-Type": "text/html; charset=utf-8", "Content-Length": "300000"}), "a web page"),
        (ways.plain({"Content-Encoding": "gzip", "Content-Length": "300000"}), "another encoding"),
        (ways.plain({"Content-Range": "bytes 5-9/10", "Content-Length": "300000"}, 206), "another part"),
        (ways.plain({"Content-Length": f"{9 << 30}"}), "more than a model has"),
    ],
)
def test_answers_that_are_not_the_file(
    publisher: Publisher, tmp_path: Path, way: ways.Way, words: str
) -> None:
    publisher.ways["/file"] = way
    assert words in refused(publisher, tmp_path / "file")
    assert left(tmp_path) == []


def test_a_server_that_has_a_bad_minute(publisher: Publisher, tmp_path: Path) -> None:
    answers = iter([503, 429, 502])

    def way(handler: ways.Handler, body: bytes) -> None:
        status = next(answers, None)
        if status is None:
            ways.whole(handler, body)
        else:
            handler.head(status, {"Content-Length": "0"})

    publisher.ways["/file"] = way
    assert fetch(publisher, tmp_path / "file") == DIGEST


def test_a_certificate_that_nobody_trusts(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    message = refused(publisher, tmp_path / "file")
    assert "localhost cannot be trusted" in message
    assert publisher.asked == []


@pytest.mark.parametrize("address", ["https://localhost:1/file", "https://nowhere.invalid/file"])
def test_a_server_that_is_not_there(tmp_path: Path, address: str) -> None:
    with pytest.raises(DownloadError, match=r"cannot be reached .* offline\.$"):
        download(Remote(address), tmp_path / "file", lambda _done, _total: None)


def test_a_slow_server_is_waited_for(publisher: Publisher, tmp_path: Path) -> None:
    publisher.ways["/file"] = ways.slow(0.3)
    assert fetch(publisher, tmp_path / "file") == DIGEST


def test_a_server_that_falls_silent(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TIMEOUT", 0.1)
    publisher.ways["/file"] = ways.silent
    assert "says nothing for too long" in refused(publisher, tmp_path / "file")


def test_no_room_is_said_before_anything_comes(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _path: usage._replace(free=1000))
    assert "room for 1000 bytes, and 300000 are to come" in refused(publisher, tmp_path / "file")


def test_a_disk_that_takes_no_more_keeps_what_it_took(publisher: Publisher, tmp_path: Path) -> None:
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        assert "cannot be written: File too large" in refused(publisher, tmp_path / "file")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert fetch(publisher, tmp_path / "file") == DIGEST
    assert publisher.ranges()[-1] == "bytes=200000-"


def test_a_folder_that_cannot_be_made(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    assert f"{tmp_path / 'taken'}" in refused(publisher, tmp_path / "taken" / "file")
