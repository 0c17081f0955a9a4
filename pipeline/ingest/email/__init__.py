"""Mail as files."""
