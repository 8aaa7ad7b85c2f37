"""Where a pipeline runs, and what is told where it cannot."""

from __future__ import annotations

import pytest

from pipelines.execution import call_each, expected_error
from reconcilers.errors import ConfigError, Unreachable


def refuse(number: int) -> None:
    raise Unreachable(f"number {number} is unwanted")


def count(rows: int) -> dict[str, int]:
    return {"calls": 1, "rows": rows}


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--runner=PrismRunner", "--prism_location=/no/such/prism"], "no binary at /no/such/prism "),
        (["--runner=FlinkRunner", "--flink_job_server_jar=/no/such.jar"], "no jar at /no/such.jar "),
        (["--runner=Nix"], "--runner=Nix"),
    ],
)
def test_an_engine_that_is_not_there_is_one_line(options, what):
    with pytest.raises(ConfigError) as told:
        call_each(refuse, [(1,)], tuple(options))
    assert what in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("calls", [1, 3])
def test_the_error_of_a_call_arrives_as_itself(calls):
    with pytest.raises(Unreachable, match=r"^number 7 is unwanted$"):
        call_each(refuse, [(7,)] * calls)


@pytest.mark.parametrize("calls", [1, 3])
def test_what_calls_count_is_added_up(calls):
    counters = {"count.rows": 1}
    call_each(count, [(5,)] * calls, counters=counters)
    assert counters == {"count.rows": 1 + 5 * calls, "count.calls": calls}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "Unable to fetch remote prism binary at https://example.com/prism.zip: <urlopen error>",
            "Beam finds no prism binary at https://example.com/prism.zip (docs/engines.md)",
        ),
        (
            "Traceback …\nreconcilers.errors.Unreachable: gs://b/x: no such object [while running 'capture_split']\n",
            "gs://b/x: no such object",
        ),
    ],
)
def test_what_runners_say_becomes_one_line(said, told):
    assert str(expected_error(said)) == told


def test_a_bug_is_no_expected_error():
    assert expected_error("ZeroDivisionError: division by zero [while running 'capture_split']") is None
