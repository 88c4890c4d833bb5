"""Tables by name, their recipe, and what the command line makes of them."""

import json

import numpy as np
import pytest

import zoo
from zoo import cli
from zoo.data import tables
from zoo.evaluation import synthesis
from zoo.observations import Table

pd = pytest.importorskip("pandas")


def test_parts_of_a_file_are_apart_and_whole(tmp_path):
    frame = pd.DataFrame({"x": np.arange(1000.0), "y": np.arange(1000) % 3})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    parts = {
        part: zoo.data.load(tmp_path / "rows.csv", part)["table"]
        for part in ("train", "validation", "test")
    }
    together = pd.concat(parts.values())["x"]
    assert sorted(together) == frame["x"].tolist()
    # 80, 10 and 10 % to 4 standard errors of a binomial share.
    for part, share in tables.PARTS.items():
        error = np.sqrt(share * (1 - share) / 1000)
        assert abs(len(parts[part]) / 1000 - share) < 4 * error
    assert len(zoo.data.load(tmp_path / "rows.csv", "all[:30%]")["table"]) == 300


def test_rows_that_are_added_leave_the_others_in_their_parts():
    frame = pd.DataFrame({"x": np.arange(500.0)})
    fewer, more = (tables.part_of(frame[:n], "t", "test")["table"]["x"] for n in (300, 500))
    assert fewer.tolist() == more[: len(fewer)].tolist()


def test_tables_by_name():
    cancer = zoo.data.load("breast_cancer", "all")["table"]
    assert cancer.shape == (569, 31) and cancer.columns[-1] == "target"
    assert zoo.data.sha256(cancer) == zoo.data.sha256(cancer.copy())
    frame = pd.DataFrame({"x": [1.0, 2.0]})
    assert zoo.data.load(frame, "all")["table"].equals(frame)


@pytest.mark.parametrize(
    "name, split, message",
    [
        ("wine", "holdout", "'wine' has no split 'holdout'"),
        ("none.csv", "train", "There is no file 'none.csv'"),
    ],
)
def test_tables_that_are_not_there(name, split, message):
    with pytest.raises(ValueError, match=message):
        zoo.data.load(name, split)


def test_a_file_that_is_downloaded_is_checked(tmp_path, monkeypatch):
    import pooch

    (tmp_path / "adult.csv").write_text("age\n1\n")
    with pytest.raises(ValueError, match="is not the file that is known by this name"):
        zoo.data.load("adult", "train", data_dir=tmp_path)
    asked = []

    def retrieve(url, known_hash, fname, path, progressbar):
        asked.append((url, known_hash, fname, path))
        raise OSError("no network")

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(ValueError, match="cannot be downloaded \\(no network\\). Put it there"):
        zoo.data.load("adult", "train", data_dir=tmp_path / "empty")
    assert asked == [(*tables.ADULT, "adult.csv", tmp_path / "empty")]


