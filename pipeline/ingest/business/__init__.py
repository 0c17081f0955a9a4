"""What shops export beside messages: orders, feedback, complaints, customers as CSV."""

from pipeline.ingest.business.csv_connector import CsvConnector

__all__ = ["CsvConnector"]
