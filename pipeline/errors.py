"""What a person can put right: every one is printed in one line, without a traceback."""


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
