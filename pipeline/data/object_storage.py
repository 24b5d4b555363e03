"""Objects at an address, of S3 (s3://bucket/folder) or of a disk (file:///mnt/…): fetched, uploaded, listed.

Credentials and endpoint are where S3 looks for them: in ~/.aws or AWS_… variables. fsspec knows more kinds of address,
of which some cannot be written to (http), some are of one process alone (memory), and none is tested here.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from pipeline.errors import DataError

logger = logging.getLogger(__name__)

# seconds before each further try; half a minute in all
DELAYS = (1.0, 2.0, 4.0, 8.0, 16.0)
# s3fs tries five times, twice over, what botocore tries five times: for minutes in all where nobody answers
OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {"config_kwargs": {"retries": {"total_max_attempts": 1}}, "skip_instance_cache": True},
    "file": {"auto_mkdir": True},
}
NO_BUCKET = "there is no such bucket or folder; create it, then run it again: it goes on where it was"
T = TypeVar("T")


class ObjectStorage:
    """The objects under one address."""

    def __init__(self, url: str) -> None:
        """Nothing is asked of the network; raises DataError where the address is none of S3 or of a disk."""
        self.url = url.rstrip("/")
        kind = url.partition("://")[0]
        if kind not in OPTIONS:
            raise DataError(f"{url}: is no address where frames can lie; write s3://bucket/folder or file:///folder")
        if not url.partition("://")[2].strip("/"):
            raise DataError(f"{url}: names no bucket or folder; write s3://bucket/folder, say")
        import fsspec  # takes a while that only this needs

        try:
            self._files, self._root = fsspec.core.url_to_fs(self.url, **OPTIONS[kind])
        except (ImportError, ValueError) as error:
            hint = "; pip install 'foreframe[s3]'" if kind == "s3" else ""
            raise DataError(f"{self.url}: is no address that can be opened ({_one_line(error)}){hint}") from error
        self._bucket = self._root.partition("/")[0] if kind == "s3" else ""
        if self._bucket:
            self._files.retries = 1
            for name in ("botocore", "aiobotocore"):  # which tell where they found credentials
                logging.getLogger(name).setLevel(logging.WARNING)
        self._reached, self._gave_up = False, Event()

    def sizes(self) -> dict[str, int]:
        """The bytes of each object that lies at the address itself, by name; DataError where its bucket is none."""

        def listed() -> dict[str, int]:
            self._files.invalidate_cache()
            try:
                found = self._files.find(self._root, maxdepth=1, detail=True)
            except FileNotFoundError:  # nothing was stored yet
                found = {}
            if not found and self._bucket:
                self._files.call_s3("head_bucket", Bucket=self._bucket)  # or it is not there
            below = {path.removeprefix(self._root).lstrip("/"): int(facts["size"]) for path, facts in found.items()}
            return {name: size for name, size in below.items() if "/" not in name}  # those below belong to others

        return self._tried(listed, self.url, NO_BUCKET)

    def fetch(self, name: str, start: int, stop: int) -> bytes:
        """Bytes of the object `name` in the half-open range, fewer where it is shorter."""
        path = f"{self._root}/{name}"
        missing = "is not there; `dvc repro --force extract` uploads what is missing"
        return self._tried(lambda: self._files.cat_file(path, start=start, end=stop), f"{self.url}/{name}", missing)

    def upload(self, path: Path, name: str) -> None:
        """The file at `path` as the object `name`, in place of what is there."""
        target = f"{self._root}/{name}"
        self._tried(lambda: self._files.put_file(str(path), target), self.url, NO_BUCKET)

    def _tried(self, action: Callable[[], T], address: str, missing: str = "is not there") -> T:
        """What `action` returns in the end; raises DataError where it cannot, at once if nothing was ever reached."""
        delays = iter(DELAYS)
        while True:
            try:
                result = action()
            except FileNotFoundError as error:
                raise DataError(f"{address}: {missing}") from error
            except PermissionError as error:
                raise DataError(f"{address}: access is denied ({_one_line(error)}); check the credentials") from error
            except Exception as error:  # each kind of storage has errors of its own
                delay = next(delays, None) if self._reached else None
                if delay is None or self._gave_up.is_set():
                    self._gave_up.set()  # others that wait, in threads, try no more
                    raise DataError(
                        f"{address}: cannot be reached ({_one_line(error)}); check address, endpoint "
                        "(AWS_ENDPOINT_URL), credentials and network, then run it again: it goes on where it was"
                    ) from error
                logger.warning("%s: %s; trying again in %g s", address, _one_line(error), delay)
                self._gave_up.wait(delay)
            else:
                self._reached = True
                return result


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
