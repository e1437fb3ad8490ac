# shellcheck shell=bash
# Sourced after tools/lib.sh.

# venv VERSION: prints the Python of a virtual environment with that core, made once.
venv() {
  local home=$TOOLS_HOME/flagd-core-$1
  if [ ! -e "$home/.complete" ]; then
    rm -rf "$home"
    python3 -m venv "$home" >&2 && timeout 120 "$home/bin/pip" install --quiet --disable-pip-version-check \
      --retries 1 "openfeature-flagd-core==$1" >&2 && touch "$home/.complete" || return 1
  fi
  say "$home/bin/python"
}
