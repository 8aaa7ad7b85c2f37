from __future__ import annotations

import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.config import Config, load
from jobs.config_text import Secret
from reconcilers.errors import ConfigError
from reconcilers.mapping import LineStep, Mapping
from reconcilers.schemas import Kind

GOOD = """\
workspace: .recon
systems:
  erp:
    timezone: Europe/Berlin
    stock:
      connector: files
      path: erp.csv
      delimiter: ";"
      profile: erp.on_hand
      columns: {sku: item_no, location: whse, quantity: qty_oh}
    events:
      connector: files
      path: lines.csv
      lines: {ref: customer_ref, PLACE: {quantity: ordered, at: imported_at}}
  storefront:
    stock:
      connector: files
      path: shop.csv
      profile: storefront.available
      constants: {location: web}
pairs:
  storefront~erp:
    locations: {web: [ERP-BER, ERP-HAM]}
    sla: {PLACE: P1D}
jobs:
  nightly:
    pairs: [storefront~erp]
"""


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Load a text as `recon.yaml`; problems name the file by its short name."""
    monkeypatch.chdir(tmp_path)

    def loaded(text: str) -> Config:
        (tmp_path / "recon.yaml").write_text(text, encoding="utf-8")
        return load(Path("recon.yaml"))

    return loaded


@pytest.fixture
def problems(read):
    def told(text: str) -> list[str]:
        with pytest.raises(ConfigError) as found:
            read(text)
        return found.value.problems

    return told


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


def added(section: str, *lines: str) -> str:
    """GOOD with lines below the line that opens a section, indented like its content."""
    rows = GOOD.splitlines()
    at = next(i for i, row in enumerate(rows) if row.strip() == section)
    indent = " " * (len(rows[at + 1]) - len(rows[at + 1].lstrip()))
    return "\n".join([*rows[: at + 1], *(indent + line for line in lines), *rows[at + 1 :]])


class TestWhatIsRead:
    def test_systems_and_their_datasets(self, read, tmp_path):
        config = read(GOOD)
        erp = config.system("erp")
        assert erp.timezone == "Europe/Berlin"
        assert config.system("storefront").timezone == "UTC"
        assert erp.stock is not None
        assert (erp.stock.connector, erp.stock.profile) == ("files", "erp.on_hand")
        assert erp.stock.options == {"path": "erp.csv", "delimiter": ";"}
        assert len(erp.events) == 1
        assert config.base == tmp_path

    def test_columns_become_a_mapping(self, read):
        stock = read(GOOD).system("erp").stock
        assert stock.mapping_kwargs()["columns"] == {"sku": "item_no", "location": "whse", "quantity": "qty_oh"}
        Mapping(dataset="stock", **stock.mapping_kwargs())

    def test_lines_give_steps_and_columns(self, read):
        arguments = read(GOOD).system("erp").events[0].mapping_kwargs()
        assert arguments["lines"] == {Kind.PLACE: LineStep("ordered", "imported_at")}
        assert arguments["columns"] == {"ref": "customer_ref"}
        Mapping(dataset="events", **arguments)

    def test_event_rows_have_kinds(self, read):
        text = changed(
            "lines: {ref: customer_ref, PLACE: {quantity: ordered, at: imported_at}}",
            "kinds: {verkauft: SHIP, gebucht: RECEIPT}\n      columns: {kind: art, posted_at: zeit}",
        )
        arguments = read(text).system("erp").events[0].mapping_kwargs()
        assert arguments["kinds"] == {"verkauft": Kind.SHIP, "gebucht": Kind.RECEIPT}
        assert arguments["lines"] == {}

    def test_a_pair(self, read):
        pair = read(GOOD).pair("storefront~erp")
        assert pair.locations == {"web": ("ERP-BER", "ERP-HAM")}
        assert pair.sla == {Kind.PLACE: timedelta(days=1)}
        assert (pair.debounce, pair.safety_stock, pair.returns_sellable) == (1, Decimal(0), False)

    def test_defaults_of_the_file(self, read, tmp_path):
        config = read(GOOD)
        assert config.workspace == str(tmp_path / ".recon")
        assert (config.now, config.decimals, config.buckets, config.profiles) == (None, 4, None, None)
        assert config.job("nightly").gates == {}

    def test_a_feed_may_have_several_parts(self, read):
        text = changed(
            "    events:\n      connector: files\n      path: lines.csv\n      lines:",
            "    events:\n    - {connector: files, path: a.csv}\n    - connector: files\n      path: b.csv\n"
            "      lines:",
        )
        assert [events.options["path"] for events in read(text).system("erp").events] == ["a.csv", "b.csv"]

    def test_the_workspace_of_another_place(self, read, tmp_path):
        assert read(changed("workspace: .recon", "workspace: gs://bucket/recon")).workspace == "gs://bucket/recon"
        assert read(changed("workspace: .recon", "workspace: /var/recon")).workspace == "/var/recon"
        assert read(changed("workspace: .recon", "workspace: ../there")).workspace == str(tmp_path / "../there")

    def test_a_replay_has_a_fixed_instant(self, read):
        config = read("now: 2026-03-01T02:00:00+01:00\n" + GOOD)
        assert config.now == datetime(2026, 3, 1, 1, tzinfo=UTC)
        assert config.now.tzinfo is UTC

    def test_a_bare_location_is_a_list_of_one(self, read):
        assert read(changed("[ERP-BER, ERP-HAM]", "ERP-BER")).pair("storefront~erp").locations == {"web": ("ERP-BER",)}

    def test_codes_stay_text_as_they_are_written(self, read):
        """YAML takes 0012 for an octal 10, NO for false, 1_000 for a thousand and 12:30 for 750."""
        text = changed("[ERP-BER, ERP-HAM]", "[0012, NO, 1_000, 12:30, 7, 1.50]")
        assert read(text).pair("storefront~erp").locations["web"] == ("0012", "NO", "1_000", "12:30", "7", "1.50")

    def test_quantities_are_exact(self, read):
        pair = read(added("storefront~erp:", "tolerance: {absolute: 0.1, relative: 0.0001}", "safety_stock: 2.5")).pair(
            "storefront~erp"
        )
        assert (pair.tolerance.absolute, pair.tolerance.relative) == (Decimal("0.1"), Decimal("0.0001"))
        assert pair.safety_stock == Decimal("2.5")

    def test_references_for_both_sides_or_one(self, read):
        text = added("storefront~erp:", 'references: {strip_prefix: "#", case: upper, b: {strip_prefix: [WEB-, W-]}}')
        references = read(text).pair("storefront~erp").references
        assert (references.strip_prefix, references.case, references.a) == (("#",), "upper", None)
        assert (references.b.strip_prefix, references.b.case) == (("WEB-", "W-"), "keep")

    def test_gates_and_the_shape_of_a_schedule(self, read):
        text = added(
            "nightly:",
            "gates: {breaks: 3, break_share: 0.01, units: 12.5}",
            'schedule: {cron: "15 2 * * *", timezone: Europe/Berlin, window: "01:00-05:00", blackout: [2026-11-27]}',
        )
        job = read(text).job("nightly")
        assert job.gates == {"breaks": 3, "break_share": Decimal("0.01"), "units": Decimal("12.5")}
        assert job.schedule.timezone == "Europe/Berlin"

    def test_a_key_without_a_value_is_as_if_it_were_not_there(self, read):
        assert read(added("storefront~erp:", "references:", "tolerance:")).pair("storefront~erp").debounce == 1

    def test_own_profiles_beside_the_file(self, read, tmp_path):
        (tmp_path / "profiles").mkdir()
        (tmp_path / "profiles" / "erp.free.yaml").write_text("{name: erp.free, basis: available, effects: {PLACE: -1}}")
        config = read(changed("erp.on_hand", "erp.free"))
        assert config.profiles == tmp_path / "profiles"
        assert config.system("erp").stock.profile == "erp.free"

    def test_aliases_and_units_are_beside_the_file(self, read, tmp_path):
        (tmp_path / "a.csv").write_text("raw,sku\n")
        assert read(added("erp:", "aliases: a.csv")).system("erp").aliases == tmp_path / "a.csv"

    def test_an_anchor_is_written_once_and_used_twice(self, read):
        text = added("storefront~erp:", "references: {a: &prefix {case: upper}, b: *prefix}")
        assert read(text).pair("storefront~erp").references.b.case == "upper"

    def test_a_byte_order_mark_does_no_harm(self, read):
        assert read("\ufeff" + GOOD).systems


class TestProblems:
    def test_all_at_once_in_the_order_of_their_lines(self, problems):
        text = (
            GOOD.replace("Europe/Berlin", "Europe/Berlim")
            .replace("profile: erp.on_hand", "profil: erp.on_hand")
            .replace("sla: {PLACE: P1D}", "sla: {PLAC: P1D, SHIP: 1 day}")
            .replace("pairs: [storefront~erp]", "pairs: [storefront~epr]")
        )
        assert problems(text) == [
            "recon.yaml:4: systems.erp.timezone: 'Europe/Berlim' is not a time zone; did you mean 'Europe/Berlin'?",
            "recon.yaml:9: systems.erp.stock.profil: unknown key; did you mean 'profile'?",
            "recon.yaml:24: pairs.storefront~erp.sla.PLAC: unknown kind 'PLAC'; did you mean 'PLACE'?",
            "recon.yaml:24: pairs.storefront~erp.sla.SHIP: '1 day' is not an ISO 8601 duration such as P1D or PT4H",
            "recon.yaml:27: jobs.nightly.pairs[0]: no pair 'storefront~epr'; did you mean 'storefront~erp'?",
        ]

    @pytest.mark.parametrize(
        ("old", "new", "told"),
        [
            (
                "workspace: .recon",
                "workspace: s3://b",
                "1: workspace: 's3://b' is neither a directory nor a gs:// prefix",
            ),
            (
                "workspace: .recon",
                "now: 2026-03-01T02:00",
                "1: now: '2026-03-01T02:00' has no offset; add Z (UTC) or one such as +01:00",
            ),
            ("workspace: .recon", "now: soon", "1: now: 'soon' is not an instant such as 2026-03-01T02:00:00Z"),
            ("workspace: .recon", "decimals: 10", "1: decimals: 10 is above 9"),
            ("workspace: .recon", "decimals: true", "1: decimals: true is not a number"),
            ("workspace: .recon", "buckets: 12", "1: buckets: 12 is not a power of two"),
            ("workspace: .recon", "buckets: 8192", "1: buckets: 8192 is above 4096"),
            (
                'delimiter: ";"',
                'delimeter: ";"',
                "8: systems.erp.stock.delimeter: unknown key; did you mean 'delimiter'?",
            ),
            (
                'delimiter: ";"',
                "delimiter: ;;",
                "8: systems.erp.stock.delimiter: ';;' is too long; it may have 1 characters",
            ),
            (
                'delimiter: ";"',
                "as_of: {frm: mtime}",
                "8: systems.erp.stock.as_of.frm: unknown key; did you mean 'from'?",
            ),
            (
                'delimiter: ";"',
                "header: maybe",
                "8: systems.erp.stock.header: 'maybe' is not true or false and 'maybe' is not a list",
            ),
            (
                'delimiter: ";"',
                "time_format: dd.mm.yyyy",
                "8: systems.erp.stock.time_format: 'dd.mm.yyyy' is neither iso nor a pattern such as '%d.%m.%Y %H:%M'",
            ),
            ('delimiter: ";"', 'decimal: ";"', "8: systems.erp.stock.decimal: ';' is not '.' or ','"),
            ('delimiter: ";"', "lines: {}", "8: systems.erp.stock.lines: belongs to events"),
            (
                'delimiter: ";"',
                "absent_means: nil",
                "8: systems.erp.stock.absent_means: 'nil' is not 'missing' or 'zero'",
            ),
            (
                "profile: erp.on_hand",
                "profile: erp.onhand",
                "9: systems.erp.stock.profile: unknown profile 'erp.onhand'; did you mean 'erp.on_hand'?",
            ),
            (
                "{sku: item_no,",
                "{skuu: item_no,",
                "10: systems.erp.stock.columns.skuu: no column 'skuu' in stock; did you mean 'sku'?",
            ),
            (
                "PLACE: {quantity: ordered,",
                "PLAC: {quantity: ordered,",
                "14: systems.erp.events.lines.PLAC: unknown kind; did you mean 'PLACE'?",
            ),
            (
                "{ref: customer_ref,",
                "{reff: customer_ref,",
                "14: systems.erp.events.lines.reff: unknown kind; did you mean 'ref'?",
            ),
            (
                "at: imported_at",
                "att: imported_at",
                "14: systems.erp.events.lines.PLACE.att: unknown key; did you mean 'at'?",
            ),
            (
                "      path: lines.csv",
                "      path: lines.csv\n      profile: erp.on_hand",
                "14: systems.erp.events.profile: belongs to stock",
            ),
            (
                "      path: lines.csv",
                "      path: lines.csv\n      kinds: {a: SHIP}",
                "11: systems.erp.events: kinds has no effect beside lines; each step is a kind",
            ),
            ("      path: lines.csv\n", "", "11: systems.erp.events: missing key 'path'"),
            ("[ERP-BER, ERP-HAM]", "[]", "23: pairs.storefront~erp.locations.web: names no location of the authority"),
            (
                "[ERP-BER, ERP-HAM]",
                "[A], shop: [A]",
                "23: pairs.storefront~erp.locations.shop: 'A' is in two pools ('web' and 'shop')",
            ),
            (
                "sla: {PLACE: P1D}",
                "sla: {PLACE: P1M}",
                "24: pairs.storefront~erp.sla.PLACE: 'P1M' is not an ISO 8601 duration such as P1D or PT4H",
            ),
            ("sla: {PLACE: P1D}", "debounce: 0", "24: pairs.storefront~erp.debounce: 0 is below 1"),
            ("sla: {PLACE: P1D}", "debounce: 1.5", "24: pairs.storefront~erp.debounce: 1.5 is not a whole number"),
            ("sla: {PLACE: P1D}", "safety_stock: -1", "24: pairs.storefront~erp.safety_stock: -1 is below 0"),
            (
                "sla: {PLACE: P1D}",
                "safety_stock: .nan",
                "24: pairs.storefront~erp.safety_stock: '.nan' is not a number",
            ),
            (
                "sla: {PLACE: P1D}",
                "safety_stock: 0.00001",
                "24: pairs.storefront~erp.safety_stock: 0.00001 has more than 4 decimal places (decimals: 4)",
            ),
            (
                "sla: {PLACE: P1D}",
                "tolerance: {relative: 5}",
                "24: pairs.storefront~erp.tolerance.relative: 5 is above 1",
            ),
            (
                "sla: {PLACE: P1D}",
                "references: {case: uper}",
                "24: pairs.storefront~erp.references.case: 'uper' is not 'keep', 'upper' or 'lower'",
            ),
            ("pairs: [storefront~erp]", "pairs: []", "27: jobs.nightly.pairs: is empty; it needs at least one"),
            (
                "pairs: [storefront~erp]",
                "pair: [storefront~erp]",
                "27: jobs.nightly.pair: unknown key; did you mean 'pairs'?",
            ),
            (
                "  nightly:",
                "  every night:",
                "26: jobs.every night: 'every night' is not a name of letters, digits, '-', '_' and '.'",
            ),
        ],
    )
    def test_one_line_names_place_value_and_what_would_do(self, problems, old, new, told):
        text = changed(old, new)
        assert problems(text) == [f"recon.yaml:{told}"]

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("storefront~epr", "no system 'epr'; did you mean 'erp'?"),
            ("storefront", "'storefront' is not <target>~<authority>, two systems such as storefront~erp"),
            ("erp~erp", "'erp~erp' is not <target>~<authority>, two systems such as storefront~erp"),
        ],
    )
    def test_a_pair_is_of_two_systems(self, problems, name, told):
        assert problems(GOOD.replace("storefront~erp", name)) == [f"recon.yaml:22: pairs.{name}: {told}"]

    def test_sections_that_jobs_do_not_have(self, problems):
        text = added("nightly:", "gates: {brakes: 3}", "schedule: {cron: daily, window: 1-5}", "publishing: {}")
        assert problems(text) == [
            "recon.yaml:27: jobs.nightly.gates.brakes: unknown key; did you mean 'breaks'?",
            "recon.yaml:28: jobs.nightly.schedule.cron: 'daily' is not five cron fields such as '15 2 * * *'",
            "recon.yaml:28: jobs.nightly.schedule.window: '1-5' is not a window such as '01:00-05:00'",
            "recon.yaml:29: jobs.nightly.publishing: unknown key; did you mean 'publish'?",
        ]

    def test_a_system_without_stock_cannot_be_compared(self, problems):
        head, tail = GOOD[: GOOD.index("  storefront:\n")], GOOD[GOOD.index("pairs:\n") :]
        assert problems(f"{head}  storefront:\n    timezone: UTC\n{tail}") == [
            "recon.yaml:15: systems.storefront: has neither stock nor events nor records nor orders nor balances",
            "recon.yaml:18: pairs.storefront~erp: system 'storefront' has no stock to compare",
        ]

    def test_a_file_that_is_not_there(self, problems, tmp_path):
        assert problems(added("erp:", "units: units.csv")) == [
            f"recon.yaml:4: systems.erp.units: no such file: {tmp_path / 'units.csv'}"
        ]

    def test_an_unknown_connector(self, problems):
        text = changed("connector: files\n      path: shop.csv", "connector: fils\n      path: shop.csv")
        assert problems(text) == [
            "recon.yaml:17: systems.storefront.stock.connector: unknown connector 'fils'; did you mean 'files'?"
        ]

    def test_an_own_profile_that_is_wrong(self, problems, tmp_path):
        (tmp_path / "profiles").mkdir()
        (tmp_path / "profiles" / "erp.free.yaml").write_text("{name: erp.free, basis: x, effects: {PLACE: 2}}")
        (problem,) = problems(changed("erp.on_hand", "erp.free"))
        assert problem.startswith("recon.yaml:9: systems.erp.stock.profile: ")
        assert "PLACE: coefficient 2 is not -1, 0 or 1" in problem

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("", "recon.yaml: empty; `recon init` writes a configuration to start from"),
            ("# nothing yet\n", "recon.yaml: empty; `recon init` writes a configuration to start from"),
            ("- a\n", "recon.yaml:1: a configuration is a mapping (systems:, pairs:, jobs:), not a list"),
            (
                "a: [1\n",
                "recon.yaml:2: not YAML: while parsing a flow sequence expected ',' or ']', "
                "but got '<stream end>' (it began in line 1)",
            ),
            ("a: 1\nb:\n\tc: 1\n", "recon.yaml:3: not YAML: a tab; YAML is indented with spaces"),
            ("a: b: c\n", "recon.yaml:1: not YAML: mapping values are not allowed here"),
            ("a: 1\nb: \x01\n", "recon.yaml:2: not text: the control character U+0001"),
            ("[" * 3000, "recon.yaml: nested too deep"),
            ("systems: {}\n", "recon.yaml:1: systems: is empty; it needs at least one"),
            ("jobs:\n", "recon.yaml:1: missing key 'systems'"),
        ],
    )
    def test_a_file_that_is_no_configuration(self, problems, text, told):
        assert problems(text) == [told]

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("a: &x [*x]\n", "recon.yaml:1: a[0]: an alias (*) that contains itself"),
            ("a: !secret 3\n", "recon.yaml:1: a: the tag !secret is not supported"),
            ("? [a]\n: 1\n", "recon.yaml:1: a key must be text"),
            ("a: &x {b: 1}\nc:\n  <<: *x\n", "recon.yaml:3: c: merge keys (<<) are not supported; write the keys out"),
        ],
    )
    def test_yaml_that_is_more_than_data(self, problems, text, told):
        assert told in problems(text)

    def test_a_key_given_twice_names_both_lines(self, problems):
        text = changed('delimiter: ";"', "path: other.csv")
        assert problems(text) == ["recon.yaml:8: systems.erp.stock.path: given twice, first in line 7"]

    def test_no_file_a_directory_and_bytes(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ConfigError, match="no configuration at nope.yaml; `recon init` writes one"):
            load(Path("nope.yaml"))
        with pytest.raises(ConfigError, match="is a directory"):
            load(tmp_path)
        (tmp_path / "recon.yaml").write_bytes(b"systems: \xff\xfe\x00")
        with pytest.raises(ConfigError, match=r"recon.yaml: not UTF-8 text \(byte 10\)"):
            load(Path("recon.yaml"))

    def test_names_that_are_asked_for(self, read):
        config = read(GOOD)
        with pytest.raises(ConfigError, match="^no system 'erpp'; did you mean 'erp'\\?$"):
            config.system("erpp")
        with pytest.raises(ConfigError, match="^no pair 'x'; there are: storefront~erp$"):
            config.pair("x")
        with pytest.raises(ConfigError, match="^no job 'nightyl'; did you mean 'nightly'\\?$"):
            config.job("nightyl")

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.data())
    def test_no_misspelt_key_passes(self, problems, data):
        """A letter missing in any key of the file's own words is told at its line, with the word."""
        words = ("workspace", "systems", "timezone", "connector", "profile", "columns", "delimiter",
                 "constants", "locations", "debounce", "pairs", "jobs")  # fmt: skip
        text = added("storefront~erp:", "debounce: 2")
        rows = text.splitlines()
        number = data.draw(st.sampled_from([i for i, row in enumerate(rows) if row.strip().split(":")[0] in words]))
        word = rows[number].strip().split(":")[0]
        cut = data.draw(st.integers(1, len(word) - 1))
        rows[number] = rows[number].replace(word, word[:cut] + word[cut + 1 :], 1)
        told = [problem for problem in problems("\n".join(rows)) if problem.startswith(f"recon.yaml:{number + 1}:")]
        assert any(f"unknown key; did you mean {word!r}?" in problem for problem in told)


