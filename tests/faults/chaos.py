"""`make chaos [KILLS=200]`: kill processes of a site of its own under load; figures as JSON lines.

Each run is added to `var/chaos.jsonl`, so that runs of 200 add up; the last line printed is their sum.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from core.clock import utc_now
from portfolio_site.config import BASE_DIR
from tests.faults.site import Progress, Site
from tests.faults.storm import Storm, summary_append

RUNS = BASE_DIR / "var" / "chaos.jsonl"


def main() -> int:
    """Run one storm; exit 1 when something came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="0: as many as there were runs before, plus 1")
    parser.add_argument("--portfolios", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=60, help="no kill after this long")
    parser.add_argument("--runs", type=Path, default=RUNS, help="file to which the figures are added")
    options = parser.parse_args()
    seed = options.seed or (len(options.runs.read_text().splitlines()) if options.runs.exists() else 0) + 1
    site = Site()
    try:
        site.start()
        Progress(site).await_all(timeout_s=120)
        storm = Storm(site=site, seed=seed, portfolios=options.portfolios)
        figures = storm.rage(kills=options.kills, until_s=time.monotonic() + 60 * options.minutes)
        site.stop()
    except AssertionError as found:
        sys.stdout.write(f"{json.dumps({'seed': seed, 'failed': str(found)})}\n")
        sys.stdout.write(f"The site's files are left in {site.var_dir} to be looked at.\n")
        site.abandon()
        return 1
    except BaseException:
        site.stop()
        raise
    figures = {"at": utc_now().isoformat(timespec="seconds"), **figures}
    sys.stdout.write(f"{json.dumps(figures)}\n")
    sys.stdout.write(f"{json.dumps({'all': summary_append(path=options.runs, figures=figures)})}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
