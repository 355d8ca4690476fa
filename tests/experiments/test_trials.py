"""Trials are run once, kept as they come, and found again."""

from __future__ import annotations

import functools
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import scvi
from tqdm import tqdm

from factories import count_and_double
from scsalient import experiments
from scsalient.experiments import _trials
from scsalient.experiments._trials import fingerprint, run_trials, trial_key


def draw(_settings: Any) -> dict[str, Any]:
    return {"drawn": float(np.random.rand()), "seed_inside": scvi.settings.seed}  # noqa: NPY002


def some(*xs: int, **more: Any) -> list[dict[str, Any]]:
    return [{"x": x, "seed": 0} | more for x in xs]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_results_come_in_the_order_of_the_trials(tmp_path, n_jobs):
    results = run_trials(
        functools.partial(count_and_double, tmp_path),
        some(3, 1, 2),
        csv=tmp_path / "out" / "t.csv",
        n_jobs=n_jobs,
    )
    assert results.table["double"].tolist() == [6, 2, 4]
    assert results.table["only_large"].isna().tolist() == [False, True, False]
    np.testing.assert_array_equal(results.arrays(some(2)[0])["values"], [2, 2])
    written = pd.read_csv(tmp_path / "out" / "t.csv")
    assert sorted(written["double"]) == [2, 4, 6]
    assert set(written) == {"trial", "x", "seed", "double", "only_large", "seconds"}


def test_finished_trials_are_not_run_again(tmp_path):
    function = functools.partial(count_and_double, tmp_path)
    csv = tmp_path / "t.csv"
    run_trials(function, some(1), csv=csv)
    # `touch(exist_ok=False)` would fail if the first trial ran once more
    results = run_trials(function, some(1, 2, 3), csv=csv)
    assert results.table["double"].tolist() == [2, 4, 6]
    assert len(pd.read_csv(csv)) == 3
    assert run_trials(function, some(3), csv=csv).table["double"].tolist() == [6]


def test_where_nothing_is_left_to_run_it_says_so_and_shows_no_bar(tmp_path, monkeypatch, capsys):
    function = functools.partial(count_and_double, tmp_path)
    csv = tmp_path / "t.csv"
    # As outside of the tests
    monkeypatch.setattr(_trials, "tqdm", functools.partial(tqdm, disable=False))
    run_trials(function, some(1, 2), csv=csv)
    assert "2/2" in capsys.readouterr().err
    run_trials(function, some(1, 2), csv=csv)
    expected = f"Nothing to run: '{csv}' has all 2 trials already.\n"
    assert capsys.readouterr().err == expected


def test_what_was_done_before_an_error_is_kept(tmp_path):
    function = functools.partial(count_and_double, tmp_path)
    csv = tmp_path / "t.csv"
    with pytest.raises(RuntimeError, match="as asked"):
        run_trials(function, some(1, 2, fails_at=2), csv=csv)
    assert pd.read_csv(csv)["x"].tolist() == [1]


def test_a_line_that_was_cut_off_is_dropped(tmp_path):
    function = functools.partial(count_and_double, tmp_path)
    csv = tmp_path / "t.csv"
    run_trials(function, some(1, 2), csv=csv)
    csv.write_text(csv.read_text()[:-9])
    (tmp_path / "ran_2_0").unlink()
    results = run_trials(function, some(1, 2), csv=csv)
    assert results.table["double"].tolist() == [2, 4]
    assert len(pd.read_csv(csv)) == 2


def test_a_table_of_something_else_is_left_alone(tmp_path):
    csv = tmp_path / "t.csv"
    csv.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="should be a table of trials"):
        run_trials(draw, some(1), csv=csv)
    assert csv.read_text() == "a,b\n1,2\n"


def test_the_seed_decides_and_is_put_back(tmp_path):
    settings = [{"x": x, "seed": seed} for x, seed in [(0, 1), (1, 1), (0, 2)]]
    drawn = run_trials(draw, settings, csv=tmp_path / "t.csv").table
    assert drawn["drawn"][0] == drawn["drawn"][1] != drawn["drawn"][2]
    assert drawn["seed_inside"].tolist() == [1, 1, 2]
    assert scvi.settings.seed is None


def test_key_depends_on_every_setting_but_not_on_their_order():
    assert trial_key({"a": 1, "b": 2}) == trial_key({"b": np.int64(2), "a": 1})
    keys = {trial_key(s) for s in ({"a": 1}, {"a": 2}, {"b": 1}, {"a": 1, "b": None})}
    assert len(keys) == 4


def test_a_backend_that_gives_all_at_the_end(tmp_path):
    function = functools.partial(count_and_double, tmp_path)
    with joblib.parallel_config(backend="multiprocessing"):
        results = run_trials(function, some(1, 2, 3), csv=tmp_path / "t.csv", n_jobs=2)
    assert results.table["double"].tolist() == [2, 4, 6]


