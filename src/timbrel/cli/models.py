"""`timbrel models`: what is installed."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from timbrel import registry
from timbrel.registry import Installed


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(models)


def models() -> None:
    """List the installed models: kind, size, licence, contract, measured quality."""
    listed = registry.installed()
    for model in listed:
        typer.echo("\n".join(_lines(model)))
    if not listed:
        typer.echo(f"No model is installed; put checkpoint folders into {registry.home() / 'models'}.")


def _lines(model: Installed) -> Iterator[str]:
    default = " (default)" if model.name == registry.DEFAULT_MODEL else ""
    yield f"{model.name}{default}"
    yield f"  kind      {model.kind}"
    yield f"  size      {model.bytes / 2**20:.1f} MiB"
    yield f"  licence   {model.licence or 'not stated'}"
    for line in model.contract:
        yield f"  contract  {line}"
    for name, value in model.measured.items():
        yield f"  measured  {name} {value}"
    yield f"  folder    {model.path}"
