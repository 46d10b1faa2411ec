"""Sets of visual questions: layouts on made files, faults, real files, and answers against the released rule."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data import questions
from phenolip_lib.data.questions import melinda, pathvqa, slake, vqa_med_2019, vqa_rad
from phenolip_lib.data.questions.baseline import majority
from phenolip_lib.data.questions.table import COLUMNS, normal_answer
from phenolip_lib.data.splits import SPLITS

REAL = Path(os.environ.get("PHENOLIP_DATA", Path(__file__).parents[2] / "shared" / "data"))


def real(name):
    if not (REAL / name).is_dir():
        pytest.skip(f"no {name} beside the repository")
    return questions.load(name, REAL).table


def picture(path, shade=90):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (20, 20), shade).save(path)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def rad_entry(qid, **changes):
    return {
        "qid": qid,
        "image_name": "synpic1.jpg",
        "question": "Is the heart enlarged?",
        "answer": "Yes",
        "answer_type": "CLOSED",
        "question_type": "SIZE",
        "phrase_type": "freeform",
        "question_frame": "NULL",
    } | changes


def rad(root, *entries):
    write(root / "vqa-rad" / vqa_rad.FILE, json.dumps(entries))
    picture(root / "vqa-rad" / vqa_rad.IMAGES / "synpic1.jpg")


def slake_entry(qid, image=1, **changes):
    return {
        "qid": qid,
        "img_name": f"xmlab{image}/source.jpg",
        "question": "Which organ is it?",
        "answer": "Liver",
        "answer_type": "OPEN",
        "content_type": "Organ",
        "q_lang": "en",
    } | changes


def test_vqa_rad_has_its_split_and_one_spelling_of_a_kind(tmp_path):
    rad(
        tmp_path,
        rad_entry("7", question_type="PRES, ATRIB", answer_type="CLOSED ", question_frame="Is/Are the heart large?"),
        rad_entry(8, phrase_type="test_para", answer=3, answer_type="OPEN", question_frame="How many ribs?"),
    )
    found = questions.load("vqa-rad", tmp_path)
    table = found.table
    assert found.skipped == {}
    assert table.columns.tolist() == COLUMNS
    assert table["question_id"].tolist() == ["vqa-rad/7", "vqa-rad/7/frame", "vqa-rad/8", "vqa-rad/8/frame"]
    assert table["split"].tolist() == ["train", "train", "test", "train"]
    assert table["closed"].tolist() == [True, True, False, False]
    assert table["kind"].tolist() == ["attrib, pres"] * 2 + ["size"] * 2
    assert table["answer"].tolist() == ["Yes", "Yes", "3", "3"]
    assert table["image_path"].unique().tolist() == ["vqa-rad/VQA_RAD Image Folder/synpic1.jpg"]
    assert vqa_rad.framed_test(table).tolist() == [False, False, False, True]


def test_what_cannot_be_asked_is_counted_by_its_reason(tmp_path, caplog):
    long = "Is it " + "very " * 10_000 + "large?"
    rad(
        tmp_path,
        rad_entry(1, question=long),
        rad_entry(2, question=" ?! "),
        rad_entry(3, question=None),
        rad_entry(4, answer=" "),
        rad_entry(5, answer=["yes"]),
        rad_entry(6, answer=True),
        rad_entry(7, answer="the."),
        rad_entry(8, image_name="synpic2.jpg"),
        rad_entry(9, image_name="../../outside.jpg"),
        rad_entry(10, image_name="a\0b.jpg"),
        {"qid": 11},
        "no entry",
    )
    found = questions.load("vqa-rad", tmp_path)
    assert found.table["question"].tolist() == [" ".join(long.split())]
    assert found.skipped == {
        "image is absent": 3,
        "no answer": 4,
        "no fields": 1,
        "no image_name": 1,
        "no words in the question": 2,
    }
    assert "11 of 12 records are left out: 3 image is absent" in caplog.text


def test_faults_are_one_line_that_names_the_file(tmp_path):
    with pytest.raises(PhenoLIPError, match="vqa-rad is missing"):
        questions.load("vqa-rad", tmp_path)
    with pytest.raises(PhenoLIPError, match="no set of questions is named 'vqa'; there are pathvqa, slake"):
        questions.load("vqa", tmp_path)
    rad(tmp_path, rad_entry(1), rad_entry(1))
    with pytest.raises(PhenoLIPError, match="the id 'vqa-rad/1' occurs twice"):
        questions.load("vqa-rad", tmp_path)
    rad(tmp_path, rad_entry(1, image_name="gone.jpg"))
    with pytest.raises(PhenoLIPError, match=r"no question can be asked \(1 image is absent\)"):
        questions.load("vqa-rad", tmp_path)
    path = tmp_path / "vqa-rad" / vqa_rad.FILE
    for content, message in ((b'[{"qid": 1', "not valid JSON"), (b"\xff\xfe[", "not valid JSON"), (b"{}", "no list")):
        path.write_bytes(content)
        with pytest.raises(PhenoLIPError, match=message.replace("no list", "is not a list")) as told:
            questions.load("vqa-rad", tmp_path)
        assert path.name in str(told.value)
        assert "\n" not in str(told.value)


def test_slake_is_read_in_english_and_no_image_crosses_its_splits(tmp_path):
    base = tmp_path / "slake"
    for image in (1, 2, 3):
        picture(base / f"imgs/xmlab{image}/source.jpg")
    write(base / "train.json", json.dumps([slake_entry(0), slake_entry(1, q_lang="zh", question="这是什么?")]))
    write(base / "validate.json", json.dumps([slake_entry(2, 2, answer_type="CLOSED", content_type="KG")]))
    write(base / "test.json", json.dumps([slake_entry(3, 3)]))
    found = questions.load("slake", tmp_path)
    assert found.skipped == {"not in English": 1}
    columns = ["question_id", "image_id", "split", "closed", "kind"]
    assert found.table[columns].values.tolist() == [
        ["slake/0", "slake/xmlab1", "train", False, "organ"],
        ["slake/2", "slake/xmlab2", "val", True, "kg"],
        ["slake/3", "slake/xmlab3", "test", False, "organ"],
    ]
    write(base / "test.json", json.dumps([slake_entry(3, 1)]))
    with pytest.raises(PhenoLIPError, match="the image slake/xmlab1 is in two splits"):
        questions.load("slake", tmp_path)


def test_the_graph_of_slake_has_entities_only(tmp_path, caplog):
    caplog.set_level("INFO", "phenolip")
    base = tmp_path / "slake/KG"
    write(
        base / "en_disease.csv",
        "disease#attribute#value\nAsthma#symptom#Wheezing, dry  cough, cough, etc.\nAsthma#location#Lung\n"
        "Asthma#description#a disease, of the lung\nAsthma#prevention#pay attention to allergens and strengthen\n",
    )
    write(base / "en_organ.csv", "organ#attribute#value\nHeart#weight#about 250g\nasthma#location#lung\n")
    write(base / "en_organ_rel.csv", "organ#attribute#value\nLung#belong to#Respiratory System\n")
    assert slake.knowledge(tmp_path).values.tolist() == [
        ["asthma", "location", "lung"],
        ["asthma", "symptom", "cough"],
        ["asthma", "symptom", "dry cough"],
        ["asthma", "symptom", "wheezing"],
        ["lung", "belong to", "respiratory system"],
    ]
    assert "{'a description': 1, 'a measure': 1, 'more than 4 words': 1, 'nothing': 1}" in caplog.text
    write(base / "en_organ.csv", "organ#attribute#value\nHeart#weight\n")
    with pytest.raises(PhenoLIPError, match=r"en_organ.csv: line 2 is not head#relation#tail"):
        slake.knowledge(tmp_path)


def test_vqa_med_2019_in_the_organisers_layout(tmp_path):
    base = tmp_path / "vqa-med-2019"
    for part, short in (("Training", "train"), ("Validation", "val")):
        folder = base / f"ImageClef-2019-VQA-Med-{part}"
        picture(folder / f"{short.capitalize()}_images/synpic41148.jpg")
        for number, category in enumerate(vqa_med_2019.CATEGORIES, start=1):
            write(folder / f"QAPairsByCategory/C{number}_{category}_{short}.txt", "synpic41148|what is it?|cta\n\n")
    write(
        base / vqa_med_2019.TEST,
        "synpic54082|modality|what modality is shown?|cta - ct angiography\n"
        "synpic48556|plane|in what plane?|axial\nsynpic54082|modality|is this a ct?|yes\nsynpic54082|broken\n",
    )
    picture(base / "VQAMed2019Test/VQAMed2019_Test_Images/synpic54082.jpg")
    found = questions.load("vqa-med-2019", tmp_path)
    assert found.skipped == {"image is absent": 1, "not 4 fields between |": 1}
    table = found.table.set_index("question_id")
    assert table["split"].value_counts().to_dict() == {"train": 4, "val": 4, "test": 2}
    assert sorted(table["kind"].unique()) == ["abnormality", "modality", "organ", "plane"]
    assert table.loc["vqa-med-2019/test/modality/00003", ["closed", "answer"]].tolist() == [True, "yes"]
    assert table.loc["vqa-med-2019/test/modality/00001", "answer"] == "cta - ct angiography"
    medpix = ["medpix-2.0/MPX1_synpic54082", "medpix-2.0/MPX1_synpic5408"]
    assert vqa_rad.in_medpix(found.table, medpix) == {"vqa-med-2019/synpic54082": medpix[0]}
    (base / vqa_med_2019.TEST).write_bytes(b"\xff\xfe\xff")
    with pytest.raises(PhenoLIPError, match="not a text in UTF-8"):
        questions.load("vqa-med-2019", tmp_path)


def test_pathvqa_is_unpacked_once_and_then_read(tmp_path):
    picture(tmp_path / "one.jpg", 10)
    picture(tmp_path / "two.jpg", 200)
    one, two = ((tmp_path / f"{name}.jpg").read_bytes() for name in ("one", "two"))
    rows = [
        (one, "is it necrosis?", "yes"),
        (one, "Where is it?", "liver"),
        (None, "what?", "x"),
        (two, "is it?", None),
    ]
    data = tmp_path / "pathvqa/data"
    data.mkdir(parents=True)
    for name in ("train-00000-of-00001-a", "validation-00000-of-00001-b", "test-00000-of-00001-c"):
        columns = zip(*[({"bytes": image, "path": None}, q, a) for image, q, a in rows], strict=True)
        table = pa.table(dict(zip(("image", "question", "answer"), map(list, columns), strict=True)))
        pq.write_table(table, data / f"{name}.parquet")
    with pytest.raises(PhenoLIPError, match="still within the parquet files; write them out with"):
        questions.load("pathvqa", tmp_path)
    assert pathvqa.unpack(tmp_path) == 2
    found = questions.load("pathvqa", tmp_path)
    assert found.skipped == {"image is absent": 3, "no answer": 3}
    own = found.table[found.table["split"] == "test"]
    assert own[["question_id", "closed", "kind"]].values.tolist() == [
        ["pathvqa/test/000000", True, "yes/no"],
        ["pathvqa/test/000001", False, "where"],
    ]
    assert (tmp_path / own["image_path"].iloc[0]).read_bytes() == one
    (data / "test-00000-of-00001-c.parquet").write_bytes(b"no parquet")
    with pytest.raises(PhenoLIPError, match=r"test-00000-of-00001-c.parquet: absent or damaged"):
        questions.load("pathvqa", tmp_path)
    (data / "test-00000-of-00001-c.parquet").unlink()
    with pytest.raises(PhenoLIPError, match=r"no test-\*.parquet"):
        questions.load("pathvqa", tmp_path)


def test_melinda_asks_four_labels_of_a_figure(tmp_path):
    header = "figure_file,caption,i_meth,p_meth,i_meth_label,p_meth_label\n"
    for file in melinda.FILES.values():
        write(tmp_path / "melinda" / file, header + '1_A.png,"Blot, of cells",pull down,western blot,in vitro,blot\n')
    picture(tmp_path / "melinda/melinda_images/1_A.png")
    table = melinda.load(tmp_path).table
    assert table["kind"].value_counts().to_dict() == dict.fromkeys(sorted(melinda.LABELS), 3)
    assert set(table["split"]) == set(SPLITS)
    assert table.loc[table["kind"] == "p_meth", "answer"].unique().tolist() == ["western blot"]
    assert "melinda" not in questions.present(tmp_path)


def released_rule(text):
    """The rule of the released code, written down anew step by step from its description."""
    text = " ".join(text.lower().split())
    out = text
    for mark in ';/[]"{}()=+\\_-><@`,?!':
        beside = any(text[i] == mark and " " in text[max(i - 1, 0) : i + 2] for i in range(len(text)))
        if beside or any(a.isdigit() and b == "," and c.isdigit() for a, b, c in zip(text, text[1:], text[2:])):  # noqa: B905
            out = "".join(c for c in out if c != mark)
        else:
            out = "".join(" " if c == mark else c for c in out)
    out = "".join(c for i, c in enumerate(out) if c != "." or (i + 1 < len(out) and out[i + 1].isdigit()))
    numbers = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    words = []
    for word in out.split():
        word = "0" if word == "none" else str(numbers.index(word)) if word in numbers else word
        if word not in ("a", "an", "the"):
            words.append(word)
    return " ".join(words)


@given(st.text("ab 1,.-/?() TheNone\n", max_size=30))
def test_the_normal_form_of_answers_is_the_released_rule(text):
    assert normal_answer(text) == released_rule(text)


@pytest.mark.parametrize(
    "text, normal",
    [
        ("Yes.", "yes"),
        ("Transverse  Plane", "transverse plane"),
        ("X-Ray", "x ray"),
        ("none", "0"),
        ("5.6cm", "5.6cm"),
        ("1,200", "1200"),
        ("left, upper lobe", "left upper lobe"),
        ("In the left lung", "in left lung"),
        ("Two", "2"),
    ],
)
def test_normal_forms(text, normal):
    assert normal_answer(text) == normal
    assert normal_answer(normal) == normal


def made(rows):
    return pd.DataFrame(rows, columns=["dataset", "split", "question", "answer"])


def test_vocabulary_and_coverage_leave_the_test_answers_out():
    table = made(
        [
            ("a", "train", "q", "Yes."),
            ("a", "val", "q", "maybe"),
            ("a", "test", "q", "yes"),
            ("a", "test", "q", "maybe"),
            ("b", "train", "q", "two"),
            ("b", "test", "q", "2"),
        ]
    )
    assert questions.vocabulary(table) == ["2", "yes"]
    assert questions.coverage(table, questions.vocabulary(table)).to_dict() == {"a": 0.5, "b": 1.0}


def test_the_majority_answer_against_a_loop():
    rng = np.random.default_rng(0)
    table = made([(d, s, f"q{q}", "xyz"[a]) for d, s, q, a in rng.integers(0, 3, (300, 4))])
    table["dataset"] = "d" + table["dataset"].astype(str)
    table["split"] = table["split"].map(dict(enumerate(SPLITS)))
    table.loc[table["split"] == "test", "question"] = table["question"].replace("q2", "unseen")
    guesses = majority(table)
    for row in table[table["split"] == "test"].itertuples():
        train = table[(table["split"] == "train") & (table["dataset"] == row.dataset)]["answer"].tolist()
        same = table[
            (table["split"] == "train") & (table["dataset"] == row.dataset) & (table["question"] == row.question)
        ]
        given_ = same["answer"].tolist() or train
        best = min({*given_}, key=lambda a: (-given_.count(a), -train.count(a), a))
        assert guesses[row.Index] == best


def test_real_vqa_rad_is_the_split_that_everybody_uses():
    table = real("vqa-rad")
    for split, file in (("train", "trainset.json"), ("test", "testset.json")):
        theirs = json.loads((REAL / "vqa-rad" / file).read_text())
        keys = ("image_name", "question", "answer", "answer_type", "question_type")
        expected = sorted(
            tuple(" ".join(str(one[key]).split()).lower() for key in keys[:3])
            + (one["answer_type"].strip() == "CLOSED",)
            for one in theirs
        )
        own = table[table["split"] == split]
        found = zip(
            own["image_path"].str.rpartition("/")[2],
            own["question"].str.lower(),
            own["answer"].str.lower(),
            strict=True,
        )
        assert [one[:3] for one in expected] == sorted(found)
    assert table["split"].value_counts().to_dict() == {"train": 3064, "test": 451}
    assert set(table.loc[table["split"] == "test", "image_id"]) <= set(table.loc[table["split"] == "train", "image_id"])
    framed = vqa_rad.framed_test(table)
    assert framed.sum() == 284
    clean = questions.coverage(table[~framed], questions.vocabulary(table[~framed]))
    assert clean["vqa-rad"] * 451 == pytest.approx(339)
    kinds = set(", ".join(table["kind"].unique()).split(", "))
    assert kinds == {*"abn attrib color count modality organ other plane pos pres size".split()}


def test_real_slake_has_its_numbers():
    table = real("slake")
    assert table["split"].value_counts().to_dict() == {"train": 4917, "val": 1053, "test": 1061}
    assert table["image_id"].nunique() == 642
    triples = slake.knowledge(REAL)
    assert len(triples) == 3540
    assert not triples.duplicated().any()
    assert {"lung", "respiratory system"} <= {*triples["head"], *triples["tail"]}


@pytest.mark.parametrize("name, classes, known, guessed", [("vqa-rad", 498, 407, 33.5), ("slake", 222, 1059, 54.1)])
def test_real_answers_are_counted_as_in_the_released_code(name, classes, known, guessed):
    """The numbers of classes are those of the released settings, whose vocabulary has the answers of all splits."""
    table = real(name)
    test = table[table["split"] == "test"]
    assert table["answer"].map(normal_answer).nunique() == classes
    assert questions.coverage(table, questions.vocabulary(table))[name] * len(test) == pytest.approx(known)
    hits = majority(table) == test["answer"].map(normal_answer)
    assert round(100 * hits.mean(), 1) == guessed


def test_real_images_of_vqa_rad_that_medpix_has_are_found_by_name_and_by_pixels():
    from phenolip_lib.curation.duplicates import fingerprint, similar_pairs
    from phenolip_lib.data.images import read_image

    table, folder = real("vqa-rad"), REAL / "medpix-2.0/MedPix-2-0/images"
    if not folder.is_dir():
        pytest.skip("no MedPix beside the repository")
    shared = vqa_rad.in_medpix(table, [path.name for path in folder.iterdir()])
    assert len(shared) == 19
    test = table[table["split"] == "test"]
    assert test["image_id"].isin(shared).sum() == 25
    near = [path for path in folder.iterdir() if re.search(r"synpic(24221|1960[45]|48749|20208|50000)", path.name)]
    paths = [REAL / path for path in sorted(table["image_path"].unique())] + near
    prints = [fingerprint(read_image(REAL, path.relative_to(REAL).as_posix())) for path in paths]
    pairs = similar_pairs(np.stack([bits for bits, _ in prints]), np.stack([small for _, small in prints]), 12, 0.9)
    n_rad = len(paths) - len(near)
    alike = {f"vqa-rad/{paths[i].stem}" for i, j, _ in pairs if i < n_rad <= j}
    assert alike == {f"vqa-rad/synpic{number}" for number in (19605, 20208, 24220)}
    assert alike <= set(shared)
