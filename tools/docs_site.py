"""Hook of mkdocs: tables of flags, and links to the reference of the code.

A page says ``<!-- flags: svdam/train_gan.py -->``; the table comes from the settings that the
command turns into flags, so it is what ``--help`` says, and cannot fall behind. Names of the code,
as `svdam.core.runs.start_run`, become links where the reference has them.
"""

import ast
import dataclasses
import importlib
import pathlib
import re
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
_FLAGS = re.compile(r"<!-- flags: (\S+) -->")
_NAME = re.compile(r"`(svdam(?:\.[A-Za-z_]\w*)+)`")


def on_config(config: Any, **_: Any) -> None:
    """Called by mkdocs before the build: leaves out of the navigation what is not written yet."""
    for section in config["nav"]:
        for title, pages in section.items():
            if isinstance(pages, list):
                section[title] = [page for page in pages if _is_written(page)]


def _is_written(page: dict[str, str]) -> bool:
    return all((ROOT / "docs" / name).exists() for name in page.values())


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs with the text of each page."""
    markdown = _FLAGS.sub(lambda mark: flag_table(ROOT / mark[1]), markdown)
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    parts[::2] = [_NAME.sub(_reference, part) for part in parts[::2]]
    return "".join(parts)


def _reference(name: re.Match) -> str:
    shown = name[1].replace(".", ".<wbr>")
    return f'<autoref optional identifier="{name[1]}"><code>{shown}</code></autoref>'


def flag_table(command: pathlib.Path) -> str:
    """The flags of a command as a Markdown table.

    Args:
        command: The command's file.
    """
    rows = ["| flag | default | |", "|---|---|---|"]
    for field in dataclasses.fields(settings_class(command)):
        text = " ".join(filter(None, [field.metadata["help"], _limits(field.metadata)]))
        text = text.replace("|", "\\|")
        rows.append(f"| `--{field.name}` | {_shown(field.default)} | {text} |")
    return "\n".join(rows)


def settings_class(command: pathlib.Path) -> type:
    """The class of settings that a command gives to ``define_flags``."""
    tree = ast.parse(command.read_text("utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    (name,) = [
        call.args[0].id
        for call in calls
        if isinstance(call.func, ast.Name)
        and call.func.id == "define_flags"
        and isinstance(call.args[0], ast.Name)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
            return getattr(importlib.import_module(str(node.module)), name)
    module = ".".join(command.relative_to(ROOT).with_suffix("").parts)
    return getattr(importlib.import_module(module), name)  # Defined in the command itself.


def _limits(metadata: Any) -> str:
    if metadata["choices"]:
        return "One of " + ", ".join(f"`{choice}`" for choice in metadata["choices"]) + "."
    words = {"minimum": "at least", "above": "more than", "maximum": "at most"}
    parts = [
        f"{word} {metadata[bound]:,}"
        for bound, word in words.items()
        if metadata[bound] is not None
    ]
    return f"({', '.join(parts)})" if parts else ""


def _shown(default: Any) -> str:
    if default is None or default == ():
        return "none"
    if isinstance(default, tuple):
        return f"`{','.join(map(str, default))}`"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"
