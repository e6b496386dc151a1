"""Everything a user can cause derives from `TimbrelError`.

The message is one sentence that names the file or field, says what was wrong and what to do.
The command line prints it and exits with status 2; anything else is a bug and keeps its traceback.
"""

from __future__ import annotations


class TimbrelError(Exception):
    """Base of all errors a user can cause; the message is shown as it stands."""


class AudioError(TimbrelError):
    """A recording cannot be read, used or written."""


class ContractError(TimbrelError):
    """Two parts do not fit: the message names every field that differs."""


class CheckpointError(TimbrelError):
    """A checkpoint directory or a voice file is missing, incomplete, unknown or malformed."""


class ConfigError(TimbrelError):
    """A recipe or configuration has an unknown key, a wrong type or an impossible value."""


class CorpusError(TimbrelError):
    """A corpus is not laid out as expected or holds nothing usable."""


class TrainingError(TimbrelError):
    """A training run cannot start, resume or go on."""


class OutputError(TimbrelError):
    """An output exists already, or its folder cannot be written."""


class EngineError(TimbrelError):
    """Work cannot be spread over workers: nobody is there, or nobody can begin."""


class DownloadError(TimbrelError):
    """A published model cannot be fetched, or is not what its publisher states."""


class EvaluationError(TimbrelError):
    """Conversions cannot be scored: a judge is missing, or the list of cases is wrong."""
