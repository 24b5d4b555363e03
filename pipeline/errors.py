"""What a person can put right: every one is printed in one line, without a traceback."""

import errno

# what the system refuses, by its number -> what to do about it
REMEDIES = {
    errno.ENOSPC: "free some space there, then run it again",
    errno.EDQUOT: "the quota is used up: free some space there, then run it again",
    errno.EFBIG: "files there may not be so large: write to another disk",
    errno.EROFS: "it can only be read there: write to another folder, or mount it writable",
    errno.EACCES: "give yourself the permission (chmod, chown), or name another place",
    errno.EPERM: "give yourself the permission (chmod, chown, chattr), or name another place",
    errno.ENOENT: "it was removed or renamed meanwhile, or never was there: look, then run it again",
    errno.ESTALE: "the network drive lost it: mount it again, then run it again",
    errno.EIO: "the disk fails, or was taken away: look at the system's log",
    errno.ENOTDIR: "a part of the path is a file: name another place",
    errno.EISDIR: "it is a folder: name another place, or move it away",
    errno.ENOTEMPTY: "something else writes there: end it, then run it again",
    errno.ELOOP: "a link there leads to itself: remove it",
    errno.ENAMETOOLONG: "choose shorter names",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine: end other programs",
    errno.ENOMEM: "free some memory, then run it again",
}


class PipelineError(Exception):
    """A mistake in the input, the parameters or the workspace; the message names it and says what to do."""


class ParamsError(PipelineError):
    """params.yaml does not hold what it should; one line per key."""


class VideoError(PipelineError):
    """A file is no video that can be used."""


class DamagedVideo(VideoError):
    """A video breaks off or is damaged; its good frames have been yielded before this is raised."""


class DataError(PipelineError):
    """The frames or clips do not allow what is asked of them: none, too few, an empty split, a wrong size."""


class TooShort(DataError):
    """No video has as many frames as a clip needs."""


class ModelError(PipelineError):
    """A model directory is missing, not whole, or not made for what is asked of it."""


class UnfitModel(ModelError):
    """A model is whole, and made for other clips or by other code."""


def out_of_memory(error: BaseException) -> str | None:
    """One line for memory that ran out, the processor's or a GPU's; None for an error of another kind."""
    text = str(error)
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which this module does not import
        where = "the GPU's memory"
    elif isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in text):
        where = "memory"
    else:
        return None
    return (
        f"{where} ran out, maybe taken by other programs: end them, or lower what is computed at once (the recipe's "
        "batch_size, train.crop, train.bptt_steps; evaluate.batch_size; --size)"
    )


def told(error: OSError) -> str:
    """One line for what the system refused: the path, its reason, and what to do."""
    path = error.filename2 or error.filename
    reason = error.strerror or str(error) or type(error).__name__
    if error.args and isinstance(error.args[0], list):  # shutil.Error: (source, copy, reason) of each file
        _, path, reason = error.args[0][0]
    remedy = REMEDIES.get(error.errno) if error.errno is not None else None
    line = f"{path}: {reason}" if path is not None else reason
    return " ".join((f"{line}; {remedy}" if remedy else line).split())
