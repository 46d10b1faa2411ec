"""The demo's answers as HTML: escaped, self-contained, readable without colour and by a screen reader."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import pandas as pd
from PIL import Image

from phenolip_lib.apps.ask import Answer
from phenolip_lib.apps.demo.assistant import Assistant
from phenolip_lib.apps.demo.overlay import THUMBNAIL, color_stops, data_uri, shrink
from phenolip_lib.apps.demo.source import Neighbour

TITLE = "PhenoLIP demo"
NOTICE = (
    "<strong>A research demo, not a medical device.</strong> The model is small and was trained on little or synthetic "
    "data; its answers can be wrong in any way and must not guide care. Upload no patient's picture where others share "
    "the server. It deletes a picture's file once read, and forgets the picture when it is stopped at the latest."
)
MAPS_NOTE = (
    "Read no location from it: in our evaluation such maps localise poorly, on real lesions worse by pixel than "
    "the mere nearness to the picture's centre. Each map is coloured by its own range, so two maps do not compare."
)
MAPS_INFO = (
    "Contrast: how much nearer a place is to this text than to the candidates' mean. Gradient: what raises the "
    "picture's cosine. Similarity: each place as if it were a picture."
)
ATTENTION_NOTE = (
    "How much the question's first token reads each part of the picture in the model's last layer. It tells where the "
    "model took something from, and not why it answers so; the map is coloured by its own range."
)
FORGOTTEN = "No picture is in memory; upload one, also if you did before."
ROWS, ANSWERS = 10, 5

CSS = f"""
.gradio-container {{ --font: system-ui, sans-serif; --font-mono: ui-monospace, monospace;
  --quiet: #57606a; --block-info-text-color: var(--quiet); font-family: var(--font); max-width: 76rem !important;
  margin: 0 auto !important; }}
