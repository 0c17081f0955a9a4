"""What shops export beside messages: orders, feedback, complaints, customers as CSV."""

from pipeline.ingest.business.connector import CsvConnector

__all__ = ["CsvConnector"]
