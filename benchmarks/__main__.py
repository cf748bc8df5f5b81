"""`python -m benchmarks [name]`: measure, and print one JSON line per figure.

Every module here may have `FIGURES`, a dict: name → callable without arguments that returns a list of
`{"name", "value", "unit", "baseline", "goal", "holds"}`.
Exit code 1: a goal does not hold; 2: an unknown name.
"""

import importlib
import json
import pkgutil
import sys
from collections.abc import Callable

import benchmarks

Figure = dict[str, object]
KEYS = {"name", "value", "unit", "baseline", "goal", "holds"}


def figures_known() -> dict[str, Callable[[], list[Figure]]]:
    """Return every figure of every module here, by name.

    :raises ValueError: two modules use one name
    """
    known: dict[str, Callable[[], list[Figure]]] = {}
    for found in sorted(pkgutil.iter_modules(benchmarks.__path__), key=lambda module: module.name):
        if found.name.startswith("_"):
            continue
        module = importlib.import_module(f"benchmarks.{found.name}")
        for name, measure in getattr(module, "FIGURES", {}).items():
            if name in known:
                raise ValueError(f"two benchmarks are called {name}")
            known[name] = measure
    return known


def main(arguments: list[str]) -> int:
    """Measure what is asked for, everything by default; return the exit code."""
    known = figures_known()
    wanted = arguments or list(known)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        sys.stderr.write(
            f"No figure is called {', '.join(unknown)}; there are: {', '.join(sorted(known))}.\n"
        )
        return 2
    all_hold = True
    for name in wanted:
        for figure in known[name]():
            missing = KEYS - figure.keys()
            if missing:
                raise ValueError(f"{name} lacks {', '.join(sorted(missing))}")
            print(json.dumps(figure), flush=True)
            all_hold = all_hold and figure["holds"] is not False
    return 0 if all_hold else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
