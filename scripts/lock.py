"""Pin requirements.in and requirements-dev.in, with hashes, for every supported Python: `make lock`.

The result names neither an index nor a path of this machine.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Pinned from {source} by `make lock`; change that file, not this one.\n"


def main() -> int:
    """Compile both; return the exit code of the first that fails."""
    for name in ("requirements", "requirements-dev"):
        target = ROOT / f"{name}.txt"
        done = subprocess.run(
            [
                *(
                    sys.executable,
                    "-m",
                    "uv",
                    "pip",
                    "compile",
                    "--quiet",
                    "--universal",
                    "--python-version",
                    "3.11",
                ),
                *("--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-header"),
                *(f"{name}.in", "--output-file", str(target)),
            ],
            cwd=ROOT,
            check=False,
        )
        if done.returncode != 0:
            return done.returncode
        header = HEADER.format(source=f"{name}.in")
        text = target.read_text()
        target.write_text(text if text.startswith(header) else header + text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
