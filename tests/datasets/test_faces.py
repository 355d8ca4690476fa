from __future__ import annotations

import itertools
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scsalient import datasets, images
from scsalient.datasets._face_accessories import STYLES
from scsalient.datasets._face_head import Look, draw_head
from scsalient.datasets._face_sketch import Pose

BOTH = ("glasses", "hat")
ALL_STYLES = [(kind, style) for kind, styles in STYLES.items() for style in styles]


def make_faces(**kwargs):
    return datasets.faces(**{"n_target": 30, "n_background": 20, "progressbar": False} | kwargs)


def draw(look=None, style=None, image_size=64):
    sketch = draw_head(image_size, look or Look())
    if style is not None:
        STYLES[style[0]][style[1]](sketch)
    return sketch.finish().astype(float)


@pytest.fixture(scope="module")
def sample():
    return datasets.faces(n_target=300, n_background=300, attribute=BOTH, progressbar=False)


def test_faces_are_images(sample):
    pixels = images.from_anndata(sample)
    assert pixels.shape == (600, 64, 64, 3)
    assert pixels.dtype == np.uint8
    assert images.describe(sample).value_range == (0, 255)


def test_only_target_faces_wear_something(sample):
    obs = sample.obs
    background = (obs["condition"] == "background").to_numpy()
    assert background.tolist() == [False] * 300 + [True] * 300
    for column in ("accessory", "accessory_style"):
        assert ((obs[column] == "none") == background).all()
    for kind, styles in STYLES.items():
        assert set(obs.loc[obs["accessory"] == kind, "accessory_style"]) == set(styles)


def test_factors_are_alike_in_both_groups(sample):
    obs = sample.obs
    target = obs["condition"] == "target"
    for column in obs.columns.difference(["condition", "accessory", "accessory_style"]):
        if obs[column].dtype == "category":
            p = stats.chi2_contingency(pd.crosstab(obs[column], obs["accessory"])).pvalue
        else:
            p = stats.ks_2samp(obs.loc[target, column], obs.loc[~target, column]).pvalue
        assert p > 1e-3, column


def test_categories_follow_the_numbers(sample):
    obs = sample.obs
    assert obs.groupby("skin", observed=True)["skin_tone"].max()["light"] < 1 / 3
    assert obs.groupby("skin", observed=True)["skin_tone"].min()["dark"] >= 2 / 3
    turn = obs.groupby("pose", observed=True)["turn"]
    assert turn.max()["left"] < -20 < -10 <= turn.min()["front"]
    assert turn.max()["front"] <= 10 < 20 < turn.min()["right"]
    assert stats.chisquare(obs["pose"].value_counts()).pvalue > 1e-3


def test_skin_tone_and_backdrop_show(sample):
    pixels = images.from_anndata(sample).astype(float)
    tone = sample.obs["skin_tone"].to_numpy()
    cheeks = pixels[:, 38:44, 26:38].mean(axis=(1, 2, 3))
    assert np.corrcoef(cheeks, tone)[0, 1] < -0.9
    corner = pixels[:, 2:6, 2:6].mean(axis=(1, 2))
    means = {b: corner[sample.obs["backdrop"] == b] for b in sample.obs["backdrop"].cat.categories}
    for one, other in itertools.combinations(means.values(), 2):
        spread = np.linalg.norm(one - one.mean(0), axis=1).max()
        assert np.linalg.norm(one.mean(0) - other.mean(0)) > spread


def test_faces_follow_the_seed():
    one, two, other = make_faces(seed=1), make_faces(seed=1), make_faces(seed=2)
    assert (one.X == two.X).all()
    pd.testing.assert_frame_equal(one.obs, two.obs)
    assert (one.X != other.X).any()


def test_style_shares_are_met_exactly():
    found = make_faces(n_target=20, style_shares={"round": 3, "square": 1}).obs["accessory_style"]
    assert found.value_counts().to_dict() == {"none": 20, "round": 15, "square": 5}
    found = make_faces(n_target=32, attribute=BOTH).obs["accessory_style"].value_counts()
    assert set(found.drop("none")) == {5, 6}
    assert found.drop("none").sum() == 32


