"""Get answers that match a JSON Schema, and print them as a table.

    python examples/structured_output.py --provider openai --model gpt-6-luna

The provider must support JSON Schema; `echo` does not.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

TEXTS = {
    "order": "Please send two pairs of blue socks to Ada Lovelace in London.",
    "refund": "I want my money back, signed Charles Babbage, Cambridge.",
}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "city": {"type": "string"}},
    "required": ["name", "city"],
    "additionalProperties": False,
}


def main() -> int:
    """Write the prompts, run them and print a line per answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--provider", default="openai")
    parser.add_argument("--model", required=True)
    parser.add_argument("--output", type=Path, default=Path("structured"))
    options = parser.parse_args()

    prompts = options.output.with_suffix(".jsonl")
    response_format = {"type": "json_schema", "schema": SCHEMA}
    lines = [
        {"prompt_id": name, "prompt": f"Extract the name and the city: {text}", "response_format": response_format}
        for name, text in TEXTS.items()
    ]
    prompts.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    command = ["promptforge", "run", prompts, "--provider", options.provider, "--model", options.model]
    done = subprocess.run([*command, "--output", options.output], check=False)

    print("id", "name", "city", sep="\t")
    for file in sorted(options.output.glob("results_part_*.jsonl")):
        for line in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            answer = json.loads(line["result"])
            print(line["prompt_id"], answer["name"], answer["city"], sep="\t")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
