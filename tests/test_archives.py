"""Pictures inside archives: everything after curation reads them as it reads files."""

import io
import zipfile
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from phenolip_lib.apps.demo import source as demo
from phenolip_lib.apps.explorer.images import thumbnails
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.curation import phenokg
from phenolip_lib.data.archives import digests
from phenolip_lib.data.sources import open_records
from phenolip_lib.experiments import peers
from phenolip_lib.graph.exports import encoded_image
from phenolip_lib.models.adapters import Adapter
from phenolip_lib.models.features import image_features
from phenolip_lib.pipeline.commands import _embed_cached
from phenolip_lib.reporting import cluster_view
from phenolip_lib.training.image_loader import read_pixels
from tests.test_sources_more import tar

LONG = "deep/" * 60 + "name.png"
"""Too long for the name of a file, as a member's name may be."""


class Towers:
    """Stands for an image tower: the mean colour of each picture."""

    fingerprint, image_size, embed_dim = "towers", 32, 3

    def __init__(self):
        self.model = SimpleNamespace(visual=SimpleNamespace(trunk=torch.nn.Linear(1, 1)))

    def fit(self, image, side):
        return image.resize((side, side))

    def image_trunk(self, pixels):
        return pixels.float().mean(dim=(2, 3))

    def embed_images(self, pictures):
        return np.stack([np.asarray(picture, dtype=np.float32).mean(axis=(0, 1)) for picture in pictures]) / 255


def png(number: int) -> bytes:
    coarse = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((48, 48), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def root(tmp_path):
    """A plain file, a zip, a tar, a packed tar and an npz."""
    samples = {f"{i}.png": png(i) for i in range(2)} | {f"{i}.txt": b"Large spleen." for i in range(2)}
    tar(tmp_path / "webdataset" / "0.tar", samples)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "plain.png").write_bytes(png(2))
    tar(folder / "packed.tar.gz", {"a.png": png(3)}, "w:gz")
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr(LONG, png(4))
        archive.writestr("b.png", png(5))
    pictures = np.stack([np.asarray(Image.open(io.BytesIO(png(number)))) for number in (6, 7)])
    np.savez_compressed(folder / "b.npz", train_images=pictures)
    images = ["plain.png", "packed.tar.gz::a.png", f"a.zip::{LONG}", "a.zip::b.png"]
    images += [f"b.npz::train_images/{number}" for number in (0, 1)]
    rows = ["image,caption,licence", *(f"{image},Cardiomegaly.,CC0" for image in images)]
    (folder / "table.csv").write_text("\n".join(rows))
    return tmp_path


@pytest.fixture
def pairs(root, toy, params):
    settings = params.phenokg.model_copy(update={"min_medical": 0.0, "engine": "serial", "clusters": None})
    found = open_records(root, ["webdataset", "folder"])
    return phenokg.build(found, root, toy, settings).pairs


def test_curated_pictures_of_archives_are_read_by_all_that_follows(pairs, root, toy, tmp_path):
    assert len(pairs) == 8
    assert pairs["image"].str.contains("::").sum() == 7
    towers = Towers()
    features = image_features(towers, pairs, root, cache=tmp_path / "cache")
    assert len(np.unique(features, axis=0)) == 8
    model = Adapter("m", "f", lambda p: torch.from_numpy(towers.embed_images(p)), lambda t: torch.ones(len(t), 3), 1.0)
    assert len(np.unique(peers.embed_pairs(model, pairs, root, tmp_path).images, axis=0)) == 8
    assert len(np.unique(demo.embed_pairs(towers, pairs, root, tmp_path), axis=0)) == 8
    assert len(set(thumbnails(pairs, root, 32))) == 8
    assert len({encoded_image(root, row)[0] for row in pairs.itertuples()}) == 8
    assert {read_pixels(root, image, 16).shape for image in pairs["image"]} == {(3, 16, 16)}
    table = pairs.assign(cluster="a", distance=0.0, dropped=False)
    facts = {"cluster": "a", "dropped": False, "pictures": 8, "medical": 1.0}
    texts = {"data sets": "", "modalities": "", "phenotypes": ""}
    sheet = cluster_view.contact_sheet(table, pd.DataFrame([facts | texts]), root)
    assert sum(len(axis.images) for axis in sheet.axes) == min(8, cluster_view.PER_ROW)


def test_a_digest_follows_the_content_and_tells_members_apart(root):
    names = [
        "folder/plain.png",
        f"folder/a.zip::{LONG}",
        "folder/a.zip::b.png",
        "folder/packed.tar.gz::a.png",
        "folder/b.npz::train_images/0",
        "folder/b.npz::train_images/1",
    ]
    before = digests(root, names)
    assert list(before) == sorted(names)
    assert len(set(before.values())) == len(names)
    tar(root / "folder" / "packed.tar.gz", {"a.png": png(9)}, "w:gz")
    after = digests(root, names)
    assert [name for name in before if before[name] != after[name]] == ["folder/packed.tar.gz::a.png"]
    assert digests(None, [str(root / "folder" / "plain.png")]).popitem()[1] == before["folder/plain.png"]
    for absent in ("folder/gone.png", "folder/gone.zip::b.png"):
        with pytest.raises(PhenoLIPError, match="absent"):
            digests(root, [absent])


def test_a_search_keeps_what_it_embedded_by_content(root, tmp_path):
    files = [str(root / "folder" / name) for name in ("a.zip::b.png", f"a.zip::{LONG}", "plain.png")]

    class Model(Towers):
        def embed_images(self, pictures):
            asked.append(len(pictures))
            return np.arange(3.0 * len(pictures), dtype=np.float32).reshape(-1, 3)

    asked = []
    first = _embed_cached(Model(), files, tmp_path)
    np.testing.assert_array_equal(_embed_cached(Model(), files[::-1], tmp_path), first[::-1])
    assert asked == [3]