.dark .gradio-container, .gradio-container.dark {{ --quiet: #a3adb8; }}
.notice {{ border-left: 4px solid #D55E00; padding: .6rem .9rem; background: var(--background-fill-secondary);
  line-height: 1.45; margin-top: .6rem; }}
.status:empty, :is(#status, #told):not(:has(.status:not(:empty))) {{ display: none; }}
.gradio-container ::placeholder {{ color: var(--quiet) !important; opacity: 1; }}
.status {{ padding: .5rem .8rem; border-radius: 6px; border: 1px solid var(--border-color-primary); line-height: 1.4; }}
.status.refused {{ border-left: 4px solid #D55E00; }}
.muted, .caption {{ display: block; font-size: .86rem; line-height: 1.4; margin: .35rem 0; overflow-wrap: anywhere; }}
.muted {{ color: var(--quiet) !important; }}
.ranking {{ list-style: none; margin: 0; padding: 0; }}
.ranking li {{ margin: 0; border-bottom: 1px solid var(--border-color-primary); }}
.ranking :is(button, .answer) {{ display: grid; grid-template-columns: 1fr auto; gap: .1rem .8rem; width: 100%;
  border: 0; padding: .5rem .6rem; border-radius: 0; text-align: left; background: none;
  color: var(--body-text-color); font: inherit; overflow-wrap: anywhere; }}
.ranking button {{ cursor: pointer; }}
.ranking button:hover, .ranking button[aria-pressed=true] {{ background: var(--background-fill-secondary); }}
.ranking button[aria-pressed=true] {{ box-shadow: inset 4px 0 #0072B2; }}
.ranking button:focus-visible {{ outline: 2px solid #0072B2; outline-offset: -2px; }}
.ranking .name {{ font-weight: 600; }}
.ranking .id {{ font-weight: 400; color: var(--quiet); font-size: .82rem; white-space: nowrap; }}
.ranking .number {{ font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; }}
.ranking .path, .ranking .bar {{ grid-column: 1 / -1; }}
.ranking .path {{ color: var(--quiet); font-size: .82rem; line-height: 1.35; }}
.ranking .bar {{ height: 4px; border-radius: 2px; background: var(--border-color-primary); }}
.ranking .bar span {{ display: block; height: 100%; border-radius: 2px; background: #0072B2; }}
.dark .ranking .bar span {{ background: #56B4E9; }}
.view {{ margin: 0; }}
.view img {{ display: block; width: 100%; max-width: 34rem; max-height: 34rem; object-fit: contain;
  object-position: left top; border-radius: 6px; image-rendering: auto; }}
.legend {{ display: flex; align-items: center; gap: .5rem; margin: .5rem 0 .2rem; font-size: .82rem;
  overflow-wrap: anywhere; }}
.legend span.scale {{ flex: 0 1 12rem; height: 8px; border-radius: 4px;
  background: linear-gradient(to right, {", ".join(color_stops())}); }}
.pictures {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: 1rem; list-style: none;
  padding: 0; margin: 0; }}
.pictures img {{ width: 100%; aspect-ratio: 1; object-fit: contain; border-radius: 6px; background: #000; }}
.examples {{ display: flex; flex-wrap: wrap; gap: .4rem; list-style: none; margin: 0; padding: 0; }}
.examples li {{ margin: 0; }}
.examples button {{ border: 1px solid var(--border-color-primary); border-radius: 6px; padding: .3rem .6rem;
  background: none; color: var(--body-text-color); font: inherit; font-size: .86rem; text-align: left;
  cursor: pointer; }}
.examples button:hover {{ background: var(--background-fill-secondary); }}
.examples button:focus-visible {{ outline: 2px solid #0072B2; outline-offset: 1px; }}
@media (max-width: 640px) {{ #ranking {{ order: -1; }} .tab-container button {{ padding: 0 .5rem !important; }} }}
@media (max-width: 480px) {{ .pictures {{ grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .7rem; }} }}
"""

CHOOSE = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-key]');
  if (button) trigger('choose', {key: button.dataset.key});
});
"""
"""Script of the ranking and of the examples: tells which row was pressed."""


def status(text: str, refused: bool = False) -> str:
    """One line of state; a refusal is announced to screen readers."""
    role = "alert" if refused else "status"
    return f'<div class="status{" refused" if refused else ""}" role="{role}">{escape(text)}</div>' if text else ""


def muted(text: str) -> str:
    return f'<div class="muted">{escape(text)}</div>'


def key_of(row) -> str:
    """What stands for a row of the ranking in requests: its id, else its words."""
    return row.hpo_id or row.name


def ranking(table: pd.DataFrame, assistant: Assistant, chosen: str) -> str:
    """The first rows and all words, each a button that shows its heat map."""
    head = table[(table.index < ROWS) | table["share_below"].notna() | (table["hpo_id"] == "")]
    # `name` of an itertuples row is the column, as the index is left out.
    rows = "".join(_row(row, assistant, key_of(row) == chosen) for row in head.itertuples(index=False))
    n = int(table["probability"].notna().sum())
    return f'<ol class="ranking">{rows}</ol>' + muted(probability_note(assistant, n))


def _row(row, assistant: Assistant, pressed: bool) -> str:
    known = not pd.isna(row.probability)
    number = f"{100 * row.probability:.1f} %" if known else f"cosine {row.cosine:.2f}"
    ident = f' <span class="id">{escape(row.hpo_id)}</span>' if row.hpo_id else ""
    lines = [" › ".join(row.path[:-1])] if row.path else ["your words"]
    others = [name for name in assistant.candidates.onto.systems.get(row.hpo_id, ()) if name not in row.path]
    if others:
        lines.append("also: " + ", ".join(others))
    if not pd.isna(row.share_below):
        lines.append(f"closer to this picture than to {100 * row.share_below:.0f} % of the training pictures")
    path = "".join(f'<span class="path">{escape(line)}</span>' for line in lines)
    bar = _bar(row.probability) if known else ""
    return (
        f'<li><button type="button" data-key="{escape(key_of(row))}" aria-pressed="{str(pressed).lower()}">'
        f'<span class="name">{escape(row.name)}{ident}</span><span class="number">{number}</span>'
        f"{path}{bar}</button></li>"
    )


def _bar(probability: float) -> str:
    return f'<span class="bar" aria-hidden="true"><span style="width:{100 * probability:.1f}%"></span></span>'


def probability_note(assistant: Assistant, n_listed: int) -> str:
    """What the probabilities are, and what they are not."""
    note = f"Probability among the {n_listed} candidates listed: one of them is taken to be right, even if none is. "
    calibration = assistant.source and assistant.source.calibration
    if not calibration:
        return note + "Uncalibrated: there are no validation pictures here to fit it on."
    note += (
        f"Calibrated on {calibration.n_images} validation pictures of {assistant.source.name} with one phenotype each "
        f"(expected calibration error {calibration.ece:.3f}; the right one came first in {calibration.accuracy:.0%})"
    )
    if n_listed != calibration.n_candidates:
        return note + f", over all {calibration.n_candidates} candidates: within one organ system it is not calibrated."
    return note + "."


def picture(image: Image.Image, text: str = "") -> str:
    """The picture; with the text whose heat map is over it, also what its colours mean."""
    return _figure(image, f"Heat map of {text}" if text else "", MAPS_NOTE)


def attention(image: Image.Image, question: str) -> str:
    """The picture with the map of where a question read it, and what its colours mean."""
    return _figure(image, f"Where the model read to answer \u201c{question}\u201d", ATTENTION_NOTE)


def _figure(image: Image.Image, map_: str, note: str) -> str:
    alt, legend = "The uploaded picture", ""
    if map_:
        alt += f", with a map over it. {map_}"
        legend = (
            f'<div class="legend"><span>{escape(map_)}: least</span><span class="scale" aria-hidden="true">'
            f"</span><span>most</span></div>" + muted(note)
        )
    return f'<figure class="view"><img src="{data_uri(image)}" alt="{escape(alt)}">{legend}</figure>'


def examples(questions: Sequence[str]) -> str:
    """Questions that can be pressed."""
    items = "".join(
        f'<li><button type="button" data-key="{escape(one)}">{escape(one)}</button></li>' for one in questions
    )
    return muted("For example:") + f'<ul class="examples">{items}</ul>'


def answers(found: Answer) -> str:
    """The first answers with their probabilities, and the entities of the question."""
    rows = "".join(
        f'<li><div class="answer"><span class="name">{escape(word)}</span>'
        f'<span class="number">{100 * probability:.1f} %</span>{_bar(probability)}</div></li>'
        for word, probability in found.answers[:ANSWERS]
    )
    named = ", ".join(found.entities)
    said = f"Entities that the question names: {named}." if named else "The question names no entity of the graph."
    note = (
        f"It chooses from the {len(found.answers)} answers of its training questions, whatever is asked. Each has a "
        "probability of its own: they do not add up to 1, and nothing calibrates them."
    )
    return f'<ol class="ranking">{rows}</ol>' + muted(said) + muted(note)


def pictures(assistant: Assistant, found: list[Neighbour], withheld: int, title: str) -> str:
    """Training pictures with their captions, licences and origins."""
    if assistant.source is None:
        return muted("There are no pictures to compare with: the demo runs without a source.")
    gallery = assistant.source.gallery
    items = "".join(_item(item, data_uri(shrink(gallery.picture(item.position), THUMBNAIL))) for item in found)
    note = f"The nearest of the {len(gallery.pairs)} training pictures of {assistant.source.name}."
    if withheld:
        note += f" {withheld} nearer ones are not shown: their licences do not allow redistribution."
    return f"<h2>{escape(title)}</h2>" + muted(note) + (f'<ul class="pictures">{items}</ul>' if items else "")


def _item(item: Neighbour, uri: str) -> str:
    licence = escape(item.licence)
    if item.url.startswith(("http://", "https://")):
        licence = f'<a href="{escape(item.url)}" rel="noopener noreferrer" target="_blank">{licence}</a>'
    return (
        f'<li><img src="{uri}" alt="{escape(item.caption)}"><div class="caption">{escape(item.caption)}</div>'
        f'<div class="muted">cosine {item.cosine:.2f} · {escape(item.dataset)} · {licence}</div></li>'
    )


def about(assistant: Assistant) -> str:
    """Which model this is, and what it chooses from."""
    onto, n = assistant.candidates.onto, len(assistant.candidates)
    origin = f"shown by training pictures of {assistant.source.name}" if assistant.source else "without a narrower term"
    return muted(
        f"Model {assistant.name}, HPO {onto.release}, {n} candidate phenotypes ({origin}). The path is a shortest "
        "one in HPO. Words are compared like phenotypes but take no part in the probabilities. No test picture is read."
    )
