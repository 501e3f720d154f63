"""Threads of a worker, shared by the tasks that compute there at the same time."""

import threading
import time

import pytest

pytest.importorskip("dask")
tasks = pytest.importorskip("unitdot._dask.tasks")


def test_one_task_has_all_threads_and_several_share_them():
    share = tasks.Share()
    with share.of(8) as threads:
        assert threads == 8
    barrier, given = threading.Barrier(4), []

    def task():
        for _ in range(50):
            with share.of(8) as threads:
                given.append((threads, share.taken))
                time.sleep(0.001)
        barrier.wait()

    running = [threading.Thread(target=task) for _ in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert len(given) == 200
    assert all(1 <= threads <= taken <= 8 for threads, taken in given)
    # beside three others it is two each
    assert sorted(threads for threads, _ in given)[100] == 2
    assert (share.taken, share.tasks) == (0, 0)


def test_what_fails_gives_its_threads_back():
    share = tasks.Share()
    with pytest.raises(ValueError, match="no"), share.of(2):
        raise ValueError("no")
    with share.of(2) as threads:
        assert threads == 2
