"""Commands and workers import heavy libraries only when they need them."""

import subprocess
import sys


def test_a_worker_does_not_import_the_libraries_of_other_stages() -> None:
    heavy = (
        "{'numba', 'numpy', 'pandas', 'pyarrow', 'chdb', 'ftfy', 'py3langid', 'river', 'sklearn',"
        " 'fsspec'}"
    )
    program = (
        "import sys, pipeline.cli, pipeline.commands.worker, pipeline.commands.host_factory,"
        f" pipeline.runtime.stages\nsys.exit(', '.join({heavy} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == ""
    assert done.returncode == 0
