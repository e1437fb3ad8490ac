# shellcheck shell=bash
# What the tests of dumps share; sourced after tools/testlib.sh.

in_db() { PGDATABASE=$1 "${@:2}"; }
new_db() { psql -Xq -c "DROP DATABASE IF EXISTS $1" -c "CREATE DATABASE $1" 2>/dev/null; }

# make_original NAME: a database with something in every table. Its transactions have higher numbers than those of a new
# cluster will have.
make_original() {
  new_db "$1"
  sql 'DO $$ BEGIN FOR i IN 1..5000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$'
  in_db "$1" psql -XAtq -v ON_ERROR_STOP=1 -f "$(dirname "${BASH_SOURCE[0]}")/data.sql" >/dev/null
}

# What no dump has: what is about the transactions, sessions and ticks of one server.
NOT_DUMPED='alert arrival delta_mark delta_place flag_change freezing history_delta incarnation kept_delta late_trace late_trace_state node node_report node_state otlp_evaluation restore setting_default this_node tick_state watch'

# Every table as one line: its name, its rows, and a hash of them in one order. Of the manifest a dump has a part only.
contents() {
  in_db "$1" psql -XAtq -v ON_ERROR_STOP=1 -v skip="{${NOT_DUMPED// /,}}" <<'SQL'
SET timezone = 'UTC';
SELECT format('SELECT %L, count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM %s t', c.relname, c.oid::regclass)
FROM pg_class c WHERE c.relnamespace IN ('flagscope'::regnamespace, '_flagscope'::regnamespace, 'public'::regnamespace) AND c.relkind = 'r'
    AND c.relname <> ALL (:'skip'::text[]) ORDER BY c.relname
\gexec
SELECT 'sequence', sequencename, last_value FROM pg_sequences WHERE schemaname IN ('flagscope', '_flagscope') ORDER BY sequencename;
SQL
}
