"""Effect profiles: what the vendors' numbers react to, what is refused, and how a profile reads."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconcilers import profiles
from reconcilers.cases import verdict
from reconcilers.errors import ConfigError
from reconcilers.profiles import BASES, BUILT_IN, SELLABLE, EffectProfile, in_words, load, names, parse
from reconcilers.schemas import Kind

DOCS = Path(__file__).parents[2] / "docs" / "profiles.md"

NAMES = names()

#: Kinds in which the numbers of systems differ: the life of an order and of a return, and holds.
ORDER = ["PLACE", "CANCEL", "ALLOCATE", "DEALLOC", "PICK", "SHIP"]
LIFE = [*ORDER, "RETURN_ANNOUNCED", "RETURN_RECV", "RESTOCK", "SCRAP", "HOLD", "RELEASE"]
STORE = ["POS_SALE", "POS_RETURN"]
GOODS = {"RECEIPT": 1, "XFER_IN": 1, "XFER_OUT": -1, "ADJUST": 1, "PUBLISH": 1}

#: When each system deducts, gives back and holds, as its documentation or source says it. Of a return
#: either the arrival (then scrapping takes it off again) or the restock counts.
DEDUCTED_AND_GIVEN_BACK = """
    name                             basis       lowered by          raised by
    shopify.available                available   PLACE HOLD          CANCEL RESTOCK RELEASE
    shopify.on_hand                  on_hand     SHIP                RESTOCK
    shopify.committed                committed   SHIP CANCEL         PLACE
    magento.salable                  salable     PLACE               CANCEL RESTOCK
    magento.quantity                 on_hand     SHIP                RESTOCK
    magento.reserved                 committed   SHIP CANCEL         PLACE
    woocommerce.stock                available   PLACE               CANCEL RESTOCK
    bigcommerce.on_hand_at_order     available   PLACE               CANCEL RESTOCK
    bigcommerce.on_hand_at_shipment  on_hand     SHIP                RESTOCK
    salesforce_b2c.ats               atp         PLACE               CANCEL RESTOCK
    commercetools.available          available   PLACE HOLD          CANCEL RESTOCK RELEASE
    commercetools.on_stock           on_hand     SHIP                RESTOCK
    saleor.quantity                  on_hand     SHIP                RESTOCK
    saleor.available                 available   PLACE HOLD          CANCEL RESTOCK RELEASE
    medusa.stocked                   on_hand     SHIP                RESTOCK
    medusa.available                 available   PLACE               CANCEL RESTOCK
    vendure.on_hand                  on_hand     SHIP                RESTOCK
    vendure.saleable                 salable     PLACE               CANCEL RESTOCK
    solidus.count_on_hand            available   PLACE               CANCEL RESTOCK
    spree.count_on_hand              on_hand     SHIP                RESTOCK
    spree.available                  available   PLACE HOLD          CANCEL RESTOCK RELEASE
    odoo.qty_available               on_hand     SHIP SCRAP          RETURN_RECV
    odoo.free_qty                    available   ALLOCATE SCRAP      DEALLOC RETURN_RECV
    odoo.virtual_available           projected   PLACE SCRAP         CANCEL RETURN_ANNOUNCED
    erpnext.actual_qty               on_hand     SHIP SCRAP          RETURN_RECV
    erpnext.available                available   PLACE SCRAP         CANCEL RETURN_RECV
    erpnext.reserved_qty             committed   SHIP CANCEL         PLACE
    amazon_fba.fulfillable           available   PLACE HOLD          CANCEL RESTOCK RELEASE
    amazon_fba.total                 projected   SHIP SCRAP          RETURN_RECV
    amazon_mfn.listing               available   PLACE HOLD          CANCEL RESTOCK RELEASE
    dynamics365.afr                  available   PLACE HOLD          CANCEL RESTOCK RELEASE
    storefront.available             available   PLACE HOLD          CANCEL RESTOCK RELEASE
    storefront.on_hand               on_hand     SHIP                RESTOCK
    marketplace.available            available   PLACE HOLD          CANCEL RESTOCK RELEASE
    erp.on_hand                      on_hand     SHIP SCRAP          RETURN_RECV
    erp.available                    available   PLACE HOLD          CANCEL RESTOCK RELEASE
    oms.atp                          atp         PLACE HOLD          CANCEL RESTOCK RELEASE
    wms.on_hand                      on_hand     SHIP SCRAP          RETURN_RECV
    wms.available                    available   ALLOCATE HOLD       DEALLOC RESTOCK RELEASE
    pos.on_hand                      on_hand     SHIP SCRAP          RETURN_RECV
