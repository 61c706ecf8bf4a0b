"""Batches go before loading, and loading gets on all the same."""

import threading

from model_core.engine.cuda.handover import Handover


def test_batches_that_wait_go_before_a_piece_of_loading() -> None:
    handover = Handover(patience=60)
    order: list[str] = []
    threads = []

    def batch() -> None:
        with handover.of_a_batch():
            order.append("batch")

    def piece() -> None:
        with handover.in_a_gap():
            order.append("piece")

    with handover.of_a_batch():
        threads.append(threading.Thread(target=piece))
        threads[0].start()
        for _ in range(3):
            threads.append(threading.Thread(target=batch))
            threads[-1].start()
        while handover.waiting < 3:
            threads[-1].join(0.001)
    for thread in threads:
        thread.join()
    assert order == ["batch"] * 3 + ["piece"]


def test_loading_gets_on_under_full_load() -> None:
    handover = Handover(patience=0.01)
    done = threading.Event()

    def busy() -> None:
        while not done.is_set():
            with handover.of_a_batch():
                pass

    threads = [threading.Thread(target=busy) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        with handover.in_a_gap():
            pass
    done.set()
    for thread in threads:
        thread.join()


def test_one_at_a_time_and_free_after_an_error() -> None:
    handover = Handover(patience=0.01)
    inside = threading.Lock()
    overlaps: list[bool] = []

    def enter(context: str) -> None:
        for _ in range(200):
            try:
                with handover.of_a_batch() if context == "batch" else handover.in_a_gap():
                    overlaps.append(not inside.acquire(blocking=False))
                    inside.release()
                    raise KeyError
            except KeyError:
                pass

    threads = [threading.Thread(target=enter, args=(c,)) for c in ("batch", "gap", "batch", "gap")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(overlaps) == 800
    assert not any(overlaps)
