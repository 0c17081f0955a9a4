"""Raw mail bytes to clean text, addresses, instants and findings."""

from pipeline.mail.mime.parse import parse_mail
from pipeline.mail.mime.parsed_mail import (
    Address,
    Attachment,
    Limits,
    Mail,
    NotAMail,
    Segment,
)

__all__ = ["Address", "Attachment", "Limits", "Mail", "NotAMail", "Segment", "parse_mail"]
