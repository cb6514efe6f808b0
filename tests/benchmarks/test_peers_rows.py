"""Rows of the comparison: marked where wrong, merged by key, told as tables and a picture."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.peers.case import Case, cases
from benchmarks.peers.engines import ENGINES, PRECISIONS
from benchmarks.peers.judging import EXACT, allowed_error
from benchmarks.peers.plot import picture
from benchmarks.peers.rows import Absence, Results, Row, merged
from benchmarks.peers.table import BEGIN, END, PAGE, overview, questions, replaced, written
from benchmarks.peers.workloads import ROOT, WORKLOADS

ROW = Row(
    *("small", "lstm", "int8", 1, "treadle", "0.1"),
    p50_us=6.0,
    p99_us=8.0,
    error=0.05,
    allowed_error=0.3,
    argmax_agreement=0.97,
    floor_us=1.5,
    resident_mb=50.0,
)
OTHER = replace(ROW, engine="LiteRT", p50_us=5.0, error=0.9)
MACHINE = {"processor": "a processor", "cores": 2, "flags": ["avx2"]}


def test_an_answer_is_wrong_beyond_what_its_precision_explains() -> None:
    assert not ROW.wrong
    assert replace(ROW, error=0.31).wrong
    assert replace(ROW, error=float("nan")).wrong


def test_float32_has_to_choose_the_same_symbols() -> None:
    exact = replace(ROW, precision="fp32", error=1e-6, allowed_error=1e-3)
    assert exact.wrong
    assert not replace(exact, argmax_agreement=1.0).wrong


def test_a_row_is_the_median_over_its_rounds() -> None:
    rounds = [{"p50_us": p, "p99_us": 2 * p, "resident_mb": 10 + p} for p in (3.0, 9.0, 4.0)]
    ready = {"version": "1", "error": 0.123456, "argmax_agreement": 1.0}
    row = Row.of(ROW.key, ready, rounds, 0.5, None)
    assert (row.p50_us, row.p99_us, row.resident_mb, row.error) == (4.0, 8.0, 19.0, 0.1235)
    assert row.times_floor is None


def test_new_rows_take_the_place_of_old_ones() -> None:
    again = replace(ROW, p50_us=7.0)
    assert merged([ROW, OTHER], [again]) == [again, OTHER]


def test_results_survive_the_file(tmp_path: Path) -> None:
    absence = Absence("ncnn", "small", "lstm", "int8", "no such wheel")
    results = Results(MACHINE, [ROW], [absence], {"int8 1": 1e9}, "2026-11-30", 3)
    results.write(tmp_path / "results/peers.json")
    assert Results.read(tmp_path / "results/peers.json") == results


def test_what_is_measured_is_no_longer_absent() -> None:
    results = Results(MACHINE, [], [], {})
    results.add([], [Absence("treadle", "small", "lstm", "int8", "it was too early")])
    assert results.settled([ROW.key])
    assert not results.settled([OTHER.key])
    results.add([ROW], [])
    assert results.absent == []
    assert results.settled([ROW.key])


def test_tables_mark_what_is_wrong_and_what_is_best() -> None:
    table = overview([ROW, OTHER])
    assert "| treadle | int8 | **6.0** |" in table
    assert "| LiteRT | int8 | 5.0 ✗ |" in table
    assert "| *floor* | int8 | *1.5* |" in table


def test_the_page_keeps_what_stands_around_the_tables() -> None:
    results = Results(MACHINE, [ROW, OTHER], [], {}, "2026-11-30", 3)
    page = replaced(f"before\n{BEGIN}\nearlier tables\n{END}\nafter\n", written(results))
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "earlier tables" not in page
    assert "| treadle | int8 | 1 | 6.0 | 8.0 | 4.0 | 0.05 | 97 % | 50 |" in page
    with pytest.raises(ValueError, match="should have the markers"):
        replaced("nothing", "")


def test_the_page_of_the_repository_has_the_markers() -> None:
    assert replaced(PAGE.read_text(encoding="utf-8"), "").count(BEGIN) == 1


def test_every_file_of_benchmarks_says_what_it_is_about() -> None:
    lines = questions(ROOT / "benchmarks").splitlines()[4:]
    assert len(lines) >= len([*(ROOT / "benchmarks").glob("*.py")])
    assert [line for line in lines if line.endswith("|  |")] == []


def test_the_picture_has_a_dot_for_each_right_family() -> None:
    tree = ElementTree.fromstring(picture([ROW, OTHER]))
    titles = [title.text for title in tree.iter("{http://www.w3.org/2000/svg}title")]
    assert titles[1:] == ["treadle 4.0"]


def test_cases_are_those_that_an_engine_can_answer() -> None:
    every = [*cases(ENGINES.values(), WORKLOADS.values(), PRECISIONS, (1, 2))]
    assert len({case.key for case in every}) == len(every)
    assert all(Case.from_json(case.to_json()) == case for case in every)
    assert not [
        case for case in every if case.engine.name == "treadle pool" and case.workload.streams == 1
    ]
    screened = {case.workload.name for case in every if case.engine.name == "treadle screened head"}
    assert screened == {"medium", "large", "decoder", "streams"}


def test_what_a_precision_explains_follows_from_rounded_weights() -> None:
    reference = {"rounding_int8": 0.05, "rounding_int4": 1.0}
    assert allowed_error(reference, "fp32") == EXACT
    assert allowed_error(reference, "int8") == pytest.approx(0.2)
    assert allowed_error(reference, "int4") == pytest.approx(2.0)