@pytest.mark.parametrize("damage", ["remove", "cut"])
def test_a_trial_whose_arrays_are_gone_is_run_again(tmp_path, damage):
    function = functools.partial(count_and_double, tmp_path)
    csv = tmp_path / "t.csv"
    first = run_trials(function, some(1, 2), csv=csv)
    file = first.folder / f"{trial_key(some(1)[0])}.npz"
    file.unlink() if damage == "remove" else file.write_bytes(file.read_bytes()[:-30])
    run_trials(function, some(1, 2), csv=csv)
    (tmp_path / "ran_1_0").unlink()
    results = run_trials(function, some(1, 2), csv=csv, needs_arrays=True)
    np.testing.assert_array_equal(results.arrays(some(1)[0])["values"], [1, 1])
    assert len(pd.read_csv(csv)) == 2


@pytest.mark.parametrize("content", [b"\xff\xfe\n", b'trial,a\n"x,1\n2,3,4\n'])
def test_a_damaged_table_is_named(tmp_path, content):
    csv = tmp_path / "t.csv"
    csv.write_bytes(content)
    with pytest.raises(ValueError, match="t.csv' should be a table of trials, found otherwise"):
        run_trials(draw, some(1), csv=csv)


def test_runs_of_one_table_keep_the_trials_of_each_other(tmp_path):
    csv = tmp_path / "t.csv"

    def meanwhile(settings):
        if settings["x"] == 1:
            # What another run finishes in the meantime, with another column, one of them twice
            run_trials(lambda s: {"other": s["x"]}, some(2, 3), csv=csv)
        return draw(settings)

    results = run_trials(meanwhile, some(1, 2), csv=csv)
    table = pd.read_csv(csv)
    assert sorted(table["x"]) == [1, 2, 3]
    assert table["other"].notna().sum() == 2
    assert results.table["x"].tolist() == [1, 2]


def test_a_key_that_looks_like_a_number(tmp_path):
    seeds = (seed for seed in range(100_000) if is_number(trial_key({"seed": seed})))
    settings, n_run = [{"seed": next(seeds)}], 0

    def counted(_settings):
        nonlocal n_run
        n_run += 1
        return {"n": n_run}

    for _ in range(2):
        run_trials(counted, settings, csv=tmp_path / "t.csv")
    assert n_run == 1


def is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_results_among_the_data_would_count_as_data(tmp_path):
    with pytest.raises(ValueError, match="`output_dir` should be another folder than that of"):
        fingerprint(tmp_path, without=tmp_path / "." / "x" / "..")


def test_files_have_a_fingerprint(tmp_path):
    results = tmp_path / "results"
    name = functools.partial(fingerprint, tmp_path, without=results)
    (tmp_path / "a").write_text("one")
    before = name()
    assert name() == before
    # Neither results nor what other programmes leave
    results.mkdir()
    (results / "table.csv").write_text("1")
    (tmp_path / ".DS_Store").write_text("1")
    assert name() == before
    (tmp_path / "grass").mkdir()
    (tmp_path / "grass" / "b").write_text("two")
    after = name()
    (tmp_path / "a").write_text("ONE")
    assert len({before, after, name()}) == 3
    # The results around the data leave nothing out
    assert fingerprint(tmp_path / "grass", without=tmp_path) != fingerprint(
        results, without=tmp_path
    )


def test_numbers_come_back_to_the_last_bit_and_text_as_it_is(tmp_path):
    csv, settings = tmp_path / "table.csv", some(*range(40), method="NA")
    run = functools.partial(run_trials, draw, settings, csv=csv)
    first, again = run().table, run().table
    assert again["drawn"].tolist() == first["drawn"].tolist()
    assert again["method"].eq("NA").all()


@pytest.mark.parametrize("name", experiments.__all__)
def test_what_all_experiments_take_is_checked_before_anything_is_made(name, tmp_path):
    experiment = functools.partial(getattr(experiments, name), output_dir=tmp_path / "out")
    for argument, value, error in (
        ("trials", 0, ValueError),
        ("trials", 1.0, TypeError),
        ("seed", -1, ValueError),
        ("seed", 2**32 - 9, ValueError),
        ("seed", 0.5, TypeError),
        ("n_jobs", 0, ValueError),
        ("n_jobs", "2", TypeError),
        ("max_epochs", 0, ValueError),
    ):
        with pytest.raises(error, match=f"`{argument}` should be"):
            experiment(**{argument: value})
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").touch()
    with pytest.raises(NotADirectoryError, match="`output_dir` should be a folder, found the file"):
        experiment()
