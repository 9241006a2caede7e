"""How long `import embudo` and `embudo --help` take, in fresh processes, beyond a bare Python.

Limits: 0.3 s and 0.5 s. The three commands take turns, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from common import Report, parse_arguments

COMMANDS = {
    "python -c pass": ([sys.executable, "-c", "pass"], None),
    "import embudo": ([sys.executable, "-c", "import embudo"], 0.3),
    "embudo --help": ([str(Path(sysconfig.get_path("scripts")) / "embudo"), "--help"], 0.5),
}


def seconds_of(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    arguments = parse_arguments(__doc__)
    runs = 3 if arguments.quick else 21
    report = Report("startup", quick=arguments.quick, runs=runs, seeds=[])
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs + 1):
        for name, (command, _limit) in COMMANDS.items():
            times[name].append(seconds_of(command))
    bare = statistics.median(times["python -c pass"][1:])
    for name, (_command, limit) in COMMANDS.items():
        warm = times[name][1:]  # the first one reads from disk
        median = statistics.median(warm)
        report.add(
            what=name, median=median, least=min(warm), greatest=max(warm), beyond_python=median - bare, limit=limit
        )


if __name__ == "__main__":
    main()
