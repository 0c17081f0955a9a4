"""The metrics views, compared with a reference computation on generated conversations."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

from pipeline.processors.converse.business_hours import from_ms
from pipeline.processors.converse.record_view import RecordView
from pipeline.sinks import migrations
from pipeline.sinks.chdb import ChdbWarehouse
from pipeline.sinks.row_mapping import columns_of
from pipeline.sinks.table_columns import VersionedContract
from schemas.envelope import stable_id
from schemas.types import Contract
from tests.support.conversing import FOLD, HOURS, call, fold_batch, message, replace

WEEK = timedelta(days=7)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChdbWarehouse]:
    warehouse = ChdbWarehouse(tmp_path_factory.mktemp("metrics") / "store")
    migrations.migrate(warehouse)
    yield warehouse
    warehouse.close()


def ask(warehouse: ChdbWarehouse, sql: str, **parameters: Any) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in warehouse.query(sql, parameters).splitlines()]


def insert(warehouse: ChdbWarehouse, emitted: Sequence[Contract], start: int = 1) -> None:
    """Load contracts as `load` does, each with a higher version than those before it."""
    for table, columns in columns_of(
        [VersionedContract.of(contract, version) for version, contract in enumerate(emitted, start)]
    ):
        warehouse.insert(table, columns)


def fold_all(records: Sequence[RecordView], batch: int = 3) -> list[Contract]:
    """Fold records as converse does, key by key, in batches; return all emitted contracts."""
    by_key: dict[str, list[RecordView]] = defaultdict(list)
    for one in records:
        by_key[one.key].append(one)
    emitted: list[Contract] = []
    for items in by_key.values():
        state = FOLD.empty()
        for start in range(0, len(items), batch):
            state, more = fold_batch(state, items[start : start + batch])
            emitted.extend(more)
    return emitted


def generated(seed: int, conversations: int) -> list[RecordView]:
    """Return generated records of conversations; each customer has up to two contact points."""
    random_ = random.Random(seed)
    records: list[RecordView] = []
    for number in range(conversations):
        minutes = random_.uniform(0, 20_000)
        for step in range(random_.randrange(1, 14)):
            minutes += random_.choice([0.2, 1, 7, 45, 300, 1_500, 12_000])
            name = f"{seed}-{number}-{step}"
            say = random_.choice(["in", "in", "in", "out", "out", "bot", "auto", "system"])
            text = random_.choice(["在吗", "谢谢", "what does it cost", "我想退货，请问怎么办理"])
            if say == "system":
                text = random_.choice(
                    ["会话已结束", "conversation assigned to Wei", "Wei renamed the chat"]
                )
            one = message(
                name,
                minutes,
                text,
                say="out" if say == "auto" else say,
                conversation=f"{seed}-{number}",
            )
            contact = random_.choice(["a", "a", "a", "b"])
            key = None if say == "system" else str(stable_id("customer", str(number), contact))
            one = replace(
                one,
                customer_id=key,
                contact=f"id:{number}{contact}",
                staff=random_.choice(["Wei", "An"]),
            )
            if say == "auto":
                one = replace(one, auto_kind="ack")
            if say == "bot":
                one = replace(one, staff="bot")
            if random_.random() < 0.08:
                one = replace(one, result="resolved")
            if say in ("in", "out") and random_.random() < 0.2:
                talked = random_.choice([None, 30.0, 200.0])
                rang = call(name, minutes, talked, say=say)
                one = replace(
                    rang,
                    conversation_id=one.conversation_id,
                    customer_id=key,
                    contact=one.contact,
                    staff=one.staff,
                )
            records.append(one)
    return records


@dataclass
class Episode:
    """One episode of the reference computation."""

    begun_by: str
    opened_at: datetime
    facts: list[tuple[datetime, str, RecordView]] = field(default_factory=list)


def reference_facts(records: Sequence[RecordView]) -> list[tuple[datetime, str, RecordView]]:
    """Return (instant, kind, record) of a conversation's records, in order.

    Kinds are ask, thanks, human, bot, auto, assigned and closed.
    """
    found: list[tuple[datetime, str, int, str, RecordView]] = []
    for one in records:
        at = from_ms(one.occurred_at)
        what: list[tuple[datetime, str]] = []
        answered_at = one.call.answered_at if one.call else None
        if one.kind == "system":
            what += [(at, "assigned")] if "assigned" in one.reply_text else []
        elif one.direction == "inbound":
            what.append((at, "thanks" if one.reply_text == "谢谢" and one.call is None else "ask"))
            what += [(from_ms(answered_at), "human")] if answered_at else []
        elif one.auto_kind:
            what.append((at, "bot" if one.auto_kind == "bot" else "auto"))
        elif one.call is None or answered_at:
            what.append((from_ms(answered_at) if answered_at else at, "human"))
        if one.result or (one.kind == "system" and "结束" in one.reply_text):
            what.append((at, "closed"))
        rank = {"ask": 0, "thanks": 0, "assigned": 2, "closed": 3}
        found.extend((when, one.record_id, rank.get(kind, 1), kind, one) for when, kind in what)
    return [(when, kind, one) for when, _, _, kind, one in sorted(found, key=lambda item: item[:3])]


def reference_episodes(records: Sequence[RecordView]) -> list[Episode]:
    episodes: list[Episode] = []
    closed, waiting, spoken_at = False, False, None
    for at, kind, one in reference_facts(records):
        silent = spoken_at is not None and at - spoken_at > WEEK and not waiting
        if not episodes:
            episodes.append(Episode("opened", at))
        elif kind == "ask" and closed:
            episodes.append(Episode("reopened", at))
        elif kind == "ask" and silent:
            episodes.append(Episode("silence", at))
        episodes[-1].facts.append((at, kind, one))
        closed = kind == "closed" or (closed and kind != "ask")
        waiting = kind == "ask" or (waiting and kind not in ("human", "closed"))
        spoken_at = at if kind in ("ask", "thanks", "human") else spoken_at
    return episodes


def seconds(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else (end - start).total_seconds()


def business(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else HOURS.elapsed(start, end)


def first_of(
    facts: Sequence[tuple[datetime, str, RecordView]], kind: str, after: datetime | None = None
) -> datetime | None:
    """Return the first fact of a kind; with `after`, the first one that follows the first ask."""
    started = after is None
    for at, what, _ in facts:
        if started and what == kind:
            return at
        started = started or what == "ask"
    return None


def reference_metrics(episode: Episode, following: Episode | None) -> dict[str, Any]:
    facts = episode.facts
    asked = first_of(facts, "ask")
    human = first_of(facts, "human", asked) if asked else None
    bot_seen, handoff = False, None
    for at, kind, _ in facts:
        bot_seen = bot_seen or kind == "bot"
        if kind == "human" and asked and at >= asked and human == at:
            break
        if kind == "assigned" and bot_seen and handoff is None:
            handoff = at
    start = max(asked, handoff) if asked and handoff else asked
    closings = [at for at, kind, _ in facts if kind == "closed"]
    first_human = first_of(facts, "human")
    handled = first_of(facts, "assigned") or first_human
    closed = closings[-1] if closings else None
    waiting = None
    for at, kind, _ in facts:
        waiting = (
            (waiting or at) if kind == "ask" else None if kind in ("human", "closed") else waiting
        )
    humans = [one for _, kind, one in facts if kind == "human"]
    talks = [one.call.talk_s for one in humans if one.call and one.call.talk_s]
    return {
        "begun_by": episode.begun_by,
        "first_response_s": seconds(start, human),
        "first_response_business_s": business(start, human),
        "first_bot_s": seconds(asked, first_of(facts, "bot", asked) if asked else None),
        "first_auto_s": seconds(asked, first_of(facts, "auto", asked) if asked else None),
        "resolution_first_s": seconds(episode.opened_at, closings[0] if closings else None),
        "resolution_s": seconds(episode.opened_at, closed),
        "resolution_business_s": business(episode.opened_at, closed),
        "handle_s": seconds(handled, closed) if handled and closed and closed >= handled else None,
        "talk_s": sum(talks) if talks else None,
        "human_messages": len(humans),
        "bot_messages": sum(kind == "bot" for _, kind, _ in facts),
        "auto_messages": sum(kind == "auto" for _, kind, _ in facts),
        "customer_messages": sum(kind in ("ask", "thanks") for _, kind, _ in facts),
        "waiting": waiting is not None,
        "reopened": (
            (following is not None and following.begun_by == "reopened") if closed else None
        ),
        "one_touch": (
            (len(humans) == 1 and not (following and following.begun_by == "reopened"))
            if closed
            else None
        ),
    }


def reference_exchanges(
    records: Sequence[RecordView], replier: str
) -> list[tuple[float | None, float | None]]:
    found: list[tuple[float | None, float | None]] = []
    waiting: datetime | None = None
    for at, kind, _ in reference_facts(records):
        if kind == "ask":
            waiting = waiting or at
        elif kind == replier and waiting:
            found.append((seconds(waiting, at), business(waiting, at)))
            waiting = None
        elif kind == "closed" or (
            kind in ("human", "bot", "auto") and (kind == "human" or replier != "human")
        ):
            if waiting and replier == "human":
                found.append((None, None))
            waiting = None
    if waiting and replier == "human":
        found.append((None, None))
    return found


@pytest.fixture(scope="module")
def loaded(warehouse: ChdbWarehouse) -> dict[str, list[RecordView]]:
    records = [one for seed in range(4) for one in generated(seed, 40)]
    random.Random(7).shuffle(records)
    insert(warehouse, fold_all(records))
    conversations: dict[str, list[RecordView]] = defaultdict(list)
    for one in records:
        conversations[one.conversation_id].append(one)
    return conversations


def test_episodes_equal_the_reference_computation(
    warehouse: ChdbWarehouse, loaded: dict[str, list[RecordView]]
) -> None:
    rows = ask(
        warehouse,
        "SELECT *, waiting_since IS NOT NULL AS waiting FROM episodes ORDER BY conversation_id,"
        " episode",
    )
    by_conversation: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_conversation[row["conversation_id"]].append(row)
    compared = 0
    for conversation_id, records in loaded.items():
        wanted = reference_episodes(records)
        got = by_conversation[conversation_id]
        assert len(got) == len(wanted), conversation_id
        for place, (row, episode) in enumerate(zip(got, wanted, strict=True)):
            following = wanted[place + 1] if place + 1 < len(wanted) else None
            for name, value in reference_metrics(episode, following).items():
                said = bool(row[name]) if isinstance(value, bool) else row[name]
                assert said == (
                    pytest.approx(value, abs=0.002) if isinstance(value, float) else value
                ), (name, row)
            compared += 1
    assert compared > 200
    assert {row["begun_by"] for row in rows} == {"opened", "reopened", "silence"}


@pytest.mark.parametrize("replier", ["human", "bot", "auto"])
def test_exchanges_equal_the_reference_computation(
    warehouse: ChdbWarehouse, loaded: dict[str, list[RecordView]], replier: str
) -> None:
    rows = ask(
        warehouse,
        "SELECT conversation_id, reply_s, reply_business_s FROM exchanges WHERE replier ="
        " {replier:String} ORDER BY conversation_id, waiting_since",
        replier=replier,
    )
    by_conversation: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
    for row in rows:
        by_conversation[row["conversation_id"]].append((row["reply_s"], row["reply_business_s"]))
    for conversation_id, records in loaded.items():
        wanted = reference_exchanges(records, replier)
        got = by_conversation[conversation_id]
        assert [first for first, _ in got] == pytest.approx(
            [first for first, _ in wanted], abs=0.002
        ), conversation_id
        assert [second for _, second in got] == pytest.approx(
            [second for _, second in wanted], abs=0.002
        )


def test_the_backlog_counts_open_conversations_and_its_flow_adds_up(
    warehouse: ChdbWarehouse, loaded: dict[str, list[RecordView]]
) -> None:
    (still,) = ask(warehouse, "SELECT countIf(closed_at IS NULL) AS n FROM episodes")
    last = ask(
        warehouse, "SELECT channel, argMax(backlog, day) AS n FROM backlog_daily GROUP BY channel"
    )
    assert sum(row["n"] for row in last) == still["n"] > 0
    (flow,) = ask(warehouse, "SELECT sum(net) AS net, sum(opened) AS opened FROM backlog_daily")
    assert (flow["net"], flow["opened"]) == (
        still["n"],
        sum(len(reference_episodes(one)) for one in loaded.values()),
    )


def test_a_conversation_is_one_row_for_all_its_contact_points(
    warehouse: ChdbWarehouse, loaded: dict[str, list[RecordView]]
) -> None:
    rows = {row["conversation_id"]: row for row in ask(warehouse, "SELECT * FROM conversations")}
    assert len(rows) == sum(bool(reference_facts(records)) for records in loaded.values())
    for conversation_id, records in loaded.items():
        episodes = reference_episodes(records)
        if not episodes:
            continue
        row, last = rows[conversation_id], reference_metrics(episodes[-1], None)
        assert row["episodes"] == len(episodes)
        assert row["reopenings"] == sum(episode.begun_by == "reopened" for episode in episodes)
        assert (row["waiting_since"] is not None) == last["waiting"]
        if last["waiting"]:
            assert row["state"] == "waiting"
