//! Rows: tables whose columns have moved, subtransactions that are rolled back, parallel workers.

use pgrx::prelude::*;

use super::Outcome;

/// A flag with two metrics on watch.
fn prepare() -> Outcome {
    Spi::run(
        "SELECT flagscope.create_flag('f'), flagscope.create_metric('errors', 'proportion', 'span', '{\"name\": \"pay\"}', '{\"is_error\": true}'),
            flagscope.create_metric('duration', 'quantile', 'span', '{\"name\": \"pay\"}');
         SELECT flagscope.create_guardrail('f', 'errors'), flagscope.create_guardrail('f', 'duration')",
    )?;
    Ok(())
}

/// Rows of both variants: so many, every seventh an error.
fn send(rows: i64) -> Outcome {
    Spi::run(&format!(
        "INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, subject, environment, flags)
         SELECT now(), 'span', 'pay', i, i % 7 = 0, 'user-' || i, CASE WHEN i % 3 = 0 THEN 'production' END,
             jsonb_build_object('f', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END, repeat('k', i % 200 + 1), repeat('v', i % 3000))
         FROM generate_series(1, {rows}) i"
    ))?;
    Ok(())
}

fn number(query: &str) -> Result<i64, spi::Error> {
    Ok(Spi::get_one::<i64>(query)?.unwrap_or(-1))
}

/// What was counted of the rows when they came, and what counting the stored ones says: data points and errors each.
fn counted() -> Result<[i64; 4], spi::Error> {
    let folded = "_flagscope.fold_stored(now() - interval '1 hour', now() + interval '1 hour',
        '[{\"flag\": \"f\", \"environment\": \"production\", \"metric\": \"errors\"}]')";
    Ok([
        number("SELECT sum(n)::bigint FROM _flagscope.variant_delta WHERE metric = 'errors'")?,
        number("SELECT sum(events)::bigint FROM _flagscope.variant_delta WHERE metric = 'errors'")?,
        number(&format!("SELECT sum(n)::bigint FROM {folded}"))?,
        number(&format!("SELECT sum(events)::bigint FROM {folded}"))?,
    ])
}

#[pg_test(schema = "tests")]
fn columns_that_were_dropped_or_added() -> Outcome {
    prepare()?;
    send(100)?;
    Spi::run("ALTER TABLE flagscope.telemetry ADD COLUMN before_all text DEFAULT 'x', ADD COLUMN another numeric")?;
    send(100)?;
    Spi::run("ALTER TABLE flagscope.telemetry DROP COLUMN before_all, DROP COLUMN another")?;
    send(100)?;
    assert_eq!(counted()?, [300, 42, 300, 42]);
    Ok(())
}

#[pg_test(schema = "tests")]
fn a_partition_with_its_columns_in_another_order() -> Outcome {
    prepare()?;
    // The same columns, backwards, one that is gone between them.
    Spi::run(
        "DO $$ DECLARE wanted record; columns text := (SELECT string_agg(format('%I %s%s', a.attname, format_type(a.atttypid, a.atttypmod),
                 CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END), ', ' ORDER BY a.attnum DESC)
             FROM pg_attribute a WHERE a.attrelid = 'flagscope.telemetry'::regclass AND a.attnum > 0 AND NOT a.attisdropped);
         BEGIN
             EXECUTE format('CREATE TABLE _flagscope.backwards (gone text, %s)', columns);
             ALTER TABLE _flagscope.backwards DROP COLUMN gone;
             FOR wanted IN SELECT k.conname, pg_get_constraintdef(k.oid) AS says FROM pg_constraint k
                 WHERE k.conrelid = 'flagscope.telemetry'::regclass AND k.contype = 'c' LOOP
                 EXECUTE format('ALTER TABLE _flagscope.backwards ADD CONSTRAINT %I %s', wanted.conname, wanted.says);
             END LOOP;
             ALTER TABLE flagscope.telemetry ATTACH PARTITION _flagscope.backwards
                 FOR VALUES FROM (now() - interval '1 hour') TO (now() + interval '1 hour');
         END $$",
    )?;
    send(140)?;
    assert_eq!(number("SELECT count(*) FROM _flagscope.backwards")?, 140);
    assert_eq!(counted()?, [140, 20, 140, 20]);
    Ok(())
}

