"""What every command and every worker has to import: the heavy libraries come with what needs
them.
"""

import subprocess
import sys


def test_a_worker_starts_without_what_other_stages_need() -> None:
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