@pytest.mark.parametrize("style", ALL_STYLES, ids=lambda s: s[1])
@pytest.mark.parametrize("turn", [-40, 0, 40])
def test_an_accessory_changes_its_place_only(style, turn):
    look = Look(pose=Pose(turn=turn))
    changed = np.abs(draw(look, style) - draw(look)).max(axis=2) > 8
    assert changed.mean() > 0.02
    rows = np.flatnonzero(changed.any(axis=1))
    if style[0] == "glasses":
        assert 26 <= rows.min()
        assert rows.max() <= 43
    else:
        assert rows.max() <= 33
    assert not changed[44:].any()


def test_styles_look_different():
    drawn = [draw(style=style) for style in ALL_STYLES]
    for one, other in itertools.combinations(drawn, 2):
        assert (np.abs(one - other).max(axis=2) > 40).mean() > 0.01


@pytest.mark.parametrize(
    "change",
    [
        {"skin_tone": 0.9},
        {"backdrop": "rose"},
        {"hair_style": "long"},
        {"hair_style": "curly"},
        {"hair_style": "parted"},
        {"hair_colour": "blond"},
        {"expression": "laugh"},
        {"expression": "smile"},
    ],
)
def test_every_factor_shows(change):
    different = np.abs(draw(replace(Look(), **change)) - draw()).max(axis=2) > 20
    assert different.mean() > 0.004


def test_the_head_moves_as_told():
    def face_columns(pose):
        other = draw(Look(skin_tone=1.0, pose=pose))
        bare = draw(Look(skin_tone=0.0, pose=pose))
        y, x = np.nonzero(np.abs(other - bare).max(axis=2) > 40)
        return x.mean(), y.mean(), len(x)

    x, y, area = face_columns(Pose())
    moved = face_columns(Pose(shift_x=0.05, shift_y=0.03))
    assert moved[0] - x == pytest.approx(0.05 * 64, abs=0.5)
    assert moved[1] - y == pytest.approx(0.03 * 64, abs=0.7)
    assert face_columns(Pose(scale=0.8))[2] < 0.8 * area
    # A head that tilts clockwise has its hat to the right of the unmoved one.
    hat = [np.abs(draw(Look(pose=p), ("hat", "cap")) - draw(Look(pose=p))).max(axis=2) > 60
           for p in (Pose(), Pose(tilt=12))]  # fmt: skip
    middle = [np.nonzero(h)[1].mean() for h in hat]
    assert middle[1] > middle[0] + 1


def test_turned_faces_mirror_each_other():
    def eyes(turn):
        tinted = np.abs(
            draw(Look(pose=Pose(turn=turn)), ("glasses", "sunglasses"))
            - draw(Look(pose=Pose(turn=turn)))
        )
        return np.nonzero(tinted.max(axis=2) > 60)[1].mean() - 31.5

    assert eyes(25) == pytest.approx(-eyes(-25), abs=0.7)
    assert eyes(25) > 2


def test_a_turned_head_is_turned_as_a_whole():
    def columns(turn, rows, **change):
        """Mean column of what a change of the look shows in some rows."""
        look = Look(skin_tone=0.0, pose=Pose(turn=turn))
        different = np.abs(draw(look) - draw(replace(look, **change))).max(axis=2) > 40
        return np.nonzero(different[rows])[1].mean()

    mouth = {"rows": slice(44, 54), "expression": "laugh"}
    neck = {"rows": slice(57, 60), "skin_tone": 1.0}
    assert columns(35, **mouth) - columns(-35, **mouth) > 10
    assert columns(-35, **neck) - columns(35, **neck) > 3
    back = {"rows": slice(30, 40), "hair_style": "curly"}
    assert columns(-35, **back) - columns(35, **back) > 3


def test_larger_images_show_the_same_face():
    small = draw(image_size=32)
    large = draw(image_size=128).reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
    assert np.abs(small - large).mean() < 3


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_target": 0}, "`n_target` should be an integer of at least 1"),
        ({"attribute": "beard"}, r"`attribute` should be one or several of \['glasses', 'hat'\]"),
        ({"attribute": []}, "`attribute` should be one or several"),
        ({"attribute": ["hat", "hat"]}, "`attribute` should be one or several"),
        ({"style_shares": {"cap": 1}}, r"found \['cap'\]"),
        ({"style_shares": {"round": -1}}, r"`style_shares\['round'\]` should be a"),
        ({"style_shares": {"round": 0}}, "should have a positive sum"),
        ({"image_size": 8}, "`image_size` should be an integer from 16 to 1024"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make_faces(**kwargs)


def test_missing_pillow(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r"pip install \"\.\[images\]\"` in a clone"):
        make_faces()
