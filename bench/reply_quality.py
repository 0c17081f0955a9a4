"""Measure quality and speed of the reply splitter and of other splitters, on test mails.

python bench/reply_quality.py --data ../shared/data [--peers] [--failed] [--hostile]

The mails and expectations are those of three reply parsers. Exact: equal after zero-width
characters are dropped and white space is collapsed; where a fixture names its first fragment, the
first text of the author counts as well as the whole reply. Soft: mean ratio of difflib. Assertions:
mails of which only the beginning, or parts that must or must not remain, are asserted. Times are
CPU times of this process per mail, the least of several rounds, over mails of both kinds; the mail
of 767 KB separately. Hostile: mails of 0.5 and 1 MB that are built to make a splitter slow; linear
means that the second takes about twice as long.
"""

import argparse
import difflib
import importlib
import json
import logging
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline.processors.clean.reply import split_reply

# What a splitter returns for a mail: the whole reply, and the first part of it.
Shown = tuple[str, str]
Splitter = Callable[[str], Shown]

_SETS = (
    ("github_email_reply_parser", "emails"),
    ("zapier_email_reply_parser", "emails"),
    ("crisp_email_reply_parser", "fixtures"),
)
_LARGE = ("github_email_reply_parser", "emails", "email_long_quote.txt")
_ASSERTED = ("visible_starts", "visible_contains", "visible_excludes", "first_fragment_contains")
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_ROUNDS = 9
_HOSTILE = {
    "500,000 lines of >": ">\n",
    "one line of >": ">",
    "one line of words": "On 1 Jan 2024 ",
    "lines of On": "On 1 Jan 2024 at 9:15\n",
    "lines of wrote:": "wrote:\n",
    "attributions without quotes": "On Mar 4, 2024 Ann wrote:\n",
    "names that wrote": "Ann Lee wrote:\n\n",
    "header lines": "From: a\n",
    "answers between quotes": "> quoted\n\nanswer\n\n",
    "pipes": "| a\n",
    "device lines": "a\n\nSent from my iPhone\n\n",
    "delimiters": "--\n",
    "closings": "Thanks,\nAnn\n",
    "blank lines": "\n",
}
# The languages of mail-parser-reply; by default it uses English only.
_PARSER_LANGUAGES = [
    "en",
    "cs",
    "da",
    "de",
    "es",
    "fr",
    "it",
    "ja",
    "ko",
    "nl",
    "pl",
    "sv",
    "zh",
    "david",
]


@dataclass(frozen=True, slots=True)
class Case:
    """A mail and its expected reply: ``exact``, or else the assertions of ``asserted``."""

    name: str
    text: str
    exact: str | None
    by_fragment: bool
    asserted: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Score:
    """The result of one splitter: counts, mean ratio, times, and the mails it fails."""

    exact: int
    soft: float
    assertions: int
    mean_us: float
    p95_us: float
    large_ms: float
    failed: tuple[str, ...]


def normal(text: str) -> str:
    """Return a text as compared: without zero-width characters, white space collapsed."""
    return " ".join(_UNSEEN.sub("", text).split())


def cases(data: Path) -> Iterator[Case]:
    """Read the mails with expectations below ``data``; raises FileNotFoundError if absent."""
    for folder, mails in _SETS:
        base = data / "email_replies" / folder
        for name, expected in json.loads((base / "expected.json").read_text("utf-8")).items():
            exact = expected.get("visible_text", expected.get("first_fragment"))
            if exact is not None or any(key in expected for key in _ASSERTED):
                text = (base / mails / f"{name}.txt").read_text("utf-8")
                yield Case(
                    f"{folder.split('_')[0]}/{name}",
                    text,
                    exact,
                    "first_fragment" in expected,
                    expected,
                )


def holds(case: Case, reply: str) -> bool:
    """Return whether a reply meets the assertions of a case without an exact expectation."""
    shown = normal(reply)
    expected = case.asserted
    contained = [
        *expected.get("visible_contains", ()),
        *expected.get("first_fragment_contains", ()),
    ]
    return (
        shown.startswith(normal(expected.get("visible_starts", "")))
        and all(normal(part) in shown for part in contained)
        and not any(normal(part) in shown for part in expected.get("visible_excludes", ()))
    )


def seconds(split: Splitter, text: str, rounds: int) -> float:
    """Return the least CPU time of several runs over one mail."""
    times = []
    for _ in range(rounds):
        begun = time.process_time_ns()
        split(text)
        times.append(time.process_time_ns() - begun)
    return min(times) / 1e9


def score(split: Splitter, mails: list[Case], large: str) -> Score:
    """Measure one splitter on all mails."""
    exact = assertions = 0
    ratios, times, failed = [], [], []
    for case in mails:
        reply, first = split(case.text)
        if case.exact is None:
            good = holds(case, reply)
            assertions += good
        else:
            wanted = normal(case.exact)
            answers = {normal(reply), normal(first)} if case.by_fragment else {normal(reply)}
            good = wanted in answers
            exact += good
            ratios.append(
                max(
                    difflib.SequenceMatcher(None, got, wanted, autojunk=False).ratio()
                    for got in answers
                )
            )
        if not good:
            failed.append(case.name)
        times.append(seconds(split, case.text, _ROUNDS) * 1e6)
    slowest = statistics.quantiles(times, n=20)[-1]
    large_ms = seconds(split, large, 1) * 1e3
    return Score(
        exact,
        statistics.fmean(ratios),
        assertions,
        statistics.fmean(times),
        slowest,
        large_ms,
        tuple(failed),
    )


