"""A report as one HTML file that needs nothing else: no network, no fonts, no libraries."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports.model import PairReport, Report
from reports.text import money, plain, signed

TEMPLATES = Path(__file__).parent / "templates"

_STATUS = {
    "good": ("✓", "All is well"),
    "attention": ("!", "Somebody is needed"),
    "refused": ("✕", "Refused"),
}


def render(report: Report) -> str:
    """The report as HTML text."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"plain": plain, "signed": signed, "number": number, "worth": worth, "when": when}
    icon, status = _STATUS[report.status]
    return environment.get_template("report.html.j2").render(
        report=report,
        icon=icon,
        status=status,
        bar=bar,
        script=Markup((TEMPLATES / "report.js").read_text(encoding="utf-8")),  # noqa: S704  our own file
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),  # noqa: S704  our own file
    )


def number(value: object, label: str = "", shown: str | None = None) -> Markup:
    """A number cell: shown with signs between thousands, sorted by its value; `label` is for phones."""
    exact = "" if value is None else str(value)
    cell = Markup('<td class="number" data-label="{}" data-value="{}">{}</td>')
    return cell.format(label, exact, plain(value) if shown is None else shown)


def worth(value: Decimal | None, label: str = "value") -> Markup:
    """A cell with a value in money."""
    return number(value, label, money(value))


def when(value: datetime | str | None) -> str:
    """An instant for people, in UTC."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return "" if value is None else f"{value:%Y-%m-%d %H:%M}"


def bar(pair: PairReport) -> Markup:
    """A pair's keys as one stacked bar; a group too small to see is at least a sliver."""
    width, height = 1000.0, 28
    shown = [group for group in pair.groups if group.keys]
    least = 6.0
    free = width - least * len(shown)
    parts, left = [], 0.0
    for group in shown:
        part = least + free * group.keys / pair.keys
        parts.append(
            Markup('<rect class="{}" x="{}" y="0" width="{}" height="{}"><title>{}: {:,}</title></rect>').format(
                group.name, round(left, 1), round(part - 1.5, 1), height, group.words, group.keys
            )
        )
        left += part
    said = ", ".join(f"{group.keys:,} {group.words}" for group in shown)
    return Markup(
        '<svg class="bar" viewBox="0 0 1000 28" preserveAspectRatio="none" role="img" aria-label="{}">'
        "<title>{}</title>{}</svg>"
    ).format(f"{pair.name}: {said}", said, Markup("").join(parts))


