"""The report in a real browser: its script runs, tables sort and filter, nothing leaves the machine."""

from __future__ import annotations

import html as escaping
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from handmade import break_row, breaks_of, cause, corrections_of, document_row, in_flight_of

from jobs.ad_hoc import validate_file
from reports import html, model
from reports.records import Report

NAMES = ("chromium", "chromium-browser", "google-chrome")
EVIL = "<script>alert(1)</script>"

#: Goes in before anything of ours, to hear of every error and of every request that is refused.
LISTEN = """<script>
window.problems = [];
addEventListener("error", (event) => problems.push("error: " + event.message), true);
addEventListener("unhandledrejection", (event) => problems.push("rejected: " + event.reason));
document.addEventListener("securitypolicyviolation", (event) => problems.push("policy: " + event.blockedURI));
window.alert = (message) => problems.push("alert: " + message);
</script>"""

#: Writes down what was found, for `--dump-dom` to print.
TELL = """
const tell = (found) => {
  const said = document.createElement("pre");
  said.id = "found";
  said.textContent = JSON.stringify(found);
  document.body.append(said);
};
"""

#: Does what a reader does, and writes down what is then to be seen.
USE = (
    f"""<script>{TELL}</script>"""
    + """<script>
const table = document.getElementById("pair-1-faults");
const seen = () => [...table.tBodies[0].rows].filter((row) => row.offsetHeight > 0);
const skus = () => seen().map((row) => row.cells[0].textContent);
const header = (name) => [...table.tHead.rows[0].cells].find((cell) => cell.textContent.startsWith(name));
const sortBy = (name) => { header(name).querySelector("button").click(); return skus(); };
const filter = document.getElementById("pair-1-faults-filter");
const type = (text) => { filter.value = text; filter.dispatchEvent(new Event("input")); return skus(); };
const found = { first: skus() };
found.byUnexplained = sortBy("unexplained");
found.ascending = header("unexplained").getAttribute("aria-sort");
found.byUnexplainedAgain = sortBy("unexplained");
found.descending = header("unexplained").getAttribute("aria-sort");
found.byValue = sortBy("value");
found.bySku = sortBy("SKU");
found.sorted = [...table.tHead.rows[0].cells].filter((cell) => cell.hasAttribute("aria-sort")).length;
found.bySeverity = sortBy("severity");
found.filtered = type("  NEVER imported ");
found.told = document.querySelector("output[for=pair-1-faults-filter]").textContent;
found.nothing = type("no such thing");
found.all = type("").length;
header("SKU").querySelector("button").focus();
found.focused = document.activeElement.tagName + " " + document.activeElement.textContent;
found.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
found.problems = problems;
found.width = [document.documentElement.scrollWidth, innerWidth];
tell(found);
</script>"""
)

#: Windows cannot be made as narrow as a phone, frames can.
PHONE = """<!doctype html><iframe style="width:{width}px;height:800px;border:0" srcdoc="{page}"></iframe>
<script>
{tell}
document.querySelector("iframe").onload = (event) => {{
  const root = event.target.contentDocument.documentElement;
  tell([root.scrollWidth, root.clientWidth]);
}};
</script>"""


@pytest.fixture(scope="module")
def chromium(require: Callable[[object, str], None]) -> str:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    require(found, f"none of {', '.join(NAMES)} is installed: the report was not opened in a browser")
    return str(found)


