"""The step `clean`: bytes and fields become readable text and believable times."""
