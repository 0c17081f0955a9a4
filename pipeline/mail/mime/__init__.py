"""Parse raw mail bytes into text, addresses, dates, attachments and quality flags."""

from pipeline.mail.mime.parse import parse_mail
from pipeline.mail.mime.parsed_mail import (
    BodySegment,
    MailAddress,
    MailAttachment,
    NotAMailError,
    ParsedMail,
    ParseLimits,
)

__all__ = [
    "BodySegment",
    "MailAddress",
    "MailAttachment",
    "NotAMailError",
    "ParseLimits",
    "ParsedMail",
    "parse_mail",
]
