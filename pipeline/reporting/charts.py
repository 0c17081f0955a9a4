"""Draws charts as inline SVG, without scripts, so that a page is self-contained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from markupsafe import Markup, escape

from pipeline.text.counts import count_of

# Eight colours that colour-blind readers can distinguish (Okabe and Ito, 2008), black last.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
_WIDTH, _HEIGHT, _AXIS = 920, 220, 44
# Width of a number below an axis.
_LABEL_WIDTH = 48


def columns_by_day(frame: pd.DataFrame, colours: Mapping[str, str]) -> Markup:
    """Return a chart of stacked columns; the frame has days as index and a column per series.

    Days without a row are empty.
    """
    if frame.empty:
        return Markup('<p class="none">No records in this period.</p>')
    days = pd.date_range(frame.index.min(), frame.index.max(), freq="D")
    filled = frame.reindex(days, fill_value=0)
    top = max(int(filled.sum(axis=1).max()), 1)
    step = (_WIDTH - _AXIS) / len(days)
    shapes = [_grid(top)]
    for index, (day, row) in enumerate(filled.iterrows()):
        base = float(_HEIGHT)
        for name, count in row.items():
            if not count:
                continue
            height = float(count) / top * (_HEIGHT - 10)
            base -= height
            title = escape(f"{pd.Timestamp(str(day)):%Y-%m-%d} {name}: {int(count)}")
            shapes.append(
                f'<rect x="{_AXIS + index * step:.2f}" y="{base:.2f}"'
                f' width="{max(step - 1, 0.5):.2f}" height="{height:.2f}"'
                f' fill="{colours[str(name)]}"><title>{title}</title></rect>'
            )
    labels = [
        _day_label(day, index, step) for index, day in enumerate(days) if day.day == 1 or index == 0
    ]
    return _svg(_HEIGHT + 24, [*shapes, *labels])


def bars(rows: Sequence[tuple[str, float, str]], colour: str = PALETTE[0]) -> Markup:
    """Return a chart of horizontal bars; a row is a name, a value, and the text behind the bar."""
    if not rows:
        return Markup('<p class="none">No records in this period.</p>')
    top = max(value for _, value, _ in rows) or 1
    height, name_width = 24, 190
    shapes = []
    for index, (name, value, label) in enumerate(rows):
        y = index * height
        width = value / top * (_WIDTH - name_width - 150)
        shapes.append(
            f'<text x="{name_width - 8}" y="{y + 16}" text-anchor="end">{escape(name)}</text><rect'
            f' x="{name_width}" y="{y + 4}" width="{width:.1f}" height="{height - 8}"'
            f' fill="{colour}"/><text x="{name_width + width + 6:.1f}" y="{y + 16}"'
            f' class="count">{escape(label)}</text>'
        )
    return _svg(height * len(rows), shapes)


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]], colours: Mapping[str, str], bold: str = ""
) -> Markup:
    """Return a line chart of series by name; a point is x (at least 0) and a share from 0 to 1.

    The vertical axis starts at the lowest tenth.
    """
    points = [point for line in series.values() for point in line]
    if not points:
        return Markup('<p class="none">No data</p>')
    right, low = max(x for x, _ in points) or 1, math.floor(min(y for _, y in points) * 10) / 10
    low = min(low, 0.9)

    def position(x: float, y: float) -> tuple[float, float]:
        across = _AXIS + x / right * (_WIDTH - _AXIS - 10)
        return across, _HEIGHT - (y - low) / (1 - low) * (_HEIGHT - 10)

    shapes = [_share_grid(low)]
    for name, line in series.items():
        positions = [position(*point) for point in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in positions)
        width = 3 if name == bold else 1.5
        shapes.append(
            f'<polyline points="{path}" fill="none" stroke="{colours[name]}"'
            f' stroke-width="{width}"/>'
        )
        shapes += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colours[name]}">'
            f"<title>{escape(f'{name}: {rows}, {share:.1%}')}</title></circle>"
            for (x, y), (count, share) in zip(positions, line, strict=True)
            for rows in (count_of(int(count), "row"),)
        ]
    free = float(_WIDTH + _LABEL_WIDTH)
    for x in sorted({x for x, _ in points}, reverse=True):
        across, _ = position(x, low)
        if across <= free - _LABEL_WIDTH:
            free = across
            anchor = "end" if across > _WIDTH - _LABEL_WIDTH else "middle"
            shapes.append(
                f'<text x="{across:.1f}" y="{_HEIGHT + 18}" text-anchor="{anchor}"'
                f' class="count">{x:g}</text>'
            )
    return _svg(_HEIGHT + 24, shapes)


def _share_grid(low: float) -> str:
    marks = []
    for tenth in range(round(low * 10), 11):
        y = _HEIGHT - (tenth / 10 - low) / (1 - low) * (_HEIGHT - 10)
        marks.append(f'<line x1="{_AXIS}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        marks.append(
            f'<text x="{_AXIS - 6}" y="{y + 4:.1f}" text-anchor="end" class="count">{tenth * 10}'
            " %</text>"
        )
    return "".join(marks)


def _svg(height: float, shapes: Sequence[str]) -> Markup:
    return Markup(f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img">{"".join(shapes)}</svg>')


def _grid(top: int) -> str:
    lines = []
    for share in (0.0, 0.5, 1.0):
        y = _HEIGHT - share * (_HEIGHT - 10)
        lines.append(f'<line x1="{_AXIS}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        lines.append(
            f'<text x="{_AXIS - 6}" y="{y + 4:.1f}" text-anchor="end"'
            f' class="count">{top * share:g}</text>'
        )
    return "".join(lines)


def _day_label(day: pd.Timestamp, index: int, step: float) -> str:
    return (
        f'<text x="{_AXIS + index * step:.1f}" y="{_HEIGHT + 18}"'
        f' class="count">{day:%Y-%m-%d}</text>'
    )
