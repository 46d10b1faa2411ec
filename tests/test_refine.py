"""Refined captions: rules keep findings, models are checked, failures are counted, answers are kept."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.curation.captions import refine
from phenolip_lib.curation.captions.refine import Item
from phenolip_lib.curation.captions.rules import clean_caption
from phenolip_lib.models import answers
from phenolip_lib.models.language_models import LocalModel, OpenAICompatible, Unanswered, model_named
from phenolip_lib.recognition.recognizer import Recognizer

SPLEEN, HEART = "HP:0001744", "HP:0001640"


@pytest.fixture(scope="module")
def recognize(toy):
    return Recognizer(toy)


def item(name="a", text="CT shows splenomegaly (arrow).", labels=()):
    return Item(name, text, text, "The heart showed cardiomegaly.", list(labels))


def answer(caption="CT with splenomegaly.", modality="CT", phenotypes=("splenomegaly",)) -> str:
    return json.dumps({"caption": caption, "modality": modality, "phenotypes": list(phenotypes)})


class Scripted:
    """A model that answers each prompt with the next text of a list, then with the last one again."""

    name = "scripted"

    def __init__(self, *texts):
        self.texts, self.prompts = list(texts), []

    def complete(self, prompts):
        self.prompts += prompts
        return [self.texts.pop(0) if len(self.texts) > 1 else self.texts[0] for _ in prompts]


# --- rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, clean",
    [
        ("Figure 3. (A) CT shows a large spleen (arrow) [12]. Scale bar, 50 µm.", "CT shows a large spleen."),
        ("Fig. 2A: Disc &amp; drusen (see text for details) (black arrowheads, asterisk).", "Disc & drusen."),
        ("a) Hand film (Fig. 3B). b) Foot <i>in vivo</i>. Bars = 10 μm.", "Hand film. Foot in vivo."),
        (
            "X-ray (arrow, metastasis) of the hand (R). Bar graph.",
            "X-ray (arrow, metastasis) of the hand (R). Bar graph.",
        ),
        ("Liver (Smith et al., 2012) with a <5 mm cyst; scale bar 5 mm.", "Liver with a <5 mm cyst."),
        ("Large spleen [1, 3-5],\n  no ascites. See the text for details.", "Large spleen, no ascites."),
        ("Figure 1", ""),
        ("", ""),
    ],
)
def test_rules(text, clean):
    assert clean_caption(text) == clean


FRAGMENTS = [
    "Figure 1.",
    "(a)",
    "(A, B)",
    "splenomegaly",
    "CT shows",
    "(arrow)",
    "[3]",
    "Scale bar, 5 µm.",
    "(see text)",
    ".",
    ";",
    ",",
    "&amp;",
    "<b>",
    "no",
    "B:",
    "(",
    ")",
    "5 mm",
    "et al",
    "i",
    "...",
    "Bars",
    "and",
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=10))
def test_cleaning_twice_changes_nothing_and_loses_no_finding(parts):
    text = " ".join(parts)
    once = clean_caption(text)
    assert clean_caption(once) == once
    assert once == " ".join(once.split())
    if not any(mark in parts for mark in ("(", ")", "Bars", "Scale bar, 5 µm.")):
        assert once.lower().count("splenomegaly") == parts.count("splenomegaly")


NOTES = [
    "(Smith et al., 2010)",
    "(arrow)",
    "[3, 4]",
    "(Fig. 2)",
    "(see text)",
    "Scale bar = 50 µm.",
    "(H&E, ×400)",
    "Original magnification x200.",
    "Hematoxylin and eosin stain.",
    "(scale bar: 5 mm)",
]
AROUND = [
    "(Fig. 2, with {})",
    "(see Fig. 3; {} present)",
    "(Smith et al. reported {})",
    "Scale bar 5 µm, showing {}.",
    "See text for {}.",
    "({}, Smith et al., 2010)",
    "No {} (arrow).",
    "Possible {} [3].",
]


@given(
    st.lists(
        st.tuples(st.sampled_from(AROUND), st.sampled_from(["splenomegaly", "cardiomegaly"])), min_size=1, max_size=3
    ),
    st.sampled_from(NOTES),
)
def test_what_is_said_of_findings_is_the_same_after_cleaning(recognize, said, note):
    def terms(text):
        return [(m.hpo_id, m.negated, m.uncertain) for m in recognize(text)]

    text = f" {note} ".join(f"CT of a boy. {frame.format(name)}" for frame, name in said)
    assert terms(clean_caption(text)) == terms(text)
    assert len(terms(text)) == len(said)


@pytest.mark.parametrize("note", NOTES)
def test_remarks_on_the_page_go(note):
    assert clean_caption(f"Figure 1. Large spleen. {note}").rstrip(". ") == "Large spleen"


def test_without_a_model_the_rules_are_used(toy, recognize):
    [outcome] = refine.refine([item()], None, recognize, toy)
    assert (outcome.caption, outcome.source, outcome.reason) == ("CT shows splenomegaly.", "rules", "")


# --- answers -------------------------------------------------------------------------------------


def test_a_good_answer_is_taken(toy, recognize):
    model = Scripted(f"<think>{{}}</think> Here it is:\n```json\n{answer()}\n```")
    [outcome] = refine.refine([item()], model, recognize, toy)
    assert (outcome.caption, outcome.source, outcome.modality) == ("CT with splenomegaly.", "refined", "CT")
    assert outcome.phenotypes == (SPLEEN,)
    assert "CT shows splenomegaly (arrow)." in model.prompts[0]


@pytest.mark.parametrize(
    "text, reason",
    [
        ("I cannot do that.", "invalid answer: no JSON object"),
        ('{"caption": "CT"', "invalid answer: broken JSON"),
        (answer(modality="Scan"), "invalid answer: modality"),
        (answer(caption=""), "invalid answer: caption"),
        ('{"caption": "CT of it.", "modality": "CT", "phenotypes": [], "note": 1}', "invalid answer: note"),
        (answer(caption=" \n\n "), "invalid answer: caption"),
        ('{"caption": "CT of \\ud800", "modality": "CT", "phenotypes": []}', "invalid answer: caption"),
        ('{"caption": ' + "9" * 5000 + "}", "invalid answer: broken JSON"),
        ('{"a":' * 50_000, "invalid answer: broken JSON"),
        (None, "invalid answer: no text"),
        (42, "invalid answer: no text"),
    ],
)
def test_bad_answers_are_asked_for_again_then_the_rules_are_used(toy, recognize, text, reason):
    model = Scripted(text)
    [outcome] = refine.refine([item()], model, recognize, toy)
    assert (outcome.caption, outcome.source) == ("CT shows splenomegaly.", "rules")
    assert outcome.reason.startswith(reason)
    assert len(model.prompts) == answers.ATTEMPTS
    assert reason in model.prompts[1]
    [second] = refine.refine([item()], Scripted(text, answer()), recognize, toy)
    assert second.source == "refined"


@pytest.mark.parametrize("before", ["For {this} image: ", "{thoughts} the template opened</think>", '{"note": 1} '])
def test_the_first_valid_object_is_the_answer(before):
    assert answers.parse(before + answer(), refine.Answer) == refine.Answer.model_validate_json(answer())


# --- guard ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "own, labels, refined, phenotypes, added",
    [
        ("CT of a boy.", [], "CT with splenomegaly.", [], "Splenomegaly"),
        ("CT of a boy.", [], "CT of a boy.", ["splenomegaly"], "Splenomegaly"),
        ("CT of a boy.", [SPLEEN], "CT with splenomegaly.", [], ""),
        ("CT with splenomegaly.", [], "CT with splenomegaly and cardiomegaly.", [], "Cardiomegaly"),
        ("No splenomegaly.", [], "There is splenomegaly.", [], "Splenomegaly"),
        ("No splenomegaly.", [], "There is no splenomegaly.", [], ""),
        ("CT with splenomegaly.", [], "There is no splenomegaly.", [], "no Splenomegaly"),
        ("Possible splenomegaly.", [], "There is splenomegaly.", [], "Splenomegaly"),
        ("Possible splenomegaly.", [], "Possible splenomegaly.", [], ""),
        ("CT with splenomegaly.", [], "CT with an abnormal spleen.", ["Abnormality of the spleen"], ""),
    ],
)
def test_findings_a_model_adds_are_refused(toy, recognize, own, labels, refined, phenotypes, added):
    given_answer = refine.Answer(caption=refined, modality="CT", phenotypes=phenotypes)
    assert refine.unsupported(item(text=own, labels=labels), given_answer, recognize, toy) == added


def test_a_more_general_finding_is_supported_and_a_more_special_one_is_not(full):
    recognizer = Recognizer(full)
    for own, refined, supported in [
        ("Hepatosplenomegaly.", "Splenomegaly.", True),
        ("Cataract.", "Nuclear cataract.", False),
        ("Nuclear cataract.", "Cataract.", True),
        ("No cataract.", "No nuclear cataract.", True),
        ("No nuclear cataract.", "No cataract.", False),
        ("Nuclear cataract.", "Cortical cataract.", False),
    ]:
        given_answer = refine.Answer(caption=refined, modality="Other", phenotypes=[])
        assert (refine.unsupported(item(text=own), given_answer, recognizer, full) == "") == supported, refined


def test_a_refused_answer_falls_back_with_its_reason(toy, recognize):
    outcomes = refine.refine([item("a"), item("b", "CT of a boy.")], Scripted(answer()), recognize, toy)
    assert [o.source for o in outcomes] == ["refined", "rules"]
    assert outcomes[1].caption == "CT of a boy."
    assert outcomes[1].reason == "adds a finding: Splenomegaly"
    assert refine.counts(outcomes) == {"refined": 1, "rules: adds a finding": 1}


# --- kept answers --------------------------------------------------------------------------------


def test_answers_are_kept_and_a_torn_line_is_asked_for_again(toy, recognize, tmp_path):
    items = [item(f"i{k}", f"CT number {k} shows splenomegaly.") for k in range(20)]
    first = refine.refine(items, Scripted(answer()), recognize, toy, tmp_path)
    again = Scripted("never asked")
    assert refine.refine(items, again, recognize, toy, tmp_path) == first
    assert again.prompts == []
    [path] = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    model = Scripted(answer())
    assert refine.refine(items, model, recognize, toy, tmp_path) == first
    assert len(model.prompts) == 1
    assert refine.refine(items, Scripted("never asked"), recognize, toy, tmp_path) == first


def test_an_invalid_answer_is_not_kept(toy, recognize, tmp_path):
    refine.refine([item()], Scripted("nonsense"), recognize, toy, tmp_path)
    [outcome] = refine.refine([item()], Scripted(answer()), recognize, toy, tmp_path)
    assert outcome.source == "refined"


def test_a_killed_run_goes_on_where_it_stopped(toy, recognize, tmp_path):
    class Killed(Scripted):
        def complete(self, prompts):
            if self.prompts:
                raise KeyboardInterrupt
            return super().complete(prompts)

    items = [item(f"i{k}", f"CT number {k} shows splenomegaly.") for k in range(refine.BATCH + 5)]
    with pytest.raises(KeyboardInterrupt):
        refine.refine(items, Killed(answer()), recognize, toy, tmp_path)
    model = Scripted(answer())
    outcomes = refine.refine(items, model, recognize, toy, tmp_path)
    assert len(model.prompts) == 5
    assert outcomes == refine.refine(items, Scripted(answer()), recognize, toy)


# --- server --------------------------------------------------------------------------------------


@pytest.fixture
def server():
    """A stand-in for a model server; `script` holds what it does with each request in turn."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.server.seen.append((self.path, self.headers.get("Authorization"), body))
            action = self.server.script.pop(0) if len(self.server.script) > 1 else self.server.script[0]
            if action == "hang":
                time.sleep(0.6)
                action = 200
            text = "garbage" if action == "garbage" else json.dumps({"choices": [{"message": {"content": answer()}}]})
            if action == "close":
                return
            if action == "nonsense":
                self.wfile.write(b"nonsense\r\n\r\n")
                return
            self.send_response(action if isinstance(action, int) else 200)
            self.send_header("Retry-After", "0")
            if action == "cut":
                self.send_header("Content-Length", "9999")
            if action == 302:
                # Another host's name for the same server: what is sent there is seen.
                self.send_header("Location", f"http://localhost:{self.server.server_port}/elsewhere")
            self.end_headers()
            self.wfile.write(text.encode())

        def do_GET(self):
            self.server.seen.append((self.path, self.headers.get("Authorization"), None))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.script, server.seen = [200], []
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def client(server, **changes):
    facts = {"timeout": 5.0, "retries": 2, "parallel": 1, "pause": 0.01} | changes
    return OpenAICompatible(f"http://127.0.0.1:{server.server_port}", "tiny", **facts)


