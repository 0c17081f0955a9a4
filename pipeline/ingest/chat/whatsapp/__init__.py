"""Chats exported from WhatsApp."""

from pipeline.ingest.chat.whatsapp.whatsapp_connector import WhatsAppExport

__all__ = ["WhatsAppExport"]
