"""Numbers as people type them: 3,17,240."""

from zfscope.errors import InputError


def read_numbers(option: str, given: str, *, such_as: str) -> list[int] | None:
    """Read the numbers of an option, None where there are none. Raises InputError for anything else."""
    words = [word.strip() for word in given.split(",") if word.strip()]
    if not all(word.isascii() and word.isdecimal() for word in words):
        raise InputError(f"--{option} '{given}'; {option} are named as {such_as}", field=option)
    return [int(word) for word in words] or None
