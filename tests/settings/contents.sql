-- Everything in the database, but for what says when or in which transaction it was written by the server's clock.
SELECT format('SELECT %L, (to_jsonb(t) - ''{created_at,changed_at,recorded_at,transaction,valid,seen_at,next_try_at,'
    'claimed_at,payload,requested_by,barrier,run_at,evaluated_at}''::text[])::text FROM %I.%I t ORDER BY 2',
    c.relname, n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('flagscope', '_flagscope', 'public') AND c.relkind = 'r'
    AND c.relname NOT IN ('tick_state', 'late_trace_state', 'alert', 'otlp_evaluation', 'watch')
ORDER BY 1
\gexec
SELECT 'outbox payload', (payload - '{recorded_at,at,database}'::text[])::text FROM flagscope.outbox ORDER BY id;
SELECT 'chunk', parent, chunk, lower, upper FROM flagscope.chunk ORDER BY parent, lower;
