"""Fixtures that several test files share."""

import importlib.util
import os
import shutil
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest

IMAGE_SHAPE = (4, 4, 1)
# Tests that start processes take longest. They go first, so that the other workers end no earlier
# than theirs.
FIRST = ("test_replicas", "test_training", "test_sweep", "test_cli")
# Long, and each of a kind that a quick test shows as well: `make test-all` runs them. File -> test,
# or test and its parameters.
SLOW = {
    "test_cells": [
        "test_a_model_of_cells_is_stored_verified_and_reported",
    ],
    "test_checks": [
        "test_damaged_and_missing_files_are_named",
        "test_every_way_to_break_an_export_is_named[compiled]",
    ],
    "test_cli": [
        "test_pictures_export_and_push",
    ],
    "test_colour": [
        "test_a_model_of_colours_trains_and_is_measured_in_bits[CategoricalLevels]",
    ],
    "test_columns": [
        "test_a_vae_of_columns_goes_the_way_of_every_other",
        "test_draws_have_the_distribution_function_of_scipy[xla]",
    ],
    "test_compiled": [
        "test_any_keras_optimizer_trains_in_a_block_as_it_does_eagerly[accumulation]",
        "test_any_keras_optimizer_trains_in_a_block_as_it_does_eagerly[adam, ema]",
        "test_any_keras_optimizer_trains_in_a_block_as_it_does_eagerly[adamw, clipnorm]",
        "test_any_keras_optimizer_trains_in_a_block_as_it_does_eagerly[rmsprop, global clipnorm]",
        "test_arrays_dicts_and_streams_are_the_same_data",
        "test_block_length_changes_nothing[3]",
        "test_callbacks_see_epochs_and_the_batches_of_each_call",
        "test_mixed_precision_trains_in_16_bits_and_scores_in_32[eager]",
        "test_mixed_precision_trains_in_16_bits_and_scores_in_32[tf-loop]",
        "test_regularization_losses_of_the_networks_count",
        "test_steps_per_epoch_and_validation_steps",
    ],
    "test_disentanglement": [
        "test_noise_knows_nothing",
    ],
    "test_estimators": [
        "test_every_argument_of_every_objective_changes_the_gradient",
    ],
    "test_evaluation": [
        "test_error_over_noise_is_what_new_seeds_do",
    ],
    "test_extras": [
        "test_what_needs_an_extra_says_which",
    ],
    "test_faults": [
        "test_a_failing_picture_leaves_a_finished_run",
    ],
    "test_fit": [
        "test_a_callback_that_asks_for_batches_gets_each",
        "test_evaluate_takes_streams_models_that_were_not_compiled_and_one_image",
        "test_log_prob_of_any_number_of_rows_and_samples_takes_few_programs",
        "test_penalties_are_in_the_loss_that_is_reported[xla]",
        "test_ragged_batches_compile_few_programs_and_train_as_batches_do",
    ],
    "test_house": [
        "test_a_keras_file_loads_in_a_process_that_has_imported_zoo_alone[keras]",
        "test_every_family_takes_a_step_and_serves[cvae_mnist]",
        "test_every_family_takes_a_step_and_serves[iwae_mnist_2layer]",
        "test_every_family_takes_a_step_and_serves[ssvae_mnist]",
        "test_wheel_holds_package_recipes_and_stored_models_and_no_tests",
    ],
    "test_inputs": [
        "test_python_that_brings_batches_trains_as_arrays_do",
    ],
    "test_ladder": [
        "test_a_ladder_learns_and_is_saved",
    ],
    "test_layers": [
        "test_contract[logistic mixture, colours]",
    ],
    "test_new_kinds": [
        "test_a_run_with_an_adversary_goes_on_to_the_same_bits_and_opens",
        "test_counts_are_those_of_scipy",
        "test_every_kind_goes_the_way_of_the_vae[beta-TCVAE]",
        "test_every_kind_goes_the_way_of_the_vae[colours]",
        "test_every_kind_goes_the_way_of_the_vae[counts]",
        "test_every_kind_goes_the_way_of_the_vae[ladder]",
        "test_every_kind_goes_the_way_of_the_vae[levels]",
        "test_every_kind_goes_the_way_of_the_vae[quantizer]",
        "test_every_kind_goes_the_way_of_the_vae[vectors]",
        "test_every_kind_trains_the_same_in_all_modes_and_resumes[FactorVAE]",
        "test_every_kind_trains_the_same_in_all_modes_and_resumes[counts]",
        "test_every_kind_trains_the_same_in_all_modes_and_resumes[vectors]",
    ],
    "test_other_runtimes": [
        "test_a_file_that_answers_otherwise_is_not_written[tflite]",
        "test_both_files_answer_as_the_model_does[tflite-class-and-style]",
        "test_both_files_answer_as_the_model_does[tflite-colours]",
        "test_both_files_answer_as_the_model_does[tflite-continuous-bernoulli]",
        "test_both_files_answer_as_the_model_does[tflite-convolutional]",
        "test_both_files_answer_as_the_model_does[tflite-full-covariance]",
        "test_both_files_answer_as_the_model_does[tflite-logistic]",
        "test_both_files_answer_as_the_model_does[tflite-normal]",
    ],
    "test_own_things": [
        "test_a_stored_model_is_loaded_and_trained_further_in_a_new_process[layers in the recipe]",
        "test_every_command_takes_the_run[layers in the recipe]",
    ],
    "test_packed": [
        "test_runtimes_unpack_what_python_reads",
        "test_two_models_in_one_process_keep_their_weights",
    ],
    "test_pretrained": [
        "test_a_stored_model_is_measured_and_written_again",
        "test_versions_add_up_and_the_card_names_the_newest",
    ],
    "test_replicas": [
        "test_several_processes_train_as_one_does[2 quick]",
    ],
    "test_runs": [
        "test_data_are_found_from_another_directory",
        "test_exports_are_checked_wherever_they_lie",
    ],
    "test_serving": [
        "test_a_process_with_tensorflow_alone_draws_the_same_samples",
        "test_versions_count_up_and_are_never_overwritten",
    ],
    "test_sweep": [
        "test_points_train_in_processes_of_their_own_and_end_the_same",
    ],
    "test_table": [
        "test_a_stream_of_columns_trains_as_the_frame_does",
    ],
    "test_training": [
        "test_a_run_that_collapsed_says_so",
        "test_a_run_that_is_killed_again_and_again_ends_in_the_same_bits[3-10]",
        "test_an_interrupted_run_says_how_to_go_on",
    ],
    "test_training_argument": [
        "test_batch_normalization_learns_its_statistics_in_fit_and_leaves_them_in_evaluate[eager]",
        "test_batch_normalization_learns_its_statistics_in_fit_and_leaves_them_in_evaluate[tf-loop]",
        "test_row_keyed_noise_is_the_same_in_every_mode[PathDerivative]",
    ],
    "test_vae": [
        "test_training_a_linear_vae_finds_probabilistic_pca",
    ],
    "test_verify": [
        "test_another_seed_agrees_to_the_noise",
    ],
}


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem not in FIRST)
    for item in items:
        if {item.name, item.originalname} & set(SLOW.get(item.path.stem, ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def make_vae():
    """Function: a small VAE on 4x4 images; keyword arguments go to `zoo.VAE`."""
    import keras

    import zoo
    from zoo import layers, networks

    def make(
        latent_dim=3,
        hidden=(16,),
        posterior=None,
        likelihood=None,
        init_seed=0,
        model=zoo.VAE,
        **kwargs,
    ):
        keras.utils.set_random_seed(init_seed)
        posterior = posterior or layers.DiagonalNormal(latent_dim)
        likelihood = likelihood or layers.Bernoulli(IMAGE_SHAPE)
        return model(
            encoder=networks.MLP(hidden, posterior.num_params),
            decoder=networks.MLP(hidden, likelihood.num_params),
            posterior=posterior,
            likelihood=likelihood,
            **kwargs,
        )

    return make


@pytest.fixture(scope="session")
def images():
    """40 grey 4x4 images, uint8, with structure that a model can learn."""
    generator = np.random.default_rng(0)
    rows = generator.random((40, 1, 4, 1)) * generator.random((40, 4, 1, 1))
    images = (rows.reshape(40, 4, 4, 1) * 255).astype(np.uint8)
    images.setflags(write=False)
    return images


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """A directory of stored models with one model, and the run that it was pushed from."""
    from zoo.runs import training
    from zoo.store import push

    directory = tmp_path_factory.mktemp("store")
    run = training.train(
        "vae_digits", {"epochs": 3, "hidden_units": (16,)}, out=directory / "run", verbose=0
    )
    card = push.push(run, num_samples=20, root=directory / "models", allow_dirty=True, verbose=0)
    return directory, run, card


@pytest.fixture
def models(store, tmp_path, monkeypatch):
    """A copy of the store that `zoo.load` finds, free to be damaged."""
    from zoo.store import cards, hub

    monkeypatch.setattr(hub, "INDEX", tmp_path / "index.json")
    hub.INDEX.write_text("{}")
    root = shutil.copytree(store[0] / "models", tmp_path / "models")
    monkeypatch.setattr(cards, "roots", lambda: [root])
    return root


@pytest.fixture(scope="session")
def mnist_dir():
    """A TFDS data directory with MNIST, from ZOO_DATA_DIR; tests that need it skip without."""
    directory = os.environ.get("ZOO_DATA_DIR")
    if not directory or not (Path(directory) / "mnist").is_dir():
        pytest.skip("needs MNIST: set ZOO_DATA_DIR to a TFDS data directory that holds it")
    return directory


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Headless Chromium."""
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            pytest.skip(
                f"needs {program} on the path (Debian's packages chromium and chromium-driver)"
            )
    if importlib.util.find_spec("selenium") is None:
        pytest.skip("needs selenium")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    quiet = (
        "--disable-background-networking --disable-component-update --disable-sync "
        "--disable-quic --no-first-run"
    )
    profile = f"--user-data-dir={tmp_path_factory.mktemp('profile')}"
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        profile,
        *quiet.split(),
    ):
        options.add_argument(argument)
    driver = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(shutil.which("chromedriver"))
    )
    yield driver
    driver.quit()
