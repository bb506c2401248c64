#!/bin/bash
# run.sh ARGS...  = setup if needed, then run.py ARGS... (see README.md); needs root for the network namespaces
cd "$(dirname "$0")" && ./setup.sh || exit
exec "${PARTYLINE_SOUND:-${CARGO_TARGET_DIR:-$PWD/../../target}/sound}/venv/bin/python" run.py "$@"
