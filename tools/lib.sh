# shellcheck shell=bash disable=SC2034 # most of its variables are for those who source it
# What every tool shares: where things are, and who runs the server. Sourced, never run.
#
# PG_CONFIG=/path/to/pg_config chooses the PostgreSQL (15 to 18). Nothing here writes into it.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
case $TARGET in /*) ;; *) TARGET=$ROOT/$TARGET ;; esac
PGRX_VERSION=0.18.1 # the version of pgrx in Cargo.toml: cargo-pgrx must be the very same
TOOLS_HOME=${XDG_CACHE_HOME:-${HOME:?}/.cache}/flagscope/tools

# Server, clusters and sockets: outside the checkout, since user postgres cannot enter /root, and short, since a
# socket's path must stay under 107 bytes.
RUNS=/var/tmp/flagscope-$(id -u)-$(printf %s "$ROOT" | cksum | cut -d' ' -f1)
RUN=$RUNS

command -v cargo >/dev/null || PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH # CI's shell may not have read the profile

say() { printf '%s\n' "$*"; }
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

pg_major() { "$1" --version 2>/dev/null | sed -nE 's/^PostgreSQL ([0-9]+).*/\1/p'; }

# Is this pg_config one to build for and run: version 15 to 18, with the server and its headers?
usable_pg_config() {
  local major
  major=$(pg_major "$1") || return 1
  [[ $major =~ ^1[5-8]$ ]] && [ -x "$("$1" --bindir)/postgres" ] && [ -e "$("$1" --includedir-server)/postgres.h" ]
}

# 15 first: it is what the expected results and the measured numbers were made with.
find_pg_config() {
  local candidate
  if [ -n "${PG_CONFIG:-}" ]; then
    candidate=$(command -v "$PG_CONFIG" || true)
    usable_pg_config "$candidate" || die "PG_CONFIG=$PG_CONFIG is not of a PostgreSQL 15 to 18 with server and headers"
    realpath -s "$candidate"
    return
  fi
  for candidate in /usr/{lib/postgresql/15,pgsql-15,lib/postgresql/16,pgsql-16}/bin/pg_config \
    /usr/{lib/postgresql/17,pgsql-17,lib/postgresql/18,pgsql-18}/bin/pg_config "$(command -v pg_config)"; do
    [ -x "$candidate" ] && usable_pg_config "$candidate" && printf '%s\n' "$candidate" && return
  done
  return 1
}

right_cargo_pgrx() { [ "$("$1" pgrx --version 2>/dev/null)" = "cargo-pgrx $PGRX_VERSION" ]; }

# Sets what needs PostgreSQL and cargo-pgrx; call it once tools/setup has been.
use_postgres() {
  PG_CONFIG=$(find_pg_config) || die "no PostgreSQL 15 to 18 with headers found: run tools/setup, or set PG_CONFIG"
  PG_MAJOR=$(pg_major "$PG_CONFIG")
  PG_BINDIR=$("$PG_CONFIG" --bindir)
  # Servers, clusters and logs of several versions stand beside each other; what cargo builds for all is shared.
  CHECK=$TARGET/check # a log for each suite of tools/check
  [ "$PG_MAJOR" = 15 ] || RUN=$RUNS-$PG_MAJOR CHECK=$TARGET/check/pg$PG_MAJOR
  # With a feature (of tests/boundary) the extension is built and run apart.
  RUN=$RUN${FLAGSCOPE_FEATURE:+-$FLAGSCOPE_FEATURE}
  SERVER=$RUN/server # a private copy of the whole installation, see tools/server
  SERVER_BIN=$SERVER$PG_BINDIR
  PACKAGE=$TARGET/package${FLAGSCOPE_FEATURE:+-$FLAGSCOPE_FEATURE}/pg$PG_MAJOR
  # pgrx rebuilds its bindings when config.toml changes, so each major version has its own.
  PGRX_HOME=$TARGET/pgrx
  [ "$PG_MAJOR" = 15 ] || PGRX_HOME=$TARGET/pgrx/pg$PG_MAJOR
  [ ! -x "$TOOLS_HOME/bin/cargo-pgrx" ] || right_cargo_pgrx cargo-pgrx || PATH=$TOOLS_HOME/bin:$PATH
  export PG_CONFIG PGRX_HOME PATH
}

# PostgreSQL refuses to run as root: then it runs as user postgres.
SERVER_USER=$(id -un)
[ "$(id -u)" != 0 ] || SERVER_USER=postgres

# Runs a command as the server's user, in a directory that user can enter.
as_server() {
  if [ "$(id -u)" = 0 ]; then
    (cd "$RUN" && runuser -u "$SERVER_USER" -- "$@")
  else
    (cd "$RUN" && "$@")
  fi
}

# /var/tmp is open to all: a directory of that name made by somebody else must not be trusted.
own_run() {
  (umask 022 && mkdir -p "$RUN")
  if [ ! -O "$RUN" ] || [ -L "$RUN" ]; then die "$RUN is somebody else's: have it removed"; fi
}
