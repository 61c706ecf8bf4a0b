"""A Dockerfile as a table: its stages and their instructions, with continuation lines joined."""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Stage:
    """One `FROM base AS name` and what follows it, as (instruction, arguments)."""

    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        """The arguments of every such instruction, in order."""
        return [arguments for word, arguments in self.instructions if word == instruction]

    def copied(self) -> list[str]:
        """Paths copied from the build context."""
        lines = [shlex.split(line) for line in self.all("COPY") if not line.startswith("--from")]
        return [source for words in lines for source in words[:-1]]


def read_stages(path: Path) -> dict[str, Stage]:
    """The stages by name, in order; raises `ValueError` for a stage without a name."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE)
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for line in re.sub(r"\\\n", " ", text).splitlines():
        word, _, arguments = line.strip().partition(" ")
        if word == "FROM":
            base, as_, name = arguments.split()
            if as_ != "AS":
                raise ValueError(line)
            stage = stages[name] = Stage(name, base)
        elif word and stage is not None:
            stage.instructions.append((word, arguments.strip()))
    return stages


def environment(stages: dict[str, Stage], name: str) -> dict[str, str]:
    """The variables of the image `name`, those of the stages it is built on included."""
    if name not in stages:
        return {}
    values = environment(stages, stages[name].base)
    for line in stages[name].all("ENV"):
        values |= dict(word.split("=", 1) for word in shlex.split(line))
    return values


def final(stages: dict[str, Stage], name: str, instruction: str) -> str:
    """The one that counts in the image `name`: the last, in it or in a stage it is built on.

    Raises `LookupError` where there is none.
    """
    while name in stages:
        found = stages[name].all(instruction)
        if found:
            return found[-1]
        name = stages[name].base
    raise LookupError(instruction)
