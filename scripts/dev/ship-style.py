#!/usr/bin/env python3
"""Puts a model that the training service has published into models/, as a shipped style.

Usage: ship-style.py NAME VERSION_DIR --job JOB.json --preview FILE.jpg --about FILE.md

VERSION_DIR is models/NAME/VERSION of a server's data directory. ABOUT is Markdown for the head of the card: what the style is, the
pictures it learnt from, licence, intended use and limits, metrics. The training facts of the generated card follow it.
"""

import argparse
import json
import pathlib
import shutil

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("version_dir", type=pathlib.Path)
    for option in ("--job", "--preview", "--about"):
        parser.add_argument(option, type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    target = ROOT / "models" / arguments.name / "1"
    target.mkdir(parents=True, exist_ok=True)
    for file in ("model.json", "weights.safetensors"):
        shutil.copyfile(arguments.version_dir / file, target / file)
    shutil.copyfile(arguments.preview, target / "preview.jpg")
    (target / "job.json").write_text(json.dumps(json.loads(arguments.job.read_text()), indent=2) + "\n")
    generated = (arguments.version_dir / "card.md").read_text()
    facts = generated[generated.index("A `"):]
    facts = facts.replace("Their licences are those of the data sets' owners; whoever publishes this model states them here.\n\n", "")
    (target / "card.md").write_text(arguments.about.read_text().rstrip() + "\n\n# How it was trained\n\n" + facts)


if __name__ == "__main__":
    main()
