"""Wall time, CPU time and peak memory of each stage of a command that runs `dvc repro`.

`python -m benchmarks.stages -- make repro` follows the command's processes twice a second: CPU seconds of
all of them; every two seconds memory, a page that several processes share counted in parts (PSS).
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import psutil

SECONDS = 0.5
MEMORY = 4
"""Looks at the time until the next at memory."""
START = "make"
"""The part before the first stage: the check of params, and the import of DVC."""


class Follower:
    """Adds up what a process and all that come from it use, by the stage that runs."""

    def __init__(self, root: psutil.Process) -> None:
        self.root, self.stage = root, START
        self.known: dict[tuple[int, float], tuple[psutil.Process, float]] = {}
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}
        self.peak: dict[str, float] = {}
        self.last, self.looks = time.monotonic(), -1

    def look(self) -> None:
        """Charge what was used since the last look to the stage."""
        now, held = time.monotonic(), 0
        self.looks += 1
        self.wall[self.stage] = self.wall.get(self.stage, 0) + now - self.last
        self.last = now
        try:
            own = [self.root, *self.root.children(recursive=True)]
        except psutil.NoSuchProcess:
            own = []
        for process in own:
            self.known.setdefault((process.pid, _or(process.create_time, 0.0)), (process, 0.0))
        for key, (process, before) in list(self.known.items()):
            times = _or(process.cpu_times, None)
            if times is None:
                continue
            used = times.user + times.system
            self.cpu[self.stage] = self.cpu.get(self.stage, 0) + used - before
            self.known[key] = (process, used)
            if self.looks % MEMORY == 0:  # looking at memory takes a tenth of a core if done each time
                memory = _or(process.memory_full_info, None)
                held += getattr(memory, "pss", memory.uss) if memory else 0
        self.peak[self.stage] = max(self.peak.get(self.stage, 0), held / 1e9)

    def table(self) -> pd.DataFrame:
        """A row a stage in the order they ran (stage, wall s, cpu s, peak GB), and their sum."""
        rows = [(name, self.wall[name], self.cpu.get(name, 0), self.peak.get(name, 0)) for name in self.wall]
        rows.append(("all", sum(self.wall.values()), sum(self.cpu.values()), max(self.peak.values(), default=0)))
        return pd.DataFrame(rows, columns=["stage", "wall s", "cpu s", "peak GB"])


def _or(read, otherwise):
    try:
        return read()
    except psutil.Error:
        return otherwise


def follow(command: list[str], folder: Path, echo: bool = True) -> tuple[pd.DataFrame, int]:
    """Run a command in a folder; returns the table of its stages and its exit status."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    follower, done = Follower(psutil.Process(process.pid)), threading.Event()

    def watch() -> None:
        while not done.wait(SECONDS):
            follower.look()

    watcher = threading.Thread(target=watch)
    watcher.start()
    for line in process.stdout:
        if started := re.match(r"Running stage '(.+)':", line):
            follower.stage = started[1]
        if echo:
            sys.stdout.write(line)
    status = process.wait()
    done.set()
    watcher.join()
    return follower.table(), status


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    table, status = follow(arguments.command, Path.cwd())
    print(table.round(1).to_string(index=False))
    if arguments.csv:
        table.round(1).to_csv(arguments.csv, index=False)
    sys.exit(status)
