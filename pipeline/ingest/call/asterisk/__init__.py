"""Asterisk's call detail records."""

from pipeline.ingest.call.asterisk.asterisk_connector import AsteriskConnector

__all__ = ["AsteriskConnector"]
