"""Pictures of every kind and from every container, and the ones that must be refused."""

import io
import os
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data import archives, images
from phenolip_lib.data.archives import members, read_member, split_container
from phenolip_lib.data.images import read_image

SIDE = 24


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape or (SIDE, SIDE + 8, 3), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


# --- kinds of pictures ----------------------------------------------------------------------------


def test_grey_becomes_three_equal_channels(tmp_path):
    grey = noise(0, SIDE, SIDE)
    Image.fromarray(grey).save(tmp_path / "a.png")
    assert np.array_equal(np.asarray(read_image(tmp_path, "a.png")), np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize("kind, low, high", [("a.png", 900, 1400), ("a.tif", 0, 65535), ("b.tif", 30000, 65000)])
def test_16_bits_are_scaled_by_their_range(tmp_path, kind, low, high):
    values = np.linspace(low, high, SIDE * SIDE).reshape(SIDE, SIDE).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / kind)
    found = np.asarray(read_image(tmp_path, kind))[..., 1].astype(int)
    span = int(values.max()) - int(values.min())
    assert np.abs(found - 255 * (values.astype(int) - int(values.min())) / span).max() <= 0.5 + 1e-9
    assert (found.min(), found.max()) == (0, 255)


def test_floats_with_gaps_and_flat_pictures(tmp_path):
    values = np.linspace(-3, 5, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    values[0, 5] = np.nan
    Image.fromarray(values).save(tmp_path / "f.tif")
    found = np.asarray(read_image(tmp_path, "f.tif"))
    assert (found[0, 5, 0], found[0, 0, 0], found[-1, -1, 0]) == (0, 0, 255)
    Image.fromarray(np.full((SIDE, SIDE), 4000, np.uint16)).save(tmp_path / "flat.png")
    assert not np.asarray(read_image(tmp_path, "flat.png")).any()


def test_palette_and_bilevel(tmp_path):
    palette = Image.fromarray(noise(1)).quantize(8)
    palette.save(tmp_path / "p.png")
    assert np.array_equal(np.asarray(read_image(tmp_path, "p.png")), np.asarray(palette.convert("RGB")))
    bits = noise(2, SIDE, SIDE) > 127
    Image.fromarray(bits).save(tmp_path / "1.png")
    assert np.array_equal(np.asarray(read_image(tmp_path, "1.png"))[..., 0], bits * np.uint8(255))


def test_cmyk_keeps_its_colours(tmp_path):
    colour = Image.new("RGB", (SIDE, SIDE), (200, 40, 90))
    colour.convert("CMYK").save(tmp_path / "c.jpg", quality=98)
    assert np.abs(np.asarray(read_image(tmp_path, "c.jpg")).astype(int) - (200, 40, 90)).max() <= 6


def test_transparency_is_white(tmp_path):
    rgba = np.dstack([noise(3, SIDE, SIDE, 3), np.zeros((SIDE, SIDE), np.uint8)])
    rgba[: SIDE // 2, :, 3] = 255
    rgba[0, 0] = (0, 0, 0, 128)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    found = np.asarray(read_image(tmp_path, "a.png"))
    assert np.array_equal(found[1 : SIDE // 2], rgba[1 : SIDE // 2, :, :3])
    assert (found[SIDE // 2 :] == 255).all()
    assert abs(int(found[0, 0, 0]) - 127) <= 1
    palette = Image.new("P", (SIDE, SIDE), 0)
    palette.putpalette([10, 20, 30, 200, 0, 0])
    palette.putpixel((3, 3), 1)
    palette.save(tmp_path / "p.png", transparency=0)
    found = np.asarray(read_image(tmp_path, "p.png"))
    assert (found[0, 0].tolist(), found[3, 3].tolist()) == ([255, 255, 255], [200, 0, 0])


@pytest.mark.parametrize("turn", range(1, 9))
def test_pictures_stand_upright(tmp_path, turn):
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :24] = (250, 0, 0)  # top left
    upright[16:, :24] = (0, 250, 0)  # bottom left
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[turn]
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(np.asarray(read_image(tmp_path, "a.png")), upright)
    assert (np.asarray(read_image(tmp_path, "a.png", (0, 0, 0.5, 0.5))) == (250, 0, 0)).all()


def test_formats_that_start_programs_are_not_decoded(tmp_path):
    Image.fromarray(noise(4)).save(tmp_path / "a.eps")
    os.rename(tmp_path / "a.eps", tmp_path / "a.png")
    with pytest.raises(PhenoLIPError, match="unreadable: UnidentifiedImageError"):
        read_image(tmp_path, "a.png")


# --- containers -----------------------------------------------------------------------------------


def tar(path, entries, mode="w"):
    """Entries are name -> bytes, or a `TarInfo` kind with a link's target."""
    with tarfile.open(path, mode) as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            if isinstance(content, tuple):
                info.type, info.linkname = content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


@pytest.fixture
def containers(tmp_path):
    """The same pictures in every kind of archive, with entries that must be refused."""
    pixels = [noise(seed) for seed in range(6)]
    entries = [(f"a/{i}.png", png(p)) for i, p in enumerate(pixels)]
    entries += [("../out.png", png(pixels[0])), ("text.png", b"no picture"), ("empty.png", b"")]
    links = [
        ("link.png", (tarfile.SYMTYPE, "/etc/passwd")),
        ("hard.png", (tarfile.LNKTYPE, "a/0.png")),
        ("pipe.png", (tarfile.FIFOTYPE, "")),
        ("folder.png", (tarfile.DIRTYPE, "")),
    ]
    tar(tmp_path / "x.tar", entries + links)
    tar(tmp_path / "x.tar.gz", entries + links, "w:gz")
    tar(tmp_path / "x.tgz", entries + links, "w:gz")
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
        for name, kind in (("link.png", 0o120777), ("hard.png", 0o120777), ("pipe.png", 0o010644)):
            info = zipfile.ZipInfo(name)
            info.external_attr = kind << 16
            archive.writestr(info, "/etc/passwd")
        archive.writestr("folder.png/", b"")
    return tmp_path, pixels


KINDS = ["x.tar", "x.tar.gz", "x.tgz", "x.zip"]


@pytest.mark.parametrize("kind", KINDS)
def test_members_are_read_in_any_order_and_by_threads(containers, kind):
    root, pixels = containers
    order = [3, 0, 5, 5, 1, 2, 4, 0] * 3
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: np.asarray(read_image(root, f"{kind}::a/{i}.png")), order))
    assert all(np.array_equal(image, pixels[i]) for image, i in zip(found, order, strict=True))
    assert read_image(root, f"{kind}::a/1.png", (0, 0, 1, 0.75)).size == (SIDE + 8, SIDE * 3 // 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "member, reason",
    [
        ("none.png", "member is absent"),
        ("../out.png", "leads out of its archive"),
        ("/a/0.png", "leads out of its"),
        ("link.png", "not a regular file"),
        ("hard.png", "not a regular file"),
        ("pipe.png", "not a regular file"),
        ("text.png", "unreadable"),
        ("empty.png", "unreadable"),
    ],
)
def test_members_that_are_refused(containers, kind, member, reason):
    with pytest.raises(PhenoLIPError, match=reason):
        read_image(containers[0], f"{kind}::{member}")


@pytest.mark.parametrize("kind", KINDS)
def test_only_regular_files_are_listed(containers, kind):
    root, pixels = containers
    sizes = members(root / kind)
    assert sizes["a/3.png"] == len(png(pixels[3]))
    assert list(sizes) == [*(f"a/{i}.png" for i in range(6)), "../out.png", "text.png", "empty.png"]


def test_archives_are_found_like_files(containers):
    root, pixels = containers
    with pytest.raises(PhenoLIPError, match="archive is absent"):
        read_image(root, "none.tar::a/0.png")
    with pytest.raises(PhenoLIPError, match="leads out of the data folder"):
        read_image(root, "../x.tar::a/0.png")
    with pytest.raises(PhenoLIPError, match="is no path"):
        read_image(root, "a\0.png")
    for kind in KINDS:
        (root / f"damaged.{kind}").write_bytes((root / kind).read_bytes()[:700])
        with pytest.raises(PhenoLIPError):
            read_image(root, f"damaged.{kind}::a/3.png")
    (root / "text.tar").write_text("no archive")
    with pytest.raises(PhenoLIPError, match=r"text.tar: not an archive that can be read \(ReadError\)"):
        members(root / "text.tar")
    Image.fromarray(pixels[0]).save(root / "a::b.png")
    assert np.array_equal(np.asarray(read_image(root, "a::b.png")), pixels[0])


def test_a_changed_archive_is_read_anew(containers):
    root, pixels = containers
    read_image(root, "x.tar::a/0.png")
    tar(root / "x.tar", [("first", b"x" * 5000), ("a/0.png", png(pixels[4]))])
    assert np.array_equal(np.asarray(read_image(root, "x.tar::a/0.png")), pixels[4])


def test_the_last_of_two_members_of_one_name_counts(tmp_path):
    tar(tmp_path / "x.tar", [("a.png", png(noise(1))), ("a.png", png(noise(2)))])
    assert np.array_equal(np.asarray(read_image(tmp_path, "x.tar::a.png")), noise(2))


def test_a_whole_slide_export_is_read_and_a_larger_one_says_what_is(tmp_path):
    Image.new("1", (9_999, 9_999)).save(tmp_path / "slide.png")
    assert read_image(tmp_path, "slide.png").size == (9_999, 9_999)
    told = r"30,000 x 15,000 pixels; at most 268 million are read, such as 16,384 x 16,384, which take 0.8 GB in memory"
    for size, words in (((30_000, 15_000), told), ((30_000, 30_000), "over 537 million pixels; at most 268 million")):
        Image.new("1", size).save(tmp_path / "larger.png")
        with pytest.raises(PhenoLIPError, match=f"image is too large: {words}"):
            read_image(tmp_path, "larger.png")


@pytest.mark.parametrize("kind", [np.float32, np.uint16])
def test_more_than_8_bits_are_scaled_by_the_pictures_own_range_also_in_strips(kind, tmp_path, monkeypatch):
    values = np.random.default_rng(0).integers(0, 60_000, (50, 30)).astype(kind)
    expected = np.rint((values - float(values.min())) / float(values.max() - values.min()) * 255).astype(np.uint8)
    monkeypatch.setattr(images, "STRIP", 7)
    Image.fromarray(values).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path, "a.tif"))[..., 0], expected)


