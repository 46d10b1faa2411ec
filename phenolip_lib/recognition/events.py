"""What a sentence is read as: findings, cues and marks in order, and what is known of them on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from phenolip_lib.recognition.cues import Cue


class Event(NamedTuple):
    """A finding, a cue or a mark of a sentence."""

    start: int
    end: int
    kind: str
    """``mention``, ``cue``, or the mark itself."""
    number: int = -1
    """Of the mention."""
    cue: Cue | None = None

    kinds: frozenset[str] = frozenset()
    """Categories of the cue's rows."""

    def of(self, *categories: str) -> bool:
        """Whether the cue is of one of the categories."""
        return not self.kinds.isdisjoint(categories)


@dataclass
class Scope:
    """A negation or a doubt on its way."""

    opened: int
    limit: int
    found: bool = False
    """It has reached a finding."""
    parted: bool = False
    """A comma or an *and* went by."""
    noun: bool = False
    """It is of the next noun phrase only."""
    lack: bool = False
    """It began as such: "absence of"."""
    item: bool = False
    """It stands within a list, each item with its own: "tall, no ptosis, no goitre, deaf"."""
    either: bool = False
    """An *or* went by."""
    standing: bool = False
    """A heading opened it."""


@dataclass
class State:
    """What is said of one finding so far."""

    negated: bool = False
    uncertain: bool = False
    family: bool = False
