"""Frames in a bucket, of a real S3 service on loopback: the same model, failures in one line, work resumed."""

import random
import socket
import threading
from contextlib import suppress
from pathlib import Path

import fsspec
import numpy as np
import pytest

from pipeline.data import object_storage
from pipeline.data.clips import ClipDataset
from pipeline.data.frames import FrameStore, faults
from pipeline.data.object_storage import ObjectStorage
from pipeline.data.remote_frames import CACHE_MB, cache_folder, object_name
from pipeline.errors import DataError
from pipeline.stages.tensorize import tensorize
from tests import s3
from tests.corpus.sources import squares
from tests.damage import flip_bit
from tests.faults.combinations import reproduce, small
from tests.pipeline.stages.sources import extracted
from tests.pipeline.stages.test_extract import params

pytestmark = pytest.mark.usefixtures("read")
VIDEOS, LENGTH = 16, 10


@pytest.fixture(scope="module")
def service():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.environment("").items():
            patch.setenv(name, value)  # and as it was, afterwards
        with s3.service() as address:
            yield address


@pytest.fixture
def url(service, tmp_path, monkeypatch):
    """An address of the test's own, and failures that are told soon."""
    monkeypatch.setattr(object_storage, "DELAYS", (0.01, 0.01))
    s3.use(service)
    return f"s3://{s3.BUCKET}/{tmp_path.name}"


def videos(folder: Path) -> None:
    folder.mkdir(parents=True)
    np.save(folder / "mnist_test_seq.npy", squares(VIDEOS, LENGTH).transpose(1, 0, 2, 3))


def uploaded(tmp_path: Path, url: str) -> FrameStore:
    videos(tmp_path / "in")
    return extracted(tmp_path, size=(8, 8), store="compressed", store_url=url)


def objects(url: str) -> dict[str, bytes]:
    files = fsspec.filesystem("s3")
    files.invalidate_cache()
    return {Path(path).name: files.cat_file(path) for path in files.find(url)}


def read(folder: Path) -> dict[str, np.ndarray]:
    store = FrameStore(folder)
    return {video: store.load(video)[:] for video in store.videos}


@pytest.fixture
def fetched(monkeypatch):
    """The bytes of each object that are fetched from now on."""
    counts: dict[str, int] = {}
    original = ObjectStorage.fetch

    def counting(self, name, start, stop):
        counts[name] = counts.get(name, 0) + stop - start
        return original(self, name, start, stop)

    monkeypatch.setattr(ObjectStorage, "fetch", counting)
    return counts


@pytest.fixture
def uploads(monkeypatch):
    """The objects that are uploaded from now on."""
    names: list[str] = []
    original = ObjectStorage.upload

    def noting(self, path, name):
        names.append(name)
        original(self, path, name)

    monkeypatch.setattr(ObjectStorage, "upload", noting)
    return names


def test_frames_in_a_bucket_go_through_all_stages_and_give_the_same_model(tmp_path, monkeypatch, url):
    weights, metrics, stores = [], [], []
    for name, address in (("here", None), ("there", url)):
        videos(tmp_path / name / "in")
        monkeypatch.chdir(tmp_path / name)
        stores.append(extracted(tmp_path / name, size=(8, 8), store="compressed", store_url=address))
        reproduce(tmp_path / name / "out", tmp_path / name / "data", "convlstm", "pixel", "predict")
        weights.append((tmp_path / name / "data/model/model.safetensors").read_bytes())
        metrics.append((tmp_path / name / "data/metrics/horizon.csv").read_text())
        assert list(faults(tmp_path / name / "out")) == []
    assert {path.suffix for path in (tmp_path / "there/out").iterdir()} == {".chunks", ".csv", ".json"}
    here = {path.name: path.read_bytes() for path in (tmp_path / "here/out").glob("*.frames")}
    assert objects(url) == here
    assert all(np.array_equal(stores[0].load(video)[:], stores[1].load(video)[:]) for video in stores[0].videos)
    assert weights[0] == weights[1]
    assert metrics[0] == metrics[1]


def test_what_is_there_is_not_uploaded_again_and_what_is_missing_is(tmp_path, url, uploads):
    uploaded(tmp_path, url)
    chunks = sorted((tmp_path / "out").glob("*.chunks"))
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    wanted = {"size": (8, 8), "store": "compressed", "store_url": url}
    uploads.clear()
    extracted(tmp_path, **wanted)
    assert uploads == []
    lost, cut = (f"{url}/{object_name(path)}" for path in chunks[:2])
    files = fsspec.filesystem("s3")
    length = files.info(cut)["size"]
    files.rm(lost)
    files.pipe_file(cut, b"short")
    assert [line.split(": ")[:2] for line in faults(tmp_path / "out")] == [
        [lost, "is not there; `dvc repro --force extract` uploads it again"],
        [cut, f"has 5 bytes, not {length}; `dvc repro --force extract` uploads it again"],
    ]
    extracted(tmp_path, **wanted)
    assert {f"{url}/{name}" for name in uploads} == {lost, cut}
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert list(faults(tmp_path / "out")) == []


