"""The warehouse: ClickHouse as a server or embedded, its rows and its migrations."""
