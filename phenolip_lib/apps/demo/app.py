"""The Gradio application: a thin page around `Assistant`.

What leaves and stays: the server listens on this computer alone unless told otherwise, makes no public link, and
Gradio's analytics and the browser's run history are off. A content security policy lets the page load from its own
address only. Pictures go to the browser within HTML, so no file is served; uploads lie in a folder of this process,
are deleted when read, those that were refused or never asked for after two minutes, and the folder at the end.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before Gradio can ask for it

import gradio as gr
import gradio.queueing
import gradio.routes
import gradio.utils
from gradio.themes import Base
from starlette.middleware import Middleware

from phenolip_lib.apps.demo import page
from phenolip_lib.apps.demo.assistant import Assistant, View
from phenolip_lib.apps.demo.guard import Headers, OneLine, telling
from phenolip_lib.apps.demo.overlay import overlay
from phenolip_lib.apps.demo.questions import MAX_LENGTH, Questions
from phenolip_lib.apps.demo.uploads import MAX_BYTES, Upload, megabytes, read_upload, split_words, sweep
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.runtime import configure, log
from phenolip_lib.data.images import PICTURE_SUFFIXES

HOST, PORT = "127.0.0.1", 7860
FORGET_AFTER, SWEEP = 120, 10
"""Seconds after which an upload that was not read is deleted, longer than any waits; and between two looks for such."""
WAITING, SESSIONS = 64, 32
"""Requests that may wait, further ones are refused; pages remembered, the oldest is forgotten for a new one."""
NO_MAP = "off"
UNLIKE = "This picture is unlike the training pictures: take the ranking for a guess in the dark."


def uploads_only(file: gr.File) -> gr.File:
    """The field without Gradio's other way in: it would fetch an address that a request names."""
    take = file.async_move_resource_to_block_cache

    async def guarded(name):
        if "://" in str(name):
            raise gr.Error("Addresses are not fetched; upload the file", print_exception=False)
        return await take(name)

    file.async_move_resource_to_block_cache = guarded
    return file


class Session:
    """What the page does; every method answers a request and never raises a `PhenoLIPError`."""

    def __init__(self, assistant: Assistant, max_bytes: int = MAX_BYTES, questions: Questions | None = None) -> None:
        self.assistant, self.max_bytes, self.questions = assistant, max_bytes, questions or Questions()

    def take(self, path: str, system: str, words: str, kind: str):
        """A new picture: (file field, view, chosen row, status, picture, ranking, similar pictures)."""
        try:
            view = self.assistant.look(read_upload(Path(path), self.max_bytes))
            similar = page.pictures(self.assistant, *self.assistant.similar(view), "Similar pictures")
        except PhenoLIPError as error:
            return None, None, "", page.status(str(error), refused=True), "", "", ""
        return None, view, *self._answer(view, system, words, kind, ""), similar

    def rerank(self, view: View | None, system: str, words: str, kind: str, chosen: str):
        """Another organ system, map or words: (chosen row, status, picture, ranking)."""
        if view is not None:
            return self._answer(view, system, words, kind, chosen)
        note = page.status(page.FORGOTTEN) if chosen else ""
        return chosen, note, gr.skip(), gr.skip()

    def choose(self, view: View | None, system: str, words: str, kind: str, event: gr.EventData):
        """Another row pressed: as `rerank`."""
        return self.rerank(view, system, words, kind, str(event.key))

    def search(self, text: str) -> str:
        """Training pictures for a text."""
        try:
            (wanted,) = split_words(text.replace(",", " ").replace(";", " ")) or [""]
            return page.pictures(self.assistant, *self.assistant.search(wanted), wanted) if wanted else ""
        except PhenoLIPError as error:
            return page.status(str(error), refused=True)

    def take_asked(self, path: str, question: str):
        """A picture to ask about: (file field, upload, status, picture, answers)."""
        return None, *self.questions.take(Path(path), question, self.max_bytes)

    def example(self, upload: Upload | None, event: gr.EventData):
        """An example pressed: (question, status, picture, answers)."""
        return str(event.key), *self.questions.answer(upload, str(event.key))

    def _answer(self, view: View, system: str, words: str, kind: str, chosen: str) -> tuple[str, str, str, str]:
        try:
            table = self.assistant.rank(view, system, split_words(words))
        except PhenoLIPError as error:
            return chosen, page.status(str(error), refused=True), page.picture(view.picture), ""
        keys = [page.key_of(row) for row in table.itertuples(index=False)]
        chosen = chosen if chosen in keys else keys[0]
        note = UNLIKE if self.assistant.unlike(view) else ""
        ranking = page.ranking(table, self.assistant, chosen)
        return chosen, page.status(note), self._picture(view, chosen, kind), ranking

    def _picture(self, view: View, chosen: str, kind: str) -> str:
        if kind == NO_MAP:
            return page.picture(view.picture)
        try:
            heat = self.assistant.heat(view, chosen, kind)
        except PhenoLIPError as error:
            return page.picture(view.picture) + page.muted(str(error))
        onto = self.assistant.candidates.onto
        return page.picture(overlay(view.picture, heat), onto[chosen].name if chosen in onto else chosen)


