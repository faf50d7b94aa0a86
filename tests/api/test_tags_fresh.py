"""tests/api/test_tags_fresh.py - GET /api/tags shows the disk as it is, however often it is asked.

The server keeps the list while the store does not change (http/tags.c): so each way to change a
store by hand is made here between two requests, with no wait between the change and the request.
"""
import os
import pathlib
import shutil
import threading

import pytest


@pytest.fixture
def place(make_server):
    s = make_server()
    s.folder = pathlib.Path(s.store) / "manifests" / "registry.ollama.ai" / "library"
    for _ in range(3):
        assert names(s) == {"m:latest"}
    return s


def names(s):
    return {m["name"] for m in s.get("/api/tags").json()["models"]}


def ids(s):
    return {m["name"]: m["digest"] for m in s.get("/api/tags").json()["models"]}


def test_a_manifest_that_comes_and_goes(place):
    for i in range(20):
        shutil.copy(place.folder / "m/latest", place.folder / f"m/v{i}")
        assert names(place) == {"m:latest", f"m:v{i}"}
        (place.folder / f"m/v{i}").unlink()
        assert names(place) == {"m:latest"}


def test_new_folders_at_every_depth(place):
    root = place.folder.parents[1]
    for path in ["registry.ollama.ai/library/new/latest", "registry.ollama.ai/me/new/v1",
                 "example.com/a/b/c"]:
        (root / path).parent.mkdir(parents=True)
        names(place)  # the empty folder is known
        shutil.copy(place.folder / "m/latest", root / path)
        assert len(names(place)) == 2, path
        shutil.copy(place.folder / "m/latest", (root / path).with_name("more"))
        assert len(names(place)) == 3, path
        shutil.rmtree((root / path).parent)
        assert names(place) == {"m:latest"}
    # A whole tree by one rename, and away again.
    away = pathlib.Path(place.store) / "away"
    (away / "x").mkdir(parents=True)
    shutil.copy(place.folder / "m/latest", away / "x/latest")
    os.rename(away, root / "registry.ollama.ai/tree")
    assert names(place) == {"m:latest", "tree/x:latest"}
    shutil.copy(place.folder / "m/latest", root / "registry.ollama.ai/tree/x/second")
    assert names(place) == {"m:latest", "tree/x:latest", "tree/x:second"}
    os.rename(root / "registry.ollama.ai/tree", away)
    assert names(place) == {"m:latest"}


def test_a_manifest_written_in_place(place):
    path = place.folder / "m/latest"
    good = path.read_bytes()
    was = ids(place)["m:latest"]
    assert ids(place)["m:latest"] == was
    with open(path, "r+b") as f:  # the same file, the same length at first
        f.write(good.replace(b'{"', b' {"', 1))
        f.flush()
        assert ids(place).get("m:latest") != was
    path.write_bytes(b"broken")
    assert names(place) == set()
    path.write_bytes(good)
    assert ids(place)["m:latest"] == was
    other = path.with_name("tmp")
    other.write_bytes(good + b"\n")
    os.rename(other, path)
    assert ids(place)["m:latest"] != was


def test_times_and_blobs(place):
    path = place.folder / "m/latest"
    os.utime(path, (1_000_000_000, 1_000_000_000))
    assert place.get("/api/tags").json()["models"][0]["modified_at"].startswith("2001-09-09T01:46:40")
    blobs = pathlib.Path(place.store) / "blobs"
    before = place.get("/api/tags").body
    os.rename(blobs, blobs.with_name("blobs2"))
    os.mkdir(blobs)
    place.get("/api/tags")
    blobs.rmdir()
    os.rename(blobs.with_name("blobs2"), blobs)
    assert place.get("/api/tags").body == before


def test_the_api_changes_it(place):
    for i in range(10):
        assert place.post("/api/copy", {"source": "m", "destination": f"c{i}"}).status == 200
        assert f"c{i}:latest" in names(place)
    for i in range(10):
        assert place.ask("DELETE", "/api/delete", {"model": f"c{i}"}).status == 200
        assert f"c{i}:latest" not in names(place)


def test_many_readers_and_a_writer(place):
    wrong = []
    stop = threading.Event()

    def read():
        while not stop.is_set():
            names(place)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for t in threads:
        t.start()
    for i in range(60):
        shutil.copy(place.folder / "m/latest", place.folder / f"m/w{i}")
        if f"m:w{i}" not in names(place):
            wrong.append(i)
        if i % 3 == 0:
            (place.folder / f"m/w{i}").unlink()
            if f"m:w{i}" in names(place):
                wrong.append(-i)
    stop.set()
    for t in threads:
        t.join()
    assert not wrong
