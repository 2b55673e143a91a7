from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from hfcompress.cli.bars import JsonProgress, LineProgress, Pace, TerminalProgress
from hfcompress.cli.console import Session, make_progress
from hfcompress.cli.logs import adopt_library_logs, configure_logging, reset_logging
from tests.report.examples import demo


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _logs_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    yield
    reset_logging()


def terminal() -> tuple[Console, FakeTerminal]:
    file = FakeTerminal()
    return Console(file=file, width=100, highlight=False), file


def lines_of(file: io.StringIO) -> list[str]:
    return file.getvalue().splitlines()


def test_a_terminal_gets_bars_and_everything_else_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_progress("human", terminal()[0]), TerminalProgress)
    assert isinstance(make_progress("human", Console(file=io.StringIO())), LineProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_progress("human", Console(file=FakeTerminal())), LineProgress)


def test_forced_colours_do_not_make_a_file_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert isinstance(make_progress("human", Console(file=io.StringIO())), LineProgress)


def test_a_finished_bar_leaves_one_line_with_its_duration() -> None:
    file, clock = io.StringIO(), Clock()
    with make_progress("human", Console(file=file), clock).bar("student: training", 1000) as bar:
        clock.now = 9.0
        bar.advance(1000, "loss 0.31")
    assert lines_of(file) == ["student: training: 1,000 in 9.0 s, loss 0.31"]


def test_plain_lines_come_every_ten_seconds_with_percent_and_remaining_time() -> None:
    file, clock = io.StringIO(), Clock()
    with LineProgress(Console(file=file), clock).bar("training", 100) as bar:
        for _ in range(100):
            clock.now += 0.5
            bar.advance()
    *between, last = lines_of(file)
    assert between == [
        "training: 20%, 20 of 100, 40 s left",
        "training: 40%, 40 of 100, 30 s left",
        "training: 60%, 60 of 100, 20 s left",
        "training: 80%, 80 of 100, 10 s left",
    ]
    assert last == "training: 100 in 50 s"


