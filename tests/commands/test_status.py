"""status shows a campaign while it is under way; test_work.py shows one that has ended."""

import json

from campaign_support import begun

from repvit_nas.campaign.study import open_study
from repvit_nas.campaign.tries import PlanTask
from repvit_nas.searching.shared import Sharing

STORAGE = ("--storage", "sqlite:///s.db", "--name", "shapes")


def test_what_is_under_way_is_shown_with_who_does_it(invoke, elsewhere):
    with open_study(Sharing("sqlite:///s.db", "shapes")) as study:
        begun(agree=study.agree)
        study.enqueue(PlanTask(0))
        (one,) = study.look().all
        study.claim(one, "the fast one")

        code, out, _ = invoke("status", *STORAGE)
        _, document, _ = invoke("status", *STORAGE, "--json")

    assert code == 0
    assert "the fast one" in out
    assert "0 trainings finished, 1 left." in out
    running = json.loads(document)["running"]
    assert [(each["task"], each["by"]) for each in running] == [("plan-0", "the fast one")]
    assert json.loads(document)["left_s"] is None
