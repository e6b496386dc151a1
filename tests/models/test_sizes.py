"""Every size of every network has bounds: a damaged configuration is one sentence, and no full memory."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args, get_type_hints

import pytest

from timbrel import registry
from timbrel.audio.mel import PRESETS
from timbrel.contract import LARGEST, EmbeddingSpec, FeatureSpec
from timbrel.errors import ConfigError

MEL = PRESETS["autovc-16k"]
CONTENT = FeatureSpec(kind="learned", sample_rate=16000, hop=256, dim=4)
#: What those need that have no size for everything.
NEEDED: dict[str, dict[str, Any]] = {
    "autovc": {"spec": MEL, "embedding": EmbeddingSpec("a", 256, True, MEL)},
    "converter": {"content": CONTENT},
    "griffin_lim": {"spec_in": MEL},
    "hifigan": {
        "spec_in": MEL,
        "upsample_rates": (16, 16),
        "upsample_kernels": (32, 32),
        "channels": 64,
        "resblock": 1,
        "resblock_kernels": (3,),
        "resblock_dilations": ((1, 3),),
    },
    "istft": {"spec_in": MEL},
    "vocgan": {"spec_in": PRESETS["tacotron-22k"]},
    "vocos": {"spec_in": MEL},
    "vqvc": {"spec_in": MEL, "spec_out": MEL},
}


def numbers(hint: Any) -> bool:
    """Whether a field holds whole numbers, alone or in tuples."""
    return hint is int or (hint is not bool and any(numbers(one) for one in get_args(hint)))


def with_size(value: Any, size: int) -> Any:
    """The first number in it replaced."""
    return (with_size(value[0], size), *value[1:]) if isinstance(value, tuple) else size


@pytest.mark.parametrize("size", [-1, LARGEST + 1])
@pytest.mark.parametrize("family", sorted(registry.FAMILIES))
def test_no_size_is_negative_or_absurd(family: str, size: int) -> None:
    cls = registry.family_class(family).Config
    config = cls(**NEEDED.get(family, {}))
    # How long LinearVC listens is no size of a network.
    listening = {"frames"} if family == "linear" else set()
    sizes = [name for name, hint in get_type_hints(cls).items() if numbers(hint) and name not in listening]
    for name in sizes:
        with pytest.raises(ConfigError, match=f"^{name} must be at (least|most) .*, not {size}"):
            dataclasses.replace(config, **{name: with_size(getattr(config, name), size)})
