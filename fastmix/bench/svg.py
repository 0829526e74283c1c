"""Plots as SVG text: horizontal bars, and lines over a numeric axis. Colours are told apart without hue, too."""

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, isfinite, log10

WIDTH, LABEL, ROW, PAD = 720, 190, 26, 12
COLOURS = ("#1b6ca8", "#d1495b", "#2e933c", "#8d6a9f", "#c77d0a", "#555555")
DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 2", "12 4")
HEIGHT, LEFT, BOTTOM = 280, 64, 44
Points = Sequence[tuple[float, float]]


def text_at(x: float, y: float, text: str, anchor: str = "start") -> str:
    """One line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def svg_of(height: float, title: str, parts: Sequence[str]) -> str:
    """A picture of the usual width, with a name for those who do not see it."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img">'
    return f"{head}<title>{escape(title)}</title>{''.join(parts)}</svg>"


def bar_chart(title: str, bars: Sequence[tuple[str, float]], unit: str, mark: float | None = None) -> str:
    """One bar a row with its value; `mark` draws a vertical line, such as a floor. Negative and infinite values are refused."""
    if any(value < 0 or not isfinite(value) for _, value in bars):
        raise ValueError(f"{title}: a bar is as long as its value, which is 0 or more and finite")
    top = max([value for _, value in bars] + [mark or 0.0]) or 1.0
    room = WIDTH - LABEL - 110
    parts = []
    for row, (label, value) in enumerate(bars):
        y, size = PAD + row * ROW, room * value / top
        parts.append(text_at(LABEL - 8, y + 14, label, "end"))
        parts.append(f'<rect x="{LABEL}" y="{y}" width="{size:.1f}" height="{ROW - 8}" fill="{COLOURS[0]}"/>')
        parts.append(text_at(LABEL + size + 6, y + 14, f"{spelled(value)} {unit}"))
    height = 2 * PAD + ROW * len(bars)
    if mark is not None:
        x = LABEL + room * mark / top
        parts.append(f'<path d="M{x:.1f} {PAD - 6}V{height - PAD}" stroke="{COLOURS[1]}" stroke-dasharray="4 3"/>')
    return svg_of(height, title, parts)


def line_chart(title: str, lines: Mapping[str, Points], x_name: str, y_name: str) -> str:
    """Lines with their points over axes that begin at 0."""
    points = [point for line in lines.values() for point in line] or [(1.0, 1.0)]
    x_top, y_top = (axis_top(max(point[axis] for point in points)) for axis in (0, 1))
    right, low = WIDTH - 20, HEIGHT - BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + (right - LEFT) * x / x_top, low - (low - PAD) * y / y_top

    parts = [f'<path d="M{LEFT} {PAD}V{low}H{right}" fill="none" stroke="#888"/>']
    for step in range(5):
        x, y = place(x_top * step / 4, y_top * step / 4)
        parts.append(text_at(x, low + 16, spelled(x_top * step / 4), "middle"))
        parts.append(text_at(LEFT - 6, y + 4, spelled(y_top * step / 4), "end"))
    parts.append(text_at((LEFT + right) / 2, HEIGHT - 8, x_name, "middle"))
    parts.append(text_at(LEFT + 8, PAD + 4, y_name))
    for at, (name, line) in enumerate(lines.items()):
        colour, dash = COLOURS[at % len(COLOURS)], DASHES[at % len(DASHES)]
        places = [place(*point) for point in line]
        road = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{road}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        y = PAD + 4 + 16 * (at + 1)
        parts.append(f'<path d="M{right - 190} {y - 4}h24" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>')
        parts.append(text_at(right - 160, y, name))
    return svg_of(HEIGHT, title, parts)


def axis_top(value: float) -> float:
    """The next number of 1, 2, 4, 5, 8 times a power of ten."""
    if value <= 0 or not isfinite(value):
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= value * (1 - 1e-12))


def spelled(value: float) -> str:
    """A number as people read it: 27,100, 8.2, 0.31."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - ceil(log10(abs(value))))}f}"
