"""All connectors by name. To add one: write its class, and add one row to `CONNECTORS`."""

from __future__ import annotations

from pipeline.ingest.business import CsvConnector
from pipeline.ingest.call.asterisk import AsteriskConnector
from pipeline.ingest.chat.whatsapp import WhatsAppConnector
from pipeline.ingest.cloudevents_file import EventsConnector
from pipeline.ingest.email.email_connector import EmailConnector
from pipeline.ingest.port import Connector

CONNECTORS: dict[str, Connector] = {
    connector.name: connector
    for connector in (
        EmailConnector(),
        AsteriskConnector(),
        WhatsAppConnector(),
        EventsConnector(),
        CsvConnector("orders"),
        CsvConnector("feedback"),
        CsvConnector("complaints"),
        CsvConnector("customers"),
    )
}
