"""The examples for schedulers, as far as they run without one: they are read, and so is what they call."""

import re
import shlex
import subprocess

import click
import pytest
import yaml
from support import ROOT

from repvit_nas.commands import cli

EXAMPLES = ROOT / "examples"


def understood(words):
    """Have the command line take words as it would, without doing what they say."""
    words = words[words.index("repvit-nas") + 1 :]
    command = cli.get_command(click.Context(cli), words[0])
    with command.make_context(words[0], words[1:]) as context:
        return words[0], context.params


def shell_words(text):
    """Return the words of a command that may go over several lines."""
    return shlex.split(text.replace("\\\n", " "))


def test_the_array_of_slurm_runs_a_campaign(tmp_path):
    script = EXAMPLES / "slurm.sh"
    said = tmp_path / "repvit-nas"
    said.write_text('#!/bin/sh\nfor word in repvit-nas "$@"; do echo "$word"; done\n')
    said.chmod(0o755)
    subprocess.run(["bash", "-n", script], check=True)

    # As SLURM starts a task of it, with what prints the words it is given in the command's place.
    done = subprocess.run(
        ["bash", script, "/data/photos"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_ARRAY_TASK_ID": "3", "PWD": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    name, given = understood(done.stdout.splitlines())
    assert name == "measure-accuracy"
    assert given["data"] == "/data/photos"
    assert given["storage"] == f"journal:///{tmp_path}/campaign.log"
    assert given["out"] == "/tmp/repvit-nas-photos"
    assert "#SBATCH --requeue" in script.read_text()


def test_the_jobs_of_kubernetes_choose_and_work():
    jobs = list(yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text()))

    called = {}
    for job in jobs:
        (container,) = job["spec"]["template"]["spec"]["containers"]
        variables = {each["name"] for each in container["env"]}
        assert set(re.findall(r"\$\((\w+)\)", " ".join(container["args"]))) == variables
        volumes = {each["name"] for each in job["spec"]["template"]["spec"]["volumes"]}
        assert {each["name"] for each in container["volumeMounts"]} == volumes
        name, given = understood([*container["command"], *container["args"]])
        called[name] = given
    assert set(called) == {"measure-accuracy", "work"}
    shared = ("name", "storage", "artifacts")
    one, other = ({key: given[key] for key in shared} for given in called.values())
    assert one == other


def test_the_services_of_compose_share_a_database():
    document = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())

    services = document["services"]
    called = dict(
        understood(shell_words(services[name]["command"][-1]))
        for name in ("campaign", "worker", "status")
    )
    assert set(called) == {"measure-accuracy", "work", "status"}
    database = services["database"]["environment"]
    url = "postgresql://{POSTGRES_USER}:{POSTGRES_PASSWORD}@database/{POSTGRES_DB}"
    assert {given["storage"] for given in called.values()} == {url.format(**database)}
    assert {given["name"] for given in called.values()} == {"photos"}
    assert services["worker"]["deploy"]["replicas"] == 2


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_an_example_says_how_it_is_started(path):
    head = path.read_text().splitlines()[:8]

    assert any(line.startswith("#   ") for line in head)
