"""The audit log shows that a record was changed, removed, inserted or cut off."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from storage import storage

from jobs.audit import AuditLog
from pipelines import filesystem
from reconcilers.errors import Unreachable


@pytest.fixture
def log(tmp_path) -> AuditLog:
    log = AuditLog(str(tmp_path))
    for number in range(4):
        log.append("publish", "ann", f"run-{number}", {"sending": number, "note": "größer"})
    return log


def lines(log: AuditLog) -> list[str]:
    return path(log).read_text(encoding="utf-8").splitlines(keepends=True)


def path(log: AuditLog) -> Path:
    return Path(log.root) / "audit" / "log.jsonl"


def rewrite(log: AuditLog, changed: list[str]) -> tuple[str, ...]:
    path(log).write_text("".join(changed), encoding="utf-8")
    return log.verify().problems


def test_a_log_that_nobody_touched_is_whole(log):
    found = log.verify()
    assert (found.records, found.problems) == (4, ())
    assert [record["run_id"] for record in log.records()] == ["run-0", "run-1", "run-2", "run-3"]
    assert log.verify(found.head).problems == ()


@pytest.mark.parametrize("sign", ["\u2028", "\x85", "\r", "\n"])
def test_a_note_may_have_whatever_breaks_lines_elsewhere(log, sign):
    log.append("approve", "bob", "run-4", {"note": f"counted{sign}both"})
    log.append("publish", "ann", "run-4", {})
    found = log.verify()
    assert (found.records, found.problems) == (6, ())
    assert [r["evidence"].get("note") for r in log.records()][4:] == [f"counted{sign}both", None]


def test_an_empty_log_is_whole(tmp_path):
    assert AuditLog(str(tmp_path)).verify().problems == ()


def test_a_changed_record_shows(log):
    changed = lines(log)
    changed[1] = changed[1].replace('"actor": "ann"', '"actor": "bob"')
    assert rewrite(log, changed) == ("record 2: changed; its hash does not fit its text",)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_removed_record_shows(log, place):
    changed = lines(log)
    del changed[place]
    assert any("removed or inserted" in problem for problem in rewrite(log, changed))


def test_a_removed_end_shows(log):
    assert rewrite(log, lines(log)[:-1]) == ("record 4 is missing, the log ends at 3; cut off",)
    with pytest.raises(Unreachable, match="ends at record 3, but there were 4"):
        log.append("publish", "ann", "run-4", {})


def test_an_inserted_record_shows(log, tmp_path):
    other = AuditLog(str(tmp_path / "other"))
    other.append("approve", "bob", "run-1", {})
    changed = lines(log)
    changed.insert(2, lines(other)[0])
    assert any("removed or inserted" in problem for problem in rewrite(log, changed))
    changed[2] = "nonsense\n"
    assert rewrite(log, changed) == ("line 3: not a record",)


def test_exchanged_records_show(log):
    changed = lines(log)
    changed[1], changed[2] = changed[2], changed[1]
    assert rewrite(log, changed)


def test_a_log_that_was_forged_from_its_beginning_is_not_the_one_that_was_noted(log, tmp_path):
    noted = log.verify().head
    forged = AuditLog(str(tmp_path / "forged"))
    for number in range(4):
        forged.append("publish", "ann", f"run-{number}", {"sending": 0})
    assert forged.verify().problems == ()
    assert forged.verify(noted).problems == (f"no record has the hash {noted[:16]}…",)


def test_a_record_that_a_crash_cut_short_is_left_out_and_the_log_goes_on(log):
    with path(log).open("a", encoding="utf-8") as file:
        file.write('{"seq": 5, "at": "2026')
    log.append("publish", "ann", "run-5", {})
    assert log.verify().problems == ()
    assert log.verify().records == 5


def test_a_crash_between_record_and_head_loses_nothing(log):
    head = Path(log.root) / "audit" / "head.json"
    before = head.read_text()
    log.append("publish", "ann", "run-4", {})
    head.write_text(before)
    assert log.verify().problems == ()
    log.append("publish", "ann", "run-5", {})
    assert log.verify().records == 6
    assert json.loads(head.read_text())["seq"] == 6


def append(root: str, name: str) -> None:
    for number in range(10):
        AuditLog(root).append("publish", name, f"{name}-{number}", {})


def test_two_writers_make_one_chain(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=append, args=(str(tmp_path), name)) for name in ("ann", "bob")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    found = AuditLog(str(tmp_path)).verify()
    assert (found.records, found.problems) == (20, ())


@pytest.fixture(scope="module")
def bucket():
    with storage("recon-audit") as name:
        yield name


def test_writers_of_a_bucket_make_one_chain(bucket):
    """Whoever loses the race for a number takes the next one."""
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(append, f"{bucket}/chain", name) for name in ("ann", "bob", "cyd")]:
            done.result(60)
    found = AuditLog(f"{bucket}/chain").verify()
    assert (found.records, found.problems) == (30, ())


def test_a_log_in_a_bucket_shows_what_was_changed_and_cut_off(bucket):
    log = AuditLog(f"{bucket}/ws")
    for number in range(3):
        log.append("publish", "ann", f"run-{number}", {})
    records = filesystem.list_files(f"{bucket}/ws/audit/records")
    with filesystem.open_read(records[1]) as file:
        text = file.read()
    filesystem.write_atomic(records[1], text.replace(b"ann", b"eve"))
    assert log.verify().problems == ("record 2: changed; its hash does not fit its text",)
    filesystem.write_atomic(records[1], text)
    assert log.verify().problems == ()
    filesystem.delete(records[2])
    assert "cut off" in log.verify().problems[0]
    with pytest.raises(Unreachable, match="there were 3; see recon audit verify"):
        log.append("publish", "ann", "run-3", {})
