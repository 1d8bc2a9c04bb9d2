import pytest

from repvit_nas.architecture import Stage
from repvit_nas.search_space import load_space
from repvit_nas.search_space.parameters import Parameter, listed, parameters_in, values_of

SE = Parameter("se", "se", (0, 1), ("none", "alternate", "all"))


def test_fields_are_chosen_stage_by_stage_and_openings_where_there_are_several():
    repvit, downsample = (
        [parameter.name for parameter in parameters_in(load_space(name)[0].file)]
        for name in ("repvit", "downsample")
    )

    assert repvit[:5] == ["width_0", "width_1", "width_2", "width_3", "depth_0"]
    assert set(downsample) - set(repvit) == {"downsample_1", "downsample_2", "downsample_3"}


@pytest.mark.parametrize(
    ("values", "step", "said"),
    [
        ((8, 16, 24, 32), 8, "8 to 32 in steps of 8"),
        ((1, 2, 4), 0, "1, 2, 4"),
        ((1.5, 2.0, 2.5), 0, "1.5, 2.0, 2.5"),
        ((3,), 0, "3"),
    ],
)
def test_evenly_spaced_integers_have_a_step_and_are_listed_by_it(values, step, said):
    assert Parameter("width_0", "width", (0,), values).step == step
    assert listed(values) == said


def test_stages_of_one_block_have_the_placement_that_the_others_have():
    one, three = Stage(width=8, depth=1, se="1"), Stage(width=8, depth=3, se="101")

    assert values_of([one, three], SE) == {"alternate"}
    assert values_of([one, Stage(width=8, depth=3, se="111")], SE) == {"all"}
    assert values_of([one, Stage(width=8, depth=3, se="011")], SE) == {"1", "011"}
