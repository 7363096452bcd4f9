#!/usr/bin/env bash
# Measure degenbot's quotes beside ours, each under its own interpreter; writes var/bench/peers.json.
# degenbot needs Python 3.12 or newer: PEER_PYTHON names one that is not found by itself.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PEER_PYTHON:-}
for candidate in python3.12 python3.13 python3; do
  [ -n "$python" ] && break
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
    python=$candidate
  fi
done
if [ -z "$python" ]; then
  echo "no Python 3.12 or newer: install one, or name it with PEER_PYTHON=/path/to/python" >&2
  exit 4
fi
venv=var/peers/venv
if [ ! -e "$venv/.locked" ] || [ locks/peers.txt -nt "$venv/.locked" ]; then
  "$python" -m venv --clear "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
    --only-binary :all: -r locks/peers.txt
  touch "$venv/.locked"
fi
.venv/bin/python -m tests.bench.peers write var/bench/peers-cases.json
# Its first import makes a configuration and a database in the home folder, and can lock itself out
# of the latter: it gets a home of its own, with the configuration there already.
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
mkdir -p "$home/.config/degenbot"
printf '[database]\npath = "%s"\n\n[rpc]\n' "$home/degenbot.db" > "$home/.config/degenbot/config.toml"
HOME=$home "$venv/bin/python" tests/bench/peers_degenbot.py var/bench/peers-cases.json var/bench/peers-degenbot.json
.venv/bin/python -m tests.bench.peers report var/bench/peers-cases.json var/bench/peers-degenbot.json var/bench/peers.json
