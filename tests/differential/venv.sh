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

# modules VERSION: prints the node_modules with @openfeature/flagd-core of that version, installed once.
modules() {
  local home=$TOOLS_HOME/flagd-core-js-$1
  if [ ! -e "$home/.complete" ]; then
    rm -rf "$home"
    mkdir -p "$home" && (cd "$home" && echo '{"private": true}' >package.json &&
      timeout 120 npm install --no-audit --no-fund --fetch-retries=1 "@openfeature/flagd-core@$1") >&2 && touch "$home/.complete" || return 1
  fi
  say "$home/node_modules"
}
