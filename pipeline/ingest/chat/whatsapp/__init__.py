"""Chats exported from WhatsApp."""

from pipeline.ingest.chat.whatsapp.connector import WhatsAppExport

__all__ = ["WhatsAppExport"]
