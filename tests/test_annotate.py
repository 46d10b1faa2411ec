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
    assert list(table[0]) == "document start end hpo_id label surface negated uncertain".split()
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