def browse(chromium: str, page: Path, *options: str) -> str:
    """Open a page without a network, and return what the browser prints."""
    command = [
        *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--log-level=3"),
        *("--disable-background-networking", "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND"),
        *(f"--user-data-dir={page.parent / 'profile'}", "--virtual-time-budget=3000", *options, page.as_uri()),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout


def found_in(dom: str) -> Any:
    """What a page wrote down about itself."""
    match = re.search(r'<pre id="found">(.*?)</pre>', dom, re.S)
    assert match, "the page wrote nothing down: its script did not come to its end"
    return json.loads(escaping.unescape(match[1]))


@pytest.fixture
def found(chromium: str, report: Report, tmp_path: Path) -> dict[str, Any]:
    """A copy of the report, listened to and used."""
    page = tmp_path / "report.html"
    text = html.render(report).replace("<head>", "<head>" + LISTEN, 1).replace("</body>", USE + "</body>", 1)
    page.write_text(text, encoding="utf-8")
    used: dict[str, Any] = found_in(browse(chromium, page, "--dump-dom"))
    return used


def test_the_report_in_a_browser(found: dict[str, Any]) -> None:
    assert found["problems"] == []
    assert found["requests"] == []
    # sorted as numbers: as text, 10 would come before 4.5; rows that tie keep their order
    assert found["first"] == ["85099B", "22113", EVIL, "10002", "10003", "10001"]
    assert found["byUnexplained"] == ["22113", "10002", "10003", "10001", "85099B", EVIL]
    assert found["ascending"] == "ascending"
    assert found["byUnexplainedAgain"] == [EVIL, "85099B", "22113", "10002", "10003", "10001"]
    assert found["descending"] == "descending"
    # what has no value comes last
    assert found["byValue"] == ["22113", "10001", "10003", "10002", EVIL, "85099B"]
    assert found["bySku"] == [EVIL, "10001", "10002", "10003", "22113", "85099B"]
    assert found["sorted"] == 1
    assert found["bySeverity"] == ["85099B", EVIL, "22113", "10001", "10002", "10003"]
    assert sorted(found["filtered"]) == ["10001", "10002", "10003"]
    assert found["told"] == "3 of 6 rows"
    assert found["nothing"] == []
    assert found["all"] == 6
    assert found["focused"] == "BUTTON SKU"
    assert found["width"][0] <= found["width"][1]


@pytest.fixture
def long_names(summary: dict[str, Any], in_flight: pa.Table) -> Report:
    """A report with a SKU, a place and a document that have no end."""
    long = {"sku": "S" * 300, "location": "L" * 100}
    causes = cause("ORDER_NOT_IMPORTED", "-3", "R" * 200)
    breaks = breaks_of(break_row(**long, class_name="LATE", reason="ORDER_NOT_IMPORTED", causes=causes))
    late = in_flight_of(document_row("R" * 200, "LATE", "ORDER_NOT_IMPORTED", **long))
    return model.build(summary, breaks, corrections_of(), pa.concat_tables([in_flight, late]), [])


def test_data_docs_show_hostile_text_as_text(chromium: str, tmp_path: Path) -> None:
    """Values, names and descriptions that are markup: nothing of them runs, all of them can be read."""
    image = "<img src=x onerror=alert(2)>"
    (tmp_path / "stock.csv").write_text(f"sku,{EVIL}\n{EVIL},1\n{image},2\n12,3\n", encoding="utf-8")
    matches = {
        "type": "expect_column_values_to_match_regex",
        "kwargs": {"column": "sku", "regex": "^[0-9]+$"},
        "severity": "warning",
        "description": f"digits {image}",
    }
    (tmp_path / "suite.json").write_text(json.dumps({"name": EVIL, "expectations": [matches]}), encoding="utf-8")
    validate_file([str(tmp_path / "stock.csv")], tmp_path / "suite.json", tmp_path / "out")
    ending = f"<script>{TELL} tell([problems, document.body.innerText]);</script>"
    shown = ""
    for page in sorted((tmp_path / "out").glob("*.html")):
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace("<head>", "<head>" + LISTEN, 1).replace("</body>", ending + "</body>", 1))
        problems, said = found_in(browse(chromium, page, "--dump-dom"))
        assert problems == []
        shown += said
    assert EVIL in shown
    assert image in shown


@pytest.mark.parametrize("width", [360, 768, 1024])
@pytest.mark.parametrize("which", ["report", "long_names"])
def test_a_narrow_screen_needs_no_sideways_scrolling(
    chromium: str, request: pytest.FixtureRequest, tmp_path: Path, which: str, width: int
) -> None:
    page = tmp_path / "phone.html"
    content = escaping.escape(html.render(request.getfixturevalue(which)))
    page.write_text(PHONE.format(width=width, tell=TELL, page=content), encoding="utf-8")
    needed, there = found_in(browse(chromium, page, "--dump-dom"))
    assert there == width
    assert needed <= width


def test_the_other_verdicts_open_without_an_error(
    chromium: str, empty: Report, refused: Report, tmp_path: Path
) -> None:
    ending = f"<script>{TELL} tell(problems);</script>"
    for name, report in (("empty", empty), ("refused", refused)):
        page = tmp_path / f"{name}.html"
        text = html.render(report).replace("<head>", "<head>" + LISTEN, 1).replace("</body>", ending + "</body>", 1)
        page.write_text(text, encoding="utf-8")
        assert found_in(browse(chromium, page, "--dump-dom")) == []


def test_it_is_painted_in_light_and_in_dark(chromium: str, report: Report, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(html.render(report), encoding="utf-8")
    pictures = []
    for scheme in (0, 1):
        picture = tmp_path / f"{scheme}.png"
        options = (f"--blink-settings=preferredColorScheme={scheme}", "--window-size=1280,1600")
        browse(chromium, page, f"--screenshot={picture}", *options)
        pictures.append(picture.read_bytes())
    assert [picture[:8] for picture in pictures] == [b"\x89PNG\r\n\x1a\n"] * 2
    assert pictures[0] != pictures[1]


def test_it_can_be_printed(chromium: str, report: Report, tmp_path: Path) -> None:
    page, printed = tmp_path / "report.html", tmp_path / "report.pdf"
    page.write_text(html.render(report), encoding="utf-8")
    browse(chromium, page, f"--print-to-pdf={printed}")
    assert printed.read_bytes()[:5] == b"%PDF-"
    assert printed.read_bytes().rstrip().endswith(b"%%EOF")