def test_a_missing_object_is_named_with_what_to_do(tmp_path, url, monkeypatch):
    monkeypatch.setenv(CACHE_MB, "0")
    uploaded(tmp_path, url)
    name = object_name(sorted((tmp_path / "out").glob("*.chunks"))[0])
    fsspec.filesystem("s3").rm(f"{url}/{name}")
    with pytest.raises(DataError, match=rf"{url}/{name}: is not there; `dvc repro --force extract` uploads"):
        read(tmp_path / "out")


def test_frames_that_are_not_those_that_were_uploaded_are_refused(tmp_path, url, monkeypatch):
    """Neither where a bit flipped nor where whole chunks of another video, sound in themselves, stand there."""
    monkeypatch.setenv(CACHE_MB, "0")
    uploaded(tmp_path, url)
    one, other = (f"{url}/{object_name(path)}" for path in sorted((tmp_path / "out").glob("*.chunks"))[:2])
    files = fsspec.filesystem("s3")
    content = files.cat_file(one)
    files.pipe_file(one, files.cat_file(other))
    with pytest.raises(DataError, match=rf"{one}: frames 0 to \d+ are not those that were uploaded \(another hash\)"):
        read(tmp_path / "out")
    (tmp_path / "copy").write_bytes(content[:200])
    flip_bit(tmp_path / "copy", random.Random(1))
    files.pipe_file(one, (tmp_path / "copy").read_bytes() + content[200:])
    with pytest.raises(DataError, match=rf"{one}: frames 0 to \d+ are not"):
        read(tmp_path / "out")


def test_what_was_read_is_kept_until_there_is_no_more_room(tmp_path, url, monkeypatch, fetched):
    uploaded(tmp_path, url)
    frames, total = read(tmp_path / "out"), sum(map(len, objects(url).values()))
    assert 0 < sum(fetched.values()) <= total
    fetched.clear()
    again = read(tmp_path / "out")
    assert fetched == {}
    assert all(np.array_equal(frames[video], again[video]) for video in frames)
    kept = sorted(cache_folder(tmp_path / "out").iterdir())
    content = bytearray(kept[0].read_bytes())
    content[20] ^= 1
    kept[0].write_bytes(content)
    again = read(tmp_path / "out")
    assert list(fetched) == [kept[0].name]  # a bit that flipped on the disk is fetched anew
    assert all(np.array_equal(frames[video], again[video]) for video in frames)
    for path in kept:
        path.unlink()
    monkeypatch.setenv(CACHE_MB, "0")
    read(tmp_path / "out")
    assert list(cache_folder(tmp_path / "out").iterdir()) == []


def test_tensorize_and_an_epoch_fetch_each_object_once(tmp_path, url, monkeypatch, fetched):
    monkeypatch.setenv(CACHE_MB, "0")
    uploaded(tmp_path, url)
    small_params = small("convlstm", "pixel")
    tensorize(
        tmp_path / "out",
        tmp_path / "clips",
        task="predict",
        tensorize=small_params.tensorize,
        translate=small_params.translate,
    )
    sizes = {name: len(content) for name, content in objects(url).items()}
    assert set(fetched) == set(sizes)
    assert all(fetched[name] <= sizes[name] for name in fetched)
    fetched.clear()
    dataset = ClipDataset(tmp_path / "out", tmp_path / "clips", "train")
    order = dataset.epoch(np.random.default_rng(0))
    for start in range(0, len(order), 4):
        dataset.fetch_ahead(order[start : start + 16])
        dataset.pairs(dataset.batch(order[start : start + 4]))
    assert len(fetched) > 4
    assert all(fetched[name] <= sizes[name] for name in fetched)


