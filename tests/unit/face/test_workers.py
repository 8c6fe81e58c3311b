import threading
from pathlib import Path

from pytest_microtvm.face.workers import MAX_LINE_BYTES, PIPE, SharedFolder, send_line


def test_lines_of_workers_arrive_whole():
    lines = []
    folder = SharedFolder()
    folder.listen(lambda *line: lines.append(line))
    folder.listen(lambda *line: lines.append(line))

    def send(worker):
        for number in range(50):
            send_line(folder.path, worker, 1, f"{number} " + "ü" * MAX_LINE_BYTES)

    threads = [threading.Thread(target=send, args=(f"gw{index}",)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    folder.close()
    # Lost when the pipe is full, but never mixed.
    assert {worker for worker, _, _ in lines} <= {"gw0", "gw1", "gw2", "gw3"}
    assert all(line.rstrip("ü").strip().isdigit() for _, _, line in lines)
    assert {verbosity for _, verbosity, _ in lines} == {1}


def test_what_was_said_last_is_heard():
    lines = []
    folder = SharedFolder()
    folder.listen(lambda *line: lines.append(line))
    send_line(folder.path, "gw0", 0, "goodbye")
    folder.close()
    assert lines == [("gw0", 0, "goodbye")]
    assert not folder.path.exists()


def test_a_worker_that_nobody_hears_goes_on(tmp_path):
    send_line(tmp_path / "gone", "gw0", 0, "hello?")
    folder = SharedFolder()
    send_line(folder.path, "gw0", 0, "hello?")  # before anybody listens
    assert not Path(folder.path / PIPE).exists()
    folder.close()
