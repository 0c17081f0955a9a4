"""Raw mail bytes to clean text, addresses, instants and findings."""

from pipeline.processors.clean.mime.model import (
    Address,
    Attachment,
    Limits,
    Mail,
    NotAMail,
    Segment,
)
from pipeline.processors.clean.mime.parse import parse_mail

__all__ = ["Address", "Attachment", "Limits", "Mail", "NotAMail", "Segment", "parse_mail"]
