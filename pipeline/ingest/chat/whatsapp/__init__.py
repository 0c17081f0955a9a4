"""Chats exported from WhatsApp."""

from pipeline.ingest.chat.whatsapp.whatsapp_connector import WhatsAppConnector

__all__ = ["WhatsAppConnector"]
