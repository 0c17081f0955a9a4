"""The reply / quote / signature splitter: what the author of a mail wrote now, apart from all
else.
"""

from pipeline.processors.clean.reply.split import split_reply
from pipeline.processors.clean.reply.split_result import ReplyPart, ReplySplit

__all__ = [
    "ReplyPart",
    "ReplySplit",
    "split_reply",
]
