import multiprocessing
import os
import threading
import time

import pytest

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import BuildError, ConfigError, ModelError
from pytest_microtvm.flow.cache import IN_USE_S, Cache
from pytest_microtvm.flow.manifest import MANIFEST


@pytest.fixture
def cache(tmp_path):
    cache = Cache(tmp_path / "cache")
    cache.open()
    return cache


def write(text="content"):
    return lambda directory: (directory / "file").write_text(text)


def test_an_entry_is_made_once(cache):
    first = cache.obtain("kind", "key", write("one"), Deadline(5))
    second = cache.obtain("kind", "key", write("two"), Deadline(5))
    assert (first.cached, second.cached) == (False, True)
    assert (second.path / "file").read_text() == "one"


def test_a_failed_entry_leaves_nothing(cache):
    def fail(directory):
        (directory / "half").write_text("half")
        raise ModelError("no")

    with pytest.raises(ModelError):
        cache.obtain("kind", "key", fail, Deadline(5))
    assert not list((cache.directory / "tmp").iterdir())
    assert not (cache.directory / "kind" / "key").exists()
    assert not cache.obtain("kind", "key", write(), Deadline(5)).cached


def _obtain_slowly(directory, results):
    cache = Cache(directory)
    cache.open()

    def make(path):
        time.sleep(0.3)
        (path / "file").write_text(str(os.getpid()))

    entry = cache.obtain("kind", "key", make, Deadline(30))
    results.put((entry.cached, (entry.path / "file").read_text()))


def test_several_processes_make_an_entry_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [
        context.Process(target=_obtain_slowly, args=(tmp_path / "cache", results)) for _ in range(4)
    ]
    for process in processes:
        process.start()
    answers = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert len({text for _, text in answers}) == 1


def test_waiting_for_another_has_a_deadline(cache):
    inside, leave = threading.Event(), threading.Event()

    def make(directory):
        inside.set()
        assert leave.wait(30)

    other = threading.Thread(target=cache.obtain, args=("kind", "key", make, Deadline(30)))
    other.start()
    try:
        assert inside.wait(30)
        with pytest.raises(BuildError, match="another process"):
            cache.obtain("kind", "key", write(), Deadline(0.2))
    finally:
        leave.set()
        other.join(30)


def test_the_oldest_entries_go_when_the_cache_is_full(tmp_path):
    cache = Cache(tmp_path / "cache", limit_bytes=2500)
    cache.open()
    for index in range(3):
        entry = cache.obtain("kind", f"key{index}", write("x" * 1000), Deadline(5))
        old = time.time() - IN_USE_S - 100 + index
        os.utime(entry.path, (old, old))
    later = Cache(cache.directory, limit_bytes=2500)
    later.obtain("kind", "last", write("x" * 1000), Deadline(5))
    assert sorted(path.name for path in (tmp_path / "cache" / "kind").iterdir()) == ["key2", "last"]


def test_an_entry_in_use_is_never_dropped(tmp_path):
    cache = Cache(tmp_path / "cache", limit_bytes=10)
    cache.open()
    first = cache.obtain("kind", "first", write("x" * 1000), Deadline(5))
    cache.obtain("kind", "second", write("x" * 1000), Deadline(5))
    assert first.path.is_dir()


def test_what_this_process_uses_stays_when_the_clock_jumps(tmp_path, monkeypatch):
    cache = Cache(tmp_path / "cache", limit_bytes=10)
    cache.open()
    first = cache.obtain("kind", "first", write("x" * 1000), Deadline(5))
    now = time.time() + 2 * IN_USE_S
    monkeypatch.setattr(time, "time", lambda: now)
    cache.obtain("kind", "second", write("x" * 1000), Deadline(5))
    assert first.path.is_dir()


def test_use_keeps_an_entry_young(cache):
    entry = cache.obtain("kind", "key", write(), Deadline(5))
    os.utime(entry.path, (1, 1))
    cache.obtain("kind", "key", write(), Deadline(5))
    assert time.time() - entry.path.stat().st_mtime < 60


def test_what_killed_processes_left_is_cleared(cache):
    for name in ("half-made", "half-removed.old"):
        (cache.directory / "tmp" / name).mkdir()
    cache.close()
    assert list((cache.directory / "tmp").iterdir()) == []


def test_what_is_being_made_is_no_leftover(cache):
    def make(directory):
        write()(directory)
        other = Cache(cache.directory)
        other.open()
        other.close()

    assert (cache.obtain("kind", "key", make, Deadline(5)).path / "file").is_file()


def test_half_an_entry_of_a_killed_process_is_made_anew(cache):
    half = cache.directory / "tmp" / "key"
    half.mkdir()
    (half / "half").write_text("half")
    entry = cache.obtain("kind", "key", write(), Deadline(5))
    assert sorted(path.name for path in entry.path.iterdir()) == ["file", MANIFEST]


def test_a_folder_that_cannot_be_written_is_a_config_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="--microtvm-cache-dir"):
        Cache(tmp_path / "file" / "cache").open()


def test_the_cache_is_looked_through_only_when_it_may_be_full(tmp_path, monkeypatch):
    cache = Cache(tmp_path / "cache", limit_bytes=100_000)
    cache.open()
    looks: list[int] = []
    evict = cache._evict

    def look() -> int:
        looks.append(evict())
        return looks[-1]

    monkeypatch.setattr(cache, "_evict", look)
    for number in range(40):
        cache.obtain("kind", f"{number:03}", write("x" * 1000), Deadline(5))
    assert 1 < len(looks) < 15
