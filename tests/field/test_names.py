"""Names with dots in them are names, and no file's suffix."""

import pytest

from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.device import load_device
from repvit_nas.named import load_architecture
from repvit_nas.search_space.space import load_space
from repvit_nas.training.recipe import load_recipe


@pytest.mark.parametrize(
    ("ask", "name", "words"),
    [
        (load_architecture, "results/iphone12-3.5ms:best", "run 'iphone12-3.5ms' is not known"),
        (load_architecture, "iphone12-3.5ms:best", "run 'iphone12-3.5ms' is not known"),
        (
            load_architecture,
            "repvit_m1.0",
            "'repvit_m1.0' is no network (did you mean 'repvit_m1_0'?)",
        ),
        (load_space, "my-1.5", "space 'my-1.5' is not known"),
        (load_device, "pixel-8.1", "device 'pixel-8.1' is not known"),
        (load_recipe, "quick-1.5", "recipe 'quick-1.5' is not known"),
    ],
)
def test_what_is_not_known_is_called_as_it_was_asked_for(elsewhere, ask, name, words):
    """https://github.com/antoinezambelli/forge/issues/121: `.stem` cut "mimo-v2.5" to "mimo-v2"."""
    with pytest.raises(RepvitNasError) as refused:
        ask(name)

    assert words in str(refused.value)
