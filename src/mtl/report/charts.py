"""Charts as Vega-Lite specifications, built with Altair: each takes a data frame in long form and names of its columns.

Column names are our own; labels and class names from data stand only in the frame's cells and in lists of names, which Vega-Lite takes
literally. Colours are variables of the page's style sheet, so that a chart follows the light or dark scheme.
Same input, same bytes: selections have fixed names, and no date or random id is written.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import altair as alt
import pandas as pd
from altair.utils import schemapi

from mtl.report.blocks import Spec
from mtl.report.text import visible

PALETTE = tuple(f"var(--t{i})" for i in range(6))
REST = "var(--rest)"
ROW = 28
"""Pixels of a row."""
LEGEND = 26
"""Pixels of the horizontal axis with its title, and of a line of the legend."""
SOLID, DASHED = (1, 0), (5, 4)
GAIN_CELL = 128
"""Least width of a cell of ``gains``, in which an interval fits."""


def palette(names: Sequence[str], rest: int | None = None) -> dict[str, str]:
    """A colour by name; from the ``rest``-th name on, all share one."""
    return {name: PALETTE[i % len(PALETTE)] if rest is None or i < rest else REST for i, name in enumerate(names)}


def lines(
    frame: pd.DataFrame,
    x: str,
    y: str,
    by: str,
    colours: Mapping[str, str],
    *,
    dashed: Sequence[str] = (),
    detail: str | None = None,
    points: bool = False,
    zero: bool = False,
    log: bool = False,
    height: int = 250,
) -> Spec | None:
    """A line for each value of ``by`` (and of ``detail``, such as the runs of several seeds); None without data.

    A click on the legend singles out a line, dragging moves the chart, Shift and the mouse wheel zoom it, a double click resets it.
    """
    if frame.empty:
        return None
    names = [name for name in colours if name in set(frame[by])]
    scale = alt.Scale(type="log", nice=False) if log else alt.Scale(zero=zero)
    selected = alt.selection_point(name="selected", fields=[by], bind="legend")
    zoom = alt.selection_interval(
        name="zoom",
        bind="scales",
        encodings=["x"],
        translate="[mousedown, window:mouseup] > window:mousemove!",
        zoom="wheel![event.shiftKey]",
    )
    near = alt.selection_point(name="near", on="pointerover", clear="pointerout")
    legend = _legend("stroke") if len(names) > 1 else None
    line = alt.Chart(_DATA).encode(
        x=alt.X(x, type="quantitative", scale=alt.Scale(nice=False), axis=alt.Axis(tickCount=5)),
        y=alt.Y(y, type="quantitative", title=None, scale=scale, axis=alt.Axis(tickCount=5)),
        color=alt.Color(by, type="nominal", scale=_scale(names, [colours[name] for name in names]), legend=legend),
        strokeDash=alt.StrokeDash(
            by, type="nominal", scale=_scale(names, [list(DASHED if name in dashed else SOLID) for name in names]), legend=legend
        ),
        opacity=alt.when(selected).then(alt.value(1)).otherwise(alt.value(0.12)),
    )
    if detail:
        line = line.encode(detail=alt.Detail(detail, type="nominal"))
    dots = (
        alt.Chart(_DATA)
        .mark_point(filled=True, size=50, stroke="transparent", strokeWidth=12)  # the stroke makes a dot easier to hit
        .encode(
            x=alt.X(x, type="quantitative"),
            y=alt.Y(y, type="quantitative"),
            color=alt.Color(by, type="nominal", legend=None),
            opacity=alt.when(near, empty=False).then(alt.value(1)).otherwise(alt.value(0)),
            tooltip=[_text(detail or by), _number(x), _number(y, ".4~g")],
        )
        .add_params(near)
    )
    crossing = [_rule(0.0, "y")] if not zero and not log and frame[y].min() < 0 < frame[y].max() else []
    drawn = line.mark_line(point=alt.OverlayMarkDef(size=18, strokeDash=[1, 0]) if points else False).add_params(selected, zoom)
    return _spec(alt.layer(drawn, *crossing, dots), frame, height + LEGEND * max(0, -(-len(names) // 2) - 1))


def intervals(frame: pd.DataFrame, colours: Mapping[str, str], *, named: bool = True, reach: float | None = None) -> Spec | None:
    """A dot with its interval for each row: columns ``name``, ``style`` (a key of ``colours``), ``value``, ``low`` and ``high``, and
    optionally ``corrected low`` and ``corrected high``, drawn thinner.

    Args:
        named: whether the rows have their names above them, and the chart has an axis.
        reach: the scale goes from -reach to reach, around a line at zero.
    """
    if frame.empty:
        return None
    scale = alt.Scale(domain=[-reach, reach], nice=False) if reach else alt.Scale(zero=False, padding=12)
    axis = alt.Axis(tickCount=5) if named else alt.Axis(labels=False, grid=False)
    rows = alt.Y("name", type="nominal", sort=None, title=None, axis=alt.Axis(labels=False, grid=False))
    corrected = [name for name in ("corrected low", "corrected high") if name in frame]
    tooltip = [_text("name"), *(_number(name, ".4f") for name in ("value", "low", "high", *corrected))]
    base = alt.Chart(_DATA).encode(y=rows, color=alt.Color("style", type="nominal", scale=_colours(colours), legend=None), tooltip=tooltip)

    def bar(prefix: str, size: float, opacity: float) -> Any:
        ends = base.encode(x=alt.X(f"{prefix}low", type="quantitative", title=None, scale=scale, axis=axis), x2=alt.X2(f"{prefix}high"))
        return ends.mark_rule(strokeWidth=size, opacity=opacity, strokeCap="round")

    layers = [bar("", 6, 0.45), base.mark_point(filled=True, size=80, opacity=1).encode(x=alt.X("value", type="quantitative"))]
    layers = [bar("corrected ", 1.6, 1), *layers] if corrected else layers
    layers = [_rule(0.0, "x"), *layers] if reach else layers
    if not named:
        return _spec(alt.layer(*layers), frame, ROW)
    text = alt.Chart(_DATA).encode(y=rows, x=alt.value(0), text=alt.Text("name", type="nominal"))
    layers += [text.mark_text(align="left", dy=-15, fontSize=12, **style) for style in (_HALO, {"fill": "var(--ink)"})]
    return _spec(alt.layer(*layers), frame, 42 * len(frame) + 32)


def _names(width: int, **more: Any) -> alt.Axis:
    """An axis of names. A long one loses its middle, since names of classes often begin alike.

    Args:
        width: in pixels.
        more: further settings of the axis.
    """
    characters = width // 7
    middle = f"slice(datum.label, 0, {characters // 2}) + '…' + slice(datum.label, {1 - (characters + 1) // 2})"
    return alt.Axis(labelExpr=f"length(datum.label) > {characters} ? {middle} : datum.label", labelLimit=width, grid=False, **more)


def dots(frame: pd.DataFrame, colours: Mapping[str, str], order: Sequence[str]) -> Spec | None:
    """A row for each name with a dot for each model, from 0 to 1: columns ``name``, ``model``, ``rows`` and ``F1``."""
    if frame.empty:
        return None
    names = [name for name in colours if name in set(frame["model"])]
    selected = alt.selection_point(name="selected", fields=["model"], bind="legend")
    rows = alt.Y("name", type="nominal", scale=alt.Scale(domain=list(order)), title=None, axis=_names(130))
    x = alt.X("F1", type="quantitative", title=None, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=5))
    joined = alt.Chart(_DATA).mark_line(strokeWidth=3, color="var(--line)").encode(x=x, y=rows, detail=alt.Detail("name", type="nominal"))
    marks = (
        alt.Chart(_DATA)
        .mark_point(filled=True, size=85)
        .encode(
            x=x,
            y=rows,
            color=alt.Color("model", type="nominal", scale=_scale(names, [colours[name] for name in names]), legend=_legend("circle")),
            opacity=alt.when(selected).then(alt.value(1)).otherwise(alt.value(0.08)),
            tooltip=[_text("name"), _text("model"), _number("F1", ".3f"), _number("rows")],
        )
        .add_params(selected)
    )
    return _spec(alt.layer(joined, marks), frame, 22 * len(order) + LEGEND + 34)


def scatter(frame: pd.DataFrame) -> Spec | None:
    """Gold numbers across and predictions up, with the line on which both agree."""
    if frame.empty:
        return None
    low, high = float(frame.min().min()), float(frame.max().max())
    scale = alt.Scale(domain=[low, high], nice=True, zero=False)
    zoom = alt.selection_interval(
        name="zoom", bind="scales", translate="[mousedown, window:mouseup] > window:mousemove!", zoom="wheel![event.shiftKey]"
    )
    x, y = alt.X("gold", type="quantitative", scale=scale), alt.Y("prediction", type="quantitative", scale=scale)
    cloud = (
        alt.Chart(_DATA)
        .mark_point(filled=True, size=36, opacity=0.4, color="var(--joint-augmented)")
        .encode(x=x, y=y, tooltip=[_number("gold", ".3~f"), _number("prediction", ".3~f")])
        .add_params(zoom)
    )
    ends = alt.Chart(alt.InlineData(values=[{"gold": low, "prediction": low}, {"gold": high, "prediction": high}]))
    same = ends.mark_line(color="var(--muted)", strokeWidth=1.5, strokeDash=[3, 3]).encode(x=x, y=y)
    return _spec(alt.layer(same, cloud), frame, 320)


def stacked(frame: pd.DataFrame, order: Sequence[str], colours: Mapping[str, str], *, legend: bool = True) -> Spec | None:
    """A bar of shares for each row: columns ``name``, ``part`` (a key of ``colours``), ``share`` and, where there are any, ``count``."""
    if frame.empty:
        return None
    parts = list(colours)
    frame = frame.assign(place=frame["part"].map({part: i for i, part in enumerate(parts)}))
    selected = alt.selection_point(name="selected", fields=["part"], bind="legend")
    lines = -(-len(parts) // 2)
    tooltip = [_text("name"), _text("part"), _number("share", ".1%"), *([_number("count", ",")] if "count" in frame else [])]
    bars = (
        alt.Chart(_DATA)
        .mark_bar(height=15, stroke="var(--card)", strokeWidth=1)
        .encode(
            x=alt.X(
                "share",
                type="quantitative",
                title=None,
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format=".0%", values=[0, 0.5, 1]),
            ),
            y=alt.Y("name", type="nominal", scale=alt.Scale(domain=list(order)), title=None, axis=_names(130)),
            color=alt.Color("part", type="nominal", scale=_colours(colours), legend=_legend("square", 96) if legend else None),
            order=alt.Order("place", type="quantitative"),
            opacity=alt.when(selected).then(alt.value(1)).otherwise(alt.value(0.15)),
            tooltip=tooltip,
        )
        .add_params(selected)
    )
    return _spec(bars, frame, ROW * len(order) + 30 + (LEGEND * lines if legend else 0))


def paired(frame: pd.DataFrame, sides: Sequence[str]) -> Spec | None:
    """Two bars for each row, one of each side: columns ``name``, ``side`` (one of ``sides``) and ``value``."""
    if frame.empty:
        return None
    drawn = (
        alt.Chart(_DATA)
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            x=alt.X("value", type="quantitative", title=None, axis=alt.Axis(tickCount=5)),
            y=alt.Y("name", type="nominal", sort=None, title=None, axis=_names(130)),
            yOffset=alt.YOffset("side", type="nominal", scale=alt.Scale(domain=list(sides))),
            color=alt.Color("side", type="nominal", scale=_scale(sides, list(PALETTE[: len(sides)])), legend=_legend("square")),
            tooltip=[_text("name"), _text("side"), _number("value", ".3~f")],
        )
    )
    return _spec(drawn, frame, ROW * frame["name"].nunique() + LEGEND + 34)


def bars(frame: pd.DataFrame, number: str, *, mark: float | None = None, tooltip: Sequence[str] = ()) -> Spec | None:
    """A bar for each row: columns ``name``, ``share`` (formatted by ``number``) and those of the tooltip; a line stands at ``mark``."""
    if frame.empty:
        return None
    top = max(float(frame["share"].max()), mark or 0) or 1.0
    scale = alt.Scale(domain=[0, 1.06 * top], nice=False)
    drawn = (
        alt.Chart(_DATA)
        .mark_bar(height=14, color="var(--t0)", cornerRadiusEnd=3)
        .encode(
            x=alt.X("share", type="quantitative", title=None, scale=scale, axis=alt.Axis(format=".0%", tickCount=5)),
            y=alt.Y("name", type="nominal", sort=None, title=None, axis=_names(170)),
            tooltip=[_text("name"), _number("share", number), *(_number(name, ".3f") for name in tooltip)],
        )
    )
    layers = [drawn] if mark is None else [drawn, _rule(mark, "x")]
    return _spec(alt.layer(*layers), frame, ROW * len(frame) + 30)


def heatmap(frame: pd.DataFrame, order: Sequence[str]) -> Spec | None:
    """A confusion matrix of many classes: columns ``gold``, ``predicted``, ``count``, ``share`` (of the gold class) and ``right``."""
    if frame.empty:
        return None
    labels = _names(200, labelOverlap=True)
    frame = frame.assign(right=frame["right"].map({True: "right", False: "wrong"}))
    cells = (
        alt.Chart(_DATA)
        .mark_rect()
        .encode(
            x=alt.X("predicted", type="nominal", scale=alt.Scale(domain=list(order)), axis=labels),
            y=alt.Y("gold", type="nominal", scale=alt.Scale(domain=list(order)), axis=labels),
            color=alt.Color("right", type="nominal", scale=_scale(["right", "wrong"], [PALETTE[0], PALETTE[1]]), legend=None),
            opacity=alt.Opacity("share", type="quantitative", scale=alt.Scale(domain=[0, 1], range=[0.15, 1]), legend=None),
            tooltip=[_text("gold"), _text("predicted"), _number("count", ","), _number("share", ".1%")],
        )
    )
    return _spec(cells, frame, 700) | {"usermeta": {"minimum": 640}}


def gains(frame: pd.DataFrame, order: Sequence[str], colours: Mapping[str, str]) -> Spec | None:
    """What the task of a row gains when it is trained with that of a column: columns ``task``, ``with``, ``style`` (a key of ``colours``),
    ``strength`` (0 to 1), ``amount``, ``interval`` and ``verdict``."""
    if frame.empty:
        return None
    names = alt.Scale(domain=list(order))
    base = alt.Chart(_DATA).encode(
        x=alt.X("with", type="nominal", scale=names, axis=_names(GAIN_CELL, orient="top", labelAngle=0, title="trained with →")),
        y=alt.Y("task", type="nominal", scale=names, title=None, axis=_names(120)),
        tooltip=[_text("task"), _text("with"), _text("amount"), _text("interval"), _text("verdict")],
    )
    cells = base.mark_rect(stroke="var(--card)", strokeWidth=2).encode(
        color=alt.Color("style", type="nominal", scale=_colours(colours), legend=None),
        opacity=alt.Opacity("strength", type="quantitative", scale=alt.Scale(domain=[0, 1], range=[0.1, 0.55]), legend=None),
    )

    def words(column: str, dy: int, size: int, **style: Any) -> Any:
        return base.mark_text(dy=dy, fontSize=size, fill="var(--ink)", **style).encode(text=alt.Text(column, type="nominal"))

    layers = [cells, words("amount", -16, 15, fontWeight="bold"), words("interval", 3, 11), words("verdict", 19, 11)]
    minimum = GAIN_CELL * len(order) + 140
    return _spec(alt.layer(*layers), frame, 66 * len(order) + 60) | {"usermeta": {"minimum": minimum}}


def best_so_far(frame: pd.DataFrame) -> Spec | None:
    """Scores of a search's trials as dots, and the best one so far as a line: columns ``trial``, ``score``, ``best`` and ``settings``."""
    if frame.empty:
        return None
    x = alt.X("trial", type="quantitative", scale=alt.Scale(nice=False, padding=8), axis=alt.Axis(tickMinStep=1, format="d"))
    y = alt.Y("best", type="quantitative", title=None, scale=alt.Scale(zero=False))
    line = alt.Chart(_DATA).mark_line(interpolate="step-after", color=PALETTE[0]).encode(x=x, y=y)
    tooltip = [_number("trial", "d"), _number("score", ".4f"), _text("settings")]
    marks = alt.Chart(_DATA).mark_point(filled=True, size=55, color=PALETTE[1], opacity=0.9)
    return _spec(alt.layer(line, marks.encode(x=x, y=alt.Y("score", type="quantitative"), tooltip=tooltip)), frame, 230)