class TestEnvironment:
    def test_a_variable_in_text_also_inside_braces(self, read, monkeypatch):
        monkeypatch.setenv("EXPORTS", "/data")
        stock = read(
            changed(
                "stock:\n      connector: files\n      path: erp.csv",
                "stock:\n      connector: files\n      path: ${EXPORTS}/erp.csv",
            )
        )
        assert stock.system("erp").stock.options["path"] == "/data/erp.csv"
        flow = "systems: {erp: {stock: {connector: files, path: ${EXPORTS}/a.csv, profile: erp.on_hand}}}"
        assert read(flow).system("erp").stock.options["path"] == "/data/a.csv"

    def test_a_number_from_the_environment(self, read, monkeypatch):
        monkeypatch.setenv("SAFETY", "3")
        assert read(added("storefront~erp:", "safety_stock: ${SAFETY}")).pair("storefront~erp").safety_stock == 3

    def test_a_variable_that_is_not_set(self, problems, monkeypatch):
        monkeypatch.delenv("NO_SUCH", raising=False)
        assert problems("now: ${NO_SUCH}\n" + GOOD) == [
            "recon.yaml:1: now: the environment variable NO_SUCH is not set"
        ]

    def test_what_is_no_variable(self, problems):
        (problem,) = problems(changed("path: shop.csv", "path: ${SHOP:-shop.csv}"))
        assert problem.startswith("recon.yaml:18: systems.storefront.stock.path: '${SHOP:-shop.csv}' is not a variable")

    def test_an_escaped_dollar_is_a_dollar(self, read):
        assert (
            read(changed("path: shop.csv", "path: $${HOME}.csv")).system("storefront").stock.options["path"]
            == "${HOME}.csv"
        )

    def test_keys_and_comments_are_left_alone(self, read):
        assert read("# needs ${NOTHING}\n" + GOOD)

    PLACES = (
        "now: {}", "workspace: {}x://y", "buckets: {}", "decimals: {}", "profiles: {}", "workspce: {}",
        "systems: {{erp: {{timezone: {}}}}}", "systems: {{erp: {{aliases: {}}}}}", "systems: {{erp: {}}}",
        "systems: {{erp: {{stock: {{connector: {}}}}}}}",
        "systems: {{erp: {{stock: {{connector: files, path: x, profile: {}}}}}}}",
        "systems: {{erp: {{stock: {{connector: files, path: x, profile: erp.on_hand, columns: {}}}}}}}",
        "systems: {{erp: {{stock: {{connector: files, path: x, profile: erp.on_hand, time_format: {}}}}}}}",
        "systems: {{erp: {{stock: {{connector: files, path: x, profile: erp.on_hand, decimal: {}}}}}}}",
        "systems: {{erp: {{stock: {{connector: files, path: x, profile: erp.on_hand, as_of: {{from: {}}}}}}}}}",
        "systems: {{erp: {{stock: {{connector: files, path: x, profile: erp.on_hand, watermark: {}}}}}}}",
        "systems: {{erp: {{stock: {{connector: files, path: x, profile: erp.on_hand, format: {}}}}}}}",
        "systems: {{erp: {{events: {{connector: files, path: x, kinds: {{a: {}}}}}}}}}",
        "systems: {{erp: {{events: {{connector: files, path: x, lines: {{SHIP: {}}}}}}}}}",
        "pairs: {{a~b: {{sla: {{PLACE: {}}}}}}}", "pairs: {{a~b: {{tolerance: {{absolute: {}}}}}}}",
        "pairs: {{a~b: {{locations: {{x: [{}], y: [{}]}}}}}}", "pairs: {{a~b: {{references: {{case: {}}}}}}}",
        "jobs: {{j: {{pairs: [{}]}}}}", "jobs: {{j: {{schedule: {{cron: {}, window: {}, timezone: {}}}}}}}",
    )  # fmt: skip

    @pytest.mark.parametrize("place", PLACES)
    def test_its_value_is_in_no_message(self, problems, monkeypatch, place):
        secret = "hunter2'-Zürich\\x"
        monkeypatch.setenv("PASSWORD", secret)
        told = "\n".join(problems(place.replace("{{", "{").replace("}}", "}").replace("{}", "${PASSWORD}")))
        assert "hunter2" not in told
        assert "${PASSWORD}" in told or place == "workspce: {}"

    def test_its_value_is_not_shown_and_does_not_change_the_hash(self, read, monkeypatch):
        text = changed("path: shop.csv", "path: user:${PASSWORD}@shop.csv")
        monkeypatch.setenv("PASSWORD", "hunter2")
        first = read(text)
        monkeypatch.setenv("PASSWORD", "correct horse")
        second = read(text)
        assert first.system("storefront").stock.options["path"] == "user:hunter2@shop.csv"
        for shown in (repr(first), str(first), repr(first.system("storefront").stock.options)):
            assert "hunter2" not in shown
            assert "user:${PASSWORD}@shop.csv" in shown
        assert first.config_hash == second.config_hash

    def test_a_secret_stays_one_on_a_worker(self):
        secret = pickle.loads(pickle.dumps(Secret("hunter2", "${P}", (("hunter2", "${P}"),))))
        assert (str(secret), repr(secret), secret.values) == ("hunter2", "'${P}'", (("hunter2", "${P}"),))


class TestHash:
    def test_the_hash_is_that_of_the_content(self, read):
        plain = read(GOOD).config_hash
        assert len(plain) == 64
        assert (
            read(
                "# a comment\n" + GOOD.replace("{sku: item_no, location: whse,", "{location: whse, sku: item_no,")
            ).config_hash
            == plain
        )
        assert read(changed("P1D", "P2D")).config_hash != plain


def test_importing_it_costs_little():
    heavy = "[m for m in ('pandas', 'duckdb', 'apache_beam', 'great_expectations') if m in sys.modules]"
    code = f"import sys, jobs.config; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
