"""Commands that edit params.yaml change what they say and nothing else."""

import pytest

from phenolip_lib.core.errors import PhenoLIPError, UnwritableError
from phenolip_lib.core.params import load_params
from phenolip_lib.pipeline import edit, profiles
from tests.conftest import ROOT, call


def test_the_grid_adds_every_ablation_once_and_changes_nothing_else(project):
    before = load_params(project / "params.yaml")
    assert f"{len(before.ablations.overrides)}" in call("grid")
    after = load_params(project / "params.yaml")
    assert sorted(after.ablations.run) == sorted(after.ablations.overrides)
    assert after.ablations.run[: len(before.ablations.run)] == before.ablations.run
    dumped, expected = after.model_dump(), before.model_dump()
    dumped["ablations"].pop("run"), expected["ablations"].pop("run")
    assert dumped == expected
    text = (project / "params.yaml").read_text()
    assert not any(line.endswith(" ") for line in text.splitlines())
    assert text.count("#") == (ROOT / "params.yaml").read_text().count("#")  # comments stay
    call("grid")
    assert (project / "params.yaml").read_text() == text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("sources: [phantom]   # which", "sources: [phantom, open] # which"),
        ("sources: [phantom]                # which", "sources: [phantom, open]          # which"),
        ("sources: [  'phantom'  ,  ]", "sources: [  'phantom', open  ,  ]"),
        ("sources:   # which\n- phantom  # this\n", "sources:   # which\n- phantom  # this\n- open\n"),
        ("sources:\n    - 'phantom'", "sources:\n    - 'phantom'\n    - open"),
        ("sources: [\n  phantom  # this\n  ]", "sources: [\n  phantom, open  # this\n  ]"),
        ('"sources": ["phantom"]\r', '"sources": ["phantom", open]\r'),
    ],
)
def test_a_source_is_added_to_whatever_list_is_written_and_nothing_else_changes(before, after, project):
    text = (ROOT / "params.yaml").read_text()
    _, line, rest = text.partition(next(line for line in text.splitlines() if line.startswith("sources:")))
    assert line
    (project / "params.yaml").write_bytes((rest + "\n" + before).encode())
    call("use", "open")
    assert (project / "params.yaml").read_bytes().decode() == rest + "\n" + after


def test_a_list_that_is_an_alias_is_not_added_to(project):
    text = (ROOT / "params.yaml").read_text().replace("  peers: []", "  peers: &none []")
    text = text.replace("run: [captions_only, untrained_teacher, all_negatives, share_25]", "run: *none")
    (project / "params.yaml").write_text(text)
    with pytest.raises(PhenoLIPError, match=r"params.yaml: ablations.run cannot be added to; write warm there by hand"):
        call("grid", "warm")
    assert (project / "params.yaml").read_text() == text


def test_one_ablation_is_added_by_name_and_an_unknown_one_refused(project):
    assert "1 of them new" in call("grid", "warm")
    with pytest.raises(PhenoLIPError, match="no ablation 'wram'"):
        call("grid", "wram")
    assert load_params(project / "params.yaml").ablations.run[-1] == "warm"


def test_the_classroom_is_small_and_the_way_back_exact(project):
    text = (project / "params.yaml").read_bytes()
    assert "`phenolip use full` is the way back" in call("use", "classroom")
    small = load_params(project / "params.yaml", check_ablations=True)
    assert len(small.seeds) == len(small.ablations.run) == 1
    assert list(small.methods) == ["clip", "phenolip", "phenolip_named"]
    assert not any({**small.evaluation.folds, **small.evaluation.unseen_share}.values())
    with pytest.raises(PhenoLIPError, match="classroom is in use; `phenolip use full` is the way back"):
        call("use", "classroom")
    call("use", "full")
    assert (project / "params.yaml").read_bytes() == text
    with pytest.raises(PhenoLIPError, match="no profile to go back from"):
        call("use", "full")


@pytest.mark.parametrize("words", [("use", "classroom"), ("use", "full"), ("use", "open"), ("grid",)])
def test_params_in_another_encoding_are_one_line_and_stay_as_they_are(project, words):
    call("use", "classroom") if words[1:] == ("full",) else None
    path = project / "params.yaml"
    path.write_bytes(text := path.read_bytes() + "# é\n".encode("latin-1"))
    with pytest.raises(PhenoLIPError, match=r"params.yaml: line \d+ is not UTF-8"):
        call(*words)
    assert path.read_bytes() == text


def test_a_full_disk_leaves_the_settings_as_they_were_or_the_way_back(project, monkeypatch):
    path = project / "params.yaml"
    text = path.read_text()
    for module in (profiles, edit):
        with monkeypatch.context() as patch:
            patch.setattr(module, "write_text", full)
            with pytest.raises(UnwritableError):
                call("use", "classroom")
        assert path.read_text() == text
        assert not (project / "params.full.yaml").exists()


def full(path, text):
    raise UnwritableError(f"{path}: cannot be written, the disk is full")


def test_a_classroom_without_the_methods_of_the_book_takes_what_there_is(project, params):
    methods = {name: own for name, own in params.medfilip.methods.items() if name != "filip"}
    run = dict.fromkeys(params.medfilip.run, ["filip_no_book"])
    medfilip = params.medfilip.model_copy(update={"methods": methods, "run": run})
    found = profiles.classroom(params.model_copy(update={"medfilip": medfilip}))
    assert found["medfilip.run"]["phantom"] == ["filip_no_book"]
    assert found["ablations.run"] == params.ablations.run[:1]


def test_the_way_back_keeps_what_a_lesson_added(project):
    call("use", "classroom")
    path, line = project / "params.yaml", "    captions_only: "
    path.write_text(path.read_text().replace(line, "    half_kd: {stage2.lambda_kd: 0.5}\n" + line))
    call("grid", "half_kd")
    before = load_params(project / "params.full.yaml")
    call("use", "full")
    after = load_params(path)
    assert after.ablations.overrides.pop("half_kd") == {"stage2.lambda_kd": 0.5}
    assert after == before
    assert not (project / "params.full.yaml").exists()


def test_values_that_stand_elsewhere_are_not_exchanged(project):
    path = project / "params.yaml"
    text = path.read_text().replace("peers: []", "peers: []\n  ").replace("seeds: [0, 1, 2]", "seeds: &s [0, 1, 2]", 1)
    text = text.replace("probe_seeds: [0, 1, 2, 3, 4]", "probe_seeds: *s")
    path.write_text(text)
    with pytest.raises(PhenoLIPError, match=r"params.yaml: seeds, .* cannot be exchanged"):
        call("use", "classroom")
    assert path.read_text() == text
    assert not (project / "params.full.yaml").exists()
