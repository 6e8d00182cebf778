#!/usr/bin/env bash
# Run a file with curl alone: create a job, upload, wait, download.
#
#   promptforge serve                        # in another terminal; prints URL and key
#   URL=… KEY=… examples/curl.sh FILE OUTPUT
#
# PROVIDER, MODEL and OPTIONS (more fields of the request, as JSON) have defaults.
set -euo pipefail
file=$1 output=$2
provider=${PROVIDER:-echo} model=${MODEL:-echo-1} options=${OPTIONS:-}

field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
call() { curl -sS --fail-with-body -H "X-API-Key: $KEY" "$@"; }

call -X POST "$URL/v1/jobs/init" -d "{\"provider\": \"$provider\", \"model\": \"$model\"${options:+, $options}}" > job.json
job=$(field job_id < job.json)
curl -sS --fail-with-body -X PUT "$(field upload_url < job.json)" \
  -H 'Content-Type: application/octet-stream' --data-binary "@$file"

while true; do
  call "$URL/v1/jobs/$job/status" > status.json
  case $(field status < status.json) in COMPLETED | FAILED | CANCELLED) break ;; esac
  sleep 1
done

mkdir -p "$output"
call "$URL/v1/jobs/$job/results" |
  python3 -c 'import json, sys; r = json.load(sys.stdin); [print(f["filename"], f["url"]) for f in [*r["files"], r["manifest"]]]' |
  while read -r name url; do curl -sS --fail-with-body "$url" -o "$output/$name"; done

cat status.json
