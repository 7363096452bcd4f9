#!/usr/bin/env bash
# Renew the lock files. They carry hashes and no address of any registry.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
    --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml "$@"
}
compile -o locks/runtime.txt
compile --extra dev -c locks/runtime.txt -o locks/dev.txt
printf '%s\n' "degenbot==0.5.0" "sqlalchemy<2.1" | uv pip compile --quiet --python-version 3.12 --generate-hashes --no-header \
  --no-annotate --no-emit-index-url --no-emit-find-links - -o locks/peers.txt
cd contracts && npm install --package-lock-only
