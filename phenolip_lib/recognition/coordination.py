"""Findings that share words over the marks of a list: "short fingers and toes", "short, broad thumbs"."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import NamedTuple

from phenolip_lib.recognition.tokens import AND, BREAK, COMMA, MODIFIER, OR, OTHER, SKIP

BETWEEN = 2
"""Words of a member that only lies between the two that share."""
CONJUNCTS = 6
"""Members of a list on each side of a mark that are looked at."""
WORDS = 5
"""Words of a member that may be shared or share."""


class _Member(NamedTuple):
    words: list[int]
    last: bool
    """Whether an "and" goes before it."""


Chosen = tuple[tuple[int, ...], int]
"""Positions of a finding's words, and how many the neighbour has too: at their beginning (positive) or end."""


def shared(
    families: str, at: int, keys: Container[tuple[int, ...]], attributive: frozenset[str]
) -> Iterator[Chosen]:
    """What findings there may be over the mark at `at`, shared words included; the dictionary decides.

    A member of the list must be a finding by itself; the others then have as many words in place of its end or
    beginning. A comma alone joins only words of size and shape, "short, broad thumbs", unless the list has an "and".

    Args:
        families: a text as characters of families.
        keys: positions of words that are a finding.
        attributive: characters of adjectives that a comma may part from their noun.
    """
    left, right = _members(families, at, -1), _members(families, at, 1)
    near, next_to = next(left, None), next(right, None)
    if near is None or next_to is None:
        return
    right = [next_to, *right]
    listed = families[at] != COMMA or right[-1].last
    if not listed and families[near.words[-1]] not in attributive:
        return
    for member in (near, *left) if listed else ():  # shares its beginning: "hypoplasia of the thumbs, toes and nails"
        found = [i for i in range(len(member.words) - 1) if tuple(member.words[i:]) in keys]
        for i in found:
            whole = member.words[i:]
            for keep in range(1, len(whole)):
                for take in range(1, min(len(next_to.words), len(whole) - keep + 1) + 1):
                    if families[at] == COMMA and take < len(next_to.words):
                        continue  # "a broad nasal tip, columella below the alae"
                    yield (*whole[:keep], *next_to.words[:take]), keep
        if found or len(member.words) > BETWEEN:
            break
    for member in right:  # shares its end: "sensorineural, conductive or mixed hearing loss"
        ends = [end for end in range(2, len(member.words) + 1) if tuple(member.words[:end]) in keys]
        for end in ends:
            for take in range(1, end):
                for keep in range(1, min(len(near.words), take + 1 if listed else 1) + 1):
                    yield (*near.words[-keep:], *member.words[take:end]), take - end
        if ends or len(member.words) > BETWEEN:
            break


def _members(families: str, at: int, step: int) -> Iterator[_Member]:
    """The members of a list outwards from a mark; a list ends with the one behind its "and"."""
    place, end = at + step, len(families) if step > 0 else -1
    mark = families[at]
    if place != end and {mark, families[place]} == {COMMA, AND}:  # ", and"
        place, mark = place + step, AND
    for _ in range(CONJUNCTS):
        found: list[int] = []
        while place != end and (families[place] >= OTHER or families[place] == SKIP) and len(found) < WORDS:
            if families[place] >= OTHER and families[place] != MODIFIER:
                found.append(place)
            place += step
        if not found:
            return
        last = mark in (AND, OR)
        yield _Member(found[::step], last)
        if last and step > 0:
            return
        mark = families[place] if place != end else BREAK
        if mark not in (COMMA, AND, OR) or (step < 0 and mark != COMMA):
            return
        place += step
        if place != end and {mark, families[place]} == {COMMA, AND}:
            place, mark = place + step, AND