#[pg_test(schema = "tests")]
fn a_subtransaction_that_is_rolled_back_leaves_nothing() -> Outcome {
    prepare()?;
    send(70)?;
    Spi::run(
        "DO $$ BEGIN
             INSERT INTO flagscope.telemetry (ts, signal, name, flags) VALUES (now(), 'span', 'pay', '{\"f\": \"on\"}');
             RAISE 'undone';
         EXCEPTION WHEN raise_exception THEN NULL; END $$",
    )?;
    send(70)?;
    assert_eq!(counted()?, [140, 20, 140, 20]);
    Ok(())
}

#[pg_test(schema = "tests")]
fn a_statement_that_fails_after_its_rows_leaves_nothing_noted() -> Outcome {
    prepare()?;
    // Fails after note_row() has noted the row, and before the statement's own trigger takes it.
    Spi::run(
        "CREATE FUNCTION pg_temp.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$;
         CREATE TRIGGER zz AFTER INSERT ON flagscope.telemetry FOR EACH ROW WHEN (NEW.name = 'bad') EXECUTE FUNCTION pg_temp.fail();
         DO $$ BEGIN FOR i IN 1..50 LOOP
             BEGIN
                 INSERT INTO flagscope.telemetry (ts, signal, name, trace_id, subject)
                 SELECT now(), 'span', CASE WHEN n < 20 THEN 'pay' ELSE 'bad' END, md5(n::text)::uuid, 'user-' || n FROM generate_series(1, 20) n;
             EXCEPTION WHEN raise_exception THEN NULL; END;
         END LOOP; END $$",
    )?;
    // An evaluation of those traces finds nothing to tie, and rows that come now are tied once.
    Spi::run(
        "INSERT INTO flagscope.telemetry (ts, signal, name, trace_id, subject, flags)
         SELECT now(), 'event', 'feature_flag.evaluation', md5(n::text)::uuid, 'user-' || n, '{\"f\": \"on\"}' FROM generate_series(1, 20) n;
         INSERT INTO flagscope.telemetry (ts, signal, name, trace_id) SELECT now(), 'span', 'pay', md5(n::text)::uuid FROM generate_series(1, 20) n",
    )?;
    assert_eq!(number("SELECT count(*) FROM flagscope.telemetry WHERE name = 'pay' AND attribution = 'trace'")?, 20);
    assert_eq!(counted()?, [20, 0, 20, 0]);
    Ok(())
}

#[pg_test(schema = "tests")]
fn parallel_workers_say_what_one_process_says() -> Outcome {
    prepare()?;
    Spi::run(
        "CREATE TABLE public.many (x float8, flags jsonb, h flagscope.histogram);
         INSERT INTO public.many SELECT i, jsonb_build_object('f', 'on', repeat('k', 50), repeat('v', i % 5000)), CASE WHEN i % 10 = 0 THEN
             (SELECT flagscope.histogram(i * j) FROM generate_series(1, 200) j) END FROM generate_series(1, 20000) i;
         ANALYZE public.many",
    )?;
    let query = "SELECT md5(concat_ws(' ', flagscope.histogram(x)::text, flagscope.rollup(h)::text, flagscope.count(flagscope.moments(x)),
        count(*) FILTER (WHERE flagscope.evaluate_boolean('f', 'user-' || x, false)))) FROM public.many";
    Spi::run("SET LOCAL max_parallel_workers_per_gather = 0")?;
    let alone = Spi::get_one::<String>(query)?;
    Spi::run(
        "SET LOCAL max_parallel_workers_per_gather = 2; SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0;
         SET LOCAL min_parallel_table_scan_size = 0",
    )?;
    let plan = Spi::connect(|client| {
        let table = client.select(&format!("EXPLAIN (ANALYZE, COSTS off, TIMING off) {query}"), None, &[])?;
        let lines: Result<Vec<_>, spi::Error> = table.map(|row| row.get::<String>(1)).collect();
        lines.map(|lines| lines.into_iter().flatten().collect::<Vec<_>>().join("\n"))
    })?;
    assert!(plan.contains("Workers Launched: 2"), "{plan}");
    assert_eq!(Spi::get_one::<String>(query)?, alone);
    Ok(())
}
