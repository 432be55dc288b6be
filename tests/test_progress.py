import io

from rich.console import Console

from rankshift import progress


def test_a_terminal_gets_bars_with_the_time_left():
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with progress.watch_run(console) as watch:
        watch.begin("steps", 10)
        watch.begin("answers", 4)
        watch.advance("steps", 10)
        watch.advance("answers", 1)
    assert "10/10" in screen.getvalue()
    assert "1/4" in screen.getvalue()
    assert "left" in screen.getvalue()


def test_a_log_gets_plain_lines_and_not_too_many(monkeypatch):
    screen = io.StringIO()
    now = [100.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    with progress.watch_run(Console(file=screen, force_terminal=False, width=100)) as watch:
        watch.begin("steps", 100)
        watch.begin("answers", 0)
        for _ in range(100):
            now[0] += 1.0
            watch.advance("steps", 1)
    lines = screen.getvalue().splitlines()
    assert len(lines) == 100 // 16
    assert lines[0] == "training (arm-steps) 16/100"
