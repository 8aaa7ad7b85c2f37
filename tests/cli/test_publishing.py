"""`recon publish` and its kin, as a user runs them."""

from __future__ import annotations

import json
import os

import pytest
import yaml
from shell import recon

from examples.consumer import connect


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A configuration as `recon init` writes it, run once."""
    place = tmp_path_factory.mktemp("shop")
    assert recon("init", at=place).code == 0
    assert recon("run", "nightly", at=place).code == 0
    return place


def changed(place, **publish) -> None:
    path = place / "recon.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config["jobs"]["nightly"]["publish"].update(publish)
    path.write_text(yaml.safe_dump(config), encoding="utf-8")


def test_from_a_dry_run_to_a_rollback(shop):
    changed(shop, gates={"largest": 4}, approval={"units": 4})
    shown = recon("publish", "latest", "--json", at=shop)
    assert (shown.code, shown.json["held"], shown.json["corrections"]) == (5, ["storefront~erp"], [])
    assert [each["value"] for each in shown.json["waiting"]] == ["20"]
    assert not (shop / "outbox").exists()

    changed(shop, gates={"largest": 5})
    waiting = recon("publish", "latest", "--apply", "--by", "ann", at=shop)
    assert waiting.code == 5
    assert "1 correction to be approved first" in waiting.out
    refused = recon("approve", "latest", "--by", "ann", at=shop)
    assert (refused.code, len(refused.told)) == (5, 1)
    assert "'ann' proposed it" in refused.told[0]
    assert recon("approve", "latest", "--by", "bob", "--note", "counted", "--only", "STRAINER", at=shop).code == 0
    assert recon("publish", "latest", "--apply", "--by", "ann", at=shop).code == 0
    (file,) = (shop / "outbox").iterdir()
    (line,) = file.read_text().splitlines()
    assert (json.loads(line)["sku"], json.loads(line)["value"]) == ("STRAINER", "20")

    # the next run expects it; undoing it is a set of corrections of its own
    again = recon("run", "nightly", "--json", at=shop)
    assert again.json["pairs"]["storefront~erp"]["classes"].keys() == {"MATCHED", "IN_FLIGHT"}
    first = recon("runs", "--json", at=shop).json[0]["run_id"]
    undone = recon("rollback", first, "--json", at=shop)
    assert [(c["change_from"], c["value"]) for c in undone.json["waiting"]] == [("20", "25")]

    records = recon("audit", "--json", at=shop).json
    assert [(r["action"], r["actor"]) for r in records][:4] == [
        ("publish", "ann"), ("published", "ann"), ("approve", "bob"), ("publish", "ann"),
    ]  # fmt: skip
    assert recon("audit", "verify", at=shop).code == 0
    log = shop / ".recon" / "audit" / "log.jsonl"
    log.write_text(log.read_text().replace("counted", "guessed"))
    found = recon("audit", "verify", at=shop)
    assert (found.code, found.out.splitlines()[0]) == (1, "record 3: changed; its hash does not fit its text")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["publish", "no-such-run"], 2, "no finished run 'no-such-run'"),
        (["approve", "latest", "--by", "bob", "--gate", "large"], 2, "no gate 'large'; there are: "),
        (["audit", "check"], 2, "usage: recon audit"),
    ],
)
def test_what_cannot_be_done_is_one_line(shop, arguments, code, told):
    done = recon(*arguments, at=shop)
    assert (done.code, len(done.told)) == (code, 1), done.err
    assert told in done.told[0]


def test_a_configuration_cannot_run_code(tmp_path):
    assert recon("init", at=tmp_path).code == 0
    path = tmp_path / "recon.yaml"
    path.write_text(path.read_text() + '\nx: !!python/object/apply:os.system ["touch ran"]\n')
    done = recon("publish", "latest", at=tmp_path)
    assert done.code == 2
    assert not (tmp_path / "ran").exists()


def test_a_secret_of_a_sink_is_in_no_output(tmp_path):
    """The consumer of a webhook: its secret comes from the environment and stays there."""
    connect(str(tmp_path / "shop.db")).close()
    assert recon("init", at=tmp_path).code == 0
    path = tmp_path / "recon.yaml"
    path.write_text(path.read_text().replace("path: outbox", "path: ${SECRET_PLACE}"))
    secret = {"env": {**os.environ, "SECRET_PLACE": "s3cr3t-outbox"}}
    outputs = [recon(*words, at=tmp_path, **secret) for words in (("run", "nightly"), ("publish", "latest", "--apply"))]
    assert [done.code for done in outputs] == [0, 0]
    kept = [p for p in (tmp_path / ".recon").rglob("*") if p.is_file()]
    assert not [p for p in kept if b"s3cr3t" in p.read_bytes()]
    assert not [done for done in outputs if "s3cr3t" in done.out + done.err]
