"""Tables, character by character."""

from __future__ import annotations

from ffnn_xp._lib.text import pair_html, pair_lines, table_html, table_lines


def test_values_begin_in_one_column_unless_a_key_is_too_long() -> None:
    lines = pair_lines([("EDM", "1e-5"), ("", "more"), ("a key of many words", "x")])
    assert lines == ["  EDM          1e-5", "               more", "  a key of many words x"]


def test_cells_are_aligned_to_the_right() -> None:
    assert table_lines([("layer", "n"), ("L1 -> L2", "16")]) == ["     layer   n", "  L1 -> L2  16"]


def test_html_is_escaped() -> None:
    words, number = (f'style="text-align:{side};padding:0.1em 0.7em"' for side in ("left", "right"))
    assert pair_html([("a", "<1")]) == f"<table><tr><th {words}>a</th><td {words}>&lt;1</td></tr></table>"
    assert table_html([("a", "b"), ("<", "1")]) == (
        f"<table><tr><th {number}>a</th><th {number}>b</th></tr>"
        f"<tr><td {number}>&lt;</td><td {number}>1</td></tr></table>"
    )
