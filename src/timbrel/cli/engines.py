"""The options that say where work is done: here, in processes of this machine, on a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from timbrel.errors import ConfigError

if TYPE_CHECKING:
    from timbrel.engines import Engine


class EngineName(StrEnum):
    """Who starts the workers."""

    LOCAL = "local"
    RAY = "ray"


EngineOption = Annotated[
    EngineName, typer.Option("--engine", help="Workers of this machine, or of a Ray cluster.")
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="Of the Ray cluster: HOST:PORT, ray://HOST:PORT or auto; "
        "by default $RAY_ADDRESS, one that runs here, or a new one.",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Workers; by default 1, with Ray one for each CPU of the cluster."),
]


@contextmanager
def open_engine(
    name: EngineName, address: str | None, workers: int | None, *, gpus: float = 0.0
) -> Iterator[Engine | None]:
    """The workers asked for; None if this process alone is to work.

    Args:
        gpus: that each worker on a cluster needs.

    Raises:
        ConfigError: an address was given, but not for Ray.
        EngineError: the cluster cannot be used.
    """
    if name is EngineName.RAY:
        from timbrel.engines.cluster import connect

        with connect(address, workers, gpus=gpus) as cluster:
            yield cluster
    elif address is not None:
        raise ConfigError("--address is that of a Ray cluster: add --engine ray.")
    elif workers is None or workers == 1:
        yield None
    else:
        from timbrel.engines.local import Processes

        yield Processes(workers)
