"""The distributed host: stages on confluent-kafka transactions (docs/adr/0011)."""
