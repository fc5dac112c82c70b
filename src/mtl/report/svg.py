"""Small figures as SVG text. Colours and fonts come from the page's style sheet, so that a figure follows the light or dark scheme.

Figures are drawn for a width of about 360 pixels, one for each subject, and flow beside or below each other.
Same input, same bytes: no dates, no random ids.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

from mtl.report.text import score, short, visible

Point = tuple[float, float]
WIDTH = 360


class Series(NamedTuple):
    """A named line. ``style`` is a class of the style sheet."""

    name: str
    style: str
    points: Sequence[Point]


class Whisker(NamedTuple):
    """A dot with an interval, and an optional wider interval drawn thinner."""

    name: str
    style: str
    value: float
    low: float
    high: float
    wide_low: float | None = None
    wide_high: float | None = None


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About ``count`` round numbers from ``low`` to ``high``."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(nice for nice in (1, 2, 5, 10) if nice * power >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """The linear map from ``low … high`` to ``start … end``."""
    factor = (end - start) / ((high - low) or 1)
    return lambda value: start + (value - low) * factor


def span(values: Iterable[float], margin: float = 0.06) -> tuple[float, float]:
    """Lowest and highest value, with a margin; never of no width."""
    found = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(found), max(found)
    pad = margin * (high - low) if high > low else 0.05 * max(abs(high), 1.0)
    return low - pad, high + pad


def number(value: float) -> str:
    """A label of an axis."""
    return f"{value:g}".replace("-", "−")


def frame(title: str, height: float, parts: Iterable[str], width: float = WIDTH) -> Markup:
    """The figure; ``title`` is what a screen reader says."""
    return Markup('<svg class="figure" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _n(width), _n(height), visible(title), Markup("".join(parts))
    )


def line_chart(
    title: str, series: Sequence[Series], x_label: str, *, height: float = 210, dots: bool = False, zero: bool = False
) -> Markup:
    """Lines with their names at their ends. Lines of equal name (seeds) are named once; ``zero`` starts the axis at 0.

    Where values lie on both sides of 0, a line marks it.
    """
    points = [point for line in series for point in line.points]
    if not points:
        return empty(title)
    left, right, top, bottom = 42, 236, 10, height - 34
    low, high = span(y for _, y in points)
    low = 0.0 if zero else low
    crossed = min(b for _, b in points) < 0 < high
    x = scale(*span((x for x, _ in points), 0.0), left, right)
    y = scale(low, high, bottom, top)
    parts = [*_grid_y(ticks(low, high), y, left, right), *_axis_x(ticks(*span((x for x, _ in points), 0.0)), x, bottom, x_label, right)]
    parts += [_line(left, y(0), right, y(0), "zero")] if crossed else []
    for line in series:
        place = [(x(a), y(b)) for a, b in line.points]
        parts.append(_polyline(line, place))
        parts += (
            [
                _dot(a, b, f"{line.style} small", f"{line.name}, {x_label} {a0:g}: {score(b0)}")
                for (a, b), (a0, b0) in zip(place, line.points, strict=True)
            ]
            if dots
            else []
        )
    ends = {line.name: (line.style, y(line.points[-1][1])) for line in series if line.points}
    for (name, (style, _)), place_y in zip(ends.items(), spaced([end for _, end in ends.values()], 14, top, bottom), strict=True):
        parts.append(text(short(name, 17), right + 8, place_y + 4, f"label {style}"))
    return frame(title, height, parts)


def whisker(title: str, row: Whisker, low: float, high: float) -> Markup:
    """One dot and its interval on a line from ``low`` to ``high``; zero, where it is inside, is marked."""
    width, height = 260, 26
    x = scale(low, high, 6, width - 6)
    middle = height / 2
    parts = [_line(6, middle, width - 6, middle, "grid"), *([_line(x(0), 1, x(0), height - 1, "zero")] if low < 0 < high else [])]
    return frame(title, height, [*parts, *_whisker(row, x, middle)], width)


def dumbbells(title: str, rows: Sequence[tuple[str, str, dict[str, float]]], styles: dict[str, str]) -> Markup:
    """A row for each name: a dot for each of its values, from 0 to 1, joined by a line. Rows are (name, note, {series: value})."""
    left, right, pitch, top = 118, WIDTH - 52, 24, 6
    bottom = top + pitch * len(rows)
    x = scale(0, 1, left, right)
    parts = _axis_x([0, 0.25, 0.5, 0.75, 1], x, bottom, "", right, top)
    for i, (name, note, values) in enumerate(rows):
        middle = top + pitch * (i + 0.5)
        parts.append(text(short(name), left - 8, middle + 4, "name end"))
        if values:
            parts.append(_line(x(min(values.values())), middle, x(max(values.values())), middle, "joined"))
        parts += [_dot(x(value), middle, styles[key], f"{name}, {key}: {score(value)}") for key, value in reversed(values.items())]
        parts.append(text(note, right + 12, middle + 4, "muted"))
    return frame(title, bottom + 22, parts)


def scatter(title: str, points: Sequence[Point], x_label: str, y_label: str) -> Markup:
    """Dots of gold (x) and prediction (y), with the line on which both agree."""
    if not points:
        return empty(title)
    low, high = span((value for point in points for value in point), 0.03)
    left, right, top, bottom = 42, 322, 10, 290
    x, y = scale(low, high, left, right), scale(low, high, bottom, top)
    marks = ticks(low, high, 5)
    parts = [*_grid_y(marks, y, left, right), *_axis_x(marks, x, bottom, x_label, right), _line(x(low), y(low), x(high), y(high), "zero")]
    parts += [f'<circle class="cloud" cx="{_n(x(a))}" cy="{_n(y(b))}" r="3"/>' for a, b in points]
    parts.append(text(y_label, left + 4, top + 8, "muted"))
    return frame(title, 324, parts)


def empty(title: str) -> Markup:
    """What stands where there is nothing to draw."""
    return Markup('<p class="muted">{}: nothing was recorded.</p>').format(visible(title))


def spaced(places: Sequence[float], gap: float, top: float, bottom: float) -> list[float]:
    """Places moved apart to be ``gap`` from each other, in their order, and kept between top and bottom where they fit."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    found = list(places)
    previous = -math.inf
    for i in order:
        found[i] = previous = max(found[i], previous + gap, top)
    limit = bottom
    for i in reversed(order):
        found[i] = limit = min(found[i], limit)
        limit -= gap
    return found