def build(assistant: Assistant, max_bytes: int = MAX_BYTES, questions: Questions | None = None) -> gr.Blocks:
    """The page of an assistant, and of what answers questions."""
    session = Session(assistant, max_bytes, questions)
    systems = [(f"{name} ({n})", hpo_id) for hpo_id, name, n in assistant.candidates.systems()]
    maps = [*assistant.map_names, NO_MAP]
    with gr.Blocks(title=page.TITLE, analytics_enabled=False, delete_cache=(60, FORGET_AFTER)) as blocks:
        gr.HTML(f"<h1>{page.TITLE}</h1><div class='notice' role='note'>{page.NOTICE}</div>")
        view = gr.State(None)
        chosen = gr.State("")
        with gr.Tab("A picture"):
            with gr.Row():
                with gr.Column(min_width=320):
                    file = _picture_field(max_bytes, "upload")
                    status = gr.HTML(elem_id="status")
                    shown = gr.HTML(elem_id="picture")
                    kind = gr.Radio(maps, value=maps[0], label="Heat map", info=page.MAPS_INFO, elem_id="map")
                with gr.Column(min_width=320):
                    system = gr.Dropdown([("all", ""), *systems], value="", label="Organ system", elem_id="system")
                    words = gr.Textbox(
                        "",
                        label="Your own words beside them, separated by commas; Enter adds them",
                        placeholder="large heart, broken bone",
                        max_length=1000,
                        elem_id="words",
                    )
                    hint = page.muted(f"Upload a picture to rank {len(assistant.candidates)} phenotypes by it.")
                    ranking = gr.HTML(hint, js_on_load=page.CHOOSE, elem_id="ranking")
            similar = gr.HTML(elem_id="similar")
        with gr.Tab("Pictures for a text"):
            query = gr.Textbox("", label="A phenotype or any words; Enter searches", elem_id="query", max_length=200)
            results = gr.HTML(elem_id="results")
        with gr.Tab("A question") as asking, gr.Row():
            with gr.Column(min_width=320):
                asked_file, upload = _picture_field(max_bytes, "asked-upload"), gr.State(None)
                question = gr.Textbox(
                    "", label="Your question; Enter asks it", elem_id="question", max_length=MAX_LENGTH
                )
                examples = gr.HTML(
                    page.examples(session.questions.examples), js_on_load=page.CHOOSE, elem_id="examples"
                )
                told = gr.HTML(elem_id="told")
            with gr.Column(min_width=320):
                answers = gr.HTML(elem_id="answers")
                asked_picture = gr.HTML(elem_id="asked-picture")
        gr.HTML(page.about(assistant))

        asked = {"api_visibility": "private", "concurrency_id": "model", "show_progress": "minimal"}
        answer = [chosen, status, shown, ranking]
        file.upload(session.take, [file, system, words, kind], [file, view, *answer, similar], **asked)
        for event in (system.change, words.submit, kind.change):
            event(session.rerank, [view, system, words, kind, chosen], answer, **asked)
        ranking.choose(session.choose, [view, system, words, kind], answer, **asked)
        query.submit(session.search, query, results, **asked)
        answered = [told, asked_picture, answers]
        asking.select(session.questions.ready, None, told, **asked)
        asked_file.upload(session.take_asked, [asked_file, question], [asked_file, upload, *answered], **asked)
        question.submit(session.questions.answer, [upload, question], answered, **asked)
        examples.choose(session.example, upload, [question, *answered], **asked)
    blocks.queue(max_size=WAITING, default_concurrency_limit=1, api_open=False)
    later = f"{WAITING} requests wait already. Please try again in {FORGET_AFTER // 2} seconds."
    blocks._queue.push = telling(blocks._queue.push, later)
    return blocks


