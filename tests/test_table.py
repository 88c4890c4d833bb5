"""Tables: columns found from a DataFrame, what a model is given of them, and what comes back."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.models.table_vae import table_vae
from zoo.observations import Table
from zoo.serving import check, export
from zoo.serving.runtime import Session

pd = pytest.importorskip("pandas")


def a_table(num_rows=40):
    generator = np.random.default_rng(0)
    job = generator.choice(["cook", "pilot", "vet"], num_rows)
    frame = pd.DataFrame(
        {
            "age": generator.integers(18, 90, num_rows),
            "net-wage": generator.lognormal(7, 1, num_rows),
            "Größe": generator.normal(170, 10, num_rows),
            "job": job,
            "grade": pd.Categorical(
                generator.choice(["low", "high"], num_rows), ["low", "mid", "high"], ordered=True
            ),
            "smokes": generator.random(num_rows) < 0.3,
            "ill": generator.integers(0, 2, num_rows),
            "since": pd.Timestamp("2020-01-01")
            + pd.to_timedelta(generator.integers(0, 900, num_rows), unit="D"),
            "country": "FR",
        }
    )
    frame.loc[::7, "Größe"] = np.nan
    frame.loc[::9, "job"] = None
    frame.loc[::11, "since"] = pd.NaT
    return frame


FOUND = {
    "age": "real",
    "net-wage": "real",
    "Größe": "real",
    "job": "category",
    "grade": "category",
    "smokes": "binary",
    "ill": "binary",
    "since": "date",
    "country": "constant",
}


def test_columns_are_found_from_their_values():
    table = Table.of(a_table())
    assert {field.name: field.kind for field in table.fields} == FOUND
    assert table.columns == [
        *("real", "real", "real"),
        *(("class", 3), ("class", 3), "binary", "binary", "real"),
    ]


def test_real_columns_are_standardized_by_what_was_seen():
    frame = a_table()
    rows = Table.of(frame).check(frame)["table"]
    seen = frame["Größe"].to_numpy()
    expected = (seen - np.nanmean(seen)) / np.nanstd(seen)
    np.testing.assert_allclose(rows[:, 2], expected, rtol=1e-5, atol=1e-6)
    assert np.isnan(rows[::9, 3]).all() and np.isnan(rows[::11, 7]).all()


@pytest.mark.parametrize("transform", ["standardize", "quantile", "modes"])
def test_rows_come_back_as_they_were(transform):
    frame = a_table().dropna().reset_index(drop=True)
    table = Table.of(frame, transform=transform)
    again = table.to_user(table.check(frame)["table"])
    assert list(again.columns) == list(frame.columns)
    assert again.dtypes.to_dict() == frame.dtypes.to_dict()
    for name in frame:
        if frame[name].dtype.kind == "f":
            np.testing.assert_allclose(again[name], frame[name], rtol=1e-4)
        else:
            pd.testing.assert_series_equal(again[name], frame[name])


def test_quantiles_become_normal():
    values = np.random.default_rng(1).lognormal(0, 2, 1000)
    table = Table.of({"x": values}, transform="quantile")
    rows = table.check({"x": values})["table"][:, 0]
    # The i-th of N sorted values is the quantile (i + 1/2) / N.
    from scipy import stats

    inner = slice(50, -50)
    expected = stats.norm.ppf((np.arange(1000) + 0.5) / 1000)
    np.testing.assert_allclose(np.sort(rows)[inner], expected[inner], atol=0.05)


def test_modes_tell_a_class_and_a_place_within_it():
    generator = np.random.default_rng(2)
    values = np.where(generator.random(500) < 0.5, -10.0, 10.0) + generator.normal(size=500)
    table = Table.of({"x": values}, {"x": "modes"})
    (kind, _), real = table.columns
    assert kind == "class" and real == "real"
    mode, place = table.check({"x": values})["table"].T
    assert len(set(mode[values < 0]) & set(mode[values > 0])) == 0
    assert np.abs(place).max() < 2  # within 8 standard deviations of its mode


def test_kinds_can_be_named():
    frame = pd.DataFrame(
        {"visits": [0, 3, 9, 2], "size": [0.5, 2.0, 9.0, 1.0], "code": [7, 8, 9, 7]}
    )
    kinds = {"visits": "count", "size": "positive", "code": "category"}
    table = Table.of(frame, kinds)
    assert table.columns == ["count", "positive", ("class", 3)]
    rows = table.check(frame)["table"]
    np.testing.assert_allclose(rows[:, 0], frame["visits"])
    np.testing.assert_allclose(rows[:, 1], frame["size"] / frame["size"].mean())
    np.testing.assert_allclose(rows[:, 2], [0, 1, 2, 0])


def test_what_comes_back_stays_within_the_values_of_the_data():
    frame = pd.DataFrame({"x": [1.5, 2.5, 3.25], "n": [4, 6, 5]})
    again = Table.of(frame).to_user(np.array([[99.0, -99.0], [-99.0, 0.6]]))
    assert again["x"].tolist() == [3.25, 1.5]
    assert again["n"].tolist() == [4, 5]


def test_a_file_a_dict_and_a_frame_mean_the_same(tmp_path):
    frame = a_table().drop(columns=["since"])
    table = Table.of(frame)
    expected = table.check(frame)["table"]
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_parquet(tmp_path / "rows.parquet")
    columns = {name: frame[name].tolist() for name in frame}
    for data in (tmp_path / "rows.csv", str(tmp_path / "rows.parquet"), columns):
        np.testing.assert_allclose(table.check(data)["table"], expected, rtol=1e-6)
    assert Table.of(tmp_path / "rows.parquet") == table


@pytest.fixture(scope="module")
def model():
    frame = a_table()
    model = table_vae(zoo.Table.of(frame), hidden_units=(8,), latent_dim=2)
    model.start_at_data(frame)
    model.compile("adam", jit_compile=False)
    model.fit(frame, batch_size=20, epochs=2, verbose=0)
    return model


def test_a_model_of_a_table_takes_and_gives_frames(model, tmp_path):
    frame = a_table()
    expected = model.log_prob(frame, 4)
    columns = {name: frame[name].tolist() for name in frame}
    np.testing.assert_array_equal(model.log_prob(columns, 4), expected)
    np.testing.assert_array_equal(model.log_prob({"table": frame}, 4), expected)
    drawn = model.sample(5, seed=3)
    assert list(drawn.columns) == list(frame.columns) and len(drawn) == 5
    assert drawn["country"].tolist() == ["FR"] * 5
    pd.testing.assert_frame_equal(drawn[:2], model.sample(2, seed=3))
    assert len(model.reconstruct(frame)) == len(frame)
    assert model.predict(frame, verbose=0).shape == (40, 8)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.observation == model.observation
    np.testing.assert_array_equal(loaded.log_prob(frame, 4), expected)


def test_rows_of_which_some_columns_are_given(model):
    drawn = model.sample_given(600, {"job": "vet"}, seed=1)
    assert set(drawn["job"]) == {"vet"}
    pd.testing.assert_frame_equal(drawn[:3], model.sample_given(3, {"job": "vet"}, seed=1))
    # Those of all rows that happen to have it are distributed alike.
    happen = model.sample(3000, seed=2)
    happen = happen[happen["job"] == "vet"]
    for name in ("age", "Größe", "ill"):
        a, b = (rows[name].astype(float) for rows in (drawn, happen))
        error = np.sqrt(a.var() / len(a) + b.var() / len(b))
        assert abs(a.mean() - b.mean()) < 4 * error
    for given, message in (
        ({"name": "x"}, "must hold values of some of the columns.*Received: given={'name': 'x'}"),
        ({}, "Received: given={}"),
        ({"job": "astronaut"}, "Received: 'astronaut'"),
    ):
        with pytest.raises(ValueError, match=message):
            model.sample_given(3, given)
    vector = zoo.VAE(
        encoder=zoo.networks.MLP([2], 2),
        decoder=zoo.networks.MLP([2], 1),
        posterior=zoo.layers.DiagonalNormal(1),
        likelihood=zoo.layers.Normal(1),
    )
    with pytest.raises(ValueError, match="Received: VAE of vectors"):
        vector.sample_given(3, {"x": 1.0})


def test_a_stream_of_columns_trains_as_the_frame_does(model):
    frame = a_table().drop(columns=["since", "Größe"]).dropna()
    table = Table.of(frame)
    columns = {name: frame[name].to_numpy() for name in frame if name != "country"}
    columns["grade"] = columns["grade"].astype(str)
    columns["job"] = columns["job"].astype(str)
    stream = tf.data.Dataset.from_tensor_slices(columns).batch(16)
    histories = []
    for data in (frame, stream):
        keras.utils.set_random_seed(0)
        model = table_vae(table, hidden_units=(4,), latent_dim=1)
        model.compile("adam", jit_compile=False)
        size = None if data is stream else 16
        history = model.fit(data, batch_size=size, epochs=1, shuffle=False, verbose=0).history
        histories.append(history)
    assert histories[0]["loss"] == pytest.approx(histories[1]["loss"], rel=1e-5)


def test_an_exported_model_takes_raw_values_by_name(model, tmp_path):
    directory = export(model, tmp_path / "rows")
    problems = [finding for finding in check(directory) if finding.problem]
    assert not problems
    frame = a_table()[:4]
    inputs = {
        "age": frame["age"].to_numpy(np.float32),
        "net_wage": frame["net-wage"].to_numpy(np.float32),
        "Groe": frame["Größe"].to_numpy(np.float32),
        "job": frame["job"].fillna("").to_numpy().astype(bytes),
        "grade": frame["grade"].astype(str).to_numpy().astype(bytes),
        "smokes": frame["smokes"].to_numpy(np.float32),
        "ill": frame["ill"].to_numpy(np.float32),
        "since": ((frame["since"] - pd.Timestamp(0)) / pd.Timedelta(days=1)).to_numpy(np.float32),
    }
    with Session(directory) as session:
        answer = session.run("reconstruct", inputs)
        seeds = np.stack([np.full(4, 3), np.arange(4)], axis=-1).astype(np.int32)
        drawn = session.run("sample", {"seed": seeds})
    expected = model.reconstruct(frame)
    np.testing.assert_array_equal(
        answer["reconstruction.job"].astype(str), expected["job"].astype(str)
    )
    np.testing.assert_allclose(answer["reconstruction.net_wage"], expected["net-wage"], rtol=1e-4)
    np.testing.assert_array_equal(answer["reconstruction.age"], expected["age"])
    sample = model.sample(4, seed=3)
    np.testing.assert_array_equal(drawn["sample.grade"].astype(str), sample["grade"].astype(str))
    np.testing.assert_allclose(drawn["sample.Groe"], sample["Größe"], rtol=1e-4)


def test_a_category_that_was_never_seen(model):
    frame = a_table()[:2].assign(job=["astronaut", "vet"])
    with pytest.raises(ValueError, match="'job' must hold one of 'cook'.*Received: 'astronaut'"):
        model.log_prob(frame)
    table = Table.of(a_table(), unknown="missing")
    assert np.isnan(table.check(frame)["table"][0, 3])
    served = {name: tf.constant([1.0]) for name in table.spec()}
    served |= {"job": tf.constant(["astronaut"]), "grade": tf.constant(["low"])}
    data = table.as_tensors(table.of_served(served))
    assert data["observed"].numpy()[0, 3] == 0


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"x": [1.0, 2.0], "y": [np.nan, np.nan]}, "'y' holds nothing"),
        ({"x": [1.0, np.inf]}, "'x' must hold finite numbers. Received: infinity"),
        ({"x": [1.0]}, "two rows or more. Received: 1"),
        ({"x": [1.0, 1.0]}, "All columns are constant"),
        ({"id": [f"row {i}" for i in range(50)]}, "'id' has 50 categories in 50 rows"),
        ({"seed": [1.0, 2.0]}, "cannot be called 'seed'"),
        ({"x": ["a", 1.0, "a"]}, "'x' must hold texts alone, or numbers alone"),
        ({"x": [1.0, 2.0], "y": [1.0]}, "columns of one length"),
        ([[1.0, 2.0], [3.0]], "A table is a DataFrame"),
    ],
)
def test_a_table_that_cannot_be_modelled_is_told_in_a_line(columns, message):
    with pytest.raises(ValueError, match=message):
        Table.of(columns)


def test_two_columns_of_one_name_are_refused():
    frame = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], columns=["x", "x"])
    with pytest.raises(ValueError, match="names of their own. Received: two of 'x'"):
        Table.of(frame)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"kinds": {"y": "real"}}, "names a column that there is not: 'y'"),
        ({"kinds": {"x": "text"}}, "Received: 'x': 'text'"),
        ({"kinds": {"x": "binary"}}, "'x' must hold values that are 0 or 1, or NaN. Received: 0.5"),
        ({"kinds": {"x": "count"}}, "'x' must hold values that are a whole number.*Received: 0.5"),
        ({"transform": "log"}, "Received: transform='log'"),
        ({"unknown": "drop"}, "Received: unknown='drop'"),
    ],
)
def test_columns_that_do_not_fit_their_kinds(arguments, message):
    with pytest.raises(ValueError, match=message):
        Table.of({"x": [0.5, 2.0, 3.0]}, **arguments)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda frame: frame.drop(columns="age"), "lacks the columns 'age'"),
        (lambda frame: frame.assign(age="old"), "'age' must hold numbers. Received: 'old'"),
        (lambda frame: frame.assign(since="soon"), "'since' must hold dates. Received: 'soon'"),
        (lambda frame: frame.assign(age=frame["since"]), "'age' must hold numbers. Received"),
        (lambda frame: frame.assign(ill=2), "'ill' must hold values that are 0 or 1"),
        (lambda frame: frame[:0], "There are no rows"),
        (lambda frame: np.ones([3, 2]), r"an array of numbers \[N, 9\]"),
    ],
)
def test_rows_that_do_not_fit_the_table(model, change, message):
    with pytest.raises(ValueError, match=message):
        model.log_prob(change(a_table()))


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("rows.xlsx", b"", "is a .csv or .parquet file"),
        ("rows.parquet", b"not", "cannot be read as a table"),
        ("rows.csv", b"", "cannot be read as a table"),
        (None, None, "There is no file"),
    ],
)
def test_files_that_are_no_tables(tmp_path, name, content, message):
    path = tmp_path / (name or "none.csv")
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Table.of(path)


def test_the_likelihood_must_have_the_table_s_columns():
    table = Table.of({"x": [0.5, 2.0], "y": [0, 1]})
    with pytest.raises(ValueError, match="must have the columns.*Received: \\['real', 'binary'\\]"):
        zoo.VAE(
            encoder=zoo.networks.MLP([4], 2),
            decoder=zoo.networks.MLP([4], 4),
            posterior=zoo.layers.DiagonalNormal(1),
            likelihood=zoo.layers.Columns(["normal", "normal"]),
            observation=table,
        )
