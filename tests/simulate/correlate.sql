-- Data sets with and without a cause, through SQL: how often correlate() names the cause, and how often it names any
-- where there is none. psql -v runs=20 -v rows=60000 -v kinds='{...}' [-v seed=0.5] -f
-- tests/simulate/correlate.sql
-- Requests of 18 attributes (two of them ids), 20 % treated, users of unequal activity, errors that differ 80-fold by
-- endpoint.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
SET flagscope.attribution = off;
SELECT flagscope.create_flag('f'), flagscope.create_flag('g'), flagscope.create_metric('errors', 'proportion', 'span',
    '{}', '{"is_error": true}') \gset ignored_
SELECT flagscope.set_setting('correlate.timeout', '"10 minutes"') \gset ignored_
\if :{?seed}
\else
\set seed 0.20261128
\endif
SELECT setseed(:seed) \gset ignored_

CREATE TEMP TABLE req (i bigint, subject text, treated boolean, attributes jsonb, flag text, base float8,
    event boolean);
CREATE TEMP TABLE person (who integer, treated boolean, attributes jsonb, flag text, rate float8);
CREATE FUNCTION pg_temp.pick(names text, n integer) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT names || '-' || chr(97 + least(floor(n * random() ^ 1.6)::integer, n - 1)) $$;

-- Of many names: numbers, since there are not so many letters.
CREATE FUNCTION pg_temp.pick_of(names text, n integer) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT names || least(floor(n * random() ^ 1.6)::integer, n - 1) $$;

-- Users and requests of one data set. A user's rate is 1, or with clusters nearly gamma of shape 0.1 (mean 1).
CREATE FUNCTION pg_temp.draw(rows integer, kind text) RETURNS void LANGUAGE sql VOLATILE AS $$
    TRUNCATE person, req;
    INSERT INTO person SELECT w, random() < 0.2, a || jsonb_build_object('region', 'r-' ||
        left(md5(a ->> 'country'), 1))
            || jsonb_build_object('app_version', CASE WHEN kind = 'confounded' AND random() < 0.75
                AND ('r-' || left(md5(a ->> 'country'), 1)) = 'r-' || left(md5('country-a'), 1) THEN 'v-c'
                ELSE a ->> 'app_version' END),
        pg_temp.pick('g', 3), CASE WHEN kind LIKE '%clusters%' THEN 11 * -ln(1 - random()) * random() ^ 10 ELSE 1 END
    FROM (SELECT w, jsonb_build_object('country', pg_temp.pick('country', 12), 'app_version', pg_temp.pick('v', 6),
        'plan', pg_temp.pick('plan', 3), 'browser', pg_temp.pick('b', 8),
        'device', pg_temp.pick('d', 4), 'language', pg_temp.pick('l', 9), 'tenant', pg_temp.pick_of('t', 130),
        'account', 'acc' || w) AS a
        FROM generate_series(1, rows / 15) w) x;
    INSERT INTO req SELECT i, 'u' || p.who, p.treated, p.attributes || x.a || jsonb_build_object('datacentre', x.dc,
        'zone', replace(x.dc, 'dc', 'z')), p.flag, p.rate * 0.04 / (80 ^ (x.e / 11.0)), NULL
    FROM (SELECT i, 1 + floor(random() ^ 2 * (rows / 15))::integer AS who FROM generate_series(1, rows) i) r
        JOIN person p ON p.who = r.who,
        LATERAL (SELECT e, pg_temp.pick('dc', 5) AS dc, jsonb_build_object('endpoint', 'e-' || chr(97 + e), 'host',
            'host-' || chr(97 + floor(26 * random())::integer), 'method', pg_temp.pick('m', 3),
            'payload', floor(1e5 * random() ^ 2), 'items', floor(8 * random()), 'cache', random() < 0.5, 'request_id',
            md5(i::text || kind)) AS a FROM (SELECT floor(12 * random())::integer AS e WHERE i > 0) y) x;
$$;

-- What is planted: conditions on attributes (or on flag g), of which extra errors of the treatment are.
CREATE FUNCTION pg_temp.cause(kind text, low float8, high float8, OUT conditions jsonb, OUT flag text) LANGUAGE plpgsql
    VOLATILE AS $$
DECLARE
    n float8 := (SELECT count(*) FROM req);
BEGIN
    IF kind = 'flag' THEN
        SELECT r.flag INTO flag FROM req r GROUP BY 1 HAVING count(*) BETWEEN low * n AND high * n ORDER BY random()
            LIMIT 1;
    ELSIF kind = 'pair' THEN
        SELECT x.c INTO conditions
            FROM (SELECT jsonb_build_object('country', r.attributes -> 'country', 'app_version',
            r.attributes -> 'app_version') AS c, count(*) AS k FROM req r GROUP BY 1
            UNION ALL SELECT jsonb_build_object('browser', r.attributes -> 'browser', 'plan', r.attributes -> 'plan'),
                count(*) FROM req r GROUP BY 1
            UNION ALL SELECT jsonb_build_object('endpoint', r.attributes -> 'endpoint', 'device',
                r.attributes -> 'device'), count(*) FROM req r GROUP BY 1) x
        WHERE x.k BETWEEN low * n AND high * n ORDER BY random() LIMIT 1;
    ELSE
        SELECT x.c INTO conditions FROM (SELECT jsonb_build_object(a.key, a.value) AS c, a.key, count(*) AS k
            FROM req r, jsonb_each(r.attributes) a
            WHERE a.key = ANY (CASE kind WHEN 'confounded' THEN '{app_version}' WHEN 'alias' THEN '{datacentre}'
                WHEN 'low base' THEN '{endpoint}'
                ELSE '{country,app_version,plan,browser,device,language,endpoint,method,tenant}' END::text[])
            GROUP BY 1, 2) x
        WHERE CASE kind WHEN 'confounded' THEN x.c = '{"app_version": "v-c"}'
            WHEN 'low base' THEN x.c ->> 'endpoint' IN ('e-i', 'e-j', 'e-k', 'e-l') ELSE x.k BETWEEN low * n
            AND high * n END
        ORDER BY random() LIMIT 1;
    END IF;
