"""One HTML file that needs nothing else: text, tables, plots."""

from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 780px; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }
table { border-collapse: collapse; margin: 1em 0 } th, td { padding: .2em .8em; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left } svg { width: 100%; font: 12px system-ui, sans-serif } .noise { color: #a00 }
@media (prefers-color-scheme: dark) { body { background: #16181b; color: #ddd } svg text { fill: #ddd }
  td, th { border-color: #444 } }
"""


def heading(text: str) -> str:
    """A section's title."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text; `kind` is its CSS class."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table."""
    lines = ["<tr>" + "".join(f"<th>{escape(each)}</th>" for each in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows]
    return "<table>" + "".join(lines) + "</table>"


def page(title: str, parts: Iterable[str]) -> str:
    """The whole file."""
    head = f'<head><meta charset="utf-8"/><title>{escape(title)}</title><style>{STYLE}</style></head>'
    return f"<!DOCTYPE html>\n<html>{head}<body><h1>{escape(title)}</h1>{''.join(parts)}</body></html>\n"
