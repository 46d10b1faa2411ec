"""COVID chest X-ray: radiographs and CT slices of pneumonias, with clinical notes, from articles and web pages.

Layout (https://github.com/ieee8023/covid-chestxray-dataset)::

    covid-chestxray/metadata.csv        patientid, finding, view, modality, folder, filename, url, license, ...
    covid-chestxray/images/*

Each row has a licence of its own (Cohen et al. 2020). Rows of the folder ``volumes`` are NIfTI volumes and no
pictures. There is no official split.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.archives import inside
from phenolip_lib.data.licences import spdx
from phenolip_lib.data.records import Record, Reject
from phenolip_lib.data.sources.files import place, read_table

NAME = "covid-chestxray"
URL = "https://github.com/ieee8023/covid-chestxray-dataset"
LABELS = {
    "Pneumonia": ("HP:0002090", "Pneumonia"),
    "Pneumonia/Fungal/Pneumocystis": ("HP:0020102", "Pneumocystis jirovecii pneumonia"),
    "Pneumonia/Lipoid": ("HP:0033364", "Lipoid pneumonia"),
    "Pneumonia/Aspiration": ("HP:0011951", "Aspiration pneumonia"),
    "Tuberculosis": ("HP:0032262", "Pulmonary tuberculosis"),
    "ARDS": ("HP:0033677", "Acute respiratory distress syndrome"),
}
"""Finding -> HPO term. A finding is a path from the general to the special; the most special entry of the
path holds, so viral and bacterial pneumonias, which have no term of their own, are pneumonia. What has no entry
(``COVID-19`` alone, ``No Finding``, ``todo``) asserts nothing."""
APPROXIMATE = {"Tuberculosis"}
"""The picture is of a chest, yet tuberculosis might be outside of the lung."""
FACTS = (("View", "view"), ("Sex", "sex"), ("Age", "age"))


def records(root: Path) -> Iterator[Record | Reject]:
    """One record a row, as in the table; `root` is the folder that holds ``covid-chestxray``.

    The caption is the clinical note, which often describes several pictures of the patient. The group is the
    patient, `class_name` the finding.

    Raises:
        PhenoLIPError: the layout is not there, or the table is damaged.
    """
    base = place(root, NAME, f"a copy of {URL}")
    bad: list[Reject] = []
    table = read_table(base / "metadata.csv", ["patientid", "finding", "filename", "folder", "license"], bad)
    yield from bad
    for number, row in zip(table.index, table.to_dict("records"), strict=True):
        row = {key: " ".join(value.split()) for key, value in row.items()}
        patient, finding, image = row["patientid"], row["finding"], f"{row['folder'] or 'images'}/{row['filename']}"
        record_id = f"{NAME}/{row['filename'] or f'row {number}'}"
        if reason := _unusable(base, row, image):
            yield Reject(record_id, "source", f"metadata.csv, row {number}: {reason}")
            continue
        known = [f"{word}: {row[key]}." for word, key in FACTS if row.get(key)]
        yield Record(
            record_id=record_id,
            dataset=NAME,
            image=f"{NAME}/{image}",
            modality="radiology",
            group=f"{NAME}/{patient or row['filename']}",
            licence=spdx(row["license"]),
            url=row.get("url") or URL,
            caption=row.get("clinical_notes", ""),
            context=" ".join([*known, row.get("other_notes", "")]).strip(),
            labels=findings(finding),
            class_name=finding,
            patient=patient,
        )


def findings(text: str) -> tuple[str, ...]:
    """HPO ids of a finding, or of several separated by commas as in early releases, sorted."""
    found = set()
    for finding in text.split(","):
        parts = [part.strip() for part in finding.split("/")]
        paths = ["/".join(parts[:n]) for n in range(len(parts), 0, -1)]
        found.update([LABELS[path][0] for path in paths if path in LABELS][:1])
    return tuple(sorted(found))


def _unusable(base: Path, row: dict[str, str], image: str) -> str:
    if not row["filename"]:
        return "no picture is named"
    if row["folder"] == "volumes" or row["filename"].endswith((".nii", ".nii.gz")):
        return "a volume and no picture"
    try:
        present = inside(base, image).is_file()
    except PhenoLIPError as error:
        return str(error)
    except OSError:  # a name that is too long
        present = False
    return "" if present else f"picture {image!r} is not there"
