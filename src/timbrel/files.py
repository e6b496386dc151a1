"""Small files, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from timbrel.errors import OutputError


def write_text(path: Path, text: str, *, errors: str = "strict") -> None:
    """Writes UTF-8 to a draft beside `path` and puts it there, in place of a file that is there.

    Args:
        errors: what becomes of characters that have no code, as in `str.encode`.

    Raises:
        OutputError: it cannot be written; a file that was there is as it was.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        draft.write_text(text, encoding="utf-8", errors=errors, newline="\n")
        draft.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    except UnicodeEncodeError as error:
        raise OutputError(f"{path} cannot be written: {error}.") from error
    finally:
        draft.unlink(missing_ok=True)
