"""Mail as bytes and markup: MIME, character sets, HTML; shared by ingest and cleaning."""
