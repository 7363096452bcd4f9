#!/usr/bin/env bash
# Build and test the contracts, and renew what is committed of them: formatting, gas snapshot,
# artifacts. --check changes nothing and fails where any of these differs from what the source gives;
# --check-artifact does so for the artifacts alone, in seconds.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
cd "$root/contracts"
# Node.js comes with the Python environment; a system's own serves as well.
PATH="$root/.venv/bin:$PATH"

mode="${1:-write}"
case "$mode" in
  write | --check | --check-artifact) ;;
  *)
    echo "contracts.sh takes nothing, --check or --check-artifact, not: $mode" >&2
    exit 2
    ;;
esac
forge=$(compgen -G "node_modules/@foundry-rs/forge-*/bin/forge" | head -n 1) || {
  echo "forge is missing: run make setup" >&2
  exit 4
}
measured=(snapshot --match-contract GasTest)
# What the daemon carries: the contract that trades, and the code that nodes lend a call to.
carried=(Executor PoolReader CallReader)

if [[ "$mode" == write ]]; then
  "$forge" fmt
  "$forge" test
  "$forge" "${measured[@]}" --snap .gas-snapshot
  mkdir -p artifacts
  for name in "${carried[@]}"; do
    node script/artifact.cjs out "artifacts/$name.json"
  done
  exit
fi

built="$(mktemp -d)"
trap 'rm -rf "$built"' EXIT
export FOUNDRY_OUT="$built/out" FOUNDRY_CACHE_PATH="$built/cache"
if [[ "$mode" == --check ]]; then
  "$forge" fmt --check
  "$forge" test
  "$forge" "${measured[@]}" --check .gas-snapshot
else
  "$forge" build --quiet src
fi
for name in "${carried[@]}"; do
  node script/artifact.cjs "$FOUNDRY_OUT" "$built/$name.json"
  diff -u "artifacts/$name.json" "$built/$name.json" >&2 || {
    echo "contracts/artifacts/$name.json is not what the source builds: run make contracts" >&2
    exit 1
  }
done