@pytest.mark.parametrize("kind", ["b.tar", "b.tar.gz", "b.zip"])
def test_bombs_within_archives(tmp_path, kind, monkeypatch):
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    entries = [("bomb.png", buffer.getvalue()), ("large.png", bytes(3_000_000))]
    if kind == "b.zip":
        with zipfile.ZipFile(tmp_path / kind, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry in entries:
                archive.writestr(*entry)
    else:
        tar(tmp_path / kind, entries, "w:gz" if kind.endswith("gz") else "w")
    monkeypatch.setattr(archives, "MAX_MEMBER", 1_000_000)
    with pytest.raises(PhenoLIPError, match="image is too large"):
        read_image(tmp_path, f"{kind}::bomb.png")
    with pytest.raises(PhenoLIPError, match="member is too large: 3000000 bytes"):
        read_member(tmp_path / kind, "large.png")
    monkeypatch.setattr(archives, "MAX_UNPACKED", 1_000_000)
    if kind == "b.tar.gz":
        with pytest.raises(PhenoLIPError, match="archive is too large to be unpacked"):
            read_member(tmp_path / kind, "none")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("limit", [archives.MAX_ARRAY, 0])
def test_pictures_of_arrays(tmp_path, save, limit, monkeypatch):
    monkeypatch.setattr(archives, "MAX_ARRAY", limit)
    archives._array.cache_clear()
    grey, colour = noise(5, 7, 28, 28), noise(6, 5, 28, 30, 3)
    save(
        tmp_path / "s.npz",
        train_images=grey,
        test_images=colour,
        train_labels=np.zeros((7, 1), np.uint8),
        deep=np.zeros((2, 28, 28), np.uint16),
        rows=np.asfortranarray(grey),
    )
    with ThreadPoolExecutor(3) as pool:
        order = [6, 0, 3, 3, 1, 5]
        found = list(pool.map(lambda i: np.asarray(read_image(tmp_path, f"s.npz::train_images/{i}")), order))
    assert all(np.array_equal(f, np.repeat(grey[i][..., None], 3, 2)) for f, i in zip(found, order, strict=True))
    assert np.array_equal(np.asarray(read_image(tmp_path, "s.npz::test_images/4")), colour[4])
    for member, reason in [
        ("test_images/5", "array test_images has 5 pictures only"),
        ("none/0", "array none is absent"),
        ("train_labels/0", "no 8-bit pictures"),
        ("deep/0", "no 8-bit pictures"),
        ("rows/0", "no 8-bit pictures"),
        ("train_images", "named array/index"),
        ("train_images/-1", "named array/index"),
        ("../train_images/0", "is absent"),
    ]:
        with pytest.raises(PhenoLIPError, match=reason):
            read_image(tmp_path, f"s.npz::{member}")


def test_pickled_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "o.npz", train_images=np.array([noise(1), None], dtype=object), allow_pickle=True)
    with pytest.raises(PhenoLIPError, match="no 8-bit pictures"):
        read_image(tmp_path, "o.npz::train_images/0")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(PhenoLIPError, match="unreadable: BadZipFile"):
        read_image(tmp_path, "text.npz::train_images/0")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from([*KINDS, "s.npz", "p.png", "p.jpg", "p.tif"]), data=st.data())
def test_damage_anywhere_is_a_reason_and_no_crash(containers, kind, data):
    root, pixels = containers
    whole = root / kind
    if kind == "s.npz" and not whole.is_file():
        np.savez_compressed(whole, train_images=noise(5, 3, 28, 28))
    elif kind.startswith("p.") and not whole.is_file():
        Image.fromarray(pixels[0]).save(whole)
    content = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = root / f"damaged-{kind}"
    damaged.write_bytes(content[: data.draw(st.integers(1, len(content)))] if data.draw(st.booleans()) else content)
    member = {"s.npz": "::train_images/1"}.get(kind, "" if kind.startswith("p.") else "::a/3.png")
    try:
        outcome = read_image(root, damaged.name + member).mode
    except PhenoLIPError as error:
        outcome = str(error)
    assert outcome
    assert "\n" not in outcome


def test_container_paths():
    assert split_container("a/b.tar.gz::c/d.png") == ("a/b.tar.gz", "c/d.png")
    assert split_container("a.TAR::b::c") == ("a.TAR", "b::c")
    assert split_container("a::b.png") == ("a::b.png", "")
    assert split_container("a.tar") == ("a.tar", "")
