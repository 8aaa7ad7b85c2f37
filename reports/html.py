"""A report as one HTML file that needs nothing else: no network, no fonts, no libraries."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports.comparison import ComparisonReport, example, key_text, schema_text, side_text, verdict_text
from reports.orders import said
from reports.records import PairReport, Report
from reports.text import money, plain, printable, share, signed

TEMPLATES = Path(__file__).parent / "templates"

#: An icon and words for each status: colour alone says nothing to many readers, or in print.
STATUS = {
    "good": ("✓", "All is well"),
    "attention": ("!", "Somebody is needed"),
    "unjudged": ("?", "Not everything could be judged"),
    "refused": ("✕", "Refused: the data cannot be trusted"),
}

#: A bar is this wide; a group too small to be seen gets a sliver, a label only where it has room.
WIDTH, HEIGHT, SLIVER, LABELLED = 100.0, 28, 1.2, 30.0


def render(report: Report) -> str:
    """The report as HTML text."""
    icon, status = STATUS[report.status]
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            icon=icon,
            status=status,
            script=_own("report.js"),
            style=_own("report.css"),
        )
    )


def render_comparison(report: ComparisonReport) -> str:
    """The report of a comparison of records as HTML text."""
    return (
        environment()
        .get_template("comparison.html.j2")
        .render(
            report=report,
            icon="✓" if report.same else "≠",
            status="No difference" if report.same else "Different",
            script=_own("report.js"),
            style=_own("report.css"),
        )
    )


@cache
def environment() -> Environment:
    """The templates of every page; each is compiled once in a process."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (
        plain,
        printable,
        signed,
        money,
        share,
        when,
        instant,
        bar,
        example,
        key_text,
        schema_text,
        side_text,
        said,
        verdict_text,
    )
    made.filters |= {each.__name__: each for each in filters}
    return made


def when(value: datetime | None) -> str:
    """An instant for people, in UTC, to the minute."""
    return "" if value is None else f"{value:%Y-%m-%d %H:%M}"


def instant(value: datetime | None) -> str:
    """An instant for machines, which sorts as text."""
    return "" if value is None else value.isoformat()


def bar(pair: PairReport, identifier: str) -> Markup:
    """A pair's keys as one stacked bar; every group that has keys can be seen."""
    shown = [group for group in pair.groups if group.keys]
    said = ", ".join(f"{group.words} {group.keys:,} ({share(group.keys, pair.keys)})" for group in shown)
    free = WIDTH - SLIVER * len(shown)
    parts, left = Markup(""), 0.0
    for group in shown:
        width = SLIVER + free * group.keys / pair.keys
        label = f"{group.words} {share(group.keys, pair.keys)}" if width >= LABELLED else ""
        parts += _segment(group.name, f"{group.words}: {group.keys:,}", label, left, width)
        left += width
    return Markup(
        '<svg class="bar" width="100%" height="{h}" role="img" aria-labelledby="{id}-title {id}-desc">'
        '<title id="{id}-title">{title}</title><desc id="{id}-desc">{desc}</desc>{parts}</svg>'
    ).format(h=HEIGHT, id=identifier, title=f"{pair.keys:,} {pair.nouns.number}s by verdict", desc=said, parts=parts)


def _segment(name: str, title: str, label: str, left: float, width: float) -> Markup:
    shape = Markup(
        '<g class="{name}"><title>{title}</title><rect x="{left:.2f}%" y="0" width="{width:.2f}%" height="{h}"/>'
    ).format(name=name, title=title, left=left, width=width - 0.2, h=HEIGHT)
    words = Markup('<text x="{x:.2f}%" dx="10" y="{y}">{label}</text>').format(x=left, y=HEIGHT // 2 + 5, label=label)
    return shape + (words if label else Markup("")) + Markup("</g>")


def _own(name: str) -> Markup:
    """A file of ours, which goes into the page as it is."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704
