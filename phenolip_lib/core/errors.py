"""Errors a user can act on: one line that names the thing and the way out."""


class PhenoLIPError(Exception):
    """A mistake in parameters, data or files.

    The command line prints its message alone and exits with status 2; anything else is a bug
    and keeps its traceback.
    """


class DamagedError(PhenoLIPError):
    """A file that cannot be read as what it should be."""


class UnwritableError(PhenoLIPError):
    """A path that cannot be written: the disk is full, or no file can be made there."""


def brief(text: object, most: int = 60) -> str:
    """A text of someone's file as a message can show it: in one line and not endless."""
    plain = " ".join(str(text).split())
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"
