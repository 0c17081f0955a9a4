"""Asterisk's call detail records."""

from pipeline.ingest.call.asterisk.connector import AsteriskCdr

__all__ = ["AsteriskCdr"]
