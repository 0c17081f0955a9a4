"""Measure the rules that find promises, requests and due dates, compared with other libraries.

`python bench/followup_quality.py [--peers]`. The sentences are the labelled ones of
`tests/unit/test_converse_followups.py`, on which the rules were developed, and `NEW_PROMISES`,
which were written after the rules. No library finds promises; the baseline "keywords" takes every
sentence with a word of promising or of getting back, without the rules for negation, conditions and
questions. Peers for due dates are measured where they can be imported: dateparser, parsedatetime,
ctparse, recognizers-text-date-time, jionlp, pyduckling-native-phihos. A peer is right if any of its
answers (a range has two) is the expected minute, or is on the expected day. Times are CPU times of
this process, the least of three passes.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pipeline.processors.converse.followups import promises_in, requests_in  # noqa: E402
from tests.unit import test_converse_followups as labelled  # noqa: E402

PASSES = 3
# Answers in the local time of the speaker; empty where no time was recognised.
Dates = Callable[[str], Sequence[datetime]]

_PROMISE_WORDS = re.compile(r"\b(?:will|shall|going to|let me)\b|'ll\b|[回联致告答處处]")
_REQUEST_WORDS = re.compile(r"\b(?:call|ring|phone|reply|answer|let me know|get back)\b|[给給回联]")
SAID = labelled.SAID.replace(tzinfo=None)

# Promises with their due times that the rules were never changed for. The conventions are those of
# `due_dates.py`: a day without a time ends at its close of business.
NEW_PROMISES = (
    ("Our engineer will call you on 24 November at 14:30.", "2026-11-24 14:30"),
    ("I will get back to you by the end of the week.", "2026-11-20 18:00"),
    ("You will hear from us no later than Wednesday.", "2026-11-25 18:00"),
    ("I'll call you back in 45 minutes.", "2026-11-19 10:45"),
    ("We'll be in touch in two weeks.", "2026-12-03 10:00"),
    ("I will email you the contract tonight.", "2026-11-19 21:00"),
    ("We will follow up with you on December 3rd.", "2026-12-03 18:00"),
    ("I'll give you a ring tomorrow around lunchtime.", "2026-11-20 14:00"),
    ("Expect an answer from our team within one business day.", "2026-11-20 18:00"),
    ("We'll come back to you by end of next week.", "2026-11-27 18:00"),
    ("我周三上午11点给您回电话", "2026-11-25 11:00"),
    ("您的问题我们会在两天内答复", "2026-11-21 10:00"),
    ("下午4点半前给您回复", "2026-11-19 16:30"),
    ("下周三之前把结果通知您", "2026-11-25 18:00"),
    ("11月25日上午联系您", "2026-11-25 12:00"),
    ("一小时后给您打电话", "2026-11-19 11:00"),
    ("这周五之前一定给您答复", "2026-11-20 18:00"),
    ("最迟后天给您消息", "2026-11-21 18:00"),
    ("五个工作日之内会有专员联系您", "2026-11-26 18:00"),
    ("明晚7点致电给您", "2026-11-20 19:00"),
    ("月底前给您退款", "2026-11-30 18:00"),
    ("本周内回复您", "2026-11-20 18:00"),
)


def lines(block: str) -> list[str]:
    """Return the sentences of a labelled set."""
    return [line for line in block.strip().splitlines() if line.strip()]


def print_detection() -> None:
    """Print precision and recall of follow-up detection, and the time per sentence."""
    print(
        "| sentences | rules: precision, recall, µs | keywords: precision, recall |\n|---|---|---|"
    )
    for name, find, words in (
        ("PROMISES", promises_in, _PROMISE_WORDS),
        ("REQUESTS", requests_in, _REQUEST_WORDS),
    ):
        for language in ("EN", "ZH"):
            positive = lines(getattr(labelled, f"{language}_{name}"))
            negative = lines(getattr(labelled, f"{language}_NO_{name}"))

            def by_rules(text: str, find: Any = find) -> bool:
                return bool(find(text, labelled.SAID, labelled.HOURS))

            def by_words(text: str, words: re.Pattern[str] = words) -> bool:
                return words.search(text.lower()) is not None

            rules, keywords = (
                precision_recall(detect, positive, negative) for detect in (by_rules, by_words)
            )
            spent = microseconds(by_rules, positive + negative)
            print(
                f"| {language} {name.lower()}: {len(positive)} + {len(negative)} |"
                f" {rules[0]:.2f}, {rules[1]:.2f}, {spent:.0f} |"
                f" {keywords[0]:.2f}, {keywords[1]:.2f} |"
            )


def precision_recall(
    detect: Callable[[str], bool], positive: Sequence[str], negative: Sequence[str]
) -> tuple[float, float]:
    """Return precision and recall of a detector."""
    hits, false = sum(map(detect, positive)), sum(map(detect, negative))
    return hits / max(1, hits + false), hits / len(positive)


def microseconds(run: Callable[[str], Any], texts: Sequence[str]) -> float:
    """Return the CPU time per text of the fastest pass."""
    times = []
    for _ in range(PASSES):
        begun = time.process_time()
        for text in texts:
            run(text)
        times.append(time.process_time() - begun)
    return min(times) / len(texts) * 1e6


# --- due dates


def stated_times() -> list[tuple[str, datetime]]:
    """Return the sentences with a stated time, and the local time when each is due."""
    for test in vars(labelled).values():
        for mark in getattr(test, "pytestmark", ()):
            if mark.name == "parametrize" and mark.args[0] == ("text", "due"):
                return [(text, datetime.fromisoformat(due)) for text, due in mark.args[1]]
    raise LookupError("test_converse_followups.py has no test with parameters (text, due)")


def by_switchboard(text: str) -> list[datetime]:
    """Return the due time of the promise in a text."""
    matches = promises_in(text, labelled.SAID, labelled.HOURS)
    return [match.due_at.astimezone(labelled.ZONE).replace(tzinfo=None) for match in matches]


def dateparser_dates() -> Dates:
    """Return the search of dateparser, for English and Chinese."""
    search = importlib.import_module("dateparser.search").search_dates
    settings = {"RELATIVE_BASE": SAID, "PREFER_DATES_FROM": "future"}
    return lambda text: [
        date.replace(tzinfo=None)
        for _, date in search(text, languages=["en", "zh"], settings=settings) or ()
    ]


def parsedatetime_dates() -> Dates:
    """Return the parser of parsedatetime (English)."""
    calendar = importlib.import_module("parsedatetime").Calendar()
    return lambda text: [
        match[0] for match in calendar.nlp(text, sourceTime=SAID.timetuple()) or ()
    ]


def ctparse_dates() -> Dates:
    """Return the parser of ctparse (English)."""
    ctparse = importlib.import_module("ctparse").ctparse

    def dates(text: str) -> list[datetime]:
        parsed = ctparse(text, ts=SAID, timeout=0)
        value: Any = parsed.resolution if parsed is not None else None
        bounds: list[Any] = [getattr(value, "t_from", None), getattr(value, "t_to", None), value]
        return [
            datetime(time.year, time.month, time.day, time.hour or 0, time.minute or 0)
            for time in bounds
            if getattr(time, "year", None) and time.month and time.day
        ]

    return dates


def recognizers_dates() -> Dates:
    """Return the models of Microsoft's recognizers for English and Chinese."""
    module = importlib.import_module("recognizers_date_time")
    cultures = importlib.import_module("recognizers_text").Culture
    models = [
        module.DateTimeRecognizer(culture).get_datetime_model()
        for culture in (cultures.English, cultures.Chinese)
    ]

    def dates(text: str) -> list[datetime]:
        values = [
            value[key]
            for match in models[not text.isascii()].parse(text, SAID)
            for value in (match.resolution or {}).get("values", ())
            for key in ("value", "start", "end")
            if key in value
        ]
        return list(parsed(values))

    return dates


