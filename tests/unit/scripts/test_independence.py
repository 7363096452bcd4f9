"""The proof shares nothing with what it proves."""

import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"


def test_imports_nothing_of_the_daemon():
    probe = (
        f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); import verify_demo; "
        "print(sorted(m for m in sys.modules if m.split('.')[0] == 'searcher'))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.strip() == "[]"


def test_runs_as_a_person_types_it(tmp_path):
    report = tmp_path / "report.json"
    script = SCRIPTS / "verify_demo.py"
    ran = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "absent.json"), "--out", str(report)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith("Nothing is proved: ")
    assert ran.stderr.count("\n") == 1
    assert not report.exists()
