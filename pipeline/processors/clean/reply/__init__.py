"""Split a mail into the text its author wrote now, the quoted text and the signature."""

from pipeline.processors.clean.reply.split import split_reply
from pipeline.processors.clean.reply.split_result import ReplyPart, ReplySplit

__all__ = [
    "ReplyPart",
    "ReplySplit",
    "split_reply",
]
