"""Where things are.  What is generated goes to HOME, never among the sources."""
import os
RIG = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(os.path.dirname(RIG))
HOME = os.path.abspath(os.environ.get('PARTYLINE_SOUND') or os.path.join(os.environ.get('CARGO_TARGET_DIR') or f'{ROOT}/target', 'sound'))
MARKER = f'{HOME}/marker.wav'