END $$;

CREATE TEMP TABLE outcome (kind text, run integer, planted text, found text, listed integer, is_right boolean);
CREATE PROCEDURE pg_temp.play(kind text, run integer, rows integer) LANGUAGE plpgsql AS $$
DECLARE
    low float8 := CASE kind WHEN 'rare' THEN 0.005 WHEN 'pair' THEN 0.01 ELSE 0.04 END;
    high float8 := CASE kind WHEN 'rare' THEN 0.03 WHEN 'pair' THEN 0.08 ELSE 0.35 END;
    extra float8 := CASE WHEN kind IN ('one, 40 extra', 'low base') THEN 40 ELSE 200 END * rows / 60000.0;
    is_null boolean := kind LIKE 'null%';
    a record;
    b record;
    f record;
BEGIN
    PERFORM pg_temp.draw(rows, kind);
    UPDATE req SET event = random() < base * CASE WHEN kind LIKE 'null: doubled%' AND treated THEN 2 ELSE 1 END
        OR kind = 'null: +1 point' AND treated AND random() < extra / (0.2 * rows);
    SELECT NULL::jsonb AS conditions, NULL::text AS flag INTO a;
    SELECT NULL::jsonb AS conditions, NULL::text AS flag INTO b;
    IF kind = 'number' THEN
        NULL;
    ELSIF NOT is_null THEN
        a := pg_temp.cause(kind, low, high);
        IF num_nonnulls(a.conditions, a.flag) = 0 THEN
            RAISE EXCEPTION 'no value has the share of the traffic that kind "%" is about', kind;
        END IF;
        UPDATE req r SET event = true WHERE r.treated AND (r.attributes @> a.conditions OR r.flag = a.flag)
            AND random() < extra / (SELECT count(*) FROM req x WHERE x.treated
                AND (x.attributes @> a.conditions OR x.flag = a.flag));
        IF kind = 'two' THEN
            b := pg_temp.cause('pair', 0.02, 0.08);
            UPDATE req r SET event = true WHERE r.treated AND r.attributes @> b.conditions
                AND random() < extra / (SELECT count(*) FROM req x WHERE x.treated AND x.attributes @> b.conditions);
        END IF;
    END IF;
    IF kind = 'number' THEN
        UPDATE req r SET event = true WHERE r.treated AND (r.attributes ->> 'payload')::float8 >= 81000
            AND random() < extra / (SELECT count(*) FROM req x WHERE x.treated AND (x.attributes ->> 'payload')::float8
                >= 81000);
    END IF;
    TRUNCATE flagscope.telemetry;
    INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags, is_error, attributes, environment)
    SELECT timestamptz '2040-01-02' + i * interval '1 ms', 'span', 'request', r.subject,
        jsonb_build_object('f', CASE WHEN r.treated THEN 'on' ELSE 'off' END, 'g', r.flag), r.event, r.attributes,
        'production' FROM req r;
    SELECT count(*) AS n, (array_agg(x.finding ORDER BY x.rank))[1] AS finding,
        (array_agg(x.predicate ORDER BY x.rank))[1] AS predicate, (array_agg(x.n_treatment ORDER BY x.rank))[1] AS n_t
        INTO f
    FROM flagscope.correlate('f', 'errors', since => '2040-01-02', until => '2040-01-03', treatment => 'on',
        control => 'off') x WHERE x.kind = 'segment';
    INSERT INTO outcome VALUES (kind, run, coalesce(a.conditions::text, a.flag), f.finding, f.n,
        coalesce(CASE WHEN is_null THEN f.n = 0 WHEN kind = 'number' THEN f.finding ~ '^payload (>=|from) 8[0-9]000'
        ELSE
        f.predicate -> 'attributes' = a.conditions OR f.predicate -> 'flags' = jsonb_build_object('g', a.flag)
            OR f.predicate -> 'attributes' = b.conditions
        -- The same rows to 90 %, of either cause.
        OR (SELECT bool_or(y.is_same) FROM unnest(ARRAY[a.conditions, b.conditions]) c(conditions),
            LATERAL (SELECT count(*) FILTER (WHERE x.y AND x.z) >= 0.9 * count(*) FILTER (WHERE x.y OR x.z)
                AND count(*) FILTER (WHERE x.y) > 0 AS is_same
                FROM (SELECT r.attributes @> c.conditions AS y, r.attributes @> (f.predicate -> 'attributes') AS z
                FROM req r) x) y) END, false));
END $$;
SELECT format('CALL pg_temp.play(%L, %s, %s)', k, r, :rows) FROM unnest(:'kinds'::text[]) WITH ORDINALITY x(k, place),
    generate_series(1, :runs) r ORDER BY place, r \gexec
SELECT kind, count(*) AS sets, round(100 * avg(is_right::integer), 1) AS "% right", round(avg(listed), 2) AS lines,
    count(*) FILTER (WHERE NOT is_right AND listed > 0) AS false,
    (array_agg(format('%s: %s', planted, found)) FILTER (WHERE NOT is_right))[1:2] AS for_example FROM outcome
        GROUP BY kind ORDER BY min(run), kind LIKE 'null%', kind;
