"""Questions about an uploaded picture, answered by the model of chapter 8 as `phenolip ask` does.

The model is loaded with the first question, so the demo opens as quickly where nobody asks one, and where no model has
learned to answer.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from phenolip_lib.apps import ask as asking
from phenolip_lib.apps.demo import page
from phenolip_lib.apps.demo.overlay import overlay, shrink
from phenolip_lib.apps.demo.uploads import MAX_BYTES, Upload, take_upload
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import load_params
from phenolip_lib.core.paths import Paths
from phenolip_lib.models import heatmaps

MAX_LENGTH = 500
"""Characters of a question; the model reads its first tokens only."""
EXAMPLES = {
    "phantom": (
        "What is abnormal in this image?",
        "Which part of the body is shown?",
        "How many different findings are there?",
        "Does the image show cardiomegaly?",
    ),
    "open": (
        "What modality is used to take this image?",
        "Which part of the body does this image belong to?",
        "What diseases are included in the picture?",
        "Is the lung healthy?",
    ),
}
"""Questions that the sets of a source ask."""


class Questions:
    """What the tab does; the methods that answer a request never raise a `PhenoLIPError`.

    Args:
        source: whose questions the model learned from; None where the demo has no source.
        paths: of the project; the one around the working directory by default.
    """

    def __init__(self, source: str | None = None, paths: Paths | None = None) -> None:
        self.source, self.paths = source, paths
        self.examples = EXAMPLES.get(source, EXAMPLES["open"])

    def ready(self) -> str:
        """What to know before one asks, as HTML; loads nothing."""
        try:
            self._check()
        except PhenoLIPError as error:
            return page.status(str(error), refused=True)
        return page.status(
            f"A model that learned from the questions of {self.source} answers. The first question loads it, which can "
            "take a minute."
        )

    def take(self, path: Path, question: str, max_bytes: int = MAX_BYTES) -> tuple[Upload | None, str, str, str]:
        """A new picture, and the question if one is there: (upload, status, picture, answers)."""
        try:
            upload = take_upload(path, max_bytes)
        except PhenoLIPError as error:
            return None, page.status(str(error), refused=True), "", ""
        upload = replace(upload, picture=shrink(upload.picture))
        if question.strip():
            return upload, *self.answer(upload, question)
        return upload, "", page.picture(upload.picture), ""

    def answer(self, upload: Upload | None, question: str) -> tuple[str, str, str]:
        """(status, picture with the map, answers)."""
        if upload is None:
            return page.status(page.FORGOTTEN), "", ""
        try:
            found = self._ask(upload, question)
        except PhenoLIPError as error:
            return page.status(str(error), refused=True), page.picture(upload.picture), ""
        own, _, _ = self._model
        heat = heatmaps.to_picture(found.read, upload.picture.size[::-1], own.reader.images.fit)
        return "", page.attention(overlay(upload.picture, heat), question.strip()), page.answers(found)

    def _ask(self, upload: Upload, question: str) -> asking.Answer:
        if len(question) > MAX_LENGTH:
            raise PhenoLIPError(f"the question has {len(question)} characters; at most {MAX_LENGTH} are read")
        model = self._model
        # The model reads a file; it lies among the uploads, which nobody is served, and is gone after the answer.
        with tempfile.TemporaryDirectory(prefix="asked-", dir=os.environ.get("GRADIO_TEMP_DIR")) as folder:
            file = Path(folder) / f"picture{upload.suffix}"
            file.write_bytes(upload.content)
            return asking.ask(*model, file, question)

    def _check(self) -> Paths:
        """The project's paths, if a model has learned there."""
        if self.source is None:
            raise PhenoLIPError("the demo runs without a source, so no model answers; start it with --source phantom")
        paths = self.paths or Paths()
        if not (paths.build / self.source / "arl" / "results" / "facts.json").is_file():
            raise PhenoLIPError(
                f"no model has learned to answer questions on {self.source} yet; run `dvc repro arl@{self.source}`, "
                "then ask again"
            )
        return paths

    @cached_property
    def _model(self):
        paths = self._check()
        own, model, words = asking.trained(load_params(paths.params), self.source, paths)
        own.reader.options["cache"] = None  # of what is asked here nothing is kept
        return own, model, words