def jionlp_dates() -> Dates:
    """Return the time extraction of jionlp (Chinese)."""
    jionlp = importlib.import_module("jionlp")
    base = {"year": SAID.year, "month": SAID.month, "day": SAID.day, "hour": SAID.hour}

    def dates(text: str) -> list[datetime]:
        matches = jionlp.ner.extract_time(text, time_base=base)
        return list(parsed([t for match in matches for t in match["detail"]["time"]]))

    return dates


def duckling_dates() -> Dates:
    """Return Duckling (the Haskell library) for English and Chinese."""
    duckling = importlib.import_module("duckling")
    zones = duckling.load_time_zones("/usr/share/zoneinfo")
    reference = duckling.parse_ref_time(zones, str(labelled.ZONE), int(labelled.SAID.timestamp()))
    contexts = [
        duckling.Context(reference, duckling.default_locale_lang(duckling.parse_lang(language)))
        for language in ("EN", "ZH")
    ]
    dimensions = duckling.parse_dimensions(["time", "duration"])

    def dates(text: str) -> list[datetime]:
        values = []
        for match in duckling.parse(text, contexts[not text.isascii()], dimensions, False):
            value = match["value"]
            if match["dim"] == "duration":
                span = timedelta(seconds=value["normalized"]["value"])
                values.append((SAID + span).isoformat())
            values += [value["value"]] if isinstance(value.get("value"), str) else []
            values += [value[key]["value"] for key in ("from", "to") if key in value]
        return list(parsed(values))

    return dates


