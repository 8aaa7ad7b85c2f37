"""Suites from files, what is wrong with them, and what a configuration changes."""

from __future__ import annotations

import json

import great_expectations as gx
import great_expectations.expectations as gxe
import pyarrow as pa
import pytest
from great_expectations.expectations.row_conditions import Column

from expectations import memory, suggest, suites
from expectations.suites import Change
from reconcilers.errors import ConfigError


def saved(path, *expectations, **more):
    document = {"name": "mine", "expectations": list(expectations), "meta": {"great_expectations_version": "1.24.1"}}
    path.write_text(json.dumps({**document, **more}))
    return path


def problems(path, **parameters):
    with pytest.raises(ConfigError) as told:
        suites.load(path, parameters)
    return told.value.problems


def test_what_great_expectations_saved_is_read(tmp_path):
    suite = gx.ExpectationSuite(
        "stock",
        expectations=[
            gxe.ExpectColumnValuesToBeBetween(
                column="quantity", min_value=0, severity="warning", mostly=0.9, row_condition=Column("sku") == "A"
            ),
            *suites.built_in("stock").expectations,
        ],
    )
    path = tmp_path / "stock.json"
    path.write_text(json.dumps(suite.to_json_dict()))
    read = suites.load(path, {})
    assert read.to_json_dict()["expectations"] == suite.to_json_dict()["expectations"]


def test_parameters_stand_for_their_values(tmp_path):
    rule = {"type": "expect_column_max_to_be_between", "kwargs": {"column": "q", "max_value": {"$PARAMETER": "most"}}}
    path = saved(tmp_path / "a.json", rule)
    assert suites.load(path, {"most": 7}).expectations[0].max_value == 7
    assert problems(path, mots=7) == [f"{path}: expectation 1: parameter 'most' has no value; did you mean 'mots'?"]


def test_every_problem_of_a_file_is_told_at_once(tmp_path):
    path = saved(
        tmp_path / "a.json",
        {"type": "expect_column_values_to_be_uniqe", "kwargs": {"column": "q"}},
        {"type": "expect_column_max_to_be_between", "kwargs": {"column": "q", "max_vale": 3}},
        {"type": "expect_column_max_to_be_between", "kwargs": {"max_value": 3}},
        {"kwargs": {}},
    )
    told = problems(path)
    assert len(told) == 4
    assert "unknown expectation 'expect_column_values_to_be_uniqe'; did you mean 'expect_column_values_to_be_unique'?" in told[0]  # fmt: skip  # noqa: E501
    assert "max_vale: no such argument" in told[1]
    assert "column: field required" in told[2]
    assert "it has no type" in told[3]
    assert all("\n" not in line for line in told)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "not a suite"),
        ('{"expectations": [{"expectation_type": "expect_column_to_exist", "kwargs": {}}]}', "Great Expectations 0"),
        ('{"expectations": [], "meta": {"great_expectations_version": "0.18.3"}}', r"Great Expectations 0\.18\.3"),
        ('{"expectations": [], "meta": {"great_expectations_version": "2.0.0"}}', r"Great Expectations 2\.0\.0"),
    ],
)
def test_a_file_that_is_no_suite_of_this_version(tmp_path, text, words):
    path = tmp_path / "a.json"
    path.write_text(text)
    assert len(problems(path)) == 1
    with pytest.raises(ConfigError, match=words):
        suites.load(path, {})


def test_a_python_file_is_executed_and_json_is_not(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import great_expectations as gx\nimport great_expectations.expectations as gxe\n"
        "def suite():\n    return gx.ExpectationSuite('mine', expectations=[gxe.ExpectColumnToExist(column='sku')])\n"
    )
    assert suites.load(tmp_path / "mine.py", {}).expectations[0].column == "sku"
    (tmp_path / "bad.py").write_text("def suite():\n    return 1 / 0\n")
    assert problems(tmp_path / "bad.py") == [f"{tmp_path / 'bad.py'}: ZeroDivisionError: division by zero"]
    rows = pa.table({"sku": ["a"], "q": [1]})
    condition = "__import__('os').system('false') == 0"
    rule = gxe.ExpectColumnMaxToBeBetween(column="q", max_value=1, row_condition=condition, condition_parser="pandas")
    with pytest.raises(ConfigError, match="is refused"):
        memory.validate(rows, gx.ExpectationSuite("x", expectations=[rule]))


def test_a_configuration_relaxes_and_drops():
    stock = suites.built_in("stock")
    age = "expect_snapshot_age_in_hours_to_be_between"
    relaxed = suites.changed(
        stock,
        [
            Change(age, {"severity": "critical"}, {"max_value": 400, "severity": "warning"}),
            Change("expect_column_values_to_be_between", {"min_value": 0}, drop=True),
        ],
    )
    assert len(relaxed.expectations) == len(stock.expectations) - 1
    ages = [each for each in relaxed.expectations if each.expectation_type == age]
    assert [(each.max_value, each.severity.value) for each in ages] == [(400, "warning"), (36, "warning")]
    assert ages[0].description == "not older than a week"


def test_a_change_that_means_nothing_is_an_error():
    with pytest.raises(ConfigError) as told:
        suites.changed(
            suites.built_in("stock"),
            [
                Change("expect_column_values_to_be_betwen", drop=True),
                Change("expect_column_values_to_be_between", {"column": "price"}, drop=True),
            ],
        )
    assert told.value.problems == [
        "suite 'stock' has no expect_column_values_to_be_betwen; did you mean 'expect_column_values_to_be_between'?",
        "suite 'stock' has no expect_column_values_to_be_between where column=price; "
        "did you mean 'expect_column_values_to_be_between'?",
    ]


def test_a_suggested_suite_is_met_by_what_it_was_learned_from_and_says_why():
    def snapshot(count):
        return pa.table(
            {
                "sku": [f"S{n}" for n in range(count)],
                "location": ["a" if n % 2 else "b" for n in range(count)],
                "quantity": list(range(count)),
                "price": pa.array([n if n % 4 else None for n in range(count)], pa.int64()),
            }
        )

    seen = [snapshot(40), snapshot(60)]
    values = [memory.measured(rows, suggest.profile(rows.schema)) for rows in seen]
    suite = suggest.suggest("erp.stock", seen[0].schema, values)
    assert all(memory.validate(rows, suite).result.success for rows in seen)
    assert all("seen in the last 2 snapshots" in each.meta["reason"] for each in suite.expectations)
    assert suite.expectations[0].meta["reason"] == "seen in the last 2 snapshots: 40 to 60 rows"
    halved = memory.validate(snapshot(20), suite).result
    assert not halved.success
    strange = memory.validate(seen[1].set_column(1, "location", pa.array(["moon"] * 60)), suite).result
    assert [each.expectation_config.kwargs["column"] for each in strange.results if not each.success] == ["location"]