class Proxy:
    """Passes connections on to an address; the next `cuts` answers break off after some bytes."""

    def __init__(self, address: str) -> None:
        self.cuts = 0
        self.target = int(address.rsplit(":", 1)[1])
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, may_cut: bool) -> None:
        with suppress(OSError):
            while content := source.recv(1 << 16):
                if may_cut and self.cuts > 0:
                    self.cuts -= 1
                    target.sendall(content[: len(content) // 2])
                    break
                target.sendall(content)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def test_a_cut_connection_is_tried_again_and_told_in_one_line_if_it_stays_cut(
    tmp_path, url, service, monkeypatch, caplog
):
    monkeypatch.setenv(CACHE_MB, "0")
    uploaded(tmp_path, url)
    whole = read(tmp_path / "out")
    proxy = Proxy(service)
    s3.use(proxy.address)
    proxy.cuts = 1
    again = read(tmp_path / "out")
    assert proxy.cuts == 0
    assert all(np.array_equal(whole[video], again[video]) for video in whole)
    store = FrameStore(tmp_path / "out")
    store.load(store.videos[0])[:]
    proxy.cuts = 10**6
    with pytest.raises(DataError, match=rf"{url}/.*: cannot be reached \(.*\); check address, endpoint") as caught:
        store.load(store.videos[1])[:]
    assert "\n" not in str(caught.value)
    assert sum("trying again in" in line for line in caplog.messages) >= 2
    proxy.listener.close()


def test_an_address_that_nobody_answers_at_is_told_before_anything_is_decoded(tmp_path, url, monkeypatch):
    videos(tmp_path / "in")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    s3.use(f"http://127.0.0.1:{port}")
    with pytest.raises(DataError, match=rf"{url}: cannot be reached \(.*AWS_ENDPOINT_URL"):
        extracted(tmp_path, size=(8, 8), store="compressed", store_url=url)


def test_a_bucket_that_is_not_there_is_told_before_anything_is_decoded(tmp_path, url, uploads):
    videos(tmp_path / "in")
    with pytest.raises(DataError, match=r"^s3://nowhere/a: there is no such bucket or folder; create it"):
        extracted(tmp_path, size=(8, 8), store="compressed", store_url="s3://nowhere/a")
    assert uploads == []
    assert not (tmp_path / ".out/journal.jsonl").exists()  # of what was decoded


def test_wrong_credentials_are_told(tmp_path, url):
    videos(tmp_path / "in")
    with (
        s3.service(checks_credentials=True),
        pytest.raises(DataError, match=rf"{url}: access is denied \(.*\); check the credentials"),
    ):
        extracted(tmp_path, size=(8, 8), store="compressed", store_url=url)


NO_ADDRESSES = ["memory://a/b", "ftp://a/b", "https://a/b", "gs://a/b", "nosuch://a/b", "s3:/a", "bucket/a", "s3://"]


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_an_address_that_is_none_of_s3_or_of_a_disk_is_refused(address):
    with pytest.raises(ValueError, match=r"wanted is s3://bucket/folder, or file:///folder of a disk that all see"):
        params(store="compressed", store_url=address)
    with pytest.raises(DataError, match=r"is no address where frames can lie; write s3|names no bucket"):
        ObjectStorage(address)  # as remote.json of a clone may name it


@pytest.mark.parametrize("address", ["file:///", "s3:///"])
def test_an_address_names_a_bucket_or_a_folder(address):
    with pytest.raises(DataError, match="names no bucket or folder"):
        ObjectStorage(str(params(store="compressed", store_url=address).store_url))


def test_an_address_needs_compressed_frames():
    with pytest.raises(ValueError, match=r"set extract\.store to compressed"):
        params(store_url="s3://bucket/folder")


def test_an_interrupted_upload_goes_on_where_it_was(tmp_path, monkeypatch, url, uploads):
    videos(tmp_path / "in")
    counted = ObjectStorage.upload

    def interrupted(self, path, name):
        if len(uploads) >= 5:
            raise KeyboardInterrupt
        counted(self, path, name)

    wanted = {"size": (8, 8), "store": "compressed", "store_url": url}
    monkeypatch.setattr("pipeline.ingest.placing.UPLOADS", 1)
    monkeypatch.setattr(ObjectStorage, "upload", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extracted(tmp_path, **wanted)
    assert len(objects(url)) == 5
    monkeypatch.setattr(ObjectStorage, "upload", counted)
    extracted(tmp_path, **wanted)
    assert len(uploads) == len(set(uploads)) == VIDEOS
    assert len(objects(url)) == VIDEOS
    assert list(faults(tmp_path / "out")) == []


def test_a_folder_of_another_disk_is_an_address_as_well(tmp_path):
    store = uploaded(tmp_path, f"file://{tmp_path}/disk/frames")
    assert len(list((tmp_path / "disk/frames").iterdir())) == VIDEOS
    assert len(read(store.folder)) == VIDEOS


@pytest.mark.parametrize("kind", ["s3", "file"])
def test_what_lies_below_an_address_is_not_at_it(tmp_path, url, kind):
    above = url if kind == "s3" else f"file://{tmp_path}/disk"
    uploaded(tmp_path, f"{above}/v1")
    extracted(tmp_path, size=(8, 8), store="compressed", store_url=above)
    assert len(ObjectStorage(above).sizes()) == len(ObjectStorage(f"{above}/v1").sizes()) == VIDEOS