"""
TABLE = {
    row[0]: (row[1], set(row[2].split()), set(row[3].split()))
    for row in (re.split(r"\s{2,}", line.strip()) for line in DEDUCTED_AND_GIVEN_BACK.strip().splitlines()[1:])
}

#: Numbers of warehouses that no store sells from.
NO_STORE = {"wms.on_hand", "wms.available", "amazon_fba.fulfillable", "amazon_fba.total"}


def demand(profile: EffectProfile) -> bool:
    """Whether the number counts what is promised, not goods."""
    return profile.basis == "committed"


def documented() -> dict[str, list[str]]:
    """The rows of the tables of profiles: basis, deducted at, given back at, effects, maybe source."""
    rows = re.findall(r"^\| `(\w+\.\w+)` \|(.*)\|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(dict(rows)) == len(rows), "a profile has two rows"
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}


def test_the_table_has_every_profile_and_no_other():
    assert sorted(TABLE) == NAMES


@pytest.mark.parametrize("name", NAMES)
class TestEveryProfile:
    def test_deducts_and_gives_back_as_the_vendor_says(self, name):
        profile = load(name)
        basis, lowered, raised = TABLE[name]
        assert profile.basis == basis
        for kind in LIFE:
            assert profile.coefficient(Kind(kind)) == (kind in raised) - (kind in lowered), kind

    def test_goods_that_come_and_go_move_every_number_but_demand(self, name):
        profile = load(name)
        for kind, coefficient in GOODS.items():
            assert profile.coefficient(Kind(kind)) == (0 if demand(profile) else coefficient), kind

    def test_store_sales_and_store_returns_are_opposites(self, name):
        profile = load(name)
        sells = 0 if demand(profile) or name in NO_STORE else -1
        assert [profile.coefficient(Kind(kind)) for kind in STORE] == [sells, -sells]

    def test_a_count_is_an_observation(self, name):
        assert load(name).coefficient(Kind.COUNT) == 0

    @pytest.mark.parametrize(
        ("chain", "goods", "promised"),
        [
            ("PLACE ALLOCATE PICK SHIP", -1, 0),
            ("PLACE CANCEL", 0, 0),
            ("PLACE ALLOCATE DEALLOC CANCEL", 0, 0),
            ("PLACE ALLOCATE SHIP RETURN_ANNOUNCED RETURN_RECV RESTOCK", 0, 0),
            ("PLACE ALLOCATE SHIP RETURN_ANNOUNCED RETURN_RECV SCRAP", -1, 0),
            ("HOLD RELEASE", 0, 0),
            ("POS_SALE POS_RETURN", 0, 0),
            ("XFER_OUT XFER_IN", 0, 0),
        ],
    )
    def test_a_closed_chain_adds_the_same_to_every_number(self, name, chain, goods, promised):
        """What makes closed orders cancel: two numbers differ only by what is under way."""
        profile = load(name)
        total = sum(profile.coefficient(Kind(kind)) for kind in chain.split())
        assert total == (promised if demand(profile) else goods)

    def test_says_what_it_is_where_it_is_from_and_what_to_check(self, name):
        profile = load(name)
        assert re.fullmatch(r"[a-z0-9_]+\.[a-z0-9_]+", name)
        assert profile.version >= 1
        assert 0 < len(profile.title) <= 60, "it has to fit beside the name in a terminal"
        assert profile.basis in BASES
        assert profile.source
        assert "http" not in profile.source
        assert profile.notes

    def test_reads_as_sentences_that_fit_a_terminal(self, name):
        profile = load(name)
        words = in_words(profile)
        assert words.startswith(f"{name}, version {profile.version}: {profile.title}\n")
        assert all(len(line) <= 88 for line in words.splitlines())
        flat = " ".join(words.split())
        assert flat.endswith(f"Source: {profile.source}")
        assert profile.notes in flat
        assert ("the available to promise is published on it" in flat) == profile.sellable

    def test_has_a_row_in_the_documentation_that_says_the_same(self, name):
        profile = load(name)
        basis, _, _, effects, *source = documented()[name]
        lowered, raised = re.fullmatch("`−` (.+) `[+]` (.+)", effects).groups()
        assert basis == profile.basis
        shown = [kind for kind in [*LIFE, *STORE] if kind != "PICK"]
        assert set(lowered.split()) == {kind for kind in shown if profile.coefficient(Kind(kind)) < 0}
        assert set(raised.split()) == {kind for kind in shown if profile.coefficient(Kind(kind)) > 0}
        if source:
            first = source[0].split(",")[0]
            assert profile.source.lower().startswith(first.lower())


def test_the_documentation_has_no_row_without_a_profile():
    assert sorted(documented()) == NAMES


class TestLagZeroAndWholeUnits:
    def test_what_commercetools_reads_trails_by_ten_seconds_and_nothing_else_does(self):
        lagging = {name: load(name).lag for name in NAMES if load(name).lag}
        assert lagging == dict.fromkeys(["commercetools.available", "commercetools.on_stock"], timedelta(seconds=10))

    def test_only_what_is_documented_to_stop_at_zero_does(self):
        assert {name for name in NAMES if load(name).clamps_at_zero} == {"salesforce_b2c.ats", "saleor.available"}

    @pytest.mark.parametrize("name", NAMES)
    def test_systems_with_decimal_quantities_are_not_rounded(self, name):
        decimal = {"magento", "odoo", "erpnext", "medusa", "salesforce_b2c", "dynamics365", "erp", "oms", "wms", "pos"}
        assert load(name).whole_units == (name.split(".")[0] not in decimal)

    def test_what_promises_goods_is_what_its_basis_says(self):
        assert {load(name).basis for name in NAMES if load(name).sellable} == SELLABLE


def observe(name: str, quantity: int) -> dict[str, str]:
    system, number = name.split(".")
    return {"system": system, "basis": number, "quantity": str(quantity), "as_of": "2026-03-02T10:00:00Z"}


def order(ref: str, quantity: int, **kinds: str) -> list[dict[str, object]]:
    """One line's events: for each kind the hours at which A and B posted it, `-` for never."""
    events = []
    for kind, hours in kinds.items():
        posted = {side: f"2026-03-02T{at}:00Z" for side, at in zip("ab", hours.split(), strict=True) if at != "-"}
        events.append({"kind": kind, "ref": ref, "quantity": str(quantity), "posted": posted})
    return events


