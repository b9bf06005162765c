"""Real input: 41,188 contacts of a bank's campaigns, written to the source tables; the counts are known without Headrace.

Data: UCI Bank Marketing (Moro, Cortez, Rita 2014), mapped as the data folder's README says.
"""

from __future__ import annotations

import csv
import json
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from tests.campaign_stats.oracle import COUNTERS, drain, live, stored

DATA = Path(__file__).parents[3] / "shared" / "data" / "bank_marketing" / "bank-additional-full.csv"
SENT_AT = datetime(2010, 3, 1, tzinfo=UTC)

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="shared/data/bank_marketing is not here")

# Counted from the file without Headrace (the data folder's README): (month, contact) to total, replied, `sent` logs.
KNOWN = {
    ("may", "cellular"): (5518, 614, 12488),
    ("may", "telephone"): (8251, 272, 21105),
    ("jul", "cellular"): (6096, 591, 18627),
    ("mar", "cellular"): (486, 252, 1061),
    ("dec", "telephone"): (33, 11, 73),
}


def _contacts() -> Iterator[tuple[int, dict[str, str]]]:
    with DATA.open(newline="", encoding="utf-8") as file:
        yield from enumerate(csv.DictReader(file, delimiter=";"), start=1)


def test_the_bank_marketing_data_gives_exactly_the_known_counts(database: str) -> None:
    campaigns = {month: uuid.uuid4() for month in {row["month"] for _, row in _contacts()}}
    assert len(campaigns) == 10
    by_id = {campaign: month for month, campaign in campaigns.items()}
    with psycopg.connect(database) as app, app.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO campaigns (id, name) VALUES (%s, %s)", [(i, m) for m, i in campaigns.items()]
        )
        with cursor.copy(
            "COPY send_queue (campaign_id, user_phone, whatsapp_number_id, template_name, status,"
            " whatsapp_message_id, sent_at) FROM STDIN"
        ) as copy:
            for line, row in _contacts():
                copy.write_row(
                    (campaigns[row["month"]], f"p{line}", "bank", row["contact"], "sent", f"m{line}", SENT_AT)
                )
        with cursor.copy("COPY message_status_logs (whatsapp_message_id, status) FROM STDIN") as copy:
            for line, row in _contacts():
                statuses = ["sent"] * int(row["campaign"]) + ["delivered"]
                statuses += ["read"] if int(row["duration"]) >= 60 else []
                for status in statuses:
                    copy.write_row((f"m{line}", status))
        with cursor.copy(
            "COPY messages (user_phone, whatsapp_number_id, direction, created_at) FROM STDIN"
        ) as copy:
            for line, row in _contacts():
                if row["y"] == "yes":
                    copy.write_row((f"p{line}", "bank", "incoming", SENT_AT + timedelta(hours=1)))
    with psycopg.connect(database, autocommit=True) as connection:
        drain(connection)
        found = {
            (by_id[campaign], template): dict(zip(COUNTERS, values, strict=True))
            for (campaign, template), values in stored(connection).items()
        }
        assert live(connection) == stored(connection)
        sent_logs = {
            (by_id[campaign], template): count
            for campaign, template, count in connection.execute(
                "SELECT q.campaign_id, q.template_name, count(*) FROM message_status_logs l"
                " JOIN send_queue q USING (whatsapp_message_id) WHERE l.status = 'sent' GROUP BY 1, 2"
            )
        }
        sizes = Counter((row["month"], row["contact"]) for _, row in _contacts())
        reads = Counter(
            (row["month"], row["contact"]) for _, row in _contacts() if int(row["duration"]) >= 60
        )

    for key, (total, replied, logs) in KNOWN.items():
        assert (found[key]["total"], found[key]["replied"], sent_logs[key]) == (total, replied, logs)
    assert sum(numbers["total"] for numbers in found.values()) == 41188
    assert sum(numbers["replied"] for numbers in found.values()) == 4640
    assert sum(sent_logs.values()) == 105754
    for key, numbers in found.items():
        expected = {
            "total": sizes[key],
            "sent": sizes[key],
            "delivered": sizes[key],
            "read": reads[key],
            "failed": 0,
        }
        assert {name: numbers[name] for name in expected} == expected, json.dumps(key)
