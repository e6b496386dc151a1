"""A drawing of means puts each where it belongs, and says it in words."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from timbrel.reporting.chart import Point, points


def drawn(*own: Point) -> ElementTree.Element:
    return ElementTree.fromstring(points("MOS <1>", {"seen & heard": own}, (1, 5)))


def test_a_point_lies_where_the_scale_has_its_value() -> None:
    svg = drawn(Point("low", 1.0, None), Point("middle", 3.0, (2.0, 4.0)), Point("high", 5.0, None))
    low, middle, high = (float(circle.attrib["cx"]) for circle in svg.iter("circle"))
    assert middle == pytest.approx((low + high) / 2, abs=0.1)
    ticks = {text.text: float(text.attrib["x"]) for text in svg.iter("text") if text.attrib.get("x")}
    assert ticks["1"] == pytest.approx(low, abs=0.1)
    assert ticks["5"] == pytest.approx(high, abs=0.1)
    span = [line for line in svg.iter("line") if line.attrib["y1"] == line.attrib["y2"]]
    assert [float(span[0].attrib[end]) for end in ("x1", "x2")] == pytest.approx(
        [ticks["2"], ticks["4"]], abs=0.1
    )


def test_who_cannot_see_it_hears_the_figures() -> None:
    (svg,) = drawn(Point("<b>", 3.0, (2.5, 3.5))).iter("svg")
    assert svg.attrib["aria-label"] == "MOS <1>: seen & heard <b> 3.00 (2.50 to 3.50)"


def test_what_lies_beyond_the_scale_stays_in_the_drawing() -> None:
    svg = drawn(Point("wide", 4.9, (4.6, 5.4)), Point("end", 5.0, None))
    ends = [float(line.attrib["x2"]) for line in svg.iter("line") if line.attrib["y1"] == line.attrib["y2"]]
    assert ends == [float(list(svg.iter("circle"))[1].attrib["cx"])]
