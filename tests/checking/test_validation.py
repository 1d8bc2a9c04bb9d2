"""A trained network validated again, from its file."""

import msgspec

from repvit_nas.checking.validation import validate_again, validated_on
from repvit_nas.training.trained import load_trained, trained_run


def again(run, **more):
    return validate_again(load_trained(run), run, validated_on(run.record), **more)


def test_a_classifier_is_as_good_as_its_run_says(trained):
    run = trained_run(trained)

    found = again(run)

    assert found.promise.kept
    assert found.promise.found == f"top-1 {run.top1:.2f} % of 48 images"
    assert found.masks is None


def test_a_classifier_that_was_better_breaks_its_promise(trained):
    """Of 48 images one may turn over, and no more."""
    run = trained_run(trained)
    one = 100 / 48

    for more, kept in ((0.99 * one, True), (1.01 * one, False)):
        outcome = msgspec.structs.replace(run.outcome, top1=run.top1 + more)
        assert again(run._replace(outcome=outcome)).promise.kept is kept


def test_how_far_it_is_is_told(trained):
    told = []

    again(trained_run(trained), progress=lambda *step: told.append(step))

    assert told == [("validating", 1, 1)]


def test_a_classifier_learned_no_map(trained):
    on = validated_on(trained_run(trained).record)

    assert on.maps == "the run learned no teacher's map"
    assert (on.images.missing, len(on.images.images)) == ("", 48)
