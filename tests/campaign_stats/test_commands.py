"""`headrace stats` and `headrace rebuild`: bars, tables, JSON, the picture as a file."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from PIL import Image

from orchestration.campaign_stats.counters import ASIDE, STEPS
from orchestration.campaign_stats.funnel import WIDTH
from orchestration.engine.stream import drain
from tests.campaign_stats.oracle import assert_all_agree
from tests.commands import Headrace, a_sentence, run, subprocess_environment
from tests.rows import a_history, insert

EIGHTHS = {letter: number for number, letter in enumerate("▏▎▍▌▋▊▉█", 1)}


@pytest.fixture
def headrace(database: str) -> Headrace:
    return lambda *arguments, **environment: run(*arguments, HEADRACE_DATABASE_URL=database, **environment)


@pytest.fixture
def admin(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def campaign(database: str, admin: psycopg.Connection[Any]) -> str:
    """The id of a campaign with two templates, counted."""
    first, _ = a_history(admin)
    asyncio.run(drain(database))
    return str(first)


# --- bars and tables ------------------------------------------------------------------------------------------------


def test_stats_shows_a_campaign_in_all_and_by_template(
    headrace: Headrace, database: str, admin: psycopg.Connection[Any]
) -> None:
    first, _ = a_history(admin)
    live = headrace("stats", str(first)).output
    assert live.startswith("first (running), created ")
    assert "not stored yet: counted just now" in live
    asyncio.run(drain(database))
    computed = headrace("stats", str(first)).output
    assert re.search(r"^live, version 1; numbers last changed \d+ s ago$", computed, re.MULTILINE)
    assert re.search(r"^total +20 ", computed, re.MULTILINE)
    assert re.search(r"^template 0 +10 ", computed, re.MULTILINE)


def test_bars_are_as_long_as_their_counters(
    headrace: Headrace, campaign: str, admin: psycopg.Connection[Any]
) -> None:
    (totals,) = admin.execute(
        "SELECT totals FROM headrace.campaign_computed_stats WHERE campaign_id = %s", [campaign]
    ).fetchall()[0]
    lines = headrace("stats", campaign).output.splitlines()
    for counter in (*STEPS, *ASIDE):
        (line,) = [line for line in lines if line.startswith(f"{counter} ")]
        assert line.split()[1] == str(totals[counter])
        eighths = sum(EIGHTHS.get(letter, 0) for letter in line)
        assert eighths == round(60 * 8 * totals[counter] / totals["total"])
    assert totals["total"] > totals["delivered"] > totals["replied"] > 0


@pytest.mark.parametrize("columns", [1, 20, 30, 40, 60, 80, 100, 300])
def test_whatever_the_width_every_number_is_whole(columns: int, headrace: Headrace, campaign: str) -> None:
    document = json.loads(headrace("stats", campaign, "--json").output)
    result = headrace("stats", campaign, COLUMNS=str(columns))
    assert result.exit_code == 0, result.exception
    heading, _, rest = result.output.partition("s ago")
    assert heading
    if columns < 20:
        return  # no real terminal: it is enough that it ends
    for counter in (*STEPS, *ASIDE):
        assert re.search(rf"^{counter} +{document['totals'][counter]}\b", rest, re.MULTILINE)
    assert max(len(line) for line in rest.splitlines()) <= columns
    if columns < 60:
        said = " ".join(rest.split())
        for part in document["template_stats"]:
            counts = ", ".join(f"{counter} {part[counter]}" for counter in (*STEPS, *ASIDE))
            assert f"{part['template_name']} {counts}" in said
    else:
        for part in document["template_stats"]:
            counts = " +".join(str(part[counter]) for counter in (*STEPS, *ASIDE))
            assert re.search(rf"^{part['template_name']} +{counts}", rest, re.MULTILINE)
    assert ("delivered %" in rest) == (columns >= 100)
    assert ("█" in rest) == (columns >= 40)


def test_a_pipe_and_no_color_get_plain_text_and_an_ascii_output_what_it_can_write(
    database: str, campaign: str, admin: psycopg.Connection[Any]
) -> None:
    admin.execute("UPDATE campaigns SET name = 'Grüße 日本' WHERE id = %s", [campaign])

    def said(**environment: str) -> bytes:
        return subprocess.run(
            [sys.executable, "-m", "orchestration.cli", "stats", campaign],
            env=subprocess_environment(HEADRACE_DATABASE_URL=database, COLUMNS="100", **environment),
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout

    plain = said()
    assert b"\x1b" not in plain
    assert "Grüße 日本" in plain.decode()
    coloured = said(FORCE_COLOR="1", TERM="xterm-256color").decode()
    assert "\x1b[36m█" in coloured
    no_color = said(FORCE_COLOR="1", NO_COLOR="1", TERM="xterm-256color").decode()
    assert "\x1b[3" not in no_color
    ascii_only = said(PYTHONIOENCODING="ascii")
    assert b"Gr??e ??" in ascii_only
    assert b"########" in ascii_only


def test_names_from_outside_control_no_terminal(
    headrace: Headrace, database: str, admin: psycopg.Connection[Any]
) -> None:
    campaign = insert(admin, "campaigns", name="[red]a\nb\x1b[2J", status="running")
    for template in ("\x1b]0;title\x07", "[bold]b[/]", None):
        insert(admin, "send_queue", campaign_id=campaign, template_name=template)
    asyncio.run(drain(database))
    said = headrace("stats", str(campaign)).output
    assert said.startswith("[red]a b\N{REPLACEMENT CHARACTER}[2J (running)")
    assert not {"\x1b", "\x07"} & set(said)
    for shown in ("\N{REPLACEMENT CHARACTER}]0;title\N{REPLACEMENT CHARACTER}", "[bold]b[/]", "(none)"):
        assert re.search(rf"^{re.escape(shown)} +1 ", said, re.MULTILINE)


def test_a_campaign_without_messages_has_counters_and_no_bars(
    headrace: Headrace, admin: psycopg.Connection[Any]
) -> None:
    campaign = insert(admin, "campaigns", name="empty", status="running")
    said = headrace("stats", str(campaign)).output
    assert re.findall(r"^(\w+) +0 *$", said, re.MULTILINE) == [*STEPS, *ASIDE]
    assert "%" not in said
    assert "█" not in said


def test_json_is_the_document_and_nothing_else(
    headrace: Headrace, campaign: str, admin: psycopg.Connection[Any]
) -> None:
    result = headrace("stats", campaign, "--json", COLUMNS="20")
    document = json.loads(result.output)
    assert result.output == json.dumps(document, indent=2) + "\n"
    assert document == admin.execute("SELECT headrace.campaign_stats(%s)", [campaign]).fetchall()[0][0] | {
        "age_seconds": document["age_seconds"]
    }


def test_stats_without_a_campaign_lists_the_newest_with_their_ids(
    headrace: Headrace, database: str, admin: psycopg.Connection[Any]
) -> None:
    assert headrace("stats").output == "there are no campaigns\n"
    first, second = a_history(admin)
    asyncio.run(drain(database))
    listed = json.loads(headrace("stats", "--json").output)
    assert {row["campaign"] for row in listed} == {str(first), str(second)}
    totals = "SELECT totals -> 'total' FROM headrace.campaign_computed_stats WHERE campaign_id = %s"
    for row in listed:
        assert admin.execute(totals, [row["campaign"]]).fetchone() == (row["total"],)
    heading, *lines = (line.split("\t") for line in headrace("stats").output.splitlines())
    assert [dict(zip(heading, line, strict=True)) for line in lines] == [
        {column: "" if value is None else str(value) for column, value in row.items()} for row in listed
    ]


@pytest.mark.parametrize("status", ["scheduled", "failed"])
def test_a_campaign_that_has_no_statistics_by_its_status_has_none_in_the_list_either(
    status: str, headrace: Headrace, database: str, admin: psycopg.Connection[Any], tmp_path: Path
) -> None:
    campaign = str(insert(admin, "campaigns", name="later", status=status))
    insert(admin, "send_queue", campaign_id=campaign, status="sent")
    asyncio.run(drain(database))
    assert headrace("stats", campaign).output.endswith(f"no statistics: its status is {status}\n")
    (row,) = json.loads(headrace("stats", "--json").output)
    assert (row["campaign"], row["status"], row["total"]) == (campaign, status, None)
    file = tmp_path / "later.png"
    said = a_sentence(headrace("stats", campaign, "--png", str(file)), exit_code=1)
    assert said.endswith(f"has no statistics to draw: its status is {status}")
    assert not file.exists()


def test_stats_of_a_frozen_campaign_say_since_when_which_version_and_whether_it_is_deleted(
    headrace: Headrace, database: str, campaign: str, admin: psycopg.Connection[Any]
) -> None:
    admin.execute("SELECT headrace.freeze_campaigns(ARRAY[%s]::uuid[])", [campaign])
    moment = r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"
    shown = headrace("stats", campaign).output
    assert re.search(rf"^frozen {moment}, version 1; numbers last changed \d+ s ago$", shown, re.MULTILINE)
    insert(admin, "send_queue", campaign_id=campaign, status="queued")
    asyncio.run(drain(database))
    shown = headrace("stats", campaign).output
    assert shown.startswith("first (running), ")
    assert re.search(rf"^amended {moment}, version 2; ", shown, re.MULTILINE)
    admin.execute("DELETE FROM campaigns WHERE id = %s", [campaign])
    asyncio.run(drain(database))
    assert headrace("stats", campaign).output.startswith("first (running, deleted since), ")


@pytest.mark.parametrize("command", ["stats", "rebuild"])
def test_a_campaign_that_is_none_is_a_sentence(
    command: str, headrace: Headrace, admin: psycopg.Connection[Any]
) -> None:
    unknown = str(uuid.uuid4())
    assert a_sentence(headrace(command, unknown), exit_code=1) == f"headrace: there is no campaign {unknown}"
    assert a_sentence(headrace(command, "42"), exit_code=2) == "headrace: 42 is not a campaign id (a uuid)"
    assert admin.execute("SELECT count(*) FROM headrace.campaign").fetchone() == (0,)


# --- the picture ----------------------------------------------------------------------------------------------------


def test_the_picture_goes_to_a_file_that_is_whole(headrace: Headrace, campaign: str, tmp_path: Path) -> None:
    file = tmp_path / "funnel.png"
    file.write_text("an older one")
    assert headrace("stats", campaign, "--png", str(file)).output == f"the picture is in {file}\n"
    with Image.open(file) as picture:
        picture.load()
        assert (picture.format, picture.width) == ("PNG", WIDTH)
    assert [entry.name for entry in tmp_path.iterdir()] == ["funnel.png"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_the_picture_goes_to_standard_output_and_nothing_else_does(headrace: Headrace, campaign: str) -> None:
    result = headrace("stats", campaign, "--png", "-")
    assert result.exit_code == 0
    with Image.open(io.BytesIO(result.stdout_bytes)) as picture:
        picture.load()
    assert result.stdout_bytes.endswith(b"IEND\xaeB`\x82")


def test_the_picture_goes_where_a_link_leads_and_into_a_pipe(
    headrace: Headrace, campaign: str, tmp_path: Path
) -> None:
    link, file, pipe = (tmp_path / name for name in ("link.png", "file.png", "pipe"))
    file.write_bytes(b"")
    link.symlink_to(file)
    headrace("stats", campaign, "--png", str(link))
    assert link.is_symlink()
    assert file.read_bytes().startswith(b"\x89PNG")

    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    assert headrace("stats", campaign, "--png", str(pipe)).exit_code == 0
    reader.join(30)
    assert read == [file.read_bytes()]


def test_a_picture_that_cannot_be_written_is_a_sentence_and_leaves_nothing(
    headrace: Headrace, campaign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = a_sentence(headrace("stats", campaign, "--png", str(tmp_path)), exit_code=2)
    assert said == f"headrace: {tmp_path} is a folder: name a file in it"
    missing = tmp_path / "missing" / "funnel.png"
    said = a_sentence(headrace("stats", campaign, "--png", str(missing)), exit_code=2)
    assert said == f"headrace: {missing} cannot be written: No such file or directory"

    def full(self: Path, content: bytes) -> int:
        self.open("wb").close()
        raise OSError(28, "No space left on device")

    older = tmp_path / "funnel.png"
    older.write_text("an older one")
    monkeypatch.setattr(Path, "write_bytes", full)
    said = a_sentence(headrace("stats", campaign, "--png", str(older)), exit_code=2)
    assert said.endswith("cannot be written: No space left on device")
    assert older.read_text() == "an older one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["funnel.png"]


def test_a_picture_needs_a_campaign_and_goes_without_json(headrace: Headrace, campaign: str) -> None:
    assert "name it by its id" in a_sentence(headrace("stats", "--png", "x.png"), exit_code=2)
    assert "take one of them" in a_sentence(
        headrace("stats", campaign, "--json", "--png", "x.png"), exit_code=2
    )


@pytest.mark.parametrize(
    ("arguments", "loaded"), [((), []), (("--json",), []), (("--png", os.devnull), ["PIL", "matplotlib"])]
)
def test_only_a_picture_loads_what_draws_it_and_nothing_loads_dagster(
    arguments: tuple[str, ...], loaded: list[str], database: str, campaign: str
) -> None:
    script = (
        "import sys, orchestration.cli as cli\n"
        f"cli.main({['stats', campaign, *arguments]!r}, standalone_mode=False)\n"
        "large = {'dagster', 'pandas', 'matplotlib', 'PIL'}\n"
        "print(sorted(large & {name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=subprocess_environment(HEADRACE_DATABASE_URL=database),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == f"{loaded}\n"


# --- rebuild --------------------------------------------------------------------------------------------------------


def test_rebuild_sets_stored_numbers_right(
    headrace: Headrace, database: str, admin: psycopg.Connection[Any]
) -> None:
    first, second = a_history(admin)
    asyncio.run(drain(database))
    spoil = "UPDATE headrace.campaign_template_stats SET total = total + 1"
    admin.execute(spoil)
    assert (
        headrace("rebuild", str(first), str(second)).output
        == "2 campaigns rebuilt; 4 messages or counters changed\n"
    )
    assert_all_agree(admin)
    admin.execute(spoil)
    assert headrace("rebuild", "--all").output == "2 of 2 campaigns rebuilt\n"
    assert_all_agree(admin)
    for wrong in ((), (str(first), "--all")):
        assert "name campaigns by id, or say --all" in a_sentence(headrace("rebuild", *wrong), exit_code=2)


def test_rebuild_of_nothing_says_so(headrace: Headrace) -> None:
    assert headrace("rebuild", "--all").output == "there are no campaigns\n"
