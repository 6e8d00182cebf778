#!/usr/bin/env bash
# Puts PromptForge into a project of Google Cloud: `make deploy PROJECT=… REGION=… [VARS=env/prod.tfvars]`.
# Every step may be repeated. Values of secrets go from the environment to Secret Manager, and nowhere else.
set -euo pipefail
cd "$(dirname "$0")"

fail() { echo "$*" >&2; exit 1; }

[ -n "${PROJECT:-}" ] && [ -n "${REGION:-}" ] || fail "Say where: make deploy PROJECT=my-project REGION=europe-west1"
for tool in terraform gcloud openssl; do
  command -v "$tool" >/dev/null || fail "$tool is not installed."
done
STATE=${STATE:-$PROJECT-promptforge-tfstate}
variables=()
[ -z "${VARS:-}" ] || variables+=(-var-file "$VARS")
variables+=(-var "project=$PROJECT" -var "region=$REGION") # the last counts

# Where Terraform keeps what it has made.
if ! gcloud storage buckets describe "gs://$STATE" --project="$PROJECT" >/dev/null 2>&1; then
  gcloud storage buckets create "gs://$STATE" --project="$PROJECT" --location="$REGION" \
    --uniform-bucket-level-access --public-access-prevention
  gcloud storage buckets update "gs://$STATE" --project="$PROJECT" --versioning
fi

# What Terraform itself needs, and the agents of Google's that rights are granted to.
gcloud services enable serviceusage.googleapis.com cloudresourcemanager.googleapis.com iam.googleapis.com \
  pubsub.googleapis.com eventarc.googleapis.com --project="$PROJECT"
for agent in pubsub eventarc; do
  gcloud beta services identity create --service="$agent.googleapis.com" --project="$PROJECT"
done

terraform init -input=false -backend-config="bucket=$STATE" -backend-config="prefix=promptforge"

# Functions are refused while a secret of theirs has no value; and alerts, until their metric has been there for minutes.
terraform apply -input=false -auto-approve "${variables[@]}" \
  -target=google_secret_manager_secret.this -target=google_logging_metric.events
for secret in $(gcloud secrets list --project="$PROJECT" --format='value(name.basename())' \
  --filter='labels.app=promptforge AND NOT labels.use:*'); do
  [ -z "$(gcloud secrets versions list "$secret" --project="$PROJECT" --filter=state=ENABLED --limit=1 --format='value(name)')" ] || continue
  if [ "$secret" = promptforge-pepper ]; then
    value=$(openssl rand -base64 32)
  else
    variable=$(echo "${secret#promptforge-}" | tr 'a-z-' 'A-Z_')
    value=${!variable:-}
    [ -n "$value" ] || fail "The secret $secret has no value yet: set $variable, and repeat."
  fi
  printf %s "$value" | gcloud secrets versions add "$secret" --project="$PROJECT" --data-file=-
done

terraform apply "${variables[@]}"

cat <<END

The API is at $(terraform output -raw api_url)

A first key, as somebody who may read the pepper and write to Firestore:

  make setup-gcp
  eval "\$(terraform -chdir=infra output -raw settings)"
  .venv/bin/promptforge keys create --client alice
END
