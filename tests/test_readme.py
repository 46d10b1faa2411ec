"""The numbers of README and docs are those of the committed tables, and README's picture is that of dvc.yaml."""

import json
import re

import pandas as pd
import pytest
from ruamel.yaml import YAML

from phenolip_lib.core.params import load_params
from phenolip_lib.reporting import tables
from tests.committed import committed
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
RESULTS = DOCS["results"]
MOST_WORDS = 1000
CAPTIONS, PHENOTYPES = ["i2t_recall@10", "t2i_recall@10"], ["i2p_recall@10", "p2i_recall@10"]
COUNTS = ["none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
NAMES = {
    "untrained": "untrained alignment (chance line)",
    "clip": "plain contrastive",
    "clip_soft": "plain + soft labels",
    "phenolip": "PhenoLIP",
    "phenolip_soft": "PhenoLIP + soft labels",
    "clip_dropout": "plain + dropout",
    "clip_named": "plain + names + dropout",
    "phenolip_named": "PhenoLIP + names + dropout",
}
COMPARED = [*NAMES][2:]
ON_THE_FRONT = ["clip", "clip_soft", "phenolip", "clip_named", "phenolip_named"]
"""Rows of README's table."""


def table(source: str, name: str) -> pd.DataFrame:
    return pd.read_csv(committed() / "reports" / source / "tables" / f"{name}.csv")


def scores(source: str, name: str, method: str, metrics: list[str]) -> list[str]:
    """Cells of a method's row in a table of intervals."""
    row = table(source, name).set_index("method").loc[tables.METHOD_NAMES[method]]
    return [row[tables.metric_name(metric)] for metric in metrics]


def differences(source: str, name: str, method: str, metrics: list[str]) -> list[str]:
    """Cells of a method's row of differences; bold beyond chance."""
    found = table(source, name)
    rows = found[found["method"] == method].set_index("metric").loc[metrics]
    cells = [(f"{r.difference:+z.1f} [{r.low:z.1f}, {r.high:z.1f}]", r.beyond_chance) for r in rows.itertuples()]
    return [f"**{cell}**" if sure else cell for cell, sure in cells]


def line(method: str, cells: list[str]) -> str:
    return f"| {' | '.join([NAMES[method], *cells])} |".replace("|  |", "| |")


SHORT, BOTH = [*CAPTIONS, *PHENOTYPES], ["i2p_recall@10", "i2p_recall@50"]
REAL = [*CAPTIONS, PHENOTYPES[0], "i2p_known_recall@10", PHENOTYPES[1]]
LINES = {
    "open clip": lambda: line("clip", scores("open", "crossval", "clip", REAL)),
    **{f"open {m}": lambda m=m: line(m, differences("open", "crossval_difference", m, REAL)) for m in COMPARED},
    "unseen clip": lambda: line(
        "clip", [cell for s in ("open", "phantom") for cell in scores(s, "unseen", "clip", BOTH)]
    ),
    **{
        f"unseen {m}": lambda m=m: line(
            m, [cell for s in ("open", "phantom") for cell in differences(s, "unseen_difference", m, BOTH)]
        )
        for m in COMPARED
    },
    **{
        f"phantom {m}": lambda m=m: line(m, scores("phantom", "retrieval_intervals", m, SHORT))
        for m in ("untrained", "clip")
    },
    **{f"phantom {m}": lambda m=m: line(m, differences("phantom", "difference", m, SHORT)) for m in COMPARED},
}


@pytest.mark.parametrize("name", LINES)
def test_results_are_those_of_the_reports(name):
    wanted, front = LINES[name](), [f"open {method}" for method in ON_THE_FRONT]
    for page, text in ({"docs/results.md": RESULTS} | ({"README.md": README} if name in front else {})).items():
        assert wanted in text.splitlines(), f"{page} should say, by the reports of git's index,\n{wanted}"


def test_stage_1_is_that_of_the_report():
    rows = table("ontology", "stage1_linking").set_index(["task", "encoder"])["acc@1"].loc["synonym → term"]
    said = [f"{100 * rows[name]:.1f}%" for name in ("knowledge encoder", "untrained encoder", "char TF-IDF")]
    assert f"{said[0]} of cases, {said[1]} before training, {said[2]} by character TF-IDF" in RESULTS


ABLATIONS = {
    "AdaSP": "teacher_adasp",
    "soft labels": "soft_labels",
    "A student with soft labels": "soft_labels",
    "a warmer start of the temperatures": "warm",
    "a student that starts from the teacher": "teacher_init",
}
"""What prose calls an ablation: a change whose result came out otherwise may need one more line."""
I2P = "i2p_recall@10"


def said(words: str, pattern: str) -> tuple[str, ...]:
    """What a sentence says where the pattern has groups."""
    found = re.findall(pattern, " ".join(words.split()))
    assert len(found) == 1, f"there should be one sentence like {pattern!r}, whatever it says there"
    return found[0] if isinstance(found[0], tuple) else (found[0],)


def lifting(rows: pd.DataFrame) -> dict[str, str]:
    """Changes that lift image to phenotype beyond chance, by the table's own verdict, and by how much."""
    better = rows[rows["beyond_chance"] & (rows["difference"] > 0)]
    return {name: f"{row.difference:+.1f}" for name, row in better.iterrows()}


def check_grid_on_real_images(words: str, grid: pd.DataFrame, lifted: pd.DataFrame) -> None:
    rows = grid[grid["metric"] == I2P].set_index("method")
    near, difference, low, high, side = said(
        words, r"test images\. ([\w ]+) comes nearest \((\S+) \[(\S+), (\S+)\], (within|beyond) chance"
    )
    row = rows.loc[ABLATIONS[near]]
    assert [difference, low, high] == [f"{row.difference:+.1f}", f"{row.low:.1f}", f"{row.high:.1f}"]
    assert row.beyond_chance == (side == "beyond")
    assert row.name == rows.drop(index=[*lifting(rows)])["difference"].idxmax(), f"{near} does not come nearest"
    told, by = said(words, r"; ([^;()]+) can be told \((\S+)\)")
    assert {ABLATIONS[told]: by} == lifting(rows)
    points = said(words, r"distillation lifts caption retrieval by (\S+) and (\S+) points")
    found = lifted[lifted["towers"] == "random_text"].set_index("metric").loc[CAPTIONS]
    assert list(points) == [f"{value:.1f}" for value in found["difference"]]
    assert found["beyond_chance"].all(), "the text says that it lifts them"
    run, named = said(words, r"\((\d+) of the (\d+) changes of the full model")
    assert int(run) == len(rows) - 1  # one row is plain contrastive
    assert int(named) == len(load_params(ROOT / "params.yaml").ablations.overrides)


def check_grid_on_synthetic_images(words: str, grid: pd.DataFrame, lifted: pd.DataFrame) -> None:
    rows = grid[grid["metric"] == I2P].set_index("method")
    number, changes = said(words, r"(\w+) lifts? image to phenotype: (.+?)\. The first")
    found = re.findall(r"(?:^|, )([a-z ]+?) \((?:[\d.]+, )?([+-][\d.]+)\)", changes)
    assert {ABLATIONS[name]: by for name, by in found} == lifting(rows)
    assert number == COUNTS[len(found)]
    row = lifted.set_index(["towers", "metric"]).loc[("random_text", I2P)]
    numbers = said(words, r"text tower that knows nothing: (\S+) \[(\S+), (\S+)\] from image to phenotype")
    assert list(numbers) == [f"{row.difference:+.1f}", f"{row.low:.1f}", f"{row.high:.1f}"]
    assert said(words, r"Of (\d+) changes there") == (str(len(rows) - 1),)


GRIDS = {"open": check_grid_on_real_images, "phantom": check_grid_on_synthetic_images}


@pytest.mark.parametrize("source", GRIDS)
def test_what_the_grids_say(source):
    GRIDS[source](RESULTS, *(table(f"grid/{source}", name) for name in ("ablation_differences", "distilled")))


def test_another_outcome_passes_if_prose_says_it_and_fails_if_it_does_not():
    """The tests hold prose against tables, and no result against what it once was."""
    grid, lifted = (table("grid/phantom", name) for name in ("ablation_differences", "distilled"))
    other = grid.copy()
    other.loc[(other["method"] == "warm") & (other["metric"] == I2P), ["difference", "beyond_chance"]] = 1.04, False
    words = " ".join(RESULTS.split())
    follows = words.replace("three lift image", "two lift image").replace(
        "a warmer start of the temperatures (0.2, +6.7), ", ""
    )
    check_grid_on_synthetic_images(follows, other, lifted)
    for said_now, found in ((words, other), (follows, grid)):
        with pytest.raises(AssertionError):
            check_grid_on_synthetic_images(said_now, found, lifted)

    grid, lifted = (table("grid/open", name) for name in ("ablation_differences", "distilled"))
    other, i2p = grid.copy(), grid["metric"] == I2P
    names = {"soft_labels": "teacher_adasp", "teacher_adasp": "soft_labels"}
    other.loc[i2p, "method"] = other.loc[i2p, "method"].replace(names)
    follows = words.replace("AdaSP comes nearest", "A student with soft labels comes nearest").replace(
        "; soft labels can be told", "; AdaSP can be told"
    )
    check_grid_on_real_images(follows, other, lifted)
    with pytest.raises(AssertionError):
        check_grid_on_real_images(words, other, lifted)


POINTS = {
    "02": [
        (r"costs (\w+) points of R@10", "grid/phantom", "whole_figures", "t2i_recall@10"),
        (r"perhaps (\w+) from image to phenotype", "grid/phantom", "whole_figures", I2P),
    ],
    "04": [
        (r"costs (\w+) points of image → phenotype", "phantom", "all_negatives", I2P),
        (r"the teacher brings (\w+) \(", "grid/phantom", "clip", I2P),
        (r"0\.03 costs (\w+) points from image to phenotype", "grid/phantom", "cold", I2P),
    ],
}
"""Points of a difference in the prose of a notebook: sentence, and where in `ablation_differences` they are."""


@pytest.mark.parametrize("number", POINTS)
def test_points_in_a_notebooks_prose_are_those_of_the_tables(number):
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    words = " ".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    for pattern, source, method, metric in POINTS[number]:
        rows = table(source, "ablation_differences").set_index(["method", "metric"])["difference"]
        assert said(words, pattern) == (COUNTS[round(abs(rows[method, metric]))],), pattern


def test_what_naming_the_phenotypes_brings():
    words, name = " ".join(RESULTS.split()), tables.METHOD_NAMES["phenolip_named"]
    average = table("phantom", "zero_shot").set_index("method")["average"]
    assert f"zero-shot accuracy {average[name]} against {average[tables.METHOD_NAMES['clip']]}" in words
    tasks = table("phantom", "tasks").set_index(["task", "metric"])
    assert f"{tasks.loc[('matching', 'R@10'), name].removesuffix(' *')} points when faces are matched" in words
    rows = table("open", "crossval_difference").set_index(["method", "metric"]).loc["phenolip_named"]
    for metric in (I2P, "i2p_known_recall@10", "i2p_calibrated_recall@10", "p2i_recall@10"):
        row = rows.loc[metric]
        assert f"{row.difference:+.1f} [{row.low:.1f}, {row.high:.1f}]" in words, metric
    lose = any(rows.loc[metric, "beyond_chance"] and rows.loc[metric, "difference"] < 0 for metric in CAPTIONS)
    assert ("captions lose nothing" in words) != lose
    for accuracies in ("zero_shot", "zero_shot_balanced"):
        average = table("open", accuracies).set_index("method")["average"]
        assert f"{average[name]} against {average[tables.METHOD_NAMES['clip']]}" in words, accuracies
    dropped = table("phantom", "unseen_difference").set_index(["method", "metric"]).loc[("clip_dropout", I2P)]
    assert f"never saw: {dropped.difference:+.1f} [{dropped.low:.1f}, {dropped.high:.1f}] alone" in words
    check_what_captions_pay(words, table("phantom", "difference"))


def check_what_captions_pay(words: str, rows: pd.DataFrame) -> None:
    alone, side, both, same = said(
        words,
        r"image → caption loses (\d+) points without the teacher, which is (within|beyond) chance, "
        r"and (\d+) with it, which is (not|too)",
    )
    rows = rows[rows["metric"] == CAPTIONS[0]].set_index("method").loc[["clip_named", "phenolip_named"]]
    assert [alone, both] == [f"{-value:.0f}" for value in rows["difference"]]
    told = [side == "beyond", (side == "beyond") == (same == "too")]
    assert told == rows["beyond_chance"].tolist()


def check_book(words: str, rows: pd.DataFrame) -> None:
    rows = rows[rows["metric"] == I2P].set_index("queries of")
    held, seen = (rows.loc[asked] for asked in ("held out", "seen"))
    number, chance = said(words, r"training never saw by (\S+ \[\S+, \S+\]) points of R@10(, within chance)?")
    assert number == f"{held.difference:+.1f} [{held.low:.1f}, {held.high:.1f}]"
    assert bool(chance) != held.beyond_chance
    much, number = said(words, r"changes (nothing|phenotypes) beyond chance where they were trained on \(([^)]+)\)")
    assert (much == "nothing") != seen.beyond_chance
    assert number == f"{seen.difference:+.1f} [{seen.low:.1f}, {seen.high:.1f}]"


def test_what_the_book_of_medfilip_brings():
    check_book(RESULTS, table("phantom", "medfilip_book"))


@pytest.mark.parametrize(
    ("check", "name", "row", "before", "after"),
    [
        (check_book, "medfilip_book", ("queries of", "held out"), "points of R@10,", "points of R@10, within chance,"),
        (check_book, "medfilip_book", ("queries of", "seen"), "changes nothing", "changes phenotypes"),
        (
            check_what_captions_pay,
            "difference",
            ("method", "clip_named"),
            "within chance, and 7",
            "beyond chance, and 7",
        ),
        (check_what_captions_pay, "difference", ("method", "phenolip_named"), "it, which is not", "it, which is too"),
    ],
)
def test_another_verdict_passes_if_prose_says_it_and_fails_if_it_does_not(check, name, row, before, after):
    rows, words = table("phantom", name), " ".join(RESULTS.split())
    other = rows.assign(beyond_chance=rows["beyond_chance"] ^ (rows[row[0]] == row[1]))
    follows = words.replace(before, after)
    if name == "difference":  # what the other method's sentence says hangs on it
        follows = follows.replace("which is not", "which is too") if row[1] == "clip_named" else follows
    check(words, rows)
    check(follows, other)
    for told, found in ((words, other), (follows, rows)):
        with pytest.raises(AssertionError):
            check(told, found)


def test_what_arl_answers():
    accuracy = table("phantom", "answers_phantom").set_index("method")["all"]
    names = ("arl", "answers_plain", "answers_question", "arl_shuffled")
    said = [accuracy[tables.METHOD_NAMES[name]] for name in names]
    assert f"{said[0]} percent against {said[1]}, with the question alone {said[2]}." in " ".join(RESULTS.split())
    assert f"it falls to {said[3]}, so it does look" in " ".join(RESULTS.split())


def test_how_many_scores_of_other_tasks_differ():
    real, synthetic = (table(source, "tasks") for source in ("open", "phantom"))
    sure = [int(found["PhenoLIP"].str.endswith("*").sum()) for found in (real, synthetic)]
    said = " ".join(RESULTS.split())
    said = said[said.index(f"Of {len(real)} scores beside retrieval on real images") :]
    assert f"beyond chance in {COUNTS[sure[0]]}, of {len(synthetic)} on synthetic ones" in said
    assert said.split(" on synthetic ones", 1)[1].split(". ", 1)[0].endswith(f" in {COUNTS[sure[1]]}")
    named = [cell for cell in real[tables.METHOD_NAMES["phenolip_named"]] if cell.endswith("*")]
    assert f"With names it differs in {COUNTS[len(named)]} on real images" in said
    assert ("on real images, all of them gains" in said) == all(cell.startswith("+") for cell in named)


def test_the_towers_of_the_paper_are_parameters_that_fit_together():
    (text,) = re.findall(r"```yaml\n(.*?)```", DOCS["models"], flags=re.DOTALL)
    told = YAML(typ="safe", pure=True).load(text)
    flat = {f"{name}.{key}": value for name, own in told.items() for key, value in own.items()}
    params = load_params(ROOT / "params.yaml").with_overrides(flat)
    config = json.loads((ROOT / "phenolip_lib/models/configs/phenolip-vit-b-16.json").read_text())
    assert params.stage1.embed_dim == config["embed_dim"]
    assert params.encoders.image_size == config["vision_cfg"]["image_size"]
    (batch,) = re.findall(r"stage2\.batch_size=(\d+)", DOCS["use"])
    assert int(batch) <= 3000  # training pairs of open: a larger batch would be one step an epoch


def test_the_picture_has_the_stages_of_the_pipeline():
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
    (picture,) = re.findall(r"```mermaid\n(.*?)```", README, flags=re.DOTALL)
    drawn = set(re.findall(r"\b(\w+)\[", picture))
    assert drawn == set(stages) - {"notebooks", "release", "report-ontology"}


def test_badges_tell_the_truth():
    project = (ROOT / "pyproject.toml").read_text()
    (licence,) = re.findall(r"badge/licence-([\w.-]+?)-[0-9A-F]{6}\)", README)
    assert f'license = "{licence.replace("--", "-")}"' in project
    (python,) = re.findall(r"badge/python-([\d.]+)%2B", README)
    assert f'requires-python = ">={python}"' in project
    (release,) = re.findall(r"badge/HPO-([\d-]+)-[0-9A-F]{6}\)", README)
    assert release.replace("--", "-") in (committed() / "reports/ontology/tables/ontology.md").read_text()


PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "THIRD_PARTY.md",
    "benchmarks/README.md",
    *(f"docs/{name}.md" for name in DOCS),
]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page):
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), target