def text(content: str, x: float, y: float, style: str) -> str:
    """A label."""
    return str(Markup('<text class="{}" x="{}" y="{}">{}</text>').format(style, _n(x), _n(y), visible(content)))


def _whisker(row: Whisker, x: Callable[[float], float], y: float) -> list[str]:
    """Thin line, thick line, dot."""
    parts = [f'<g class="{row.style}">']
    if row.wide_low is not None and row.wide_high is not None:
        parts.append(_line(x(row.wide_low), y, x(row.wide_high), y, "thin"))
    parts.append(_line(x(row.low), y, x(row.high), y, "thick"))
    told = f"{row.name}: {number(round(row.value, 3))}, {number(round(row.low, 3))} to {number(round(row.high, 3))}"
    return [*parts, _dot(x(row.value), y, row.style, told), "</g>"]


def _dot(x: float, y: float, style: str, told: str) -> str:
    radius = 2.5 if "small" in style else 5
    return f'<circle class="dot {style}" cx="{_n(x)}" cy="{_n(y)}" r="{radius}"><title>{escape(visible(told))}</title></circle>'


def _polyline(line: Series, place: Sequence[Point]) -> str:
    points = " ".join(f"{_n(a)},{_n(b)}" for a, b in place)
    return f'<polyline class="line {line.style}" points="{points}"><title>{escape(visible(line.name))}</title></polyline>'


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line class="{style}" x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"/>'


def _grid_y(marks: Sequence[float], y: Callable[[float], float], left: float, right: float) -> list[str]:
    lines = [_line(left, y(mark), right, y(mark), "grid") for mark in marks]
    return lines + [text(number(mark), left - 6, y(mark) + 4, "muted end") for mark in marks]


def _axis_x(
    marks: Sequence[float], x: Callable[[float], float], bottom: float, label: str, right: float, top: float | None = None
) -> list[str]:
    lines = [_line(x(mark), bottom if top is None else top, x(mark), bottom + (4 if top is None else 0), "grid") for mark in marks]
    lines += [text(number(mark), x(mark), bottom + 16, "muted middle") for mark in marks]
    return lines + ([text(label, right, bottom + 30, "muted end")] if label else [])


def _n(value: float) -> str:
    """A coordinate: one decimal, none where it is 0."""
    return f"{value:.1f}".removesuffix(".0")