class TestCommitted:
    """A number that rises with demand, against another system's."""

    def judge(self, a: int, b: int) -> dict[str, object]:
        events = [
            *order("open/1", 3, PLACE="08:00 08:10"),  # 3 in Shopify, 3 in ERPNext
            *order("new/1", 2, PLACE="09:50 -"),  # 2, 0: not imported
            *order("shipped/1", 4, PLACE="08:00 08:10", SHIP="- 09:30"),  # 4, 0: Shopify was not told
            *order("cancelled/1", 1, PLACE="08:00 08:10", CANCEL="09:40 -"),  # 0, 1: ERPNext was not told
            *order("done/1", 7, PLACE="07:00 07:10", SHIP="09:00 08:50"),  # 0, 0
        ]  # together 9 and 4
        sides = {"a": observe("shopify.committed", a), "b": observe("erpnext.reserved_qty", b)}
        return verdict({"id": "committed", **sides, "events": events}, load)

    def test_what_only_one_side_has_counted_explains_the_difference(self):
        level = self.judge(9, 4)
        assert (level["raw_diff"], level["expected_diff"], level["unexplained"]) == (5, 5, 0)
        assert level["class"] == "IN_FLIGHT"

    def test_and_the_rest_is_unexplained(self):
        level = self.judge(8, 4)
        assert (level["expected_diff"], level["unexplained"], level["class"]) == (5, -1, "BREAK")


