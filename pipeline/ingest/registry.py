"""All connectors, by name: a new channel is a folder of its own and one row here."""

from __future__ import annotations

from pipeline.ingest.business import CsvConnector
from pipeline.ingest.call.asterisk import AsteriskCdr
from pipeline.ingest.chat.whatsapp import WhatsAppExport
from pipeline.ingest.cloudevents_file import EventsFile
from pipeline.ingest.email.email_connector import EmailConnector
from pipeline.ingest.port import Connector

CONNECTORS: dict[str, Connector] = {
    connector.name: connector
    for connector in (
        EmailConnector(),
        AsteriskCdr(),
        WhatsAppExport(),
        EventsFile(),
        CsvConnector("orders"),
        CsvConnector("feedback"),
        CsvConnector("complaints"),
        CsvConnector("customers"),
    )
}