def test_a_server_is_asked_in_its_protocol(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    assert client(server).complete(["one", "two"]) == [answer(), answer()]
    path, key, body = server.seen[0]
    assert (path, key, body["model"]) == ("/v1/chat/completions", "Bearer secret", "tiny")
    assert body["messages"][0]["content"] == "one"


def test_no_key_is_sent_if_there_is_none(server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    client(server).complete(["one"])
    assert server.seen[0][1] is None


@pytest.mark.parametrize(
    "script", [[429, 200], [500, 503, 200], [503, 429, 200], ["close", 200], ["cut", 200], ["nonsense", 200]]
)
def test_an_overloaded_server_is_asked_again(server, script):
    server.script = script
    assert client(server).complete(["one"]) == [answer()]


@pytest.mark.parametrize(
    "script, reason",
    [([500], "no answer: HTTP 500"), ([429], "no answer: HTTP 429"), (["garbage"], "no answer: the server's reply")],
)
def test_what_a_server_never_answers_falls_back(server, script, reason, toy, recognize):
    server.script = script
    [outcome] = refine.refine([item()], client(server), recognize, toy)
    assert outcome.source == "rules"
    assert outcome.reason.startswith(reason)


@pytest.mark.parametrize("code", [400, 413, 422])
def test_a_prompt_a_server_refuses_costs_no_other(server, code):
    server.script = [code, 200]
    assert client(server).complete(["too long", "two"]) == [Unanswered(f"no answer: HTTP {code}"), answer()]


def test_the_key_follows_no_redirect(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    server.script = [302]
    with pytest.raises(PhenoLIPError, match="HTTP 302") as caught:
        client(server).complete(["one"])
    assert [path for path, *_ in server.seen] == ["/v1/chat/completions"]
    assert "secret" not in str(caught.value)


def test_a_timeout_is_a_reason(server):
    server.script = ["hang"]
    assert client(server, timeout=0.1, retries=1).complete(["one"]) == [Unanswered("no answer: TimeoutError")]


def test_a_server_that_refuses_or_is_absent_stops_with_one_line(server):
    server.script = [401]
    with pytest.raises(PhenoLIPError, match="HTTP 401.*OPENAI_API_KEY"):
        client(server).complete(["one"])
    with pytest.raises(PhenoLIPError, match="cannot be reached"):
        OpenAICompatible("http://127.0.0.1:9", "tiny", retries=0).complete(["one"])


# --- a local model -------------------------------------------------------------------------------


def test_a_local_model_answers_in_batches(tiny_model, toy, recognize):
    model = LocalModel(str(tiny_model), batch_size=2, max_new_tokens=8)
    prompts = ["CT of a spleen", "MRI", "A much longer prompt about a hand " * 20]
    together = model.complete(prompts)
    assert len(together) == 3
    assert all(isinstance(text, str) and text for text in together)
    assert model.complete(prompts) == together
    outcomes = refine.refine([item()], model, recognize, toy)
    assert outcomes[0].source == "rules"
    assert outcomes[0].reason.startswith("invalid answer")


def test_names_of_models(tmp_path):
    assert model_named("none") is None
    assert model_named("rules") is None
    served = model_named("openai:http://localhost:8000/v1#org/model")
    assert (served.address, served.model) == ("http://localhost:8000/v1/chat/completions", "org/model")
    with pytest.raises(PhenoLIPError, match="cannot be loaded"):
        model_named(f"local:{tmp_path}").complete(["x"])
