from __future__ import annotations

import csv
import os
import re
from decimal import Decimal

import pytest

from jobs import plan
from jobs.config import load
from jobs.init import init
from jobs.workspace import Workspace
from pipelines.capture import capture
from pipelines.reconcile import read_output, reconcile_snapshots
from reconcilers.errors import ConfigError, Unreachable


def test_it_writes_a_configuration_and_the_exports_that_it_names(tmp_path):
    files = init(tmp_path / "new")
    assert files[0] == tmp_path / "new" / "recon.yaml"
    assert {path.parent.name for path in files[1:]} == {"exports"}
    assert all(path.is_file() for path in files)
    config = load(files[0])
    assert set(config.systems) == {"storefront", "erp"}
    assert config.job("nightly").pairs == ("storefront~erp",)


def test_every_setting_has_its_comment_and_the_fixed_instant_says_so(tmp_path):
    text = init(tmp_path)[0].read_text(encoding="utf-8")
    comments = [line for line in text.splitlines() if "#" in line]
    assert len(comments) > 30
    assert re.search(r"# .*remove this line for real data.*(\n#.*)*\nnow: ", text)


def test_the_commented_out_settings_are_right_too(tmp_path):
    """Whoever takes the # away gets a configuration that is read."""
    path = init(tmp_path)[0]
    text = path.read_text(encoding="utf-8")
    enabled = re.sub(r"^( *)# (aliases|units|schedule|reasons):", r"\1\2:", text, flags=re.MULTILINE)
    assert enabled.count("\n") == text.count("\n")
    assert enabled != text
    path.write_text(enabled, encoding="utf-8")
    (tmp_path / "aliases.csv").write_text("raw,sku\nOLD-MUG,MUG-BLUE\n")
    (tmp_path / "units.csv").write_text("sku,unit,factor\nMUG-BLUE,box,6\n")
    config = load(path)
    assert config.system("erp").units == tmp_path / "units.csv"
    assert config.job("nightly").schedule is not None


def test_it_runs_as_it_stands_and_finds_what_is_in_the_exports(tmp_path):
    """By hand: STRAINER is 25 in the shop and 22 in the ERP with no order, MUG-BLUE, TEAPOT and
    TEA-SENCHA differ by orders not shipped yet (1, 1 and 4), TEA-ASSAM and KETTLE agree."""
    config = load(init(tmp_path)[0])
    workspace = Workspace(config.workspace)
    taken = capture(plan.captures(config, config.systems), workspace.root, config.now)
    assert [snapshot.manifest.rejected for snapshot in taken] == [0, 0, 0, 0]
    sources = {}
    for snapshot in taken:
        sources.setdefault(snapshot.manifest.system, {})[snapshot.manifest.dataset] = snapshot
    directory = workspace.run_directory("try")
    reconcile_snapshots(
        plan.tasks(config, workspace, config.pairs, sources, config.now, dict.fromkeys(config.pairs)), "try", directory
    )
    levels = {row["sku"]: row for row in read_output(directory, "levels").to_pylist()}
    assert {sku: (row["class"], row["raw_diff"], row["unexplained"]) for sku, row in levels.items()} == {
        "STRAINER": ("BREAK", Decimal(3), Decimal(3)),
        "MUG-BLUE": ("IN_FLIGHT", Decimal(-1), Decimal(0)),
        "TEAPOT": ("IN_FLIGHT", Decimal(-1), Decimal(0)),
        "TEA-SENCHA": ("IN_FLIGHT", Decimal(-4), Decimal(0)),
        "TEA-ASSAM": ("MATCHED", Decimal(0), Decimal(0)),
        "KETTLE": ("MATCHED", Decimal(0), Decimal(0)),
    }
    in_flight = read_output(directory, "in_flight").to_pylist()
    assert {row["ref"] for row in in_flight} == {"1002", "1004", "1005"}
    assert config.job("nightly").gates["breaks"] == 1


def test_the_two_systems_name_and_write_things_differently(tmp_path):
    """Otherwise the sample would not show what the settings are for."""
    exports = {path.name.split("-2026")[0]: path for path in init(tmp_path)[1:]}
    with exports["storefront-stock"].open() as shop, exports["erp-stock"].open() as erp:
        assert not set(next(csv.reader(shop))) & set(next(csv.reader(erp, delimiter=";")))


@pytest.mark.parametrize("there", ["recon.yaml", "exports/erp-stock-20260302T0600.csv"])
def test_it_overwrites_nothing(tmp_path, there):
    (tmp_path / "exports").mkdir()
    (tmp_path / there).write_text("mine")
    with pytest.raises(ConfigError, match=f"{re.escape(there)} exists already; nothing was written"):
        init(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / there]
    assert (tmp_path / there).read_text() == "mine"


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unreachable) as found:
        init(tmp_path / "file")
    assert len(str(found.value).splitlines()) == 1
    assert str(tmp_path / "file") in str(found.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(Unreachable, match="Permission denied"):
        init(tmp_path / "new")
