"""Lines fit a terminal, and what a user copies stays in one piece."""

import logging
from pathlib import Path

import pytest

from l2s_auto.core.folding import WIDTH, folded
from l2s_auto.core.messages import TerminalHandler
from l2s_auto.core.text_table import text_table

SENTENCE = (
    "Dice was measured on synthetic images: on real scans expect less, and look at some of them before you use it."
)


@pytest.mark.parametrize("start", ["", "Warning: ", "  - ", "      "])
def test_words_are_kept_in_their_order_and_lines_fit(start):
    text = folded(start + SENTENCE * 3)
    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert text.split() == (start + SENTENCE * 3).split()
    assert folded(text) == text


def test_short_text_is_left_as_it_is():
    table = "label        dice\nleft        0.500\n\n"
    assert folded(table) == table


@pytest.mark.parametrize(
    "piece",
    [
        "/data/a folder with spaces/" + "x" * 90,
        "l2s_predict -i IN -o OUT -m '/data/my runs/first one and its many words/that go on and on/run'",
    ],
)
def test_paths_and_commands_stay_whole(piece):
    for text in (f"Report of the training, which has ended: {piece}", f"Go on:\n  {piece}"):
        lines = folded(text, whole=[piece]).splitlines()
        assert any(line.strip() == piece for line in lines)
    if piece.startswith("l2s"):
        assert (
            piece in folded(f"Segment your scans, those of today and those of tomorrow, with: {piece}").splitlines()[-1]
        )


def test_a_quoted_path_stays_whole():
    path = "'/data/many words in a path/of a run that has a long name/fold_0'"
    assert path in folded(f"The weights of before are in {path}, which is not to be removed, ever, by anybody.")


def test_messages_of_the_log_are_folded_on_the_terminal(capsys):
    handler = TerminalHandler()
    path = Path("/data/a folder") / ("x" * 80)
    handler.emit(logging.makeLogRecord({"msg": SENTENCE + " It is in %s, as before.", "args": (path,)}))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 2 and any(str(path) in line for line in lines)
    assert all(len(line) <= WIDTH for line in lines if str(path) not in line)


def test_columns_that_do_not_fit_follow_below():
    headings = ["method", "cases", *(f"an appearance {n}" for n in range(8))]
    rows = [["learn2synth", "29", *(f"0.8{n} ± 0.010" for n in range(8))], ["supervised", "5", *["0.1"] * 8]]
    lines = text_table(headings, rows, kept=2).splitlines()
    assert all(len(line) <= WIDTH for line in lines)
    assert sum(line.startswith("learn2synth") for line in lines) == 3
    for n in range(8):
        assert sum(f"0.8{n} ± 0.010" in line for line in lines) == 1
    assert "\n\n" not in text_table(headings[:3], [row[:3] for row in rows], kept=2)
