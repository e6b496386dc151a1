"""`timbrel pull`: a published model from its publisher's server to a checkpoint with a name.

    TIMBREL_HOME/downloads/NAME/        the files as published
    TIMBREL_HOME/downloads/NAME.json    what they were when they first came: bytes, SHA-256, date
    TIMBREL_HOME/models/NAME/           what `timbrel import` makes of them

Files of the Hugging Face hub are found through `huggingface_hub`, which knows its mirrors (HF_ENDPOINT)
and its offline mode, and says what the hub states of a file. Their bytes come by our own `download` as
all others do, because `hf_hub_download` (2.4) begins a file anew that broke off.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from timbrel.config import decode_config
from timbrel.errors import CheckpointError, DownloadError, OutputError
from timbrel.files import content_hash, write_text
from timbrel.interop.download import LineError, Remote, download, in_a_clause, line_troubles
from timbrel.interop.shelf import KnownFile, KnownModel

#: Called with the name of a file, its bytes that are there and those there will be.
Progress = Callable[[str, int, int | None], None]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Record:
    """What a file was when it first came."""

    url: str
    bytes: int
    sha256: str
    date: str


def pull(known: KnownModel, *, install: bool, force: bool, progress: Progress, say: Say) -> Path:
    """Fetches a published model and imports it, so that its name finds it.

    Args:
        install: import it; otherwise only fetch the files.
        force: import it anew where it has been imported.
        progress: called while bytes come.
        say: called with what the user should know, line by line.

    Returns:
        the checkpoint folder, or without `install` the file, or the folder of several.

    Raises:
        DownloadError: the files cannot be had or are not what they should be.
        CheckpointError: they cannot be imported.
    """
    if known.by_hand:
        raise DownloadError(f"{known.name} is given to browsers only: {known.way_by_hand}.")
    if install and known.lacks and not known.is_installed:
        raise DownloadError(
            f"{known.name} cannot be imported without {' '.join(known.lacks)}, which nobody publishes: "
            f"download it with --no-import, then run: {known.import_line(str(known.source))}."
        )
    with _alone(known, say):
        if install and known.is_installed and not force:
            say(f"{known.name} is there already: {known.installed}")
            return known.installed
        records = {file.name: _fetch(known, file, progress, say) for file in known.files}
        _remember(known, records)
        if install:
            _import(known, force, say)
        return known.installed if install else known.source


@contextmanager
def _alone(known: KnownModel, say: Say) -> Iterator[None]:
    """Waits until no other process is pulling the same model."""
    lock = FileLock(known.downloaded.with_name(f"{known.name}.lock"))
    try:
        known.downloaded.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        say(f"waiting for another process that is pulling {known.name}")
        lock.acquire()
    except OSError as error:
        raise OutputError(
            f"{known.downloaded.parent} cannot be written: {error.strerror or error}."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _fetch(known: KnownModel, file: KnownFile, progress: Progress, say: Say) -> Record:
    """Sees to it that the file is in its place; what it is."""
    target = known.downloaded / file.name
    url = file.url or hf_hub_url(known.hub, file.name, revision=known.revision)
    before = _records(known).get(file.name)
    if before is not None and before.url != url:
        before = None  # the list names another file now
    wanted = file.sha256 or (before.sha256 if before is not None else "")
    if wanted and target.is_file():
        if content_hash(target) == wanted:
            say(f"{file.name} is there already, with the SHA-256 it should have")
            return _record(url, target, wanted, before)
        say(f"{target} is no longer what it was, so it is downloaded anew")
    try:
        stated = _state(file, url)
        remote = replace(stated, sha256=stated.sha256 or wanted)
        digest = download(remote, target, lambda done, total: progress(file.name, done, total))
    except DownloadError as error:
        reason = str(error).rstrip(".")
        if before is not None and not file.sha256 and before.sha256 in reason:
            reason += f" (recorded on {before.date}; remove {_book(known)} to accept another)"
        raise DownloadError(f"{known.name} was not downloaded: {reason}; {known.way_by_hand}.") from error
    origin = "as stated" if stated.sha256 else "as before" if before else "stated by nobody, so recorded now"
    say(f"{file.name}: {target.stat().st_size} bytes, SHA-256 {digest} ({origin})")
    return _record(url, target, digest, before)


def _record(url: str, path: Path, digest: str, before: Record | None) -> Record:
    if before is not None and before.sha256 == digest:
        return before
    return Record(url, path.stat().st_size, digest, datetime.now(UTC).date().isoformat())


def _state(file: KnownFile, url: str) -> Remote:
    """What the list states of a file, and the hub if it is there."""
    if constants.is_offline_mode():
        raise DownloadError("HF_HUB_OFFLINE forbids using the network.")
    if file.url:
        return Remote(url, file.bytes, file.sha256)
    with _hub_troubles(url):
        found = get_hf_file_metadata(url)
    # The hub calls a large file by its SHA-256, and a small one by git's hash, which is another.
    called = found.etag if found.etag and re.fullmatch(r"[0-9a-f]{64}", found.etag) else ""
    for what, listed, told in (("SHA-256", file.sha256, called), ("size", file.bytes, found.size)):
        if listed and told and listed != told:
            raise DownloadError(f"the hub states the {what} {told} of {file.name}, which should be {listed}.")
    return Remote(url, file.bytes or found.size, file.sha256 or called)


@contextmanager
def _hub_troubles(url: str) -> Iterator[None]:
    try:
        with line_troubles(url):
            yield
    except OfflineModeIsEnabled as error:
        raise DownloadError("HF_HUB_OFFLINE forbids using the network.") from error
    except HfHubHTTPError as error:
        raise DownloadError(f"{url} answers {error.response.status_code}.") from error
    except (LineError, OSError) as error:
        raise DownloadError(f"{in_a_clause(error)}.") from error


def _import(known: KnownModel, force: bool, say: Say) -> None:
    from timbrel.interop.importing import import_checkpoint

    try:
        report = import_checkpoint(known.source, known.family, known.installed, known.options, force)
    except CheckpointError as error:
        raise CheckpointError(
            f"{str(error).rstrip('.')}; the download stays there ({_book(known)} has its SHA-256), "
            f"and this imports it: {known.import_line(str(known.source))}."
        ) from error
    for note in report.notes:
        say(note)


def _book(known: KnownModel) -> Path:
    return known.downloaded.with_name(f"{known.name}.json")


def _records(known: KnownModel) -> dict[str, Record]:
    """What is known of the files from the first time they came; a book that cannot be read is an error."""
    book = _book(known)
    try:
        found = json.loads(book.read_text(encoding="utf-8"))
        return {name: decode_config(record, Record, name=f"{book}") for name, record in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise DownloadError(f"{book} cannot be read ({error}): remove it to begin anew.") from error


def _remember(known: KnownModel, records: dict[str, Record]) -> None:
    book = _book(known)
    text = json.dumps({name: asdict(record) for name, record in records.items()}, indent=2) + "\n"
    try:
        write_text(book, text)
    except OutputError as error:
        raise DownloadError(str(error)) from error