PEERS: dict[str, Callable[[], Dates]] = {
    "dateparser": dateparser_dates,
    "parsedatetime": parsedatetime_dates,
    "ctparse": ctparse_dates,
    "recognizers-text": recognizers_dates,
    "jionlp": jionlp_dates,
    "duckling": duckling_dates,
}


def parsed(values: Sequence[str]) -> Iterator[datetime]:
    """Yield the values that are dates and times, without their zone."""
    for value in values:
        try:
            yield datetime.fromisoformat(value[:19])
        except ValueError:
            continue


def readers(with_peers: bool) -> Iterator[tuple[str, Dates | None]]:
    """Yield the readers of due dates; None where a peer is not installed."""
    yield "Switchboard", by_switchboard
    for name, build in PEERS.items() if with_peers else ():
        try:
            yield name, build()
        except ImportError:
            yield name, None


def print_due_dates(with_peers: bool) -> None:
    """Print how many stated times each reader finds, to the minute and to the day."""
    new = [(text, datetime.fromisoformat(due)) for text, due in NEW_PROMISES]
    sets = {
        f"{name} {language}": [pair for pair in examples if pair[0].isascii() == (language == "EN")]
        for name, examples in (("tests", stated_times()), ("new", new))
        for language in ("EN", "ZH")
    }
    titles = (f"{name} ({len(examples)}): minute, day" for name, examples in sets.items())
    print(f"\n| due dates | {' | '.join(titles)} | µs a sentence |\n|{'---|' * 6}")
    for name, read in readers(with_peers):
        if read is None:
            print(f"| {name} | not installed | | | | |")
            continue
        cells = []
        for examples in sets.values():
            answers = [(read(text), due) for text, due in examples]
            minutes = sum(due in found for found, due in answers)
            days = sum(any(t.date() == due.date() for t in found) for found, due in answers)
            cells.append(f"{minutes}, {days}")
        spent = microseconds(read, [text for examples in sets.values() for text, _ in examples])
        print(f"| {name} | {' | '.join(cells)} | {spent:.0f} |", flush=True)


def main() -> None:
    """Print both tables."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--peers", action="store_true", help="measure installed peers as well")
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    print_detection()
    print_due_dates(options.peers)


if __name__ == "__main__":
    main()
