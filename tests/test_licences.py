"""docs/licences.md lists every package that constraints.txt pins, with the licence that the package states."""

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution, version

import av
import av._core
import pytest

from tests.licences import GROUPS, LICENCES, NOT_HERE, ROW, TABLE, licence, needed, pins

TEXT = LICENCES.read_text()
ROWS = {name: (pinned, stated, group) for name, pinned, stated, group in ROW.findall(TABLE.search(TEXT)[0])}
BINDING = re.compile(r"GPL|MPL|EPL|Artistic|[Pp]roprietary|none")  # those that ask for more than to keep a text
ANEW = "python -m tests.licences writes the table anew"


def test_every_pinned_package_is_listed_with_its_version():
    assert {name: pinned for name, (pinned, _, _) in ROWS.items()} == pins(), ANEW


def test_what_is_installed_here_states_the_licence_that_is_listed():
    checked = 0
    for name, (pinned, stated, _) in ROWS.items():
        try:
            installed = distribution(name).version
        except PackageNotFoundError:
            continue
        if installed == pinned:
            assert (name, NOT_HERE.get(name, licence(name))) == (name, stated), ANEW
            checked += 1
    assert checked > 100


def test_every_requirement_of_the_project_is_pinned_and_said_to_come_with_an_installation_of_it():
    for extras, groups in (((), {"run"}), (("s3",), {"run", "s3"}), (("s3", "test"), set(GROUPS) - {"pretrain"})):
        for name in needed(extras):
            assert name == "foreframe" or ROWS[name][2] in groups, name


def test_licences_that_ask_for_more_than_keeping_a_text_are_explained():
    explained = TEXT[: TEXT.index("## Versions")]
    binding = [name for name, (_, stated, _) in ROWS.items() if BINDING.search(stated)]
    assert {"certifi", "pygit2", "nvidia-cublas"} <= set(binding)
    assert [name for name in binding if name not in explained and not name.startswith("nvidia-")] == []


@pytest.mark.skipif(sys.platform != "linux", reason="the wheels for other systems hold other libraries")
def test_the_ffmpeg_inside_pyav_is_the_one_that_is_told_of():
    if version("av") != pins()["av"]:
        pytest.skip("not the pinned av")
    told = next(line for line in TEXT.splitlines() if line.startswith(f"| av {version('av')} "))
    assert f"FFmpeg {av.ffmpeg_version_info}, " in told
    of_avcodec = av._core.library_meta["libavcodec"]
    assert f'"{of_avcodec["license"]}"' in told
    assert ("--enable-libx264" in of_avcodec["configuration"], "libx264" in told) == (True, True)
    assert ("--enable-libx265" in of_avcodec["configuration"], "libx265" in told) == (True, True)
