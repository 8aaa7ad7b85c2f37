"""The report as HTML: self-contained, escaped, well-formed, and readable by everybody."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import product

import pyarrow as pa
import pytest
from handmade import (
    PAIR,
    VALIDATION,
    amounts,
    break_row,
    breaks_of,
    cause,
    corrections_of,
    document_row,
    in_flight_of,
    pair_of,
    snapshot_of,
    summary_of,
)

from reports import html, model
from reports.records import Report

VOID = {"meta", "link", "br", "input", "rect"}
EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """What is on a page: its elements in order, the text of each, and whether all are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def having(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def words(self) -> str:
        """What a reader sees, with single spaces."""
        shown = (data for tag, data in self.texts if tag not in ("script", "style", "title", "desc"))
        return re.sub(r"\s+", " ", "".join(shown))


@pytest.fixture
def page(report: Report) -> Page:
    return Page(html.render(report))


def test_the_verdict_is_the_headline_with_a_word_and_an_icon(report: Report, page: Page) -> None:
    assert len(page.having("h1")) == 1
    assert report.verdict in page.words()
    assert "!Somebody is needed" in page.words()
    assert {"class": "status attention"} in page.having("p")


@pytest.mark.parametrize(("status", "word"), [("empty", "Not everything could be judged"), ("refused", "Refused")])
def test_other_verdicts_have_other_words(status: str, word: str, request: pytest.FixtureRequest) -> None:
    report = request.getfixturevalue(status)
    page = Page(html.render(report))
    assert word in page.words()
    assert report.verdict in page.words()
    assert not page.open


def test_a_refusal_says_what_failed(refused: Report) -> None:
    said = Page(html.render(refused)).words()
    assert "storefront/stock cannot be trusted" in said
    assert "400 rows where 1,204 were last time: the export is cut off" in said
    assert "✕ 400 rows where" in said


def test_everything_a_reader_asks_for_is_there(page: Page) -> None:
    said = page.words()
    for part in (
        "storefront against erp",
        "agree1,11292.4 %00.00",
        "contradictory10.1 %240.50",
        "A price is known for 90.0 % of them",
        "order imported twice",
        "536581 (+4.5)",
        "perhaps overwritten without its open orders",
        "Import the order again, and ship it.",
        "Seen in 3 runs",
        "85099Bweb24.520-4.5order imported twiceproposed",
        "536803cancelled after it shipped22113web-32026-11-21 08:26never clears",
        "order open292026-11-26 17:30",
        "1 missing in the authority. Only the target knows it",
        "Such as 99999 at web.",
        "4 order lines begin before their feed does",
        "quantity is below zero in 2 rows: 22113 at web: -4",
        "3 rejected: quantity is not a number",
        "11 of 12",
        "breaks65✕ tripped",
        "units28.5100✓ passed",
        "recon 0.1.0 · run 20261123T021500Z-nightly · finished 2026-11-23 02:16 UTC",
        "reconcile 2.5 s",
        "all times are UTC",
    ):
        assert part in said


def test_it_is_well_formed_and_its_references_lead_somewhere(page: Page) -> None:
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for name in ("for", "aria-labelledby", "data-table"):
            assert set(attributes.get(name, "").split()) <= set(ids)
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids


def test_it_needs_nothing_from_anywhere(report: Report, page: Page) -> None:
    text = html.render(report)
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    assert "@import" not in text
    assert not [attributes for _, attributes in page.elements if "src" in attributes]
    assert {a["href"] for _, a in page.elements if "href" in a and not a["href"].startswith("#")} == {
        "data:,",
        "validation/index.html",  # beside the report
    }
    (policy,) = (meta["content"] for meta in page.having("meta") if "http-equiv" in meta)
    assert policy == ("default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:")


def test_a_charts_numbers_are_also_words_and_a_table(page: Page) -> None:
    (svg,) = page.having("svg")
    assert svg["role"] == "img"
    said = {tag: data for tag, data in page.texts if tag in ("title", "desc")}
    assert said["desc"] == (
        "agree 1,112 (92.4 %), on their way 85 (7.1 %), late 3 (0.2 %), contradictory 1 (0.1 %), "
        "unexplained 2 (0.2 %), not judged 1 (0.1 %)"
    )
    segments = [(float(r["x"].rstrip("%")), float(r["width"].rstrip("%"))) for r in page.having("rect")]
    assert len(segments) == 6
    ends = [left + width for left, width in segments]
    assert all(end <= left for end, (left, _) in zip(ends, segments[1:], strict=False))
    assert all(width >= 0.9 for _, width in segments)
    assert 99 < ends[-1] <= 100


def test_tables_have_headings_and_filters_have_labels(page: Page) -> None:
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.having("th"))
    labels = {attributes["for"] for attributes in page.having("label")}
    assert {attributes["id"] for attributes in page.having("input")} == labels != set()
    assert page.having("button") == []  # buttons that sort come with the script: without it they would be dead
    assert page.having("html") == [{"lang": "en"}]


