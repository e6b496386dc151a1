"""Pictures are PNG as another library reads it: dark for low values, bright for high ones, top row first."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest

from timbrel.reporting.image import heat


def test_another_library_reads_what_was_drawn() -> None:
    image = pytest.importorskip("PIL.Image")
    values = np.array([[0.0, 0.5, 1.0], [1.0, -3.0, np.nan]])
    read = image.open(BytesIO(heat(values)))
    assert (read.format, read.size) == ("PNG", (3, 2))
    brightness = np.asarray(read.convert("L"), dtype=float)
    assert brightness[0, 0] < brightness[0, 1] < brightness[0, 2]
    # What lies below the scale, or is no number, is as dark as its end.
    assert brightness[1].tolist() == [brightness[0, 2], brightness[0, 0], brightness[0, 0]]


def test_brightness_rises_with_every_level() -> None:
    image = pytest.importorskip("PIL.Image")
    ramp = image.open(BytesIO(heat(np.linspace(0, 1, 64)[None])))
    brightness = np.asarray(ramp.convert("RGB"), dtype=float) @ [0.299, 0.587, 0.114]
    assert (np.diff(brightness[0]) > 0).all()