def parallel(frame: pd.DataFrame, axes: Sequence[str], marks: pd.DataFrame) -> Spec | None:
    """A line through the values of each trial: columns ``trial``, ``axis``, ``place`` (0 to 1), ``value`` and ``quality`` (0 to 1, 1 is the
    best). ``marks`` (``axis``, ``place``, ``label``) names places of the axes."""
    if frame.empty:
        return None
    x = alt.X(
        "axis", type="nominal", scale=alt.Scale(domain=list(axes)), title=None, axis=alt.Axis(orient="top", labelAngle=0, labelLimit=130)
    )
    y = alt.Y("place", type="quantitative", axis=None, scale=alt.Scale(domain=[0, 1], nice=False, padding=10))
    near = alt.selection_point(name="near", fields=["trial"], on="pointerover", clear="pointerout", empty=False)
    best = alt.datum["quality"] == 1
    trial = alt.Detail("trial", type="nominal")
    line = (
        alt.Chart(_DATA)
        .mark_line(point=alt.OverlayMarkDef(size=40))
        .encode(
            x=x,
            y=y,
            detail=trial,
            color=alt.when(best).then(alt.value(PALETTE[0])).when(near).then(alt.value(PALETTE[1])).otherwise(alt.value(REST)),
            opacity=alt.when(near | best).then(alt.value(1)).otherwise(alt.Opacity("quality", type="quantitative", legend=None)),
            tooltip=[_number("trial", "d"), _text("axis"), _text("value")],
        )
        .add_params(near)
    )
    ends = alt.Chart(alt.InlineData(values=[_compact(mark) for mark in marks.to_dict("records")]))
    names = ends.encode(x=x, y=y, text=alt.Text("label", type="nominal"))
    texts = [names.mark_text(align="right", dx=-7, fontSize=11, **style) for style in (_HALO, {"fill": "var(--muted)"})]
    return _spec(alt.layer(line, *texts), frame, 280) | {"usermeta": {"minimum": 130 * len(axes)}}


