"""Two worker processes, and what happens to them: the plain function's bytes, or an error."""

import os
import signal
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

import unitdot
from unitdot import Pairs

from ..helpers import MATRIX, assert_same_bits, function, normal
from ..neighbors import assert_same_result

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")
on_dask = pytest.importorskip("unitdot.dask")

pytestmark = pytest.mark.filterwarnings(
    "ignore:chunks of", "ignore:Sending large graph", "ignore::ResourceWarning"
)
SECONDS = 120  # until somebody must have hung, also where the machine is busy
THRESHOLD = 0.45


@pytest.fixture(scope="module", autouse=True)
def same_environment():
    """Dask sets OMP_NUM_THREADS for its workers, and leaves it to whoever is started later."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@contextmanager
def running(**keywords):
    with (
        dask.config.set({"distributed.admin.log-format": ""}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50, **keywords
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def client():
    with running() as client:
        yield client
        assert idle(client)


def scheduler(client):
    return client.cluster.scheduler


def until(condition):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def idle(client):
    """Nothing is left behind: no task, no result, on the scheduler or the workers."""
    until(lambda: not scheduler(client).tasks)
    until(lambda: not any(client.run(lambda dask_worker: len(dask_worker.state.tasks)).values()))
    return True


def finished(client):
    """Tasks that have been done since the scheduler was started."""
    counts = scheduler(client).task_prefixes.values()
    return sum(prefix.state_counts["memory"] + prefix.state_counts["released"] for prefix in counts)


def rows(n, features=64):
    X = normal((n, features), np.float32)
    X[n // 3] = X[-1] = X[0]
    return X


def lazily(name, X):
    found = getattr(on_dask, name)(
        X, **({"threshold": THRESHOLD} if name == "cosine_pairs" else {})
    )
    return found.indices if isinstance(found, unitdot.TopK) else found


def assert_right(name, found, X):
    if name == "cosine_pairs":
        found = Pairs(*(found[column].to_numpy() for column in found.columns), (len(X),) * 2)
        assert_same_result(found, unitdot.cosine_pairs(X, threshold=THRESHOLD))
    elif name == "cosine_top_k":
        assert (found == unitdot.cosine_top_k(X).indices).all()
    else:
        assert_same_bits(found, function(name)(X))


@pytest.mark.parametrize("name", [*MATRIX, "cosine_top_k", "cosine_pairs"])
def test_two_workers(client, name):
    X = rows(700)
    found = lazily(name, da.from_array(X, chunks=(150, 64))).compute()
    assert_right(name, found, X)


@pytest.mark.parametrize("name", ["cosine_top_k", "cosine_pairs"])
def test_a_worker_that_is_killed(client, name, tmp_path):
    """In the middle of the work: by whoever reads the eleventh of twenty chunks first."""
    X = rows(6000, 400)
    before, killed = client.run(os.getpid), tmp_path / "killed"

    def read(block, block_info=None):
        if block_info[0]["chunk-location"] == (10, 0) and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return block

    lazy = da.from_array(X, chunks=(300, 400)).map_blocks(read, dtype=X.dtype)
    future = client.compute(lazily(name, lazy))
    assert_right(name, future.result(SECONDS), X)
    assert killed.exists()
    future.release()
    client.wait_for_workers(2, SECONDS)
    assert len({*before.values()} & {*client.run(os.getpid).values()}) == 1
    assert idle(client)


@pytest.mark.parametrize("name", ["cosine_top_k", "cosine_pairs"])
def test_nan(client, name):
    X = rows(2000)
    X[1234, 5] = np.nan
    future = client.compute(lazily(name, da.from_array(X, chunks=(100, 64))))
    with pytest.raises(ValueError, match=r"^X holds a NaN or an infinity at row 1234, column 5;"):
        future.result(SECONDS)
    future.release()
    assert idle(client)


@pytest.mark.parametrize("name", ["cosine_top_k", "cosine_pairs"])
def test_cancellation(client, name):
    X = rows(6000, 400)
    lazy = lazily(name, da.from_array(X, chunks=(300, 400)))
    done = finished(client)
    future = client.compute(lazy)
    until(lambda: finished(client) > done + 20)
    future.cancel()
    assert idle(client)
    assert_right(name, lazy.compute(), X)


def test_a_worker_that_needs_more_than_its_limit():
    """It is ended, the call fails, and smaller chunks are right."""
    X = rows(16000, 8)
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        running(memory_limit="400MB") as client,
    ):
        lazy = da.from_array(X, chunks=(16000, 8))
        with pytest.raises(distributed.KilledWorker):  # a block of a GiB
            on_dask.cosine_similarity(lazy)[:1].compute()
        client.wait_for_workers(2, SECONDS)
        found = on_dask.cosine_similarity(lazy.rechunk((1000, 8)))[::4000].compute()
        assert_same_bits(found, unitdot.cosine_similarity(X[::4000], X))
        assert idle(client)


def test_threads_of_a_worker(monkeypatch):
    """One task has all of them, several share them; no more are ever in use."""
    used, lock, given = [], threading.Lock(), []
    plain = unitdot._neighbors.pairs_of

    def counted(*arguments):
        n_threads = arguments[6].n_threads
        with lock:
            used.append(n_threads)
            given.append(n_threads)
            assert sum(used) <= 2
        time.sleep(0.02)
        with lock:
            used.remove(n_threads)
        return plain(*arguments)

    monkeypatch.setattr(unitdot._neighbors, "pairs_of", counted)
    X = rows(400)
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster),
    ):
        on_dask.cosine_pairs(X).compute()
        assert given == [2]
        on_dask.cosine_pairs(da.from_array(X, chunks=(40, 64))).compute()
        assert len(given) == 1 + 55
        assert 1 in given
        on_dask.cosine_pairs(X, n_threads=1).compute()
        assert given[-1] == 1


@pytest.mark.thorough
def test_dasks_pool_of_processes():
    X = rows(300)
    lazy = on_dask.cosine_pairs(da.from_array(X, chunks=(150, 64)), threshold=THRESHOLD)
    assert_right("cosine_pairs", lazy.compute(scheduler="processes", num_workers=2), X)
