"""Findings that share words over the marks of a list: "short fingers and toes", "short, broad thumbs"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain

from phenolip_lib.recognition.tokens import AND, BREAK, COMMA, LINE, MODIFIER, OR, OTHER, SKIP

BETWEEN = 2
"""Words of a member that only lies between the two that share."""
CONJUNCTS = 6
"""Members of a list on each side of a mark that are looked at."""
WORDS = 5
"""Words of a member that may be shared or share."""
_LIST = 24
"""Words behind a comma in which the "and" of its list stands."""
_MARKS = BREAK + LINE + COMMA + AND + OR
_end = re.compile(f"[{BREAK}{LINE}]|\\Z")
_between = re.compile(
    f"([^{_MARKS}{SKIP}{MODIFIER}])[{SKIP}{MODIFIER}]*([{COMMA}{AND}{OR}]{{1,3}})"
    f"(?=[{SKIP}{MODIFIER}]*([^{_MARKS}{SKIP}{MODIFIER}]))"
)
"""The words on both sides of the marks of a list, and the marks."""


_Member = tuple[list[int], bool]
"""The words of a member of a list, and whether an "and" goes before it."""
Chosen = tuple[tuple[int, ...], int]
"""Positions of a finding's words, and how many the neighbour has too: at their beginning (positive) or end."""
Together = Mapping[str, AbstractSet[str]]


def shared(
    families: str, findings: Sequence[tuple[int, ...]], together: Together, attributive: AbstractSet[str]
) -> Iterator[Chosen]:
    """What findings there may be over the marks of lists, shared words included; the dictionary decides.

    A member of the list must be a finding by itself; the others then have as many words in place of its end or
    beginning. A comma alone joins only words of size and shape, "short, broad thumbs", unless the list has an "and".

    Args:
        families: a text as characters of families.
        findings: positions of the words of each finding of two words or more, in order of the first.
        together: character of a family -> those it can be of one finding with.
        attributive: characters of adjectives that a comma may part from their noun.
    """
    keys, none, number, high = set(findings), frozenset(), 0, 0
    while number < len(findings):
        start = findings[number][0]
        low, high = max(high, families.rfind(BREAK, high, start)), _end.search(families, start).start()
        joins = list(_between.finditer(families, low, high))
        before, behind = {join.start(1) for join in joins}, {join.start(3) for join in joins}
        firsts, lasts = set(), set()
        while number < len(findings) and (positions := findings[number])[0] < high:
            if positions[-1] in before:
                firsts.add(families[positions[0]])
            if positions[0] in behind:
                lasts.add(families[positions[-1]])
            number += 1
        # A word can only stand for another's end or beginning if some key has both.
        for join in joins if firsts or lasts else ():
            left, right = together.get(join[1], none), together.get(join[3], none)
            if not (right.isdisjoint(firsts) and left.isdisjoint(lasts)):
                for at in range(*join.span(2)):
                    if _joins(families, at, attributive):
                        yield from _over(families, at, keys, together, attributive)


def _joins(families: str, at: int, attributive: AbstractSet[str]) -> bool:
    """Whether words may be shared over a mark: an "and", a comma of its list, a comma behind an adjective."""
    if families[at] != COMMA:
        return families[at] in (AND, OR)
    around = families[at : at + _LIST]
    return families[at - 1 : at] in attributive or AND in around or OR in around


def _over(
    families: str, at: int, keys: AbstractSet[tuple[int, ...]], together: Together, attributive: AbstractSet[str]
) -> Iterator[Chosen]:
    """What findings there may be over the mark at `at`."""
    left, right = _members(families, at, -1), _members(families, at, 1)
    near, next_to = next(left, None), next(right, None)
    if near is None or next_to is None:
        return
    right = (next_to, *right)
    near_words, next_words = near[0], next_to[0]
    listed = families[at] != COMMA or right[-1][1]
    if not listed and families[near_words[-1]] not in attributive:
        return
    # One shares its beginning: "hypoplasia of the thumbs, toes and nails".
    for words, _ in chain((near,), left) if listed else ():
        found = [i for i in range(len(words) - 1) if tuple(words[i:]) in keys]
        for i in found:
            whole = words[i:]
            if families[next_words[0]] not in together[families[whole[0]]]:
                continue
            for keep in range(1, len(whole)):
                for take in range(1, min(len(next_words), len(whole) - keep + 1) + 1):
                    if families[at] == COMMA and take < len(next_words):
                        continue  # "a broad nasal tip, columella below the alae"
                    yield (*whole[:keep], *next_words[:take]), keep
        if found or len(words) > BETWEEN:
            break
    for words, _ in right:  # shares its end: "sensorineural, conductive or mixed hearing loss"
        ends = [end for end in range(2, len(words) + 1) if tuple(words[:end]) in keys]
        for end in ends:
            if families[near_words[-1]] not in together[families[words[end - 1]]]:
                continue
            for take in range(1, end):
                for keep in range(1, min(len(near_words), take + 1 if listed else 1) + 1):
                    yield (*near_words[-keep:], *words[take:end]), take - end
        if ends or len(words) > BETWEEN:
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
        yield found[::step], last
        if last and step > 0:
            return
        mark = families[place] if place != end else BREAK
        if mark not in (COMMA, AND, OR) or (step < 0 and mark != COMMA):
            return
        place += step
        if place != end and {mark, families[place]} == {COMMA, AND}:
            place, mark = place + step, AND