@pytest.mark.parametrize("a", [name for name in NAMES if not demand(load(name))])
def test_any_two_numbers_of_goods_agree_on_what_is_over(a):
    """A shipped, a cancelled and a returned order that both sides have counted to the end leave 20 − 2 = 18."""
    for b in ("erp.on_hand", "odoo.free_qty"):
        level = verdict(
            {
                "id": a,
                "a": observe(a, 18),
                "b": observe(b, 18),
                "events": [
                    *order("shipped/1", 2, PLACE="06:00 06:10", ALLOCATE="06:20 06:30", SHIP="07:00 07:10"),
                    *order("cancelled/1", 3, PLACE="06:00 06:10", ALLOCATE="06:20 06:30",
                           DEALLOC="07:00 07:05", CANCEL="07:00 07:10"),
                    *order("returned/1", 5, PLACE="06:00 06:10", ALLOCATE="06:20 06:30", SHIP="07:00 07:10",
                           RETURN_ANNOUNCED="08:00 08:10", RETURN_RECV="09:00 09:10", RESTOCK="09:30 09:40"),
                ],
            },
            load,
        )  # fmt: skip
        assert (level["unexplained"], level["class"]) == (0, "MATCHED"), b


def test_a_clamped_number_shows_zero_for_less_than_nothing():
    """Salesforce sold 4 of 3: it shows 0, not −1, and that is right."""
    events = order("oversold/1", 4, PLACE="09:00 -")
    level = verdict(
        {"id": "ats", "a": observe("salesforce_b2c.ats", 0), "b": observe("erp.on_hand", 3), "events": events}, load
    )
    assert (level["unexplained"], level["publish"]) == (0, 0)
    shopify = verdict(
        {"id": "shop", "a": observe("shopify.available", 0), "b": observe("erp.on_hand", 3), "events": events}, load
    )
    assert (shopify["expected_diff"], shopify["unexplained"]) == (-4, 1)


def test_within_the_lag_nobody_knows():
    """Sold 5 seconds before the number was read: commercetools may or may not show it."""
    events = [{"kind": "PLACE", "ref": "c/1", "quantity": "2", "posted": {"a": "2026-03-02T09:59:55Z"}}]
    for shown in (18, 20):
        case = {"id": "lag", "a": observe("commercetools.available", shown), "b": observe("erp.on_hand", 20)}
        level = verdict({**case, "events": events}, load)
        assert level["class"] == "AMBIGUOUS"
        assert level["unexplained_lo"] <= 0 <= level["unexplained_hi"]


GOOD = {"name": "my.stock", "basis": "on_hand", "effects": {"SHIP": -1, "RESTOCK": 1}}


