"""What only the command line can get wrong."""

from ..errors import EncodecError


class UsageError(Exception):
    """The arguments make no sense together: exit code 2."""


class CommandError(EncodecError):
    """A file that is not there, or that must not be written: exit code 1."""


class OutputExistsError(CommandError):
    """An output is there already and -f is not given. A file of a folder is then skipped."""
