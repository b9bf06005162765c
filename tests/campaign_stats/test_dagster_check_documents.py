"""The check funnel_monotonic: documents say what the counters say, and only what is possible."""

from __future__ import annotations

from uuid import UUID, uuid4

import dagster as dg
import pytest

from orchestration.campaign_stats.checks import funnel_monotonic
from orchestration.campaign_stats.document_checks import DocumentFault, Documents, judge_documents
from orchestration.cli import main
from orchestration.dagster_kit.findings import MOST_ROWS
from tests.campaign_stats.conftest import Application, Checked, the_check

CAMPAIGN = UUID("00000000-0000-4000-8000-00000000000a")


def tamper(application: Application, change: str) -> UUID:
    """Changes the document of one campaign without a trace."""
    campaign = application.campaigns[0].id
    application.rows(
        f"UPDATE headrace.campaign_computed_stats SET {change} WHERE campaign_id = %s", [campaign]
    )
    return campaign


def problems(found: Checked) -> set[tuple[str, str, str]]:
    """Template, place and problem of each listed fault."""
    return {(row[1], row[2], row[3]) for row in found.told["fault_table"]}


def test_documents_that_say_what_the_counters_say_pass(counted: Application) -> None:
    found = the_check(funnel_monotonic)
    assert found.passed
    assert found.severity is dg.AssetCheckSeverity.ERROR
    assert found.told["documents"] == len(counted.campaigns)
    ((templates,),) = counted.rows("SELECT count(*) FROM headrace.campaign_template_stats")
    assert found.told["templates"] == templates > 0
    assert found.told["faults"] == 0
    assert found.sentence.startswith(
        f"{len(counted.campaigns)} documents with {templates} templates say what"
    )


@pytest.mark.parametrize(
    ("part", "whole", "number"),
    [
        ("sent", "total", "totals -> 'total'"),
        ("delivered", "sent", "totals -> 'sent'"),
        ("read", "delivered", "totals -> 'delivered'"),
        ("replied", "sent", "totals -> 'sent'"),
        ("failed_queue", "failed", "totals -> 'failed'"),
    ],
)
def test_totals_that_break_the_funnel_fail_naming_campaign_and_numbers(
    part: str, whole: str, number: str, counted: Application
) -> None:
    change = f"totals = jsonb_set(totals, '{{{part}}}', to_jsonb(({number})::bigint + 1)) "
    campaign = tamper(counted, change)
    ((said, most),) = counted.rows(
        f"SELECT (totals ->> '{part}')::bigint, (totals ->> '{whole}')::bigint"
        " FROM headrace.campaign_computed_stats WHERE campaign_id = %s",
        [campaign],
    )
    found = the_check(funnel_monotonic)
    assert not found.passed
    assert f"campaign {campaign}, totals: document {part} exceeds {whole} ({said} > {most})" in found.sentence
    assert ("(totals)", "document", f"{part} exceeds {whole}") in problems(found)
    assert found.told["campaigns_with_faults"] == 1


def test_more_failed_than_not_delivered_fails(counted: Application) -> None:
    campaign = tamper(counted, "totals = jsonb_set(totals, '{failed}', totals -> 'total')")
    found = the_check(funnel_monotonic)
    assert f"campaign {campaign}, totals: document failed exceeds total - delivered" in found.sentence


def test_a_template_of_a_document_that_is_tampered_with_fails_by_name(counted: Application) -> None:
    campaign = tamper(counted, "template_stats = jsonb_set(template_stats, '{0,read}', '987654')")
    ((template, delivered, read),) = counted.rows(
        "SELECT template_name, delivered, read FROM headrace.campaign_template_stats WHERE campaign_id = %s"
        ' ORDER BY template_name COLLATE "C" LIMIT 1',
        [campaign],
    )
    found = the_check(funnel_monotonic)
    named = f"campaign {campaign}, template {template}: document"
    assert f"{named} read exceeds delivered (987654 > {delivered})" in found.sentence
    assert f"{named} read differs (it says 987654, the counters say {read})" in found.sentence
    assert (str(campaign), template, "document", "read differs", "987654", str(read)) in found.told[
        "fault_table"
    ]