def test_work_that_stops_early_says_where_and_its_error_passes() -> None:
    file = io.StringIO()
    progress = LineProgress(Console(file=file), Clock())

    def work() -> None:
        with progress.bar("training", 10) as bar:
            bar.advance(3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert lines_of(file) == ["training: ended at 3 of 10 in 0.0 s"]


def test_steps_of_before_a_resume_do_not_count_towards_the_pace() -> None:
    clock = Clock()
    pace = Pace("training", 1000, clock)
    pace.advance(900, "")
    assert pace.remaining_s is None
    clock.now = 10.0
    pace.advance(10, "")
    assert pace.remaining_s == pytest.approx(90)


def test_nothing_to_do_is_done() -> None:
    file = io.StringIO()
    with LineProgress(Console(file=file), Clock()).bar("empty", 0):
        pass
    assert lines_of(file) == ["empty: 0 in 0.0 s"]


def test_terminal_bars_show_counts_and_notes_and_the_cursor_comes_back() -> None:
    console, file = terminal()
    progress = TerminalProgress(console)
    with progress.bar("teacher [0]: training", 200) as bar, progress.bar("inner", 5) as inner:
        bar.advance(50, "loss 0.5")
        inner.advance(5)
        time.sleep(0.6)  # bars are drawn four times a second
        progress.say("a line [bold]as it is[/bold]")
    written = file.getvalue()
    assert "50/200" in written
    assert "loss 0.5" in written
    assert "a line [bold]as it is[/bold]" in written
    assert written.index("inner: 5 in") < written.index("teacher [0]: training: ended at 50 of 200 in")
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console, file = terminal()
    with TerminalProgress(console).bar("training", 2) as bar:
        bar.advance()
        bar.advance()
    assert not any(f"\x1b[{code}" in file.getvalue() for code in ("3", "38;", "9"))


def test_json_is_one_object_a_line_with_first_and_last_and_at_most_one_a_second() -> None:
    file, clock = io.StringIO(), Clock()
    progress = JsonProgress(Console(file=file, width=20), clock)
    progress.say("a line that is wider than the console [red]")
    with progress.bar("timing", 40) as bar:
        for _ in range(40):
            clock.now += 0.25
            bar.advance(1, "n")
    said, *bars = [json.loads(line) for line in lines_of(file)]
    assert said == {"event": "say", "text": "a line that is wider than the console [red]"}
    assert [bar["done"] for bar in bars] == [0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40]
    assert bars[-1] == {
        "event": "progress",
        "description": "timing",
        "done": 40,
        "total": 40,
        "elapsed_s": 10.0,
        "remaining_s": 0,
        "note": "n",
    }


def test_json_keeps_stdout_to_objects(capsys: pytest.CaptureFixture[str]) -> None:
    with Session("json") as session:
        sys.stdout.write("a library that prints\n")
        logging.getLogger("hfcompress.x").info("pruned")
        session.progress.say("done")
    session.show(demo(), None)
    out, err = capsys.readouterr()
    assert [json.loads(line)["event"] for line in out.splitlines()] == ["say", "results"]
    assert json.loads(out.splitlines()[1])["results"]["schema"] == "hfcompress.results/1"
    assert err == "a library that prints\npruned\n"


def test_quiet_says_nothing_but_errors(capsys: pytest.CaptureFixture[str]) -> None:
    with Session("quiet") as session:
        sys.stdout.write("a library that prints\n")
        session.progress.say("hello")
        with session.progress.bar("x", 1) as bar:
            bar.advance()
        logging.getLogger("transformers.x").warning("not this")
        logging.getLogger("hfcompress.x").error("but this")
    session.show(demo(), Path("runs/x"))
    assert capsys.readouterr() == ("", "error: but this\n")


def test_people_get_tables_on_stdout_and_everything_else_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with Session("human") as session:
        session.progress.say("teacher: taken from the run folder")
        with session.progress.bar("teacher: test", 3) as bar:
            bar.advance(3)
    session.show(demo(), Path("runs/x"))
    out, err = capsys.readouterr()
    assert "87.4 [85.8, 89.0]" in out
    assert "taken from" not in out
    assert err.splitlines()[0] == "teacher: taken from the run folder"
    assert "runs/x" in err


def test_logs_name_their_library_and_keep_libraries_quiet_except_warnings() -> None:
    file = io.StringIO()
    configure_logging("normal", Console(file=file))
    logging.getLogger("hfcompress.prune").info("pruned 3 [x]")
    logging.getLogger("hfcompress.prune").debug("no")
    logging.getLogger("urllib3").info("no")
    logging.getLogger("datasets.load").warning("old cache")
    assert lines_of(file) == ["pruned 3 [x]", "warning: datasets: old cache"]


def test_a_library_that_brought_its_own_handler_is_adopted_when_a_bar_opens() -> None:
    file, own = io.StringIO(), io.StringIO()
    console = Console(file=file)
    configure_logging("normal", console)
    library = logging.getLogger("transformers")
    library.addHandler(logging.StreamHandler(own))
    library.propagate = False
    library.setLevel(logging.WARNING)
    with LineProgress(console, Clock()).bar("x", 1) as bar:
        logging.getLogger("transformers.modeling").warning("careful")
        bar.advance()
    assert own.getvalue() == ""
    assert lines_of(file)[0] == "warning: transformers: careful"


def test_without_a_command_libraries_keep_their_handlers() -> None:
    handler = logging.NullHandler()
    logger = logging.getLogger("evaluate")
    logger.addHandler(handler)
    adopt_library_logs()
    assert handler in logger.handlers
    logger.removeHandler(handler)


def test_a_warning_of_python_is_one_line() -> None:
    file = io.StringIO()
    configure_logging("normal", Console(file=file))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("it is old", UserWarning, stacklevel=1)
    (line,) = lines_of(file)
    assert line.startswith("warning: Python: ")
    assert line.endswith("UserWarning: it is old")


def test_a_session_leaves_logging_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    before = list(logging.getLogger().handlers)
    with Session("human"):
        assert logging.getLogger().handlers != before
    assert logging.getLogger().handlers == before


def test_a_reader_that_goes_away_ends_the_tables_in_silence() -> None:
    code = (
        "from hfcompress.cli.console import Session\n"
        "from tests.report.examples import demo\n"
        "for _ in range(20): Session('human').show(demo())\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
