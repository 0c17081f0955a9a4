"""The command line: one module per command, and a help text that explains each in one line."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from typing import Any

import click
import pytest
import typer

from pipeline.cli import app

# Commands in the module of the command to which they belong.
_COMPANIONS = {"connectors": "ingest", "label": "labels"}
_CLI = resources.files("pipeline.cli")


def _commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


_COMMANDS = dict(_commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", _COMMANDS, ids=" ".join)
def test_the_module_of_a_command_has_its_name(path: tuple[str, ...]) -> None:
    module = _COMPANIONS.get(path[0], path[0])
    assert (_CLI / f"{module}.py").is_file()
    assert _COMMANDS[path].callback.__module__ == f"pipeline.cli.{module}"


@pytest.mark.parametrize("path", _COMMANDS, ids=" ".join)
def test_help_starts_with_one_short_sentence(path: tuple[str, ...]) -> None:
    command = _COMMANDS[path]
    context = click.Context(command, info_name=f"switchboard {' '.join(path)}", terminal_width=80)
    usage, _, text = command.get_help(context).partition("\n\n")
    assert usage.strip().startswith("Usage: switchboard ")
    first = text.splitlines()[0]
    assert first.endswith("."), first
    assert len(first) <= 80, first


@pytest.mark.parametrize("path", _COMMANDS, ids=" ".join)
def test_every_option_and_argument_is_explained(path: tuple[str, ...]) -> None:
    for parameter in _COMMANDS[path].params:
        assert parameter.help, f"switchboard {' '.join(path)}: {parameter.name} has no help"