class TestOwn:
    """A profile of the user's own, in the project's directory."""

    def test_overrides_the_ready_made_one_of_its_name(self, tmp_path):
        own = "name: erp.on_hand\nversion: 7\nbasis: on_hand\neffects:\n  PLACE: -1\n"
        (tmp_path / "erp.on_hand.yaml").write_text(own)
        profile = load("erp.on_hand", tmp_path)
        assert (profile.version, dict(profile.effects)) == (7, {Kind.PLACE: -1})
        assert load("erp.on_hand").version == 1
        assert names(tmp_path) == NAMES

    def test_stands_beside_them(self, tmp_path):
        (tmp_path / "my.stock.yaml").write_text(yaml.safe_dump(GOOD))
        assert names(tmp_path) == sorted([*NAMES, "my.stock"])
        assert load("my.stock", tmp_path).coefficient(Kind.SHIP) == -1
        with pytest.raises(ConfigError, match=r"unknown profile 'my.stock'"):
            load("my.stock")

    def test_has_sensible_defaults(self, tmp_path):
        profile = parse(yaml.safe_dump(GOOD), tmp_path / "my.stock.yaml")
        assert (profile.version, profile.lag) == (1, timedelta(0))
        assert not profile.clamps_at_zero
        assert not profile.whole_units
        assert in_words(profile).endswith("Source: not given")

    def test_may_come_from_any_editor(self, tmp_path):
        text = "name: my.stock\r\nbasis: points\r\neffects:\r\n  ADJUST: +1\r\nwhole_units: yes\r\n"
        (tmp_path / "my.stock.yaml").write_bytes(b"\xef\xbb\xbf" + text.encode())
        profile = load("my.stock", tmp_path)
        assert (profile.basis, profile.sellable, profile.whole_units) == ("points", False, True)

    def test_the_example_of_the_documentation_is_one(self):
        (example,) = re.findall(r"```yaml\n(.+?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
        name = re.search(r"profiles/([\w.]+)\.yaml", example)[1]
        profile = parse(example, Path(f"profiles/{name}.yaml"))
        assert (profile.version, profile.lag, profile.sellable) == (2, timedelta(seconds=30), True)
        assert profile.coefficient(Kind.PLACE) == -1

    @given(
        st.dictionaries(st.sampled_from(list(Kind)), st.sampled_from([-1, 0, 1])).filter(lambda e: any(e.values())),
        st.integers(0, 31 * 86_400),
        st.booleans(),
        st.booleans(),
    )
    def test_what_is_written_is_read(self, effects, seconds, clamps, whole):
        written = {
            **GOOD,
            "effects": {str(kind): c for kind, c in effects.items()},
            "lag": f"PT{seconds}S",
            "clamps_at_zero": clamps,
            "whole_units": whole,
        }
        profile = parse(yaml.safe_dump(written), Path("my.stock.yaml"))
        assert all(profile.coefficient(kind) == effects.get(kind, 0) for kind in Kind)
        assert (profile.lag, profile.clamps_at_zero, profile.whole_units) == (timedelta(seconds=seconds), clamps, whole)
        assert in_words(profile)


HEAD = "name: my.stock\nbasis: on_hand\n"
BODY = "effects:\n  SHIP: -1\n"

OTHER = "1: name: 'your.stock' is not the file's name 'my.stock'"
MISSPELT = "2: basis: unknown basis 'availible'; did you mean available?"
CODE = "5: effects.PLACE: coefficient the tag tag:yaml.org,2002:python/name:os.getcwd is not -1, 0 or 1"
NO_DURATION = " is not an ISO 8601 duration such as P1D or PT4H"

WRONG = {
    "no mapping": ("- SHIP\n", "1: a profile is a mapping (name:, basis:, effects:), not a list"),
    "text": ("hello\n", "1: a profile is a mapping (name:, basis:, effects:), not 'hello'"),
    "empty": ("# nothing yet\n", "1: a profile is a mapping (name:, basis:, effects:), not an empty file"),
    "no YAML": (HEAD + "effects: {SHIP: -1\n", "4: not YAML: expected ',' or '}', but got '<stream end>'"),
    "no text": (HEAD + "title: \x01\n" + BODY, "3: not YAML: special characters are not allowed"),
    "two documents": (HEAD + BODY + "---\nname: b\n", "5: not YAML: but found another document"),
    "no name": ("basis: on_hand\n" + BODY, "1: name: missing"),
    "no basis": ("name: my.stock\n" + BODY, "1: basis: missing"),
    "no effects": (HEAD, "1: effects: missing; it is a mapping of kinds to -1, 0 or 1"),
    "blank basis": ("name: my.stock\nbasis:\n" + BODY, "2: basis: empty"),
    "other name": ("name: your.stock\nbasis: on_hand\n" + BODY, OTHER),
    "name is a list": ("name: [my.stock]\nbasis: on_hand\n" + BODY, "1: name: a list is not text"),
    "misspelt basis": ("name: my.stock\nbasis: availible\n" + BODY, MISSPELT),
    "unknown key": (HEAD + "wholeunits: true\n" + BODY, "3: wholeunits: unknown key; did you mean whole_units?"),
    "far off key": (HEAD + BODY + "colour: red\n", "5: colour: unknown key"),
    "key twice": (HEAD + BODY + "basis: available\n", "5: basis: given twice, first in line 2"),
    "kind twice": (HEAD + BODY + "  PLACE: 0\n  SHIP: 1\n", "6: effects.SHIP: given twice, first in line 4"),
    "key is a list": (HEAD + BODY + "  [PLACE]: 0\n", "5: effects: a list is not a key"),
    "unknown kind": (HEAD + BODY + "  PLCAE: -1\n", "5: effects.PLCAE: unknown kind; did you mean PLACE?"),
    "kind in lower case": (HEAD + BODY + "  place: -1\n", "5: effects.place: unknown kind; did you mean PLACE?"),
    "far off kind": (HEAD + BODY + "  QQQ: -1\n", "5: effects.QQQ: unknown kind"),
    "two": (HEAD + BODY + "  PLACE: 2\n", "5: effects.PLACE: coefficient 2 is not -1, 0 or 1"),
    "float": (HEAD + BODY + "  PLACE: 1.0\n", "5: effects.PLACE: coefficient 1.0 is not -1, 0 or 1"),
    "bool": (HEAD + BODY + "  PLACE: true\n", "5: effects.PLACE: coefficient true is not -1, 0 or 1"),
    "quoted": (HEAD + BODY + "  PLACE: '1'\n", "5: effects.PLACE: coefficient '1' is not -1, 0 or 1"),
    "word": (HEAD + BODY + "  PLACE: falls\n", "5: effects.PLACE: coefficient 'falls' is not -1, 0 or 1"),
    "nothing": (HEAD + BODY + "  PLACE:\n", "5: effects.PLACE: coefficient nothing is not -1, 0 or 1"),
    "huge": (HEAD + BODY + f"  PLACE: {'9' * 5000}\n", f"5: effects.PLACE: coefficient {'9' * 40}… is not -1, 0 or 1"),
    "itself": (HEAD + "effects: &e\n  SHIP: *e\n", "4: effects.SHIP: coefficient a mapping is not -1, 0 or 1"),
    "code": (HEAD + BODY + "  PLACE: !!python/name:os.getcwd\n", CODE),
    "no effect at all": (HEAD + "effects: {}\n", "3: effects: no event moves the number, so it cannot be compared"),
    "only zeros": (HEAD + "effects: {SHIP: 0}\n", "3: effects: no event moves the number, so it cannot be compared"),
    "effects are a list": (HEAD + "effects:\n- SHIP\n", "3: effects: a list is not a mapping of kinds to -1, 0 or 1"),
    "lag in words": (HEAD + "lag: 10 seconds\n" + BODY, "3: lag: '10 seconds'" + NO_DURATION),
    "lag is a number": (HEAD + "lag: 10\n" + BODY, "3: lag: '10'" + NO_DURATION),
    "lag below zero": (HEAD + "lag: -PT1S\n" + BODY, "3: lag: '-PT1S'" + NO_DURATION),
    "lag of a year": (HEAD + "lag: P365D\n" + BODY, "3: lag: 'P365D' is more than P31D"),
    "lag beyond time": (HEAD + "lag: P99999999999D\n" + BODY, "3: lag: 'P99999999999D' is more than P31D"),
    "flag in quotes": (HEAD + "clamps_at_zero: 'false'\n" + BODY, "3: clamps_at_zero: 'false' is not true or false"),
    "flag is a number": (HEAD + "whole_units: 1\n" + BODY, "3: whole_units: 1 is not true or false"),
    "version one and a half": (HEAD + "version: 1.5\n" + BODY, "3: version: 1.5 is not a whole number from 1 on"),
    "version zero": (HEAD + "version: 0\n" + BODY, "3: version: 0 is not a whole number from 1 on"),
    "version is true": (HEAD + "version: true\n" + BODY, "3: version: true is not a whole number from 1 on"),
    "title is a mapping": (HEAD + "title: {a: b}\n" + BODY, "3: title: a mapping is not text"),
}  # fmt: skip


class TestWhatIsRefused:
    @pytest.mark.parametrize("case", WRONG)
    def test_in_one_line_with_file_and_line(self, case, tmp_path):
        text, told = WRONG[case]
        path = tmp_path / "my.stock.yaml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            load("my.stock", tmp_path)
        assert caught.value.problems == [f"{path}:{told}"]

    def test_all_problems_at_once_in_the_order_of_their_lines(self):
        text = "name: my.stock\nbasis: on_hand\neffects:\n  SHIPP: -1\n  PLACE: 2\nlag: soon\n"
        with pytest.raises(ConfigError) as caught:
            parse(text, Path("my.stock.yaml"))
        assert [problem.split(": ")[0] for problem in caught.value.problems] == [
            "my.stock.yaml:4",
            "my.stock.yaml:5",
            "my.stock.yaml:6",
        ]

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("storefrnt.available", "; did you mean 'storefront.available'?"),
            ("shopify", "; there are: shopify.available, shopify.committed, shopify.on_hand"),
            ("sap.on_order", "; `recon profiles list` shows what there is"),
        ],
    )
    def test_a_name_that_is_none(self, name, told):
        with pytest.raises(ConfigError) as caught:
            load(name)
        assert caught.value.problems == [f"unknown profile {name!r}{told}"]

    def test_a_file_that_would_not_be_read(self, tmp_path):
        (tmp_path / "my.stock.yml").write_text(yaml.safe_dump(GOOD))
        with pytest.raises(ConfigError, match=r"my\.stock\.yml: .* rename it to my\.stock\.yaml"):
            load("erp.on_hand", tmp_path)

    def test_a_file_that_is_not_text(self, tmp_path):
        (tmp_path / "my.stock.yaml").write_bytes(b"name: caf\xe9\n")
        with pytest.raises(ConfigError, match=r"not UTF-8 text \(byte 10\)"):
            load("my.stock", tmp_path)

    def test_a_directory(self, tmp_path):
        (tmp_path / "my.stock.yaml").mkdir()
        with pytest.raises(ConfigError, match=r"cannot be read: Is a directory"):
            load("my.stock", tmp_path)

    def test_a_nest_without_end(self):
        with pytest.raises(ConfigError, match="nested too deep"):
            parse("[" * 5000, Path("my.stock.yaml"))

    @given(st.text(max_size=60))
    def test_whatever_else_a_file_may_say_is_no_crash(self, text):
        with pytest.raises(ConfigError):
            parse(text, Path("my.stock.yaml"))

    @pytest.mark.parametrize(
        "effects", [{}, {Kind.SHIP: 0}, {Kind.SHIP: 2}, {Kind.SHIP: True}, {Kind.SHIP: Decimal(1)}], ids=str
    )
    def test_in_python_too(self, effects):
        with pytest.raises(ConfigError, match=r"^profile my\.stock: "):
            EffectProfile("my.stock", effects, "on_hand")


