"""Starting from weights that are there instead of random ones."""

from __future__ import annotations

from collections.abc import Collection

from torch import nn

from timbrel import checkpoint, registry
from timbrel.errors import ConfigError


def start_from(model: nn.Module, path: str, without: Collection[str] = ()) -> None:
    """Copies the weights of a checkpoint of the same kind and sizes into `model`; of none if `path` is "".

    Args:
        without: tensors that the model has no place for.

    Raises:
        CheckpointError: there is no such checkpoint, or it is damaged.
        ConfigError: its weights do not fit.
    """
    if not path:
        return
    other = registry.build(checkpoint.read(path))
    tensors = {name: tensor for name, tensor in other.state_dict().items() if name not in without}
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ConfigError(
            f"settings.start: {path} is another network than the settings make, a {other.family}."
        ) from error
