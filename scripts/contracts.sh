#!/usr/bin/env bash
# Build and test the executor contract, then renew its gas snapshot and its artifact. With --check,
# change nothing and fail when the committed snapshot, artifact or formatting differ from the source.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
cd "$root/contracts"
# Node.js comes with the Python environment; a system's own serves as well.
PATH="$root/.venv/bin:$PATH"

mode="${1:-write}"
if [[ "$mode" != write && "$mode" != --check ]]; then
  echo "contracts.sh takes nothing or --check, not: $mode" >&2
  exit 2
fi
forge=$(compgen -G "node_modules/@foundry-rs/forge-*/bin/forge" | head -n 1) || {
  echo "forge is missing: run make setup" >&2
  exit 4
}

if [[ "$mode" == --check ]]; then
  built="$(mktemp -d)"
  trap 'rm -rf "$built"' EXIT
  export FOUNDRY_OUT="$built/out" FOUNDRY_CACHE_PATH="$built/cache"
  "$forge" fmt --check
  "$forge" build --quiet
  "$forge" test
  "$forge" snapshot --match-contract GasTest --check .gas-snapshot
  node script/artifact.cjs "$FOUNDRY_OUT" "$built/Executor.json"
  diff -u artifacts/Executor.json "$built/Executor.json" || {
    echo "contracts/artifacts/Executor.json is not what the source builds: run make contracts" >&2
    exit 1
  }
else
  "$forge" fmt
  "$forge" build --quiet
  "$forge" test
  "$forge" snapshot --match-contract GasTest --snap .gas-snapshot
  mkdir -p artifacts
  node script/artifact.cjs out artifacts/Executor.json
fi
