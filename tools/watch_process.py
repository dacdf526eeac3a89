"""Samples memory, open files and threads of a running process, and says whether they grow.

    python tools/watch_process.py PID --minutes=120
    python tools/watch_process.py PID --minutes=120 --folder=runs/gan     its events files, too

Prints a line a minute and at the end the least-squares slope of each, beside its first and last
values, from --skip minutes on.
"""

import argparse
import time
from pathlib import Path

import numpy as np

_COLUMNS = ("rss_mib", "open_files", "threads", "events_mib")


def sample(pid: int, folder: Path | None) -> dict[str, float]:
    """What the kernel says of a process, and the size of the events files below a folder."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    events = folder.rglob("*tfevents*") if folder else ()
    return {
        "rss_mib": int(status["VmRSS"].split()[0]) / 1024,
        "open_files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "threads": int(status["Threads"]),
        "events_mib": sum(path.stat().st_size for path in events) / 2**20,
    }


def report(minutes: np.ndarray, samples: list[dict[str, float]]) -> None:
    """Prints first, last and largest value and the slope of each column."""
    for name in _COLUMNS:
        values = np.array([one[name] for one in samples])
        slope = np.polyfit(minutes, values, 1)[0] * 60 if len(values) > 1 else 0.0
        print(
            f"{name:>10}: first {values[0]:.1f}, last {values[-1]:.1f}, largest "
            f"{values.max():.1f}, slope {slope:+.2f} an hour over {np.ptp(minutes):.0f} minutes"
        )


def main() -> None:
    """Watches until the process ends or the time is up."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pid", type=int)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--every", type=float, default=1, help="minutes from sample to sample")
    parser.add_argument("--skip", type=float, default=5, help="minutes of warming up to leave out")
    parser.add_argument("--folder", type=Path, help="run folder, whose events files are added up")
    options = parser.parse_args()
    started, times, samples = time.monotonic(), [], []
    while (passed := (time.monotonic() - started) / 60) < options.minutes:
        try:
            found = sample(options.pid, options.folder)
        except (FileNotFoundError, KeyError, ProcessLookupError):
            break  # It has ended.
        print(f"{passed:7.1f} min  {found}", flush=True)
        if passed >= options.skip:
            times.append(passed)
            samples.append(found)
        time.sleep(60 * options.every)
    if samples:
        report(np.array(times), samples)


if __name__ == "__main__":
    main()
