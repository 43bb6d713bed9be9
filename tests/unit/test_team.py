"""Teams of threads that run tasks, and removal of earlier versions' kernels."""

from __future__ import annotations

import contextlib
import os
import threading
from functools import partial
from pathlib import Path

import pytest

from rondel.kernels.kernel_cache import VERSIONS_KEPT, _remove_old
from rondel.kernels.threads.team import Team, team


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_task_runs_once(threads: int) -> None:
    done: list[int] = []
    Team(threads).run([partial(done.append, number) for number in range(50)])
    assert sorted(done) == list(range(50))


def test_tasks_that_wait_for_each_other_run_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=30)
    Team(3).run([meeting.wait] * 3)


def test_an_error_in_a_task_is_raised() -> None:
    def fail() -> None:
        raise ValueError("no")

    for tasks in ([fail], [fail, int, int], [int, int, fail]):
        with pytest.raises(ValueError, match="no"):
            Team(2).run(tasks)


def test_an_interrupt_leaves_no_thread_waiting_for_the_caller() -> None:
    meeting = threading.Barrier(2, timeout=30)
    caller = threading.current_thread()

    def interrupted() -> None:
        if threading.current_thread() is caller:
            raise KeyboardInterrupt

    for _ in range(20):
        crew = Team(2)
        with contextlib.suppress(KeyboardInterrupt):
            crew.run([interrupted, meeting.wait, meeting.wait])
        assert meeting.n_waiting == 0
        assert not meeting.broken


def test_a_process_has_one_team_of_each_size() -> None:
    assert team(2) is team(2)
    assert team(2) is not team(3)


def test_kernels_of_old_versions_are_removed_except_the_latest(tmp_path: Path) -> None:
    for age in range(VERSIONS_KEPT + 3):
        folder = tmp_path / f"version{age}"
        folder.mkdir()
        (folder / "kernel").touch()
        os.utime(folder, (1e9 - age, 1e9 - age))
    _remove_old(tmp_path / "new")
    assert {path.name for path in tmp_path.iterdir()} == {
        f"version{age}" for age in range(VERSIONS_KEPT)
    }
