"""The reply / quote / signature splitter: what the author of a mail wrote now, apart from all
else.
"""

from pipeline.processors.clean.reply.marks import QUOTE_END, QUOTE_MARK, QUOTE_SELECTORS, drop_marks
from pipeline.processors.clean.reply.model import Part, Split
from pipeline.processors.clean.reply.split import split_reply

__all__ = [
    "QUOTE_END",
    "QUOTE_MARK",
    "QUOTE_SELECTORS",
    "Part",
    "Split",
    "drop_marks",
    "split_reply",
]