def test_gpu_ratios_are_those_of_the_committed_tables():
    folder = committed() / "reports" / "gpu"
    steps = pd.read_csv(folder / "steps.csv").dropna(subset="ratio")
    captions, ontology = (steps[steps["kd_texts"] == kind] for kind in ("captions", "captions+ontology"))
    words = " ".join(RESULTS.split())
    low, high = captions["ratio"].min(), captions["ratio"].max()
    at = f"at batches of {captions['batch'].min()} to {captions['batch'].max():,}"
    assert f"{low:.2f} to {high:.2f} times {at}" in words
    assert f"{ontology['ratio'].min():.2f} to {ontology['ratio'].max():.2f} times as much" in words
    pairs = json.loads((folder / "gpu.json").read_text())["parts"]["finetune"]["provenance"]["prepared"]["pairs"]
    assert f"with one seed on {pairs:,} of the real pairs" in " ".join(DOCS["models"].split())


def test_the_time_of_the_main_job_is_that_of_the_benchmark():
    whole = pd.read_csv(ROOT / "benchmarks" / "stages.csv").set_index("stage").loc["all"]
    assert f"about {whole['wall s'] / 60:.0f} minutes and {whole['peak GB']:.1f} GB" in " ".join(README.split())


def test_the_front_page_stays_short():
    assert len(README.split()) <= MOST_WORDS
