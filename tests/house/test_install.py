"""OPS-3: the first `make run` on a machine that lacks something says what, in one sentence."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A project directory with the installer and an empty list of packages."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "install.py", tmp_path / "scripts")
    (tmp_path / "requirements.txt").write_text("")
    (tmp_path / "requirements-dev.txt").write_text("")
    return tmp_path


def install(clone: Path, *, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
    """Run the installer with a PATH that has no uv, and no index to reach."""
    environment = {"PATH": path, "HOME": str(clone), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    return subprocess.run(
        [sys.executable, "scripts/install.py"], cwd=clone, env=environment, capture_output=True, text=True
    )


def program(clone: Path, name: str, script: str) -> str:
    """Put a program in front of the PATH; return that PATH."""
    (clone / "bin").mkdir(exist_ok=True)
    file = clone / "bin" / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return f"{clone / 'bin'}:/usr/bin:/bin"


@pytest.mark.slow
def test_installs_once_with_pip_where_there_is_no_uv(clone: Path) -> None:
    """OPS-3: the second time nothing is done."""
    assert install(clone).returncode == 0
    assert (clone / ".venv" / "bin" / "python").exists()
    log = (clone / "var" / "log" / "install.log").read_text()
    assert "-m pip install" in log
    second = install(clone)
    assert (second.returncode, second.stdout) == (0, "")


def test_unknown_package_is_told_with_the_log(clone: Path) -> None:
    """OPS-3: pip's last line and where the rest is; no traceback."""
    broken_uv = """
case "$1" in
  --version) exit 0 ;;
  venv) mkdir -p .venv/bin && ln -sf "$(command -v true)" .venv/bin/python ;;
  pip) echo "no route to the index." >&2; exit 2 ;;
esac"""
    path = program(clone, "uv", broken_uv)
    (clone / "requirements.txt").write_text("no-such-package==1 --hash=sha256:" + "0" * 64 + "\n")
    done = install(clone, path=path)
    assert done.returncode == 1
    assert done.stderr.startswith("The Python packages could not be installed (")
    assert done.stderr.count("\n") == 1


def test_missing_compiler_is_named(clone: Path) -> None:
    """OPS-3: what to install, not a page of build output."""
    sys.path.insert(0, str(clone / "scripts"))
    try:
        import install as installer
    finally:
        sys.path.remove(str(clone / "scripts"))
        sys.modules.pop("install", None)
    installer.LOG.parent.mkdir(parents=True)
    installer.LOG.write_text(
        "building\nerror: [Errno 2] No such file or directory: 'gcc'\nERROR: Failed to build x\n"
    )
    assert installer.failure_sentence().startswith(
        "A Python package has to be compiled here and a compiler is missing"
    )


def test_stamp_follows_the_requirements(clone: Path) -> None:
    """OPS-3: a changed list is installed again, an unchanged one is not."""
    path = program(
        clone,
        "uv",
        'echo "$@" >> calls; [ "$1" = venv ] && mkdir -p .venv/bin && touch .venv/bin/python; true',
    )
    assert install(clone, path=path).returncode == 0
    assert install(clone, path=path).returncode == 0
    installs = [line for line in (clone / "calls").read_text().splitlines() if line.startswith("pip install")]
    assert len(installs) == 1
    (clone / "requirements.txt").write_text("# changed\n")
    assert install(clone, path=path).returncode == 0
    installs = [line for line in (clone / "calls").read_text().splitlines() if line.startswith("pip install")]
    assert len(installs) == 2
