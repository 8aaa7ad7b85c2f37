"""docs/domain.md and docs/cases.md against the code: every word has its row, the example is right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reconcilers import profiles
from reconcilers.cases import CHECKED, read_cases, run_case
from reconcilers.schemas import Class, Kind, Reason

DOCS = Path(__file__).parent.parent / "docs"
DOMAIN = (DOCS / "domain.md").read_text(encoding="utf-8")
CASES = (DOCS / "cases.md").read_text(encoding="utf-8")


def words_of(section: str) -> list[str]:
    """The words in capitals in the first column of a section's tables."""
    body = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", DOMAIN, re.MULTILINE | re.DOTALL)[1]
    return [word for cell in re.findall(r"^\| ([A-Z][A-Z_, a-z]+) \|", body, re.MULTILINE) for word in cell.split(", ")]


@pytest.mark.parametrize(("section", "words"), [("Events", Kind), ("Verdicts", Class), ("Reason codes", Reason)])
def test_every_word_has_one_row_and_no_row_is_of_another(section, words):
    assert sorted(words_of(section)) == sorted(words)


def test_the_common_profiles_are_what_the_table_says():
    body = re.search(r"^## Effect profiles\n(.*?)^## ", DOMAIN, re.MULTILINE | re.DOTALL)[1]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines() if line.startswith("|")]
    columns = [
        ("storefront.available", "marketplace.available"),
        ("storefront.on_hand",),
        ("erp.on_hand",),
        ("erp.available", "oms.atp"),
        ("wms.on_hand",),
        ("wms.available",),
        ("pos.on_hand",),
    ]
    said: dict[str, dict[str, int]] = {name: {} for names in columns for name in names}
    for kinds, *cells in rows[2:]:
        for names, cell in zip(columns, cells, strict=True):
            for part, number in zip(kinds.split(" / "), (cell or "0 / 0").split(" / "), strict=False):
                for kind in part.split(", "):
                    for name in names:
                        said[name][kind] = int(number.replace("−", "-"))
    for name, effects in said.items():
        profile = profiles.load(name)
        assert {kind: c for kind, c in effects.items() if c} == {str(k): c for k, c in profile.effects.items() if c}


def test_the_example_of_the_cases_is_right(tmp_path):
    (example,) = re.findall(r"```jsonl\n(.+?)```", CASES, re.DOTALL)
    (tmp_path / "shop.jsonl").write_text(example, encoding="utf-8")
    outcomes = [run_case(case, profiles.load) for case in read_cases(tmp_path / "shop.jsonl")]
    assert [outcome.differences for outcome in outcomes] == [{}] * 4
    for outcome in outcomes:
        assert f"ok   {outcome.case_id}  {outcome.title}\n" in CASES
        assert f"* **{outcome.case_id}**:" in CASES


def test_everything_that_a_case_may_expect_is_documented():
    assert all(f"`{column}`" in CASES for column in CHECKED)
