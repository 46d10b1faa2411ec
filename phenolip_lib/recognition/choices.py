"""Answers to choose from, as forms print them: "[x] Yes [ ] No", "yes ☐ no ☑", "Y / N", "(Y/N): N"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from phenolip_lib.recognition.cues import Cue, Row

BOX = r"(?:\[[ xX]?\]|\([ xX]\)|[☐☒☑✓✗✘])"
_YES, _NO = "yes y present positive pos true".split(), "no n absent negative neg false none never".split()
ANSWERS = frozenset((*_YES, *_NO, "unknown", "unsure", "uncertain"))
_WORD = rf"(?:{'|'.join(sorted(ANSWERS, key=len, reverse=True))})"
_CHOICE = re.compile(
    rf"""(?P<before>(?:{BOX}\s?{_WORD}\b[ \t,;/]*)+)
    |\b(?P<behind>(?:{_WORD}\s?{BOX}[ \t,;/]*){{2,}})
    |\b{_WORD}\s?(?:/|\bor\b)\s?{_WORD}\b(?:\s?[)\]?]{{0,2}}\s?[:=]?\s?(?P<answer>{_WORD})\b)?""",
    re.VERBOSE | re.IGNORECASE,
)
_word, _marked = re.compile(rf"\b{_WORD}\b", re.IGNORECASE), re.compile(r"[xX](?=[\])])|[☒☑✓✗✘]")
_said = {
    category: Cue("choice", (Row(category, "backward", "answer", 0),), frozenset((category, "behind")))
    for category in ("affirmed", "negated", "uncertain")
}


def choices(text: str, low: int, high: int) -> Iterator[tuple[int, int, Cue]]:
    """Where answers stand to choose from, and the choice as a cue; none or several chosen is uncertain."""
    for choice in _CHOICE.finditer(text, low, high):
        if choice["answer"]:
            chosen = [choice["answer"]]
        else:
            words, boxes = _word.findall(choice.group()), re.findall(BOX, choice.group())
            chosen = [word for word, box in zip(words, boxes, strict=False) if _marked.search(box)]
        said = chosen[0].lower() if len(chosen) == 1 else ""
        end = choice.start() + len(choice.group().rstrip(" \t,;/"))
        yield choice.start(), end, _said["affirmed" if said in _YES else "negated" if said in _NO else "uncertain"]
