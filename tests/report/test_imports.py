from __future__ import annotations

import subprocess
import sys


def test_the_report_imports_nothing_heavy_and_matplotlib_only_to_draw() -> None:
    code = (
        "import sys, hfcompress.report.write, hfcompress.cli.console\n"
        "heavy = ('torch', 'transformers', 'datasets', 'onnxruntime', 'matplotlib')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