def test_words_for_every_kind_and_none_twice():
    words = {**profiles._WORDS, **profiles._SIGNED_WORDS}
    assert set(words) == set(Kind)
    assert len(set(words.values())) == len(Kind)


def test_the_sentences_of_a_number_with_everything():
    profile = EffectProfile(
        "my.stock", {Kind.SHIP: -1, Kind.RESTOCK: 1, Kind.ADJUST: 1, Kind.PUBLISH: -1}, "on_hand",
        title="Mine", source="Seen", lag=timedelta(minutes=90), clamps_at_zero=True, whole_units=True,
    )  # fmt: skip
    assert " ".join(in_words(profile).split()) == (
        "my.stock, version 1: Mine "
        "It falls when goods are shipped. "
        "It rises when returned goods become sellable again. "
        "An adjustment moves it by its own sign. "
        "A published correction moves it by the opposite sign. "
        "It stays as it is when an order is placed or imported, stock is allocated to an order, "
        "returned goods arrive or a hold is taken. "
        "Its basis is on_hand. It counts goods on the shelf, whether or not they are promised to somebody. "
        "It may trail behind the events by up to 90 minutes. "
        "It never shows less than zero. It shows whole units only, rounded down. "
        "Source: Seen"
    )


def test_the_files_are_where_the_registry_looks():
    assert {path.stem for path in BUILT_IN.iterdir()} == set(NAMES)
