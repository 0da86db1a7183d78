"""Where work is under way, told before the name of every task."""

from __future__ import annotations

from landscape.progress import listening, task, within


class Told:
    """The names of the tasks that began, went on and ended."""

    def __init__(self) -> None:
        self.begun, self.advanced, self.ended = list[str](), list[str](), list[str]()

    def begin(self, task: str, total: int | None) -> None:
        del total
        self.begun.append(task)

    def advance(self, task: str, steps: int) -> None:
        del steps
        self.advanced.append(task)

    def end(self, task: str) -> None:
        self.ended.append(task)


def test_a_task_is_named_with_the_place_where_it_began():
    told = Told()
    with listening(told):
        with within("spectrum", 3, 8), within("final.pt", 2, 2), task("trace", 9) as one:
            one.advance()
        with within("spectrum"), task("trace"):
            pass
        with task("trace"):
            pass
    name = "spectrum (3 of 8), final.pt (2 of 2): trace"
    assert told.begun == told.ended == [name, "spectrum: trace", "trace"]
    assert told.advanced == [name]
