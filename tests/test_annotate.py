"""The command `phenolip annotate`: three formats, exact offsets, bad input."""

import csv
import io
import json
import subprocess
import sys

import pytest

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.recognition import annotate as module

TEXT = "Enlarged spleen,\r\nno ataxia. Possible scoliosis; café, short fingers and toes.\n"


@pytest.fixture(autouse=True)
def _ontology(monkeypatch, full):
    monkeypatch.setattr(module, "ontology", lambda: full)


@pytest.fixture
def note(tmp_path):
    path = tmp_path / "note.txt"
    path.write_bytes(TEXT.encode())
    return path


def test_tsv_holds_the_documented_columns_and_true_offsets(note):
    table = list(csv.DictReader(io.StringIO("\n".join(module.annotate([str(note)], "tsv"))), delimiter="\t"))
    assert list(table[0]) == "document start end hpo_id label surface negated uncertain family".split()
    assert [(r["label"], r["negated"], r["uncertain"]) for r in table] == [
        ("Splenomegaly", "false", "false"),
        ("Ataxia", "true", "false"),
        ("Scoliosis", "false", "true"),
        ("Short finger", "false", "false"),
        ("Short toe", "false", "false"),
    ]
    assert all(TEXT[int(r["start"]) : int(r["end"])] == r["surface"] for r in table)
    assert {r["document"] for r in table} == {str(note)}


def test_jsonl_and_tsv_say_the_same(note):
    rows = [json.loads(line) for line in module.annotate([str(note)], "jsonl")]
    table = [line.split("\t") for line in module.annotate([str(note)], "tsv")][1:]
    assert [[str(r["start"]), str(r["end"]), r["hpo_id"]] for r in rows] == [cells[1:4] for cells in table]


def test_phenopacket_is_read_by_the_reference_library(note):
    packets = pytest.importorskip("phenopackets")
    from google.protobuf.json_format import Parse

    (line,) = module.annotate([str(note)], "phenopacket")
    packet = Parse(line, packets.Phenopacket())
    assert [(f.type.label, f.excluded) for f in packet.phenotypic_features] == [
        ("Ataxia", True),
        ("Splenomegaly", False),
        ("Short toe", False),
        ("Short finger", False),
    ]
    assert packet.meta_data.phenopacket_schema_version == "2.0"
    assert packet.meta_data.resources[0].namespace_prefix == "HP"


def test_files_that_cannot_be_read_are_told_after_the_others(note, tmp_path):
    problems = []
    assert list(module.read_documents([str(tmp_path / "absent.txt"), str(note)], problems)) == [(str(note), TEXT)]
    assert len(problems) == 1
    with pytest.raises(PhenoLIPError, match="absent.txt: No such file"):
        list(module.annotate([str(tmp_path / "absent.txt"), str(note)], "tsv"))


def packet_of(full, text):
    features = module.phenopacket("x", module.Recognizer(full)(text), full)["phenotypicFeatures"]
    return [(feature["type"]["label"], feature.get("excluded", False)) for feature in features]


def test_a_phenopacket_says_nothing_twice(full):
    """An observed term says its ancestors, an excluded one its descendants."""
    assert packet_of(full, "Abnormal heart morphology: ventricular septal defect.") == [
        ("Ventricular septal defect", False)
    ]
    assert packet_of(full, "No ataxia, no gait ataxia.") == [("Ataxia", True)]
    assert packet_of(full, "There is gait ataxia. No ataxia of the limbs. No ataxia.") == [
        ("Gait ataxia", False),
        ("Limb ataxia", True),
    ]


def test_other_branches_are_found_on_request_only(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("Adult onset ataxia with autosomal dominant inheritance.")
    rows = [json.loads(line)["label"] for line in module.annotate([str(path)], "jsonl")]
    assert rows == ["Ataxia"]
    rows = [json.loads(line)["label"] for line in module.annotate([str(path)], "jsonl", ["onset", "inheritance"])]
    assert rows == ["Adult onset", "Ataxia", "Autosomal dominant inheritance"]
    with pytest.raises(PhenoLIPError, match="inheritance, onset, modifier"):
        list(module.annotate([str(path)], "tsv", ["colour"]))
    with pytest.raises(PhenoLIPError, match="tsv or jsonl"):
        list(module.annotate([str(path)], "phenopacket", ["onset"]))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path, encoding):
    (tmp_path / "note.txt").write_bytes("Café; splenomegaly".encode(encoding))
    (row,) = [json.loads(line) for line in module.annotate([str(tmp_path / "note.txt")], "jsonl")]
    assert (row["start"], row["surface"]) == (6 + (encoding == "utf-8-sig"), "splenomegaly")


def test_bytes_that_are_no_text_are_replaced_and_told(tmp_path, capsys):
    (tmp_path / "bad.txt").write_bytes(b"caf\xe9 \xff\x00 splenomegaly")
    rows = [json.loads(line) for line in module.annotate([str(tmp_path / "bad.txt")], "jsonl")]
    assert [(r["start"], r["end"]) for r in rows] == [(8, 20)]
    assert "not valid UTF-8" in capsys.readouterr().err


def test_unknown_format_names_those_that_exist(note):
    with pytest.raises(PhenoLIPError, match="tsv, jsonl, phenopacket"):
        list(module.annotate([str(note)], "xml"))


def test_the_command_reads_standard_input():
    command = [sys.executable, "-m", "phenolip_lib.pipeline.cli", "annotate"]
    done = subprocess.run(command, input=TEXT.encode(), capture_output=True, check=True)
    lines = done.stdout.decode().splitlines()
    assert lines[0].split("\t")[0] == "document"
    assert len(lines) == 6
    assert all(line.startswith("-\t") for line in lines[1:])
