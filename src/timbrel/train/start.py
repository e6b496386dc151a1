"""Starting from weights that are there instead of random ones."""

from __future__ import annotations

from torch import nn

from timbrel import checkpoint, registry
from timbrel.errors import ConfigError


def start_from(model: nn.Module, path: str) -> None:
    """Copies the weights of a checkpoint of the same kind and sizes into `model`; of none if `path` is "".

    Raises:
        CheckpointError: there is no such checkpoint, or it is damaged.
        ConfigError: its weights do not fit.
    """
    if not path:
        return
    other = registry.build(checkpoint.read(path))
    try:
        model.load_state_dict(other.state_dict())
    except RuntimeError as error:
        raise ConfigError(
            f"settings.start: {path} is another network than the settings make, a {other.family}."
        ) from error
