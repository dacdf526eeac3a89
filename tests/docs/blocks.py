"""Code blocks of the documentation, and running them in one process.

    python blocks.py REPORT

As a program it works in the current folder, which should be empty: it makes small runs of the first
stages, runs the blocks of every page, looks up the names that pages mention, and writes what came
of it as JSON.
"""

import contextlib
import dataclasses
import importlib
import io
import json
import re
import shlex
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]

WORKED = ("docs/own_models.md", "docs/tutorial.md")
"""Pages whose shell blocks are run, too; on the others commands are only parsed."""

FIRST_STAGES = """\
python -m svdam.prepare_data --num_songs=3 --song_secs=6 --output=runs/data
python -m svdam.collect_responses --records=runs/data --top_n=2 --output=runs/responses
python -m svdam.maximize_activation --seeds=0-1 --learning_rates=0.01 --prior_weights=0.1,0.01 \
    --num_steps=1 --output=runs/grid
"""

SMALLER = {
    "docs/own_neuron.md": {"geometric_steps(100)": "geometric_steps(5)"},
    "docs/tutorial.md": {
        "NUM_SONGS, SONG_SECS, PASSAGE_SECS, RATE = 45, 20.0, 4.0, 22050": (
            "NUM_SONGS, SONG_SECS, PASSAGE_SECS, RATE = 5, 6.0, 2.0, 22050"
        ),
        "STEPS, EPOCHS = 100, 6": "STEPS, EPOCHS = 3, 1",
        "--top_n=12 --output=runs/drums/explain_yamnet": (
            "--top_n=2 --seeds=0-1 --max_steps=2 --output=runs/drums/explain_yamnet"
        ),
        "--top_n=12": "--top_n=2",
        "--learning_rates=0.1,0.01,0.001 --prior_weights=0.1,0.01 --num_steps=10,50,100 "
        "--seeds=0-11": "--learning_rates=0.1,0.01 --prior_weights=0.1 --num_steps=1,2 --seeds=0-1",
    },
}
"""What is made smaller for the test, by page."""

PLACEHOLDERS = {
    "--dataset=KIND": "--dataset=folder",
    "--flagfile=runs/selection/best.cfg": "--flagfile=flags/am.cfg",
    "--flagfile=runs/fc2_17/selection/best.cfg": "--flagfile=flags/am.cfg",
}
"""What stands for something of the reader's, or for a file that an earlier command would write."""

_BLOCK = re.compile(
    r"^( *)```(\w*)(?: title=\"(.+?)\")?[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL
)
_COMMAND = "python -m svdam."
_NAME = re.compile(r"\bsvdam\.[a-z]\w*(?:\.[A-Za-z_]\w*)*")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: Relative to the project's root.
        line: Where it starts.
        language: What is written after the fence.
        code: What is in it.
        title: The file that it is, if any.
    """

    page: str
    line: int
    language: str
    code: str
    title: str | None = None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def commands(self) -> list[list[str]]:
        """The words of each command of svdam in a block of any language but Python."""
        if self.language == "python":
            return []
        lines = self.code.replace("\\\n", " ").splitlines()
        found = [line[line.index(_COMMAND) :].rstrip("'") for line in lines if _COMMAND in line]
        return [shlex.split(line, comments=True) for line in found]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text("utf-8")
    name = str(page.relative_to(ROOT))
    return [
        Block(name, text.count("\n", 0, match.start()) + 1, match[2], match[4], match[3])
        for match in _BLOCK.finditer(text)
    ]


def parse(words: list[str]):
    """Parses the command line ``python -m svdam.COMMAND --flags`` as the command does.

    Returns:
        The command's module, and the settings that its flags make.
    """
    from absl import flags

    from svdam.core.settings import Settings, settings_from_flags

    flags.FLAGS.unparse_flags()
    for name, owned in flags.FLAGS.flags_by_module_dict().items():
        if name.startswith(
            "svdam."
        ):  # Of the command before, which would have had its own process.
            for flag in list(owned):
                delattr(flags.FLAGS, flag.name)
    words = [PLACEHOLDERS.get(word, word) for word in words]
    module = importlib.import_module(words[2])
    if not flags.FLAGS.flags_by_module_dict().get(words[2]):
        module = importlib.reload(module)
    flags.FLAGS(words[2:])
    names = {flag.name for flag in flags.FLAGS.flags_by_module_dict()[words[2]]}
    (kind,) = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Settings)
        and names == {field.name for field in dataclasses.fields(value)}
    ]
    return module, settings_from_flags(kind)


def run(block: Block, namespace: dict) -> None:
    """Runs a block in this process, so that TensorFlow starts once for all."""
    if block.title:
        Path(block.title).write_text(block.code, "utf-8")
    elif block.language == "python":
        exec(compile(block.code, str(block), "exec"), namespace)
    for words in block.commands():
        module, _ = parse(words)
        if block.page in WORKED:
            module.main()


def exists(name: str) -> bool:
    """Whether ``svdam.package.module.object.attribute`` is there."""
    parts = name.split(".")
    if len(parts) == 2 and (ROOT / "svdam" / f"{parts[1]}.py").exists():
        return True  # A command: importing it would define its flags.
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def smaller(block: Block) -> Block:
    """The block in a size for a test."""
    code = block.code
    for large, small in SMALLER.get(block.page, {}).items():
        code = code.replace(large, small)
    return dataclasses.replace(block, code=code)


def main() -> None:
    """Runs everything; see above."""
    sys.path[:0] = [str(ROOT), ""]  # The current folder, too, as for Python's prompt.
    for name in ("checkpoints", "flags"):
        Path(name).symlink_to(ROOT / name)
    run(Block(WORKED[0], 0, "sh", FIRST_STAGES), {})
    texts = {page: page.read_text("utf-8") for page in PAGES}
    names = sorted({name for text in texts.values() for name in _NAME.findall(text)})
    unknown = [name for name in names if not exists(name)]
    report = []
    for page in PAGES:
        namespace: dict = {"__name__": "page"}
        for block in blocks(page):
            output, error, start = io.StringIO(), None, time.monotonic()
            try:
                with contextlib.redirect_stdout(output):
                    run(smaller(block), namespace)
            except (Exception, SystemExit):
                error = traceback.format_exc()
            secs = time.monotonic() - start
            facts = {"block": str(block), "output": output.getvalue(), "error": error, "secs": secs}
            report.append(facts)
    result = {"blocks": report, "names": names, "unknown_names": unknown}
    Path(sys.argv[1]).write_text(json.dumps(result), "utf-8")


if __name__ == "__main__":
    main()
