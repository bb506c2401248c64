#!/bin/bash
# Makes the Python environment and the test track under target/sound. Installs what is missing (Debian, root), and says what could not be had.
set -e
cd "$(dirname "$0")"
home="${PARTYLINE_SOUND:-${CARGO_TARGET_DIR:-$PWD/../../target}/sound}"
missing() {
  for program in chromium pulseaudio pactl pacat cc ip nsenter python3; do command -v $program >/dev/null || echo -n "$program "; done
  [ -x "$home/venv/bin/python" ] || python3 -c 'import ensurepip' 2>/dev/null || echo -n 'python3-venv '
}
if [ -n "$(missing)" ] && command -v apt-get >/dev/null; then
  apt-get update -qq
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium pulseaudio pulseaudio-utils \
    gcc libc6-dev iproute2 util-linux python3-venv
fi
[ -z "$(missing)" ] || { echo "missing: $(missing)" >&2; exit 1; }
mkdir -p "$home"
[ -x "$home/venv/bin/python" ] || python3 -m venv "$home/venv"
"$home/venv/bin/python" -c 'import numpy, scipy' 2>/dev/null || "$home/venv/bin/pip" install -q numpy scipy
[ -f "$home/marker.wav" ] || "$home/venv/bin/python" gen_marker.py "$home/marker.wav"
