"""A process that prints a file in ClickHouse's Native format in any of its output formats: `python
-m pipeline.sinks.format_converter FILE FORMAT`.

A process of its own, for an engine has one store a process, and whoever asks may hold another.
"""

from __future__ import annotations

import sys


def main(path: str, fmt: str) -> int:
    """Print the file in the format; return 1, with the reason on standard error, where that
    fails.
    """
    import chdb

    quoted = path.replace("\\", "\\\\").replace("'", "\\'")
    try:
        answer = chdb.query(f"SELECT * FROM file('{quoted}', 'Native')", fmt)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    sys.stdout.buffer.write(answer.bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