CHECKSUM = ("(totals)", "document", "checksum differs")
HARMS = {
    "a number that is possible but wrong": (
        "totals = jsonb_set(totals, '{replied}', '0')",
        {("(totals)", "document", "replied differs"), CHECKSUM},
    ),
    "a wrong rate": (
        "totals = jsonb_set(totals, '{read_rate}', '0.123456')",
        {("(totals)", "document", "read_rate differs"), CHECKSUM},
    ),
    "a number too few": (
        "totals = totals - 'failed'",
        {("(totals)", "document", "failed differs"), CHECKSUM},
    ),
    "no number": (
        "totals = jsonb_set(totals, '{sent}', '\"many\"')",
        {("(totals)", "document", "sent differs"), CHECKSUM},
    ),
    "a checksum of something else": ("checksum = 'x'", {CHECKSUM}),
    "a median that nobody took": (
        "totals = jsonb_set(totals, '{median_seconds_to_read}', '123456')",
        {CHECKSUM},
    ),
    "a state that its campaign is not in": (
        "state = 'amended'",
        {("(totals)", "document", "state differs from the campaign's")},
    ),
    "a template that nobody counts": (
        'template_stats = template_stats || \'[{"template_name": "strange", "total": 1}]\','
        ' checksum = md5((template_stats || \'[{"template_name": "strange", "total": 1}]\')::text || totals::text)',
        {("strange", "document", "has it, the counters do not")},
    ),
}


@pytest.mark.parametrize(("change", "expected"), HARMS.values(), ids=HARMS.keys())
def test_a_document_that_differs_from_the_counters_fails(
    change: str, expected: set[tuple[str, str, str]], counted: Application
) -> None:
    tamper(counted, change)
    found = the_check(funnel_monotonic)
    assert not found.passed
    assert problems(found) == expected


@pytest.mark.parametrize("totals", ["'[1]'", "'7'", "'null'", "'{}'"])
def test_a_document_that_is_no_document_fails_and_raises_nothing(totals: str, counted: Application) -> None:
    tamper(counted, f"totals = {totals}, template_stats = {totals}")
    found = the_check(funnel_monotonic)
    assert not found.passed
    assert ("(totals)", "document", "total differs") in problems(found)
    assert "lacks it" in {problem for _, _, problem in problems(found)}


def test_a_template_that_is_missing_or_there_twice_fails(counted: Application) -> None:
    campaign = tamper(counted, "template_stats = (template_stats - 0) || (template_stats -> 1)")
    names = [
        row[0]
        for row in counted.rows(
            'SELECT template_name FROM headrace.campaign_template_stats WHERE campaign_id = %s ORDER BY template_name COLLATE "C"',
            [campaign],
        )
    ]
    assert problems(the_check(funnel_monotonic)) == {
        (names[0], "document", "lacks it"),
        (names[1], "document", "has it more than once"),
        ("(totals)", "document", "checksum differs"),
    }


def test_a_document_that_is_not_there_fails(counted: Application) -> None:
    campaign = counted.campaigns[0].id
    counted.rows("DELETE FROM headrace.campaign_computed_stats WHERE campaign_id = %s", [campaign])
    found = the_check(funnel_monotonic)
    assert found.sentence.startswith(f"campaign {campaign}, totals: document is not there")
    assert found.told["faults"] == 1


def test_impossible_counters_fail_where_the_tables_constraint_is_gone(counted: Application) -> None:
    counted.rows(
        "ALTER TABLE headrace.campaign_template_stats DROP CONSTRAINT campaign_template_stats_funnel"
    )
    campaign = counted.campaigns[0].id
    counted.rows(
        "UPDATE headrace.campaign_template_stats SET read = delivered + 3 WHERE campaign_id = %s", [campaign]
    )
    counted.rows("SELECT headrace.refresh_documents(ARRAY[%s]::uuid[], p_frozen => true)", [campaign])
    found = the_check(funnel_monotonic)
    assert not found.passed
    assert {(place, problem) for _, place, problem in problems(found)} == {
        ("counters", "read exceeds delivered")
    }


def test_what_it_prints_mends_the_documents(counted: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    tamper(counted, "totals = '{}', template_stats = '[]'")
    found = the_check(funnel_monotonic)
    command = found.sentence.partition("To write them anew: headrace ")[2]
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    assert ended.value.code == 0
    assert the_check(funnel_monotonic).passed


def test_long_lists_are_cut_and_say_how_many_there_are() -> None:
    faults = tuple(
        DocumentFault(uuid4(), "document", False, f"t{n}", "read differs", n, n + 1) for n in range(MOST_ROWS)
    )
    found = judge_documents(Documents(900, 4000, faults, all_faults=1234, campaigns=321))
    assert len(found.listings["fault_table"].rows) == MOST_ROWS
    assert found.listings["fault_table"].total == 1234
    assert found.numbers["faults"] == 1234
    assert "and 1,229 more" in found.sentence
    assert len(found.sentence) < 2000


def test_a_template_without_a_name_is_called_so() -> None:
    fault = DocumentFault(CAMPAIGN, "document", False, None, "lacks it", None, 4)
    assert str(fault) == (
        f"campaign {CAMPAIGN}, template (none): document lacks it (it says nothing, the counters say 4)"
    )
