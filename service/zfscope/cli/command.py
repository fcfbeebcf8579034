"""A command that refuses empty values, which are variables of a shell that were never set."""

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any

from typer.core import TyperCommand

from zfscope.errors import InputError

# Options for which an empty value means something: train without checkpoints.
_MAY_BE_EMPTY = frozenset({"--checkpoints"})


class Command(TyperCommand):
    """A command of typer; an empty option or argument is an InputError, and not the default."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of a command line. Raises InputError for an empty one."""
        options = {
            word for option in self.params if not getattr(option, "is_flag", False) for word in option.opts
        }
        check_not_empty(args, options)
        return super().parse_args(ctx, args)


def check_not_empty(words: Sequence[str], options: Collection[str], *, others: bool = False) -> None:
    """Raise InputError for an option with an empty value, and for an empty argument.

    options: those that take a value. others: whether there are further ones, whose values may be empty.
    """
    for before, word in pairwise(["", *words]):
        if before == "--":  # only arguments follow
            others, options = False, ()
        name, equals, value = word.partition("=")
        if equals and not value and name in options:
            _refuse(name)
        if not word and before in options:
            _refuse(before)
        if not word and before not in options and not (others and before.startswith("--")):
            raise InputError("an argument is empty: ''; fill it in, or leave it out", field="arguments")


def _refuse(option: str) -> None:
    if option not in _MAY_BE_EMPTY:
        message = f"{option} is empty; pass a value, or leave {option} out"
        raise InputError(message, field=option.lstrip("-").replace("-", "_"))
