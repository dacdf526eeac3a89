"""The program ``svdam``: ``svdam COMMAND ...`` is ``python -m svdam.COMMAND ...``."""

import ast
import difflib
import runpy
import sys
from pathlib import Path

import svdam

_USAGE = """\
usage: svdam COMMAND [--flags]      svdam COMMAND --help explains the flags of a command

"""


def main() -> None:
    """Runs the command that the first argument names, or lists all of them."""
    command, *flags = sys.argv[1:] or ["--help"]
    known = {path.stem: path for path in sorted(Path(__file__).parent.glob("[a-z]*.py"))}
    if command in known:
        sys.argv[1:] = flags
        runpy.run_module(f"svdam.{command}", run_name="__main__", alter_sys=True)
    elif command in ("--help", "-h", "help"):
        print(_USAGE + "\n".join(f"{name:24} {_purpose(path)}" for name, path in known.items()))
    elif command == "--version":
        print(svdam.__version__)
    else:
        similar = difflib.get_close_matches(command, known, 1)
        hint = f"did you mean {similar[0]}?" if similar else "svdam --help lists the commands"
        sys.exit(f"error: svdam has no command {command!r}; {hint}")


def _purpose(path: Path) -> str:
    """The first line of a command's docstring, which is read without running the command."""
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split("\n")[0]


if __name__ == "__main__":
    main()
