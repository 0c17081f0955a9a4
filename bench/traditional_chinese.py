"""Measure the conversion of traditional to simplified Chinese, compared with OpenCC.

`python bench/traditional_chinese.py --data ../shared/data`, in an environment that has OpenCC too
(`pip install opencc==1.4.2`; it is not a dependency of Switchboard). Real texts in simplified
characters are converted by OpenCC to traditional ones as written in the standard of OpenCC (s2t),
in Taiwan (s2tw) and in Hong Kong (s2hk), and back by each converter. `restored` is the share of
the changed characters that come back, `texts` the share of texts that come back whole. `altered`
is how many of all characters a converter changes in the texts in simplified characters. Times are
CPU microseconds per text.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from models_data import load
from opencc import OpenCC

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.text.chinese import to_simplified

SETS = ("waimai", "shopping", "spam_sms", "hotel_polarity")
TEXTS = 20_000
SEED = 1
# The normal form reads no more.
READ = 2_000


def cpu_us(convert: Callable[[str], str], texts: Sequence[str]) -> tuple[list[str], float]:
    """Return the converted texts and CPU microseconds per text."""
    start = time.process_time()
    converted = [convert(text) for text in texts]
    return converted, 1e6 * (time.process_time() - start) / len(texts)


def report(
    standard: str, texts: Sequence[str], converters: dict[str, Callable[[str], str]]
) -> None:
    """Print how well each converter restores texts that were converted to a standard."""
    to_traditional = OpenCC(standard)
    pairs = [(text, to_traditional.convert(text)) for text in texts]
    pairs = [(text, written) for text, written in pairs if len(text) == len(written)]
    changed = sum(a != b for text, written in pairs for a, b in zip(text, written, strict=True))
    print(f"{standard}: {changed:,} characters changed in {len(pairs):,} texts")
    for name, convert in converters.items():
        back, traditional_us = cpu_us(convert, [written for _, written in pairs])
        same, simplified_us = cpu_us(convert, [text for text, _ in pairs])
        wrong = sum(
            c not in (a, b)
            for (text, written), restored in zip(pairs, back, strict=True)
            for c, b, a in zip(text, written, restored, strict=False)
        )
        whole = sum(text == restored for (text, _), restored in zip(pairs, back, strict=True))
        altered = sum(
            a != b
            for (text, _), kept in zip(pairs, same, strict=True)
            for a, b in zip(text, kept, strict=False)
        )
        print(
            f"  {name:<12} restored {100 * (1 - wrong / changed):.2f} %, texts"
            f" {100 * whole / len(pairs):.1f} %, altered {altered}, traditional"
            f" {traditional_us:.1f} µs, simplified {simplified_us:.1f} µs"
        )


def main() -> None:
    """Print the figures of each standard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    texts = [text[:READ] for name in SETS for text, _ in load(options.data, name)]
    random.Random(SEED).shuffle(texts)
    converters = {
        "ours": to_simplified,
        "OpenCC t2s": OpenCC("t2s").convert,
        "OpenCC tw2s": OpenCC("tw2s").convert,
    }
    to_simplified("預熱")
    for standard in ("s2t", "s2tw", "s2hk"):
        report(standard, texts[:TEXTS], converters)


if __name__ == "__main__":
    main()