def print_hostile() -> None:
    """Print the times of Switchboard for hostile mails."""
    print("\n| hostile mail | 0.5 MB ms | 1 MB ms | ratio |\n|---|---|---|---|")
    for name, piece in _HOSTILE.items():
        half, whole = (
            seconds(by_switchboard, piece * (size // len(piece)), 1) * 1e3
            for size in (500_000, 1_000_000)
        )
        print(f"| {name} | {half:.0f} | {whole:.0f} | {whole / half:.1f} |", flush=True)


def by_switchboard(text: str) -> Shown:
    """Split with Switchboard."""
    split = split_reply(text)
    first = next((text[part.start : part.end] for part in split.parts if part.kind == "reply"), "")
    return split.reply, first


def nothing(text: str) -> Shown:
    """Cut nothing: the baseline for every splitter."""
    return text, text


def _email_reply_parser() -> Splitter:
    parser = importlib.import_module("email_reply_parser").EmailReplyParser

    def split(text: str) -> Shown:
        message = parser.read(text)
        return message.reply, message.fragments[0].content if message.fragments else ""

    return split


def _mail_parser_reply() -> Splitter:
    parser = importlib.import_module("mailparser_reply").EmailReplyParser(
        languages=_PARSER_LANGUAGES
    )

    def split(text: str) -> Shown:
        replies = parser.read(text).replies
        reply = replies[0].body if replies else ""
        return reply, reply

    return split


def _talon() -> Splitter:
    quotations = importlib.import_module("talon.quotations")
    bruteforce = importlib.import_module("talon.signature.bruteforce")

    def split(text: str) -> Shown:
        reply = bruteforce.extract_signature(quotations.extract_from_plain(text))[0]
        return reply, reply

    return split


def _unquotemail() -> Splitter:
    unquote = importlib.import_module("unquotemail").Unquote

    def split(text: str) -> Shown:
        reply = unquote(None, text).get_text()
        return reply, reply

    return split


def _quotequail() -> Splitter:
    unwrap = importlib.import_module("quotequail").unwrap

    def split(text: str) -> Shown:
        # It returns the text above the quote only where it finds a quote.
        reply = (unwrap(text) or {}).get("text_top", text)
        return reply, reply

    return split


def _chain() -> Splitter:
    stages = [_talon(), _unquotemail(), _mail_parser_reply()]

    def split(text: str) -> Shown:
        for stage in stages:
            text = stage(text)[0] or text
        return text, text

    return split


_PEERS: dict[str, tuple[str, Callable[[], Splitter]]] = {
    "email_reply_parser": ("email-reply-parser", _email_reply_parser),
    "mail-parser-reply": ("mail-parser-reply", _mail_parser_reply),
    "talon + brute-force signature": ("talon", _talon),
    "unquotemail": ("unquotemail", _unquotemail),
    "quotequail": ("quotequail", _quotequail),
    "talon, unquotemail, mail-parser-reply": ("talon", _chain),
}


def peers() -> Iterator[tuple[str, Splitter | None]]:
    """Yield each peer with its version; None where it is not installed."""
    for name, (distribution, make) in _PEERS.items():
        try:
            yield f"{name} {version(distribution)}", make()
        except (ImportError, PackageNotFoundError):
            yield name, None


def main() -> int:
    """Print the table; return 2 where the data are absent."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument(
        "--data", type=Path, required=True, help="folder that holds email_replies/"
    )
    arguments.add_argument(
        "--peers", action="store_true", help="measure other libraries too, where installed"
    )
    arguments.add_argument("--failed", action="store_true", help="name the mails each one fails")
    arguments.add_argument(
        "--hostile", action="store_true", help="time mails of 1 MB that are built to be slow"
    )
    options = arguments.parse_args()
    # Peers log a warning for every mail they give up on.
    logging.disable(logging.CRITICAL)
    try:
        mails = list(cases(options.data))
        large = (options.data / "email_replies" / Path(*_LARGE)).read_text("utf-8")
    except FileNotFoundError as error:
        print(
            f"no mails to measure on: {error.filename} does not exist; give --data", file=sys.stderr
        )
        return 2
    exact = sum(case.exact is not None for case in mails)
    print(
        f"{len(mails)} mails: {exact} with an exact expectation, {len(mails) - exact} with"
        " assertions"
    )
    print(
        f"| splitter | exact of {exact} | soft | assertions of {len(mails) - exact} | CPU µs mean /"
        " p95 | 767 KB mail ms |"
    )
    print("|---|---|---|---|---|---|")
    splitters: list[tuple[str, Splitter | None]] = [
        ("nothing", nothing),
        ("Switchboard", by_switchboard),
    ]
    for name, split in [*splitters, *(peers() if options.peers else ())]:
        if split is None:
            print(f"| {name} | not installed | | | | |")
            continue
        got = score(split, mails, large)
        print(
            f"| {name} | {got.exact} | {got.soft:.3f} | {got.assertions} | {got.mean_us:.0f} /"
            f" {got.p95_us:.0f} | {got.large_ms:.0f} |",
            flush=True,
        )
        if options.failed:
            print(f"  fails: {', '.join(got.failed)}")
    if options.hostile:
        print_hostile()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
