"""JSON answers of language models: asked for, checked against a schema, asked for again, and kept.

Valid answers are kept on disk, one JSON line each, so that a killed run goes on where it stopped; an answer that is
none stays the reason why.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from phenolip_lib.core.kept import spared
from phenolip_lib.core.storage import digest
from phenolip_lib.models.language_models import Refiner, Unanswered

log = logging.getLogger("phenolip")
ATTEMPTS = 2
"""How often a prompt is tried."""
T = TypeVar("T", bound=BaseModel)


def ask(keys: Sequence[str], prompt: Callable[[int, str], str], model: Refiner, kept: AnswerFile[T]) -> list[T | str]:
    """An answer for each key, or the reason there is none.

    Args:
        keys: what an answer is kept by.
        prompt: number of a key, and what was wrong with the last answer -> the prompt.
    """
    found: list[T | str] = [kept.answers.get(key, "") for key in keys]
    for _ in range(ATTEMPTS):
        open_ = [k for k, answer in enumerate(found) if isinstance(answer, str)]
        if not open_:
            break
        texts = model.complete([prompt(k, found[k]) for k in open_])
        for k, text in zip(open_, texts, strict=True):
            found[k] = text.reason if isinstance(text, Unanswered) else parse(text, kept.schema)
            if not isinstance(found[k], str):
                kept.add(keys[k], found[k])
    return found


def parse(text: str, schema: type[T]) -> T | str:
    """A model's answer, or the reason it is none; prose, fences and thoughts around the JSON are ignored.

    The first valid object counts; with none, the reason is that of the first that is JSON at all.
    """
    if not isinstance(text, str):
        return "invalid answer: no text"
    # A chat template may open the thoughts itself, so that the answer holds only their end.
    text = text.rpartition("</think>")[2]
    reason = "invalid answer: broken JSON" if "{" in text else "invalid answer: no JSON object"
    decoder, end, wrong_schema = json.JSONDecoder(), 0, ""
    while (start := text.find("{", end)) >= 0:
        end = start + 1
        try:
            value, end = decoder.raw_decode(text, start)
            return schema.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            wrong_schema = wrong_schema or f"invalid answer: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        except RecursionError:
            break
        except ValueError:  # no JSON, or a number of too many digits
            continue
    return wrong_schema or reason


class AnswerFile(Generic[T]):
    """Answers by key, one JSON line each with its hash; a line is written whole, one that is not is dropped."""

    def __init__(self, path: Path | None, schema: type[T]) -> None:
        self.path, self.schema = path, schema
        self.answers: dict[str, T] = {}
        if path is None or not path.is_file():
            return
        for line in path.read_bytes().splitlines():
            try:
                entry = json.loads(line)
                answer = schema.model_validate(entry["answer"])
                if entry["hash"] != digest(entry["key"], entry["answer"]):
                    raise ValueError("not the answer that was kept")
                self.answers[entry["key"]] = answer
            except (ValueError, KeyError, TypeError, RecursionError):
                log.info("%s: a damaged line is left out", path.name)

    def add(self, key: str, answer: T) -> None:
        self.answers[key] = answer
        if self.path is None:
            return
        with spared(self.path.parent):
            self._append({"key": key, "answer": answer.model_dump(), "hash": digest(key, answer.model_dump())})

    def _append(self, entry: dict) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(entry, ensure_ascii=True) + "\n"
        # One write to a file opened for appending: lines of two processes do not mix. The blank line
        # before it ends what a killed run left unfinished.
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            torn = os.fstat(handle).st_size and not self._ends_line()
            os.write(handle, (("\n" if torn else "") + line).encode())
        finally:
            os.close(handle)

    def _ends_line(self) -> bool:
        with open(self.path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"
