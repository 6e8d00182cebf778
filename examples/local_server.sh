#!/usr/bin/env bash
# Run a file on a local model server with the chat format of OpenAI, for example Ollama or vLLM.
#
#   MODEL=llama3.2 examples/local_server.sh FILE OUTPUT
set -euo pipefail
export OPENAI_BASE_URL=${OPENAI_BASE_URL:-http://localhost:11434/v1}
export OPENAI_API_KEY=${OPENAI_API_KEY:-not-needed}
promptforge run "$1" --provider openai --model "${MODEL:-llama3.2}" --output "$2"
