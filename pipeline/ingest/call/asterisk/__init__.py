"""Asterisk's call detail records."""

from pipeline.ingest.call.asterisk.asterisk_connector import AsteriskCdr

__all__ = ["AsteriskCdr"]
