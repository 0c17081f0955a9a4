"""The distributed host: stages on confluent-kafka transactions; DESIGN.md §4."""