def evil() -> Report:
    """A report in which every text that comes from outside wants to be markup."""
    name = f"{EVIL}&\"'"
    pair = pair_of({"BREAK": amounts(1), "MISSING_IN_A": amounts(1)}, {"BREAK": {"UNEXPLAINED": amounts(1)}})
    pair |= {"target": name, "authority": name}
    whole = summary_of({PAIR: pair}, [snapshot_of(name, "stock", reject_reasons={name: 1})])
    whole |= {
        "job": name,
        "run_id": name,
        "gates": [{"pair": name, "gate": name, "value": 1, "bound": 0, "passed": False}],
    }
    place = {"sku": name, "location": name}
    breaks = breaks_of(
        break_row(name, "BREAK", "UNEXPLAINED", location=name, causes=cause("SKU_ALIAS", "1", name)),
        break_row(name, "MISSING_IN_A", location=name, severity="low"),
    )
    in_flight = in_flight_of(*(document_row(name, class_, "ORDER_OPEN", **place) for class_ in ("LATE", "IN_FLIGHT")))
    corrections = corrections_of({"pair": PAIR, **place, "status": name} | dict.fromkeys(("value", "delta"), 1))
    result = {**VALIDATION[0], "system": name, "dataset": "stock", "messages": [name]}
    return model.build(whole, breaks, corrections, in_flight, [result])


def test_text_from_outside_stays_text(page: Page) -> None:
    assert EVIL in page.words()
    assert len(page.having("script")) == 1
    hostile = Page(html.render(evil()))
    assert len(hostile.having("script")) == 1
    assert hostile.open == []
    assert hostile.words().count(EVIL) > 15
    assert not [name for _, attributes in hostile.elements for name in attributes if name.startswith("on")]


def test_without_prices_there_is_no_column_of_values(empty: Report) -> None:
    page = Page(html.render(empty))
    assert "No prices are known" in page.words()
    assert not [a for _, a in page.elements if a.get("data-label") == "value"]


def test_a_cut_table_says_how_much_is_missing() -> None:
    whole = summary_of({PAIR: pair_of({"BREAK": amounts(1500)}, {"BREAK": {"UNEXPLAINED": amounts(1500)}})})
    breaks = breaks_of(*(break_row(f"{n:04}", "BREAK", "UNEXPLAINED") for n in range(1500)))
    page = Page(html.render(model.build(whole, breaks, corrections_of(), in_flight_of(), [])))
    assert "200 of 1,500 are shown, the worst of each kind; the other 1,300 are" in page.words()


def themes() -> dict[str, dict[str, str]]:
    css = (html.TEMPLATES / "report.css").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w{6});", block)) for block in re.findall(r":root \{(.*?)\}", css, re.S)[:2]
    )
    return {"light": light, "dark": light | dark}


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


TEXTS = [*product(("ink", "soft", "accent", "good", "attention", "refused", "break", "late"), ("page", "card"))]
LABELS = [("on", name) for name in ("agree", "in_flight", "late", "conflict", "break", "unjudged")]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXTS + LABELS)
def test_text_stands_out(theme: str, text: str, ground: str) -> None:
    colours = themes()[theme]
    assert contrast(colours[text], colours[ground]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["agree", "in_flight", "late", "conflict", "break", "unjudged", "field"])
def test_shapes_stand_out(theme: str, name: str) -> None:
    colours = themes()[theme]
    assert contrast(colours[name], colours["card"]) >= 3


def test_the_corrections_of_an_empty_run_are_no_section(empty: Report) -> None:
    said = Page(html.render(empty)).words()
    assert "should be told" not in said
    assert "What needs somebody" not in said


def test_rendering_is_a_function(report: Report, breaks: pa.Table) -> None:
    assert html.render(report) == html.render(report)
