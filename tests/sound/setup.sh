#!/bin/bash
# Makes the Python environment and the test track under target/sound. `setup.sh apt` first installs the packages (Debian, root).
set -e
cd "$(dirname "$0")"
home="${PARTYLINE_SOUND:-${CARGO_TARGET_DIR:-$PWD/../../target}/sound}"
if [ "$1" = apt ]; then
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium pulseaudio pulseaudio-utils \
    gcc libc6-dev iproute2 python3-venv
fi
mkdir -p "$home"
[ -x "$home/venv/bin/python" ] || python3 -m venv "$home/venv"
"$home/venv/bin/python" -c 'import numpy, scipy' 2>/dev/null || "$home/venv/bin/pip" install -q numpy scipy
[ -f "$home/marker.wav" ] || "$home/venv/bin/python" gen_marker.py "$home/marker.wav"
