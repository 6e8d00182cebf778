#!/usr/bin/env bash
# Stop a job when its calls have cost a given amount, and print the cost.
#
#   PROMPTFORGE_PRICES='{"openai/*": [0.15, 0.60]}' promptforge serve     # in another terminal
#   URL=… KEY=… PROVIDER=openai MODEL=gpt-6-luna examples/cost_limit.sh FILE OUTPUT 0.50
set -euo pipefail
OPTIONS="\"max_cost_usd\": $3" "$(dirname "$0")/curl.sh" "$1" "$2" |
  python3 -c 'import json, sys
status = json.load(sys.stdin)
print(status["status"], status["completed_count"], "of", status["prompt_count"], "prompts,", status["cost_usd"], "USD")
print(status["error"]["message"] if status["error"] else "The job stayed within its limit.")'