def test_a_file_that_nobody_prepared_trains_and_draws(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size in m": generator.normal(10, 2, 60),
            "colour": generator.choice(["red", "blue"], 60),
            "broken": generator.random(60) < 0.2,
        }
    )
    frame.loc[::6, "colour"] = None
    frame.to_csv("mine.csv", index=False)
    arguments = ["epochs=2", "hidden_units=(8,)", "latent_dim=2", "batch_size=16"]
    assert cli.main(["train", "table_vae", "--data", "mine.csv", *arguments]) == 0
    run = tmp_path / "runs" / "table_vae"
    assert (run / "marginals.png").is_file()
    assert json.loads((run / "run.json").read_text())["arguments"]["data"] == "mine.csv"
    assert cli.main(["sample", str(run), "-n", "7", "--out", "rows.csv"]) == 0
    drawn = pd.read_csv("rows.csv")
    assert list(drawn.columns) == list(frame.columns) and len(drawn) == 7
    assert set(drawn["colour"]) <= {"red", "blue"}
    pd.testing.assert_frame_equal(drawn, zoo.load(run).sample(7).astype(drawn.dtypes.to_dict()))
    assert cli.main(["evaluate", str(run), "--num-samples", "5", "--json", "numbers.json"]) == 0
    number = json.loads((tmp_path / "numbers.json").read_text())["numbers"]["nll"]
    assert "stderr_examples" in number and "stderr_images" not in number
    given = ["-n", "3", "--given", "colour=red", "--out", "red.csv"]
    assert cli.main(["sample", str(run), *given]) == 0
    assert pd.read_csv("red.csv")["colour"].tolist() == ["red"] * 3
    capsys.readouterr()
    frame.loc[3, "size in m"] = 90.0
    frame.to_csv("new.csv", index=False)
    assert cli.main(["detect", str(run), "new.csv", "--out", "scores.csv"]) == 0
    scores = pd.read_csv("scores.csv")
    assert list(scores) == ["score", "p_value", "is_anomaly", "because"] and len(scores) == 60
    assert scores["score"].idxmax() == 3 and scores["because"][3].startswith("size in m (+")
    assert "row 3: " in capsys.readouterr().out
    assert cli.main(["impute", str(run), "new.csv", "--num-samples", "20", "--out", "f.csv"]) == 0
    assert "10 gaps of 60 rows are filled." in capsys.readouterr().out
    filled = pd.read_csv("f.csv")
    assert filled["colour"].notna().all()
    seen = frame["colour"].notna()
    assert filled["colour"][seen].equals(frame["colour"][seen])
    for command, message in (
        (["detect", "vae_digits", "new.csv"], "Rows are taken by models of tables"),
        (["detect", str(run), "none.csv"], "There is no file 'none.csv'"),
        (["detect", str(run), "new.csv", "--false-alarms", "2"], "Received: false_alarm_rate=2.0"),
        (["impute", str(run), "new.csv", "--out", "f.txt"], "Received: --out f.txt"),
        (["sample", str(run), "--given", "colour"], "Received: --given colour"),
        (["sample", str(run), "--given", "size in m=big"], "Received: --given size in m=big"),
    ):
        assert cli.main(command) == 2
        assert message in capsys.readouterr().err
    assert cli.main(["sample", str(run), "--out", "rows.png"]) == 2
    assert "Rows are written as .csv or .parquet. Received: --out rows.png" in (
        capsys.readouterr().err
    )
    assert cli.main(["sample", "vae_digits", "--out", "rows.csv"]) == 2
    assert "Rows are drawn by models of tables. Received: a model of images" in (
        capsys.readouterr().err
    )


# -- Synthetic rows

TABLE = pd.DataFrame(
    {
        "x": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
        "y": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.5],
        "c": ["a", "a", "b", "b", "a", "b", "a", "b"],
    }
)


def test_a_table_is_like_itself():
    alike = synthesis.similarity(Table.of(TABLE), TABLE, TABLE)
    assert alike["column_similarity"] == alike["pair_similarity"] == 1.0
    assert alike["by_column"] == {"x": 1.0, "y": 1.0, "c": 1.0}


def test_similarities_by_hand():
    other = TABLE.assign(x=TABLE["x"] + 4.0, y=-TABLE["y"].to_numpy(), c=["a"] * 6 + ["b"] * 2)
    alike = synthesis.similarity(Table.of(TABLE), TABLE, other)
    # Half of the shifted values lie above all of the others; -y meets y at 0 alone.
    assert alike["by_column"]["x"] == pytest.approx(1 - 4 / 8)
    assert alike["by_column"]["y"] == pytest.approx(1 - 7 / 8)
    # Shares (1/2, 1/2) and (3/4, 1/4).
    assert alike["by_column"]["c"] == pytest.approx(1 - 1 / 4)
    correlation = np.corrcoef(TABLE["x"], TABLE["y"])[0, 1]
    pair = synthesis._pair(
        *({name: np.asarray(rows[name], float) for name in "xy"} for rows in (TABLE, other)),
        *Table.of(TABLE[["x", "y"]]).fields,
    )
    assert pair == pytest.approx(1 - abs(correlation + correlation) / 2)


def test_classifiers_learn_what_the_rows_tell():
    generator = np.random.default_rng(0)
    x = generator.normal(size=400)
    real = pd.DataFrame({"x": x, "y": np.where(x > 0, "yes", "no")})
    table = Table.of(real)
    f1 = synthesis.machine_learning_f1(table, real[:200], real[200:], "y", "yes")
    assert f1["mean"] > 0.85 and len(f1) == 5
    reversed_ = real.assign(y=np.where(x > 0, "no", "yes"))
    assert synthesis.machine_learning_f1(table, reversed_, real, "y", "yes")["mean"] < 0.2
    with pytest.raises(ValueError, match="Received: target='z'"):
        synthesis.machine_learning_f1(table, real, real, "z", "yes")


def test_distances_to_the_closest_row():
    table = Table.of(TABLE)
    rows = TABLE[:2].assign(c=["a", "b"])
    distances = synthesis.closest_distances(table, rows, TABLE)
    assert distances[0] == 0.0
    # The nearest row differs in its category, or by one step in x and y.
    step = (1 / TABLE["x"].std(ddof=0) + 1 / TABLE["y"].std(ddof=0)) / 3
    assert distances[1] == pytest.approx(min(1 / 3, step))
