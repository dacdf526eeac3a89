"""Every setting is read by its stage: a flag that does nothing misleads.

Read off the code. What counts is a read of a name whose type is that settings class: a parameter
that is annotated with it, an attribute of an object that took one (or whose base class did), or
what a call like `settings_from_flags` or `dataclasses.replace` made of it. Checks, configurations
and flagfiles, which go through all settings, do not count, nor does another class's setting of the
same name.
"""

import ast
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "svdam"
SOURCES = [*sorted(PACKAGE.rglob("*.py")), ROOT / "tools/convert_lasagne.py"]
CHECKS = ("validate", "__post_init__")
CHANGED = ("dataclasses.replace", "resolve_precision", "settings_by_card")
"""Functions that return the settings that they are given, changed."""


def trees(path="", line="", other=""):
    """The code; in the file whose name ends in ``path``, ``line`` is replaced by ``other``."""
    texts = {source: source.read_text("utf-8") for source in SOURCES}
    if path:
        assert line in texts[PACKAGE / path]
        texts[PACKAGE / path] = texts[PACKAGE / path].replace(line, other)
    return [ast.parse(text) for text in texts.values()]


def settings_classes(modules):
    """Name to fields of each class that has Settings as its base."""
    found = {}
    for node in (node for module in modules for node in ast.walk(module)):
        if isinstance(node, ast.ClassDef) and "Settings" in map(ast.unparse, node.bases):
            found[node.name] = [
                line.target.id for line in node.body if isinstance(line, ast.AnnAssign)
            ]
    return found


class Reads(ast.NodeVisitor):
    """Collects (class, name) of what is read of settings."""

    def __init__(self, classes):
        self.found = set()
        self._classes = classes
        self._names = {}  # What is known in the function being visited: name to class.
        self._attributes = {}  # And of the object that its methods belong to.
        self._of_class = {}  # The same of every class so far.

    def _class_of(self, annotation):
        words = set(re.findall(r"\w+", ast.unparse(annotation))) if annotation else set()
        return next(iter(words & self._classes.keys()), None)

    def visit_ClassDef(self, node):
        inherited = [self._of_class.get(ast.unparse(base), {}) for base in node.bases]
        before, self._attributes = (
            self._attributes,
            {k: v for one in inherited for k, v in one.items()},
        )
        self._of_class[node.name] = self._attributes
        if node.name in self._classes:
            node.body = [line for line in node.body if getattr(line, "name", "") not in CHECKS]
            self._names = {"self": node.name}  # Its properties read its settings.
        for line in node.body:
            if isinstance(line, ast.AnnAssign) and self._class_of(line.annotation):
                self._attributes[line.target.id] = self._class_of(line.annotation)
        self.generic_visit(node)
        self._attributes, self._names = before, {}

    def visit_FunctionDef(self, node):
        before = self._names
        arguments = (*node.args.args, *node.args.kwonlyargs)
        typed = {one.arg: self._class_of(one.annotation) for one in arguments}
        self._names = before | {name: kind for name, kind in typed.items() if kind}
        self.generic_visit(node)
        self._names = before

    def visit_Assign(self, node):
        names, values = node.targets[0], node.value
        pairs = [(names, values)]
        if isinstance(names, ast.Tuple) and isinstance(values, ast.Tuple):
            pairs = zip(names.elts, values.elts, strict=True)
        for name, value in pairs:
            kind = self._kind(value)
            if kind and isinstance(name, ast.Name):
                self._names = self._names | {name.id: kind}
            elif kind and isinstance(name, ast.Attribute):
                self._attributes[name.attr] = kind
        self.generic_visit(node)

    def _kind(self, value):
        """The settings class of a value, if it has one."""
        if isinstance(value, ast.Name):
            return self._names.get(value.id)
        if isinstance(value, ast.Attribute) and ast.unparse(value.value) == "self":
            return self._attributes.get(value.attr)
        if isinstance(value, ast.Call):
            names = [ast.unparse(value.func), *map(ast.unparse, value.args)]
            if names[0] in CHANGED:
                return self._kind(value.args[0])
            return next((name for name in names if name in self._classes), None)
        return None

    def visit_Attribute(self, node):
        kind = self._kind(node.value)
        if kind and isinstance(node.ctx, ast.Load):
            self.found.add((kind, node.attr))
        self.generic_visit(node)


def unread(modules):
    """(class, field) of every setting that nobody reads."""
    classes = settings_classes(modules)
    reads = Reads(classes)
    for module in [*modules, *modules]:  # Twice, since a base class may come later.
        reads.visit(module)
    return [
        (name, field)
        for name, fields in classes.items()
        for field in fields
        if (name, field) not in reads.found
    ]


def test_all_settings_classes_are_found():
    fields = settings_classes(trees())
    assert len(fields) == 13 and sum(map(len, fields.values())) > 120
    assert "precision" in fields["ClassifierSettings"]


def test_every_setting_is_read_by_its_stage():
    assert unread(trees()) == []


EXAMPLE = """
class FirstSettings(Settings):
    rate: float = setting(0.1, "Rate.")
    precision: str = setting("a", "Precision.")
    def validate(self):
        self.precision
class SecondSettings(Settings):
    precision: str = setting("a", "Precision.")
    @property
    def both(self):
        return self.precision
class Trainer:
    def __init__(self, settings: FirstSettings):
        self._settings = settings
    def step(self):
        return self._settings.rate
def run(settings: "SecondSettings | None"):
    return settings.precision
def configuration(settings):
    return settings.precision
"""


def test_a_check_and_another_class_do_not_count():
    assert unread([ast.parse(EXAMPLE)]) == [("FirstSettings", "precision")]
    read = EXAMPLE + textwrap.dedent("""
        def main():
            settings = settings_from_flags(FirstSettings)
            return settings.precision
        """)
    assert unread([ast.parse(read)]) == []


@pytest.mark.parametrize(
    ("line", "missing"),
    [("machine_precision(settings.precision)", "precision"), ("settings.augment", "augment")],
)
def test_a_stage_that_no_longer_reads_it_is_noticed(line, missing):
    modules = trees("training/classifier.py", line, "None")
    assert unread(modules) == [("ClassifierSettings", missing)]
