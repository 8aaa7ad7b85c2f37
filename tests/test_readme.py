"""The examples of the README and the documentation do what they say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from shell import recon

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)

WITH_EXAMPLES = [path for path in DOCUMENTS if BLOCK.search(path.read_text(encoding="utf-8"))]


def commands(text):
    """Each command of the blocks with the output lines that follow it."""
    found = []
    for block in BLOCK.findall(text):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


@pytest.mark.parametrize("document", WITH_EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_true(document, tmp_path):
    for command, expected in commands(document.read_text(encoding="utf-8")):
        words = shlex.split(command)
        if words[0] != "recon":
            continue
        assert_in_order(recon(*words[1:], at=tmp_path).out.splitlines(), expected, command)


def assert_in_order(lines, expected, command):
    """The expected lines follow one another; a line of … stands for any number of others."""
    at, free = 0, False
    for line in expected:
        if line.strip() == "…":
            free = True
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in line.rstrip().split("…")))
        places = [n for n in range(at, len(lines)) if pattern.fullmatch(lines[n].rstrip())]
        assert places, f"{command}: no line {line!r} after line {at} of\n" + "\n".join(lines)
        assert free or places[0] == at, f"{command}: {lines[at]!r} comes before {line!r}"
        at, free = places[0] + 1, False


def test_the_readme_has_examples():
    assert ROOT / "README.md" in WITH_EXAMPLES


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target
