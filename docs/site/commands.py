"""The reference of the commands, from their argument parsers."""

import argparse
from collections.abc import Callable, Iterator

from model_core.cli.arguments import parser as encodec
from model_core.evaluation.arguments import parser as encodec_eval
from model_core.training.cli import parser as encodec_train
from service.batch.arguments import parser as encodec_batch

from .markdown import anchor, code, escaped

PARSERS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "encodec": encodec,
    "encodec-batch": encodec_batch,
    "encodec-train": encodec_train,
    "encodec-eval": encodec_eval,
}
"""`encodec-serve` has the settings for its flags: `settings`."""


def page(name: str) -> str:
    """The page of a command."""
    parser = PARSERS[name]()
    parser.prog = name
    return "\n".join([f"# {code(name)}", "", *_command(parser, 2)])


def _command(parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    """What it is for, how it is called, its arguments, and the same of its commands."""
    yield from (escaped(parser.description or ""), "")
    lines = parser.format_usage().rstrip().splitlines()
    yield from ("```text", *(line[len("usage: ") :] for line in lines), "```", "")
    commands = None
    for group in parser._action_groups:
        shown = [action for action in group._group_actions if action.help != argparse.SUPPRESS]
        for action in list(shown):
            if isinstance(action, argparse._SubParsersAction):
                commands = action
                shown.remove(action)
        if shown:
            yield from (f"{'#' * level} {(group.title or '').capitalize()}", "")
            yield from (escaped(group.description or ""), "")
            for action in shown:
                yield from _argument(parser, action)
    if commands is not None:
        for name, command in commands.choices.items():
            yield from (f"{'#' * level} {code(name)} {{#{anchor(name)}}}", "")
            yield from _command(command, level + 1)
    if parser.epilog:
        yield from ("```text", *parser.epilog.strip("\n").splitlines(), "```", "")


def _argument(parser: argparse.ArgumentParser, action: argparse.Action) -> Iterator[str]:
    """An entry of a definition list."""
    formatter = parser._get_formatter()
    called = formatter._format_action_invocation(action)
    help_text = formatter._expand_help(action) if action.help else ""
    shown = action.metavar is None and action.choices  # else the help says which there are
    choices = ", ".join(code(str(choice)) for choice in action.choices or ()) if shown else ""
    yield from (code(called), f":   {escaped(help_text)}")
    yield from ([f"    One of {choices}.", ""] if choices else [""])