def _picture_field(max_bytes: int, name: str) -> gr.File:
    label, kinds = f"Picture, up to {megabytes(max_bytes)}", list(PICTURE_SUFFIXES)
    return uploads_only(gr.File(label=label, file_types=kinds, height=140, elem_id=name))


def _sweep(folder: Path) -> None:
    while folder.is_dir():
        sweep(folder, FORGET_AFTER)
        time.sleep(SWEEP)


def serve(
    assistant: Assistant,
    host: str = HOST,
    port: int = PORT,
    max_bytes: int = MAX_BYTES,
    questions: Questions | None = None,
) -> tuple[gr.Blocks, str]:
    """Start the server in a thread of its own.

    Args:
        host: ``127.0.0.1`` is this computer alone; any other address opens the demo to others.
        port: 0 takes a free one from 7860 on.
        max_bytes: of an uploaded file.
        questions: what answers them; without it the tab says that there is no source.

    Returns:
        the running page, which its `close` ends, and its address.

    Raises:
        PhenoLIPError: the port is taken.
    """
    folder = tempfile.TemporaryDirectory(prefix="phenolip-demo-")
    os.environ["GRADIO_TEMP_DIR"] = folder.name
    for module in (gradio.queueing, gradio.routes, gradio.utils):
        module.traceback = OneLine()
    threading.Thread(target=_sweep, args=(Path(folder.name),), daemon=True).start()
    blocks = build(assistant, max_bytes, questions)
    blocks.uploads = folder  # lives as long as the page
    try:
        _, url, _ = blocks.launch(
            server_name=host,
            server_port=port or None,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            max_file_size=max_bytes,
            allowed_paths=[],
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            state_session_capacity=SESSIONS,
            show_error=False,
            theme=Base(font=["sans-serif"], font_mono=["monospace"]),
            css=page.CSS,
            app_kwargs={"middleware": [Middleware(Headers)], "docs_url": None, "redoc_url": None, "openapi_url": None},
        )
    except OSError:
        folder.cleanup()
        raise PhenoLIPError(f"port {port} of {host} cannot be had; choose another one") from None
    return blocks, url


def launch(
    model: str | Path,
    source: str | None = "phantom",
    host: str = HOST,
    port: int = PORT,
    *,
    paths: Paths | None = None,
    device: str = "auto",
    candidates: str = "shown",
    threads: int = 2,
) -> None:
    """Serve a model until interrupted.

    Args:
        model, source, device, candidates: see `Assistant.load`.
        host, port: see `serve`.
        paths: of the project with the ontology and the source; the one around the working directory by default.

    Raises:
        PhenoLIPError: no such model, no ontology, or the port is taken.
    """
    configure(threads)
    paths = paths or Paths()
    assistant = Assistant.load(model, source, paths, device, candidates)
    if host not in (HOST, "localhost", "::1"):
        log.info("demo: %s opens the page to other computers, without a password; let nobody upload patient data", host)
    blocks, url = serve(assistant, host, port, questions=Questions(source, paths))
    log.info("demo: %s (Ctrl+C ends it)", url)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # an orderly end also here, for the folder of uploads
    blocks.block_thread()
