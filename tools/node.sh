# shellcheck shell=bash
# Sourced, after lib.sh, by what drives a browser: packages of npm, and Chromium.

# node_packages FOLDER: installs its package.json; $modules is where. Fails where there is no Node, no npm or no network.
node_packages() {
  command -v node >/dev/null && [ "$(node -p 'process.versions.node.split(".")[0] >= 20')" = true ] || return 1
  modules=$TOOLS_HOME/gateway-${1##*/}-$(cksum <"$1/package.json" | cut -d' ' -f1)
  [ ! -e "$modules/.complete" ] || return 0
  rm -rf "$modules" && mkdir -p "$modules" && cp "$1/package.json" "$modules"
  (cd "$modules" && timeout 300 npm install --no-audit --no-fund --ignore-scripts --loglevel=error && touch .complete) >/dev/null 2>&1
}

# Sets chromium=, installing it by apt where that may be done. Fails where there is none.
find_chromium() {
  chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
  if [ -z "$chromium" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing chromium ... (apt, half a minute)"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null 2>&1 </dev/null || true
    chromium=$(command -v chromium || true)
  fi
  [ -n "$chromium" ]
}
