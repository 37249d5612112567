"""Groups of chunks are written in their order, one behind the loop's back."""

import threading
from types import SimpleNamespace

import pytest

from onboard.ahead import Part
from onboard.clock import Stages
from onboard.errors import StoreError
from onboard.group import Group
from onboard.run import Run
from onboard.sense.chunks import Chunk
from onboard.store.rows import NewProduct, Placed


class Disk:
    """A store whose writes last until they are let go on."""

    def __init__(self, fails=()):
        self.free, self.written, self.fails = threading.Semaphore(0), [], fails
        self.memory = SimpleNamespace(write=lambda *_: None)
        self.state = SimpleNamespace(commit=self._commit)
        self.queue = SimpleNamespace(let_go=lambda _: None)

    def _commit(self, _, rows, *__):
        assert self.free.acquire(timeout=10)
        (index,) = [row.chunk.index for row in rows]
        if index in self.fails:
            raise StoreError("no space left")
        self.written.append(index)


def group(disk, vouch=lambda _: None):
    strips = SimpleNamespace(done=lambda *_: None, decisions=list, committed=lambda *_: None)
    chooser = SimpleNamespace(collect=list, drop=lambda: None)
    return Group(disk, 1, 1, chooser, None, strips, Stages(), vouch, None, 0)


def hand_over(one, index):
    one.add(Part(Chunk(index, index, 0, 1, 1), skipped=True), Run())
    one.commit()


def in_a_thread(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(0.2)
    return thread


def test_one_is_written_behind_the_loops_back_and_the_next_one_waits():
    disk = Disk()
    with group(disk) as one:
        hand_over(one, 0)  # returns although nothing is on the disk
        waiting = in_a_thread(lambda: hand_over(one, 1))
        assert waiting.is_alive()
        assert disk.written == []
        disk.free.release()
        waiting.join(10)
        assert not waiting.is_alive()
        disk.free.release()
    assert disk.written == [0, 1]


def test_a_fault_of_the_disk_is_raised_and_what_was_written_stays():
    disk = Disk(fails=(1,))
    with pytest.raises(StoreError, match="no space left"), group(disk) as one:
        for index in range(3):
            disk.free.release()
            hand_over(one, index)
    assert disk.written == [0]


def test_what_is_not_vouched_for_is_not_written():
    def refuse(records):
        raise ValueError("not its known answers")

    disk = Disk()
    with pytest.raises(ValueError, match="known answers"), group(disk, refuse) as one:
        hand_over(one, 0)
    assert disk.written == []


def test_scores_are_there_when_the_group_ends():
    disk = Disk()
    with group(disk) as one:
        hand_over(one, 0)
        disk.free.release()
    assert disk.written == [0]


def test_what_was_asked_for_is_let_go_when_the_group_is_given_up():
    disk, gone = Disk(), []
    disk.queue = SimpleNamespace(
        hold=lambda drafts: [Placed(n, 1, "") for n, _ in enumerate(drafts)], let_go=gone.extend
    )
    with pytest.raises(ValueError, match="a fault"), group(disk) as one:
        one._asked += one._held([NewProduct(0, col, 1.0, 1.0, b"x", 1) for col in range(3)])
        raise ValueError("a fault")
    assert [new.payload.place for new in gone] == [0, 1, 2]
