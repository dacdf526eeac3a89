"""What all benchmarks here share: taking turns, ratios with their spread, and tables.

What is compared takes turns in one run, so that whatever else the machine does hits all of it. A
ratio is taken within each turn, and given as the median with the smallest and the largest of all
turns. Beside wall time stands processor time, of all threads and finished child processes, and
under the tables which share of the machine other programs took meanwhile: threads that wait for
each other suffer far more than that share. BENCH_PATIENCE_SECS=600 in the environment waits up to
so long for others to be done, and measures again what they disturbed.

    costs = take_turns({"ours": run_ours, "theirs": run_theirs}, turns=5)
    report("name", "What was measured", [speed_table(costs, unit="step", reference="ours")])
"""

import argparse
import dataclasses
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

OUTPUT = "runs/benchmarks"
CALM = 0.05
"""Share of the machine that others may take while something is measured."""
_PACKAGES = (
    "tensorflow",
    "keras",
    "torch",
    "tf-keras-vis",
    "numpy",
    "scipy",
    "librosa",
    "soundfile",
)


def parser(description: str, turns: int = 5) -> argparse.ArgumentParser:
    """The flags of every benchmark; the first line of a module's docstring describes it."""
    made = argparse.ArgumentParser(
        description=description.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument("--turns", type=int, default=turns, help="turns that count, after a first")
    made.add_argument("--output", default=OUTPUT, help="folder for the table, as .md and .json")
    return made


def has(module: str, install: str = "pip install -c constraints.txt -e '.[bench]'") -> bool:
    """Whether a competitor is there; if not, says in one line how to get it."""
    if importlib.util.find_spec(module):
        return True
    print(f"{module} is missing, its rows are left out; to get it: {install}", file=sys.stderr)
    return False


@dataclasses.dataclass(frozen=True)
class Spread:
    """Several measurements of one thing."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The median, the smallest and the largest."""
        return cls(*(float(reduce(values)) for reduce in (np.median, np.min, np.max)))

    def __str__(self) -> str:
        if self.low == self.high:
            return _short(self.median)
        return f"{_short(self.median)} ({_short(self.low)} to {_short(self.high)})"


def clock() -> np.ndarray:
    """(wall, processor) seconds; processor time of this process and of its finished children."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = time.process_time() + children.ru_utime + children.ru_stime
    return np.array([time.perf_counter(), processor])


def take_turns(
    contestants: Mapping[str, Callable[[], float | tuple[float, float]]],
    turns: int,
    rehearse: bool = True,
) -> dict[str, np.ndarray]:
    """Runs everyone in turns.

    Args:
        contestants: For each name, a function that does some work, waits for it, and returns how
            many units of work (steps, songs, frames) it was; or a pair, that and the processor
            seconds of child processes that live on.
        turns: Rounds that count. Every other round goes in reverse order.
        rehearse: Whether a round comes first that does not count, in which things compile and load.

    Returns:
        For each name, (turns, 2) wall and processor seconds a unit.
    """
    if rehearse:
        for name, run in contestants.items():
            taken, _ = _measured(run)
            print(f"first round: {name}: {taken[0]:.4g} s", file=sys.stderr, flush=True)
    seconds = {name: [] for name in contestants}
    deadline = time.monotonic() + float(os.environ.get("BENCH_PATIENCE_SECS", "0"))
    for turn in range(1, turns + 1):
        for name in list(contestants)[:: 1 if turn % 2 else -1]:
            taken, others = _calmly_measured(contestants[name], deadline)
            seconds[name].append(taken)
            _shares_of_others.append(others)
            message = f"turn {turn}: {name}: {taken[0]:.4g} s, other programs used {others:.0%}"
            print(message, file=sys.stderr, flush=True)
    return {name: np.array(taken) for name, taken in seconds.items()}


_shares_of_others: list[float] = []


def _measured(run: Callable[[], float | tuple[float, float]]) -> tuple[np.ndarray, float]:
    """(wall, processor) seconds a unit, and the share of the machine that others took."""
    busy, start = _busy_secs(), clock()
    done = run()
    units, elsewhere = done if isinstance(done, tuple) else (done, 0)
    taken = clock() - start + [0, elsewhere]
    others = (_busy_secs() - busy - taken[1]) / (taken[0] * (os.cpu_count() or 1))
    return taken / units, max(others, 0.0)


def _calmly_measured(run: Callable, deadline: float) -> tuple[np.ndarray, float]:
    """As `_measured`, once others are calm, and as often as they disturb, up to a time."""
    while True:
        while time.monotonic() < deadline and _measured(lambda: time.sleep(0.5) or 1)[1] > CALM:
            pass
        taken, others = _measured(run)
        if others <= CALM or time.monotonic() >= deadline:
            return taken, others


def _busy_secs() -> float:
    """Processor seconds of all programs since the machine started; 0 where nobody tells."""
    path = Path("/proc/stat")
    if not path.exists():
        return 0.0
    ticks = list(map(int, path.read_text("utf-8").split(maxsplit=9)[1:9]))
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Table:
    """A table: rows are mappings from columns to text, numbers or spreads."""

    title: str
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def markdown(self) -> str:
        """The table as Markdown; a cell that a row lacks is empty."""
        columns = list(dict.fromkeys(column for row in self.rows for column in row))
        lines = [columns, ["---"] * len(columns)]
        lines += [[_cell(row.get(column, "")) for column in columns] for row in self.rows]
        return "\n".join([f"**{self.title}**", "", *(f"| {' | '.join(one)} |" for one in lines)])


def speed_table(
    costs: Mapping[str, np.ndarray],
    unit: str,
    reference: str,
    title: str = "",
    extra: Mapping[str, Mapping[str, Any]] | None = None,
) -> Table:
    """How fast everyone is, and how many times as long as the reference everyone takes.

    Args:
        costs: What `take_turns` returned.
        unit: What a unit of work is called.
        reference: The contestant that the others are compared with.
        title: Title of the table.
        extra: More columns of a contestant's row.
    """
    table = Table(title or f"One {unit}")
    for name, taken in costs.items():
        ratios = taken / costs[reference]
        table.rows.append(
            {
                "": name,
                f"ms per {unit}": 1e3 * float(np.median(taken[:, 0])),
                f"processor ms per {unit}": 1e3 * float(np.median(taken[:, 1])),
                f"times as long as {reference}": Spread.of(ratios[:, 0]),
                "by processor time": Spread.of(ratios[:, 1]),
                **(extra or {}).get(name, {}),
            }
        )
    return table


def report(
    name: str,
    title: str,
    tables: Sequence[Table],
    output: str = OUTPUT,
    notes: str = "",
    packages: Sequence[str] = (),
) -> None:
    """Prints the tables with the machine under them, and writes NAME.md and NAME.json.

    Args:
        name: Of the files.
        title: Above the tables.
        tables: The tables.
        output: Folder of the files.
        notes: Said under the tables.
        packages: Whose versions to name, besides those of what this process has imported.
    """
    about = machine(packages)
    versions = ", ".join(f"{package} {version}" for package, version in about["versions"].items())
    text = "\n\n".join(
        [
            f"## {title}",
            *(table.markdown() for table in tables),
            *([notes] if notes else []),
            f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB; {versions}; "
            f"{about['others']}; {about['date']}.",
        ]
    )
    print(text)
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text + "\n", "utf-8")
    values = {
        "title": title,
        "command": sys.argv,
        "machine": about,
        "notes": notes,
        "tables": [dataclasses.asdict(table) for table in tables],
    }
    (folder / f"{name}.json").write_text(json.dumps(values, indent=1, default=_plain), "utf-8")


def machine(packages: Sequence[str] = ()) -> dict[str, Any]:
    """The machine, versions (of what has been imported, and ``packages``), and how busy it was."""
    versions = {"Python": platform.python_version()}
    for package in _PACKAGES:
        if package in packages or package.replace("-", "_") in sys.modules:
            versions[package] = importlib.metadata.version(package)
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.platform(),
        "versions": versions,
        "others": _others(),
        "date": datetime.date.today().isoformat(),
    }


def _others() -> str:
    """What other programs took of the machine in what counts."""
    if not _shares_of_others:
        return f"load {os.getloadavg()[1]:.1f}"
    middle, most = np.median(_shares_of_others), np.max(_shares_of_others)
    return f"other programs used {middle:.0%} of the machine (at most {most:.0%})"


def _processor() -> str:
    """Name of the processor, and which instructions for machine learning it has."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    facts = dict(map(str.strip, line.partition(":")[::2]) for line in lines)
    flags = set(facts.get("flags", "").split())
    known = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA")
    limited = [f"(oneDNN limited to {limit})"] if limit else []
    return " ".join([facts.get("model name", platform.processor()), *known, *limited])


def _cell(value: Any) -> str:
    return _short(value) if isinstance(value, float) else str(value)


def _short(value: float) -> str:
    """Three digits, without an exponent where that is readable."""
    if value in (0, 1):
        return f"{value:.0f}"
    if not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2g}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)
