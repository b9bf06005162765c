"""The cached reader: what it keeps and for how long, who asks the database, and which age it reports."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.string import TextLoader

from orchestration.campaign_stats.reader import CampaignStatsReader
from tests.campaign_stats.oracle import drain
from tests.rows import a_history, insert

DAY = 86_400


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Source:
    """Counts connections to a database. A gate can hold them up, and a fault can be raised in their place.

    set_up: what the service does to its connections.
    """

    def __init__(self, url: str) -> None:
        self.url, self.reads = url, 0
        self.set_up: Callable[[psycopg.Connection[Any]], object] = lambda _: None
        self.entered, self.gate = threading.Event(), threading.Event()
        self.gate.set()
        self.fault: BaseException | None = None

    @contextmanager
    def __call__(self) -> Iterator[psycopg.Connection[Any]]:
        self.reads += 1
        source = self

        class Gated(psycopg.Cursor[Any]):
            def execute(self, *arguments: Any, **more: Any) -> Any:
                super().execute(*arguments, **more)
                source.entered.set()
                assert source.gate.wait(30)
                if source.fault is not None:
                    raise source.fault
                return self

        with psycopg.connect(self.url, autocommit=True, cursor_factory=Gated) as connection:
            self.set_up(connection)
            yield connection


@pytest.fixture
def app(database: str) -> psycopg.Connection[Any]:
    return psycopg.connect(database, autocommit=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(database: str) -> Source:
    return Source(database)


@pytest.fixture
def reader(source: Source, clock: Clock) -> CampaignStatsReader:
    return CampaignStatsReader(source, clock=clock)


@pytest.fixture
def campaigns(app: psycopg.Connection[Any]) -> list[uuid.UUID]:
    """A computed campaign and a frozen one."""
    found = a_history(app)
    drain(app)
    app.execute("SELECT headrace.freeze_campaigns(ARRAY[%s])", [found[1]])
    return found


def test_ids_may_be_text_and_answers_bear_the_ids_as_they_were_given(
    reader: CampaignStatsReader, source: Source, campaigns: list[uuid.UUID]
) -> None:
    first, second = (str(campaign).upper() for campaign in campaigns)
    found = reader.get_many([first, second])
    assert list(found) == [first, second]
    assert found == {first: reader.get(campaigns[0]), second: reader.get(second)}
    assert source.reads == 1
    reader.invalidate(second)
    reader.get(second)
    assert source.reads == 2


@pytest.mark.parametrize("wrong", ["summer", "", None, 7])
def test_an_id_that_is_none_is_refused_by_its_name(
    wrong: Any, reader: CampaignStatsReader, source: Source
) -> None:
    for ask in (reader.get, reader.invalidate, lambda given: reader.get_many([uuid.uuid4(), given])):
        with pytest.raises(ValueError, match=f"which is a UUID: {wrong!r}"):
            ask(wrong)
    assert source.reads == 0


def test_what_is_read_is_what_the_database_says(
    reader: CampaignStatsReader, app: psycopg.Connection[Any], campaigns: list[uuid.UUID]
) -> None:
    for _ in range(2):  # loaded, then kept
        for campaign in campaigns:
            row = app.execute("SELECT headrace.campaign_stats(%s)", [campaign]).fetchone()
            document = reader.get(campaign)
            assert row is not None
            assert document is not None
            assert 0 <= document.pop("age_seconds") < 60
            del row[0]["age_seconds"]
            assert document == row[0]


def _rows_as_dicts(connection: psycopg.Connection[Any]) -> None:
    connection.row_factory = dict_row


def _ids_as_text(connection: psycopg.Connection[Any]) -> None:
    connection.adapters.register_loader("uuid", TextLoader)


@pytest.mark.parametrize("set_up", [_rows_as_dicts, _ids_as_text], ids=["rows as dicts", "ids as text"])
def test_a_services_connections_may_give_rows_and_ids_as_it_likes_them(
    reader: CampaignStatsReader,
    source: Source,
    campaigns: list[uuid.UUID],
    set_up: Callable[[psycopg.Connection[Any]], None],
) -> None:
    source.set_up = set_up
    found = reader.get_many([*campaigns, uuid.uuid4()])
    assert [document and document["campaign_id"] for document in found.values()] == [
        *map(str, campaigns),
        None,
    ]


@pytest.mark.parametrize(("which", "seconds"), [(0, 5), (1, DAY)], ids=["computed", "frozen"])
def test_a_document_is_kept_for_as_long_as_its_state_allows(
    reader: CampaignStatsReader,
    source: Source,
    clock: Clock,
    campaigns: list[uuid.UUID],
    which: int,
    seconds: float,
) -> None:
    reader.get(campaigns[which])
    clock.now += seconds - 0.001
    reader.get(campaigns[which])
    assert source.reads == 1
    clock.now += 0.001
    reader.get(campaigns[which])
    assert source.reads == 2


def test_age_goes_on_while_a_document_is_kept(
    reader: CampaignStatsReader, clock: Clock, campaigns: list[uuid.UUID]
) -> None:
    first = reader.get(campaigns[1])
    clock.now += 3600
    second = reader.get(campaigns[1])
    assert first is not None
    assert second is not None
    assert second["age_seconds"] == pytest.approx(first["age_seconds"] + 3600, abs=0.002)


def test_what_a_caller_does_to_its_document_reaches_nobody_else(
    reader: CampaignStatsReader, campaigns: list[uuid.UUID]
) -> None:
    first = reader.get(campaigns[1])
    assert first is not None
    first["totals"]["sent"] = -1
    second = reader.get(campaigns[1])
    assert second is not None
    assert second["totals"]["sent"] > 0


def test_many_are_read_with_one_query_and_only_those_that_are_not_kept(
    reader: CampaignStatsReader,
    source: Source,
    app: psycopg.Connection[Any],
    campaigns: list[uuid.UUID],
) -> None:
    missing = uuid.uuid4()
    more = [insert(app, "campaigns", status="scheduled") for _ in range(3)]
    reader.get(campaigns[0])
    found = reader.get_many([*more, *campaigns, missing, more[0]])
    assert source.reads == 2
    assert list(found) == [*more, *campaigns, missing]
    assert found[missing] is None
    assert {campaign for campaign, document in found.items() if document} == {*more, *campaigns}
    assert all(document["campaign_id"] == str(campaign) for campaign, document in found.items() if document)
    assert reader.get_many([]) == {}
    assert source.reads == 2


def test_a_campaign_that_is_missing_is_asked_for_once_a_refresh(
    reader: CampaignStatsReader, source: Source, clock: Clock, app: psycopg.Connection[Any]
) -> None:
    campaign = uuid.uuid4()
    assert reader.get(campaign) is reader.get(campaign) is None
    assert source.reads == 1
    insert(app, "campaigns", id=campaign)
    clock.now += 5
    assert reader.get(campaign) is not None


def test_the_least_recently_read_goes_when_there_are_too_many(
    source: Source, clock: Clock, app: psycopg.Connection[Any]
) -> None:
    campaigns = [insert(app, "campaigns", status="scheduled") for _ in range(3)]
    reader = CampaignStatsReader(source, most_campaigns=2, clock=clock)
    for position in (0, 1, 0, 2, 0):
        reader.get(campaigns[position])
    assert source.reads == 3
    reader.get(campaigns[1])
    assert source.reads == 4
    assert len(reader.get_many(campaigns)) == 3


def test_a_cache_that_keeps_nothing_is_refused(source: Source) -> None:
    with pytest.raises(ValueError, match="at least one"):
        CampaignStatsReader(source, most_campaigns=0)


def test_a_newer_version_is_read_and_an_older_one_forgets_nothing(
    reader: CampaignStatsReader,
    source: Source,
    app: psycopg.Connection[Any],
    campaigns: list[uuid.UUID],
) -> None:
    frozen = campaigns[1]
    document = reader.get(frozen)
    assert document is not None
    reader.invalidate(frozen, document["version"])
    reader.invalidate(frozen, document["version"] - 1)
    reader.get(frozen)
    assert source.reads == 1
    # A late webhook: the frozen document is amended.
    app.execute(
        "INSERT INTO message_status_logs (whatsapp_message_id, status) SELECT whatsapp_message_id, 'read'"
        " FROM send_queue WHERE campaign_id = %s",
        [frozen],
    )
    drain(app)
    assert (reader.get(frozen) or {})["version"] == document["version"]
    reader.invalidate(frozen, document["version"] + 1)
    amended = reader.get(frozen)
    assert amended is not None
    assert (amended["state"], amended["version"]) == ("amended", document["version"] + 1)
    reader.invalidate(frozen)
    reader.invalidate(uuid.uuid4(), 7)
    reader.get(frozen)
    assert source.reads == 3


# --- threads -------------------------------------------------------------------------------------------------------


def held_up(source: Source, *reads: Callable[[], Any]) -> list[Any]:
    """Holds up the first read after its query, starts the others, then lets it go on. Returns what each gave or raised."""
    source.gate.clear()
    with ThreadPoolExecutor(len(reads)) as pool:
        running = [pool.submit(reads[0])]
        assert source.entered.wait(30)
        running += [pool.submit(read) for read in reads[1:]]
        for later in running[1:]:
            with pytest.raises(TimeoutError):
                later.result(0.05)
        source.gate.set()
        return [future.exception(30) or future.result() for future in running]


def test_of_several_threads_one_asks_and_all_have_the_answer(
    reader: CampaignStatsReader, source: Source, campaigns: list[uuid.UUID]
) -> None:
    answers = held_up(
        source, *[lambda: reader.get(campaigns[0])] * 6, lambda: reader.get_many(campaigns[:1])[campaigns[0]]
    )
    assert source.reads == 1
    assert len({document["version"] for document in answers}) == 1
    assert len(set(map(id, answers))) == 7


@pytest.mark.parametrize(
    ("fault", "others"),
    [(psycopg.OperationalError("gone"), psycopg.OperationalError), (KeyboardInterrupt(), RuntimeError)],
    ids=["an error", "an interrupt"],
)
def test_an_error_reaches_all_that_waited_and_is_not_kept(
    reader: CampaignStatsReader,
    source: Source,
    campaigns: list[uuid.UUID],
    fault: BaseException,
    others: type[Exception],
) -> None:
    source.fault = fault
    first, *waited = held_up(source, *[lambda: reader.get(campaigns[0])] * 3)
    assert first is fault
    assert [type(error) for error in waited] == [others] * 2
    source.fault = None
    assert reader.get(campaigns[0]) is not None


def test_what_fails_after_the_answer_leaves_nobody_waiting(
    source: Source, clock: Clock, campaigns: list[uuid.UUID]
) -> None:
    def failing() -> float:
        if source.entered.is_set():
            raise OSError("no time")
        return clock()

    reader = CampaignStatsReader(source, clock=failing)
    with pytest.raises(OSError, match="no time"):
        reader.get_many(campaigns)
    source.entered.clear()
    ended = threading.Event()

    def again() -> None:
        with contextlib.suppress(OSError):
            reader.get(campaigns[1])
        ended.set()

    threading.Thread(target=again, daemon=True).start()
    assert ended.wait(30)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_threads_that_stayed_behind(
    reader: CampaignStatsReader, source: Source, campaigns: list[uuid.UUID]
) -> None:
    source.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(reader.get, campaigns[0])
        assert source.entered.wait(30)

        def read() -> None:
            source.gate = threading.Event()
            source.gate.set()
            assert reader.get(campaigns[0]) is not None

        child = multiprocessing.get_context("fork").Process(target=read)
        child.start()
        child.join(30)
        child.kill()
        source.gate.set()
    assert child.exitcode == 0


def test_a_read_from_before_an_invalidation_is_not_kept_and_not_waited_for(
    reader: CampaignStatsReader,
    source: Source,
    app: psycopg.Connection[Any],
    campaigns: list[uuid.UUID],
) -> None:
    frozen = campaigns[1]
    source.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        before = pool.submit(reader.get, frozen)
        assert source.entered.wait(30)
        app.execute("SELECT headrace.reopen_campaigns(ARRAY[%s])", [frozen])
        reader.invalidate(frozen)
        source.entered.clear()
        after = pool.submit(reader.get, frozen)
        assert source.entered.wait(30)
        source.gate.set()
        assert (before.result(30) or {})["state"] == "frozen"
        assert (after.result(30) or {})["state"] == "live"
    assert (reader.get(frozen) or {})["state"] == "live"
    assert source.reads == 2


def test_threads_that_want_each_others_campaigns_do_not_wait_in_a_circle(
    reader: CampaignStatsReader, source: Source, app: psycopg.Connection[Any]
) -> None:
    campaigns = [insert(app, "campaigns", status="scheduled") for _ in range(12)]
    with ThreadPoolExecutor(8) as pool:
        running = [
            pool.submit(reader.get_many, campaigns[n % 12 :] + campaigns[: n % 12 + 3][::-1])
            for n in range(40)
        ]
        assert all(set(future.result(60)) == set(campaigns) for future in running[::11])
    assert source.reads <= 40
