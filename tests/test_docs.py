"""The examples of the documentation print what they say."""

import doctest
import importlib
import re
import shlex
from pathlib import Path

import click
import pytest

import embudo
from embudo.cli.main import commands

ROOT = Path(__file__).parents[1]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = [path for path in DOCS if ">>> " in path.read_text(encoding="utf-8")]
PROGRAMS = [ROOT / "README.md", ROOT / "docs" / "composing.md"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_print_what_they_say(path):
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, tried = doctest.testfile(str(path), module_relative=False, optionflags=options, encoding="utf-8")
    assert tried > 0
    assert failed == 0


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_programs_run_from_the_top_to_the_bottom_of_a_page(path):
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block, names)


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_the_commands_of_a_page_are_understood(path, monkeypatch):
    """Verbs, options and values are read, and nothing is done."""
    monkeypatch.setattr("embudo.cli.options.check_exists", lambda path: None)
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^(?: {4})?embudo (.*)$", text, re.MULTILINE)
    for line in [*lines, *re.findall(r"\| `embudo ([^`]* [^`]*)`", text)]:
        command, words = commands, shlex.split(line, comments=True)
        if "..." in words:
            continue
        while isinstance(command, click.Group):
            name = words.pop(0)
            command = command.get_command(click.Context(command), name)
            assert command is not None, line
        command.make_context(name, words)


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_to_files(path):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_the_page_on_architecture_names_what_there_is():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    folders = {path.parent.name for path in Path(embudo.__file__).parent.glob("*/__init__.py")}
    names = [found for found in re.findall(r"\b(\w+)/(\w+)(?:\.(\w+))?", text) if found[0] in folders]
    assert len(names) > 40
    for folder, module, name in names:
        found = importlib.import_module(f"embudo.{folder}.{module}")
        assert name in ("", "py") or hasattr(found, name), f"{folder}/{module}.{name}"
