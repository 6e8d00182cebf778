"""Label the rows of a CSV file: write one prompt per row, run the prompts, and join the answers to the rows.

python examples/csv_to_labels/label.py INPUT.csv OUTPUT.csv --provider openai --model gpt-6-luna
"""

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SYSTEM = "Classify the review. Answer with one word: positive, negative or mixed."


def main() -> int:
    """Run the three steps; the exit code is 0 if every row has a label."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--provider", default="echo")
    parser.add_argument("--model", default="echo-1")
    options = parser.parse_args()

    with options.input.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    prompts, folder = options.output.with_suffix(".jsonl"), options.output.with_suffix(".results")
    write_prompts(prompts, rows)
    command = ["promptforge", "run", prompts, "--provider", options.provider, "--model", options.model]
    subprocess.run([*command, "--output", folder], check=False)  # exit code 1 if a prompt failed

    labels = {line["prompt_id"]: line["result"] for line in read_lines(folder, "results_part_*.jsonl")}
    errors = {line["prompt_id"]: line["error"] for line in read_lines(folder, "errors.jsonl")}
    with options.output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=[*rows[0], "label", "error"], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({**row, "label": labels.get(row["id"], ""), "error": errors.get(row["id"], "")})
    return 0 if len(labels) == len(rows) else 1


def write_prompts(file: Path, rows: list[dict[str, str]]) -> None:
    """Write one prompt per row, with the id of the row."""
    with file.open("w", encoding="utf-8") as lines:
        for row in rows:
            prompt = {"prompt_id": row["id"], "prompt": row["review"], "system": SYSTEM, "temperature": 0}
            lines.write(json.dumps(prompt) + "\n")


def read_lines(folder: Path, pattern: str) -> Iterator[dict[str, str]]:
    """Yield the lines of the files that match the pattern."""
    for file in sorted(folder.glob(pattern)):
        yield from map(json.loads, file.read_text(encoding="utf-8").splitlines())


if __name__ == "__main__":
    sys.exit(main())