# --- parts ----------------------------------------------------------------------------------------------------------

_DATA = alt.NamedData(name="rows")
"""The frame, which is put in after Altair has checked the specification: checking each row would take most of the time."""


_HALO: dict[str, Any] = {"stroke": "var(--card)", "strokeWidth": 4, "strokeJoin": "round"}
"""Drawn below a text, it keeps lines away from the letters."""


def unchecked() -> AbstractContextManager[None]:
    """Charts are not checked against the schema of Vega-Lite, which takes half of the time of a report. Tests check them."""
    return schemapi.debug_mode(False)


def _spec(chart: Any, frame: pd.DataFrame, height: float) -> Spec:
    sized = chart.properties(width="container", height=round(height), autosize=alt.AutoSizeParams(type="fit", contains="padding"))
    spec: Spec = sized.to_dict(validate=schemapi.DEBUG_MODE)
    del spec["config"], spec["$schema"]  # both are the page's
    spec.setdefault("datasets", {})["rows"] = [_compact(row) for row in frame.to_dict("records")]
    return {key: visible_strings(value) for key, value in spec.items()}


def _compact(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row as JSON can hold it: floats with six digits, and none that is not finite."""
    return {name: _short(value) if isinstance(value, float) else value for name, value in row.items()}


def _short(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def visible_strings(value: Any) -> Any:
    """The same with the unseen characters of every string made visible."""
    if isinstance(value, dict):
        return {key: visible_strings(item) for key, item in value.items()}
    return [visible_strings(item) for item in value] if isinstance(value, list | tuple) else visible(value)


def _scale(names: Sequence[str], values: Sequence[Any]) -> alt.Scale:
    return alt.Scale(domain=list(names), range=list(values))


def _colours(colours: Mapping[str, str]) -> alt.Scale:
    return _scale(list(colours), list(colours.values()))


def _legend(symbol: str, limit: int = 150) -> alt.Legend:
    """Two columns of names above the chart, which fit a small screen."""
    return alt.Legend(orient="top", title=None, columns=2, symbolType=symbol, labelLimit=limit)


def _rule(at: float, axis: str) -> Any:
    marks = alt.Chart(alt.InlineData(values=[{}])).mark_rule(color="var(--muted)", strokeWidth=1.5, strokeDash=[3, 3])
    return marks.encode(x=alt.datum(at)) if axis == "x" else marks.encode(y=alt.datum(at))


def _text(column: str) -> alt.Tooltip:
    return alt.Tooltip(column, type="nominal")


def _number(column: str, form: str = ",") -> alt.Tooltip:
    return alt.Tooltip(column, type="quantitative", format=form)


@cache
def bundle() -> str:
    """Vega, Vega-Lite and vega-embed as one script, in the version that Altair writes specifications for."""
    import vl_convert

    major, minor, *_ = alt.SCHEMA_VERSION.removeprefix("v").split(".")
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=f"{major}.{minor}"))
