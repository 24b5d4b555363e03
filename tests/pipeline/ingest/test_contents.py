from pipeline.ingest.cache import ContentCache
from pipeline.ingest.contents import content_hashes, group_by_content
from pipeline.ingest.folder import list_folder
from pipeline.ingest.store import Recipes, index_rows, refusals
from pipeline.ingest.video_job import Outcome


def contents_of(folder):
    entries = list_folder(folder / "in")
    (folder / "cache").mkdir(exist_ok=True)
    hashes = content_hashes(entries, ContentCache(folder / "cache"))
    return entries, group_by_content(entries, hashes)


def write(folder, **files):
    for name, content in files.items():
        path = folder / "in" / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_files_with_the_same_content_are_one_record(tmp_path):
    write(tmp_path, b_mp4=b"one", a_mp4=b"two", c_mp4=b"one", _hidden=b"one")
    _, contents = contents_of(tmp_path)
    assert [[entry.name for entry in content.entries] for content in contents] == [["a.mp4"], ["b.mp4", "c.mp4"]]


def test_a_sequence_is_its_images_in_their_order_whatever_their_names(tmp_path):
    write(tmp_path, one__f1_png=b"x", one__f2_png=b"y", two__g8_png=b"x", two__g9_png=b"y")
    write(tmp_path, turned__f1_png=b"y", turned__f2_png=b"x", jpg__f1_jpg=b"x", jpg__f2_jpg=b"y")
    _, contents = contents_of(tmp_path)
    assert [[entry.name for entry in content.entries] for content in contents] == [["jpg"], ["one", "two"], ["turned"]]


def test_the_first_of_several_files_with_one_content_has_the_frames(tmp_path):
    write(tmp_path, a_mp4=b"one", b_mp4=b"one")
    entries, (content,) = contents_of(tmp_path)
    content.outcome = Outcome("ok", "", stored_frames=3)
    first, second = index_rows(entries, [content], Recipes({"video": "recipe"}, ".npy"))
    assert (first["status"], first["array"]) == ("ok", f"{content.content_hash[:32]}-recipe.npy")
    assert (second["reason"], second["array"], second["recipe"]) == ("same content as a.mp4", "", "")


def test_a_content_that_a_worker_was_lost_over_has_no_recipe_so_that_the_next_run_tries_again(tmp_path):
    write(tmp_path, a_mp4=b"one", b_mp4=b"one")
    entries, (content,) = contents_of(tmp_path)
    content.outcome, content.lost_worker = Outcome("skipped", "the decoder crashed"), True
    rows = index_rows(entries, [content], Recipes({"video": "recipe"}, ".npy"))
    assert [(row["reason"], row["recipe"]) for row in rows] == [("the decoder crashed", "")] * 2


def test_hidden_files_and_copies_are_no_refusals(tmp_path):
    write(tmp_path, a_mp4=b"one", b_mp4=b"one", _hidden=b"x", c_mp4=b"two")
    (tmp_path / "beside.mp4").write_bytes(b"three")
    (tmp_path / "in/link.mp4").symlink_to(tmp_path / "beside.mp4")
    entries, contents = contents_of(tmp_path)
    for content in contents:
        content.outcome = Outcome("damaged", "breaks off") if content.entries[0].name == "c.mp4" else Outcome("ok", "")
    assert list(refusals(entries, contents)) == [
        ("c.mp4", "breaks off"),
        ("link.mp4", "a symbolic link that leaves the folder, to nowhere under data.roots of params.yaml"),
    ]
