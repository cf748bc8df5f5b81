"""Make or refresh .venv from the hashed requirements: `python3 scripts/install.py [--dev]`.

With --dev also the local Ethereum node of the tests (tests/node), where npm is there. With uv where it works,
else with pip. Nothing is done when the requirements are those of the last time. A failure is told in one
sentence; the whole output is in var/log/install.log. Standard library only.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed"
LOG = ROOT / "var" / "log" / "install.log"
NODE_DIR = ROOT / "tests" / "node"
VERSIONS = ((3, 11), (3, 12), (3, 13))
COMPILER_SIGNS = (
    "No such file or directory: 'gcc'",
    "No such file or directory: 'cc'",
    "No such file or directory: 'make'",
    "command 'gcc' failed",
    "command 'cc' failed",
    "gcc: not found",
    "cc: not found",
    "make: not found",
    "no acceptable C compiler",
)


def main() -> int:
    """Install; return the exit code."""
    dev = "--dev" in sys.argv[1:]
    files = [ROOT / "requirements.txt", *([ROOT / "requirements-dev.txt"] if dev else [])]
    wanted = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    LOG.parent.mkdir(parents=True, exist_ok=True)
    if dev:
        node_install()
    if PYTHON.exists() and wanted.items() <= stamp_read().items():
        return 0
    interpreter = interpreter_find()
    if not interpreter:
        return refuse("Ensemble needs Python 3.11, 3.12 or 3.13; none was found (name one with PYTHON=).")
    LOG.write_text("")
    say("Installing the Python packages into .venv (once; a minute at most) …")
    problem = install(interpreter=interpreter, files=files, tool="uv") if uv_works() else "no uv"
    if problem:
        problem = install(interpreter=interpreter, files=files, tool="pip")
    if problem:
        return refuse(problem)
    # What was installed before is still there unless the environment is new.
    STAMP.write_text("".join(f"{name} {digest}\n" for name, digest in (stamp_read() | wanted).items()))
    return 0


def install(*, interpreter: str, files: list[Path], tool: str) -> str:
    """Return an empty string, or one sentence that says what went wrong."""
    lists = [part for file in files for part in ("-r", str(file))]
    if tool == "uv":
        make = ["uv", "venv", "--quiet", "--python", interpreter, str(VENV)]
        fetch = [
            "uv",
            "pip",
            "install",
            "--quiet",
            "--compile-bytecode",
            "--python",
            str(PYTHON),
            "--require-hashes",
            *lists,
        ]
    else:
        make = [interpreter, "-m", "venv", str(VENV)]
        fetch = [str(PYTHON), "-m", "pip", "install", "--quiet", "--require-hashes", *lists]
    if tool == "pip" and PYTHON.exists() and not quiet([str(PYTHON), "-m", "pip", "--version"]):
        shutil.rmtree(VENV)  # made by uv, without pip
    if not PYTHON.exists():
        shutil.rmtree(VENV, ignore_errors=True)
        if not logged(make):
            return (
                f"The virtual environment could not be made ({last_line()}); on Debian and Ubuntu install "
                f"python3-venv, then start again."
            )
    return "" if logged(fetch) else failure_sentence()


def node_install() -> None:
    """Install the local Ethereum node of the tests, once per version; without it those tests are skipped."""
    package, stamp = NODE_DIR / "package.json", NODE_DIR / "node_modules" / "installed"
    if stamp.exists() and stamp.read_text() == package.read_text():
        return
    npm = shutil.which("npm")
    if not npm:
        say("There is no npm here, so the tests of on-chain wallets will be skipped.")
        return
    say("Installing the local Ethereum node of the tests (once; seconds) …")
    fetch = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--prefix", str(NODE_DIR)]
    if logged(fetch):
        stamp.write_text(package.read_text())
    else:
        say(f"It could not be installed ({last_line()}); the tests of on-chain wallets will be skipped.")


def failure_sentence() -> str:
    """Say why the packages were not installed."""
    text = LOG.read_text(errors="replace")
    if any(sign in text for sign in COMPILER_SIGNS):
        return (
            "A Python package has to be compiled here and a compiler is missing: install gcc, make and "
            "Python's headers (Debian: apt-get install build-essential python3-dev), then start again."
        )
    return f"The Python packages could not be installed ({last_line()}); the whole output is in {LOG}."


def interpreter_find() -> str:
    """Return the first Python of a supported version: the one running this, else one on the PATH."""
    if sys.version_info[:2] in VERSIONS:
        return sys.executable
    for major, minor in VERSIONS:
        found = shutil.which(f"python{major}.{minor}")
        if found and quiet([found, "-c", ""]):
            return found
    return ""


def stamp_read() -> dict[str, str]:
    """Return what is installed: requirements file → digest."""
    if not (STAMP.exists() and PYTHON.exists()):
        return {}
    return dict(line.split() for line in STAMP.read_text().splitlines())


def uv_works() -> bool:
    """Tell whether there is a uv that runs; a version manager's shim may lead nowhere."""
    return shutil.which("uv") is not None and quiet(["uv", "--version"])


def logged(command: list[str]) -> bool:
    """Run a command with its output in the log; return whether it succeeded."""
    with LOG.open("a") as log:
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        done = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, env=environment, check=False)
    return done.returncode == 0


def quiet(command: list[str]) -> bool:
    """Run a command without output; return whether it succeeded."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def last_line() -> str:
    """Return the last line of the log that says something."""
    lines = [line.strip() for line in LOG.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "no output"


def say(line: str) -> None:
    """Tell the person at the terminal."""
    print(line, flush=True)


def refuse(sentence: str) -> int:
    """Tell the problem; return the exit code."""
    sys.stderr.write(f"{sentence}\n")
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        sys.exit(refuse(f"The installation stopped: {error.strerror} ({error.filename})."))
