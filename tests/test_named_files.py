"""What settings name by path is known by its content, wherever it lies; what is packaged is not looked at."""

import json

import pytest

from phenolip_lib.core.named_files import contents
from phenolip_lib.pipeline import stages

PLACES = [
    ("encoders", {"encoders.student": "local-dir:{0}"}),
    ("encoders", {"encoders.teacher": "local-dir:{0}"}),
    ("phenokg", {"phenokg.image_encoder": "{0}"}),
    ("phenokg", {"phenokg.panel_detector": "{0}"}),
    ("phenokg", {"phenokg.refine": "local:{0}"}),
    ("stage2", {"stage2.shards": "{0}"}),
    ("medfilip", {"medfilip.book_file": "{0}/a.yaml"}),
    ("encoders", {"methods": {"x": {"encoders.student": "local-dir:{0}"}}}),
    ("encoders", {"ablations.overrides": {"x": {"encoders.teacher": "local-dir:{0}"}}}),
]


def filled(value, folder):
    """The settings with the folder in place."""
    if isinstance(value, dict):
        return {key: filled(own, folder) for key, own in value.items()}
    return value.format(folder)


def test_the_defaults_name_no_file_that_lies_anywhere(params):
    assert contents(params) == {"encoders": {}, "phenokg": {}, "stage2": {}, "medfilip": {}}


@pytest.mark.parametrize(("section", "change"), PLACES)
def test_another_content_under_the_same_name_is_seen(params, tmp_path, section, change):
    change = filled(change, tmp_path)
    for key in ("methods", "ablations.overrides"):
        if key in change:
            change[key] = change[key] | (params.methods if key == "methods" else params.ablations.overrides)
    own = params.with_overrides(change)
    (tmp_path / "a.yaml").write_text("a: b\n")
    before = contents(own)
    assert [name for name, found in before.items() if found] == [section]
    assert contents(own) == before
    (tmp_path / "a.yaml").write_text("a: c\n")
    assert contents(own)[section] != before[section]
    (tmp_path / "a.yaml").unlink()
    tmp_path.rmdir()
    assert not any(contents(own).values())


def test_the_first_stage_writes_what_it_found(project):
    (project / "book.yaml").write_text("opacity: white\n")
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("book_file: null", f"book_file: {project}/book.yaml"))
    stages.run("release", root=project)
    found = {path.stem: json.loads(path.read_text()) for path in (project / "build" / "named").glob("*.json")}
    assert sorted(found) == ["encoders", "medfilip", "phenokg", "stage2"]
    assert list(found["medfilip"]) == [f"{project}/book.yaml"]
    assert (project / "build" / "release.json").is_file()
