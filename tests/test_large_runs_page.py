"""The templates of docs/how-to/large-runs.md are valid, and their script starts the right processes."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from core.cli.entry import build_parser

PAGE = (Path(__file__).parents[1] / "docs/how-to/large-runs.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SCRIPTS = [text for language, text in BLOCKS if language == "bash"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_valid(script):
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("worker", "modes"), [(0, {"--leader 8 --resume", "--worker 0/8"}), (3, {"--worker 3/8"})]
)
def test_the_script_starts_leader_and_workers(tmp_path, worker, modes):
    (tmp_path / "python").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "python").chmod(0o755)
    command = ["bash", "-c", SCRIPTS[0], "share.sh", str(worker), "8"]
    done = subprocess.run(
        command, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert {" ".join(re.search(r"--(leader|worker).*", line)[0].split()) for line in lines} == modes
    for line in lines:
        words = shlex.split(line)
        assert words[:2] == ["-m", "core"]
        build_parser().parse_args(words[2:])


def test_aws_batch_and_kubernetes_run_the_script_with_their_own_index():
    (batch,) = (json.loads(text) for language, text in BLOCKS if language == "json")
    (job,) = (yaml.safe_load(text) for language, text in BLOCKS if language == "yaml")
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    properties = batch["containerProperties"]
    assert job["spec"]["completionMode"] == "Indexed" and pod["restartPolicy"] == "Never"
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }
    assert {mount["sourceVolume"] for mount in properties["mountPoints"]} == {
        volume["name"] for volume in properties["volumes"]
    }
    assert "share.sh $AWS_BATCH_JOB_ARRAY_INDEX 8" in properties["command"][2]
    assert f"share.sh $JOB_COMPLETION_INDEX {job['spec']['completions']}" in container["command"][2]
    for command in (properties["command"], container["command"]):
        subprocess.run(["bash", "-n", "-c", command[2]], check=True)
    assert "size=8" in PAGE and "--array=0-7" in SCRIPTS[1]
