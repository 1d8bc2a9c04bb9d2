"""A device's visits: loaded, timed by one kind of loop, and nothing kept that names its owner."""

import pytest
from cable import UNIT, opened, runner
from fake_apple import FakeApple

from repvit_nas.errors import RepvitNasError
from repvit_nas.programs import chain


@pytest.mark.parametrize(("loop", "seconds"), [(True, 1 + 2 + 4), (False, 1 + 6 * 2 + 4)])
def test_a_visit_of_the_stock_app_is_counted_with_all_its_messages(tmp_path, loop, seconds):
    """Two calls until it is steady, and four that are timed."""
    now = [0.0]

    class Took:
        """A place where loading takes 1 s, a prediction 2 s and unloading 4 s."""

        def compiled(self, package):
            return package

        def load(self, _):
            now[0] += 1
            return self

        def predict(self, *_, **__):
            now[0] += 2
            return [1.0], loop

        def unload(self):
            now[0] += 4

    made = runner(Took(), tmp_path, clock=lambda: now[0])

    assert made.probe == (loop, seconds)


def test_warm_and_cold_calls_are_never_mixed(tmp_path):
    apple = FakeApple(tmp_path / "apple")
    phone = opened(apple, tmp_path)
    made = runner(phone, tmp_path)
    (apple.home / "app.json").write_text('{"loop": false}')

    with (
        pytest.raises(RepvitNasError, match="never mixed"),
        made.load(chain(UNIT, 2)) as calls,
    ):
        calls(1)


def test_no_serial_number_or_name_is_kept(tmp_path):
    apple = FakeApple(tmp_path / "apple")
    phone = opened(apple, tmp_path)

    kept = f"{phone.device} {runner(phone, tmp_path).circumstances()}"

    assert "SECRET" not in kept
    assert "Ada" not in kept
