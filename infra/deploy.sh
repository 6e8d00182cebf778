#!/usr/bin/env bash
# Deploy PromptForge to a Google Cloud project: `make deploy PROJECT=… REGION=… [VARS=env/prod.tfvars]`.
# Every step is idempotent. Secret values go from the environment to Secret Manager only.
set -euo pipefail
cd "$(dirname "$0")"

fail() { echo "$*" >&2; exit 1; }

[ -n "${PROJECT:-}" ] && [ -n "${REGION:-}" ] || fail "PROJECT and REGION are required: make deploy PROJECT=my-project REGION=europe-west1"
for tool in terraform gcloud openssl; do
  command -v "$tool" >/dev/null || fail "$tool not found. Install it and repeat make deploy."
done
STATE=${STATE:-$PROJECT-promptforge-tfstate}
variables=()
[ -z "${VARS:-}" ] || variables+=(-var-file "$VARS")
variables+=(-var "project=$PROJECT" -var "region=$REGION") # the last value of a variable wins

# The bucket of the Terraform state.
if ! gcloud storage buckets describe "gs://$STATE" --project="$PROJECT" >/dev/null 2>&1; then
  gcloud storage buckets create "gs://$STATE" --project="$PROJECT" --location="$REGION" \
    --uniform-bucket-level-access --public-access-prevention
  gcloud storage buckets update "gs://$STATE" --project="$PROJECT" --versioning
fi

# APIs that Terraform requires, and the service agents that receive grants.
gcloud services enable serviceusage.googleapis.com cloudresourcemanager.googleapis.com iam.googleapis.com \
  pubsub.googleapis.com eventarc.googleapis.com --project="$PROJECT"
for agent in pubsub eventarc; do
  gcloud beta services identity create --service="$agent.googleapis.com" --project="$PROJECT"
done

terraform init -input=false -backend-config="bucket=$STATE" -backend-config="prefix=promptforge"

# Functions require values of their secrets, and alerts require a metric that has existed for some minutes.
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
    [ -n "$value" ] || fail "Secret $secret has no value. Set $variable and repeat make deploy."
  fi
  printf %s "$value" | gcloud secrets versions add "$secret" --project="$PROJECT" --data-file=-
done

terraform apply "${variables[@]}"

cat <<END

API URL: $(terraform output -raw api_url)

To create the first API key, with permission to read the pepper and write to Firestore:

  make setup-gcp
  eval "\$(terraform -chdir=infra output -raw settings)"
  .venv/bin/promptforge keys create --client alice
END
