-- Requests of a shop with a cause that is known: a new checkout fails for users of one country and app version alone,
-- says so, is slow there, and calls its database for each item. Numbers come from a hash, so they are the same
-- everywhere.
CREATE FUNCTION pg_temp.u(i bigint, what bigint) RETURNS float8 LANGUAGE sql IMMUTABLE
AS $$ SELECT (hashint8extended(i, what) & 1048575) / 1048576.0::float8 $$;
CREATE FUNCTION pg_temp.id(i bigint, what bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT md5(i || '/' || what)::uuid $$;

-- One request: who, in which arm, where from, and whether it fails; planted: how much more often with the treatment in
-- Germany with version 2.4.
CREATE FUNCTION pg_temp.request(n integer, users integer, planted float8, seed bigint DEFAULT 0)
RETURNS TABLE (i bigint, ts timestamptz, subject text, treated boolean, country text, app_version text, is_hurt boolean,
    failed boolean) LANGUAGE sql IMMUTABLE
AS $$
    SELECT r.i, timestamptz '2040-01-02 12:00:00+00' + r.i * interval '0.1 second', 'user-' || u.n, u.treated,
        u.country, u.app_version, x.is_hurt, pg_temp.u(r.i, 5 + seed) < CASE WHEN x.is_hurt THEN planted ELSE 0.01 END
    FROM (SELECT i, floor(users * pg_temp.u(i, 1 + seed))::bigint AS who FROM generate_series(1, n) i) r,
        LATERAL (SELECT r.who AS n, pg_temp.u(r.who, 2 + seed) < 0.5 AS treated,
            ('{DE,FR,US,AT,PL}'::text[])[1 + floor(5 * pg_temp.u(r.who, 3 + seed))::integer] AS country,
            ('{2.3,2.4,2.5}'::text[])[1 + floor(3 * pg_temp.u(r.who, 4 + seed))::integer] AS app_version) u,
        LATERAL (SELECT u.treated AND u.country = 'DE' AND u.app_version = '2.4' AS is_hurt) x;
$$;

-- Its telemetry: a span, its database calls, and a log line where it fails.
CREATE FUNCTION pg_temp.telemetry(n integer, users integer, planted float8, seed bigint DEFAULT 0)
RETURNS SETOF flagscope.telemetry LANGUAGE sql
AS $$
    WITH r AS (
        SELECT x.*, jsonb_build_object('new-checkout', CASE WHEN x.treated THEN 'on' ELSE 'off' END, 'dark-mode',
            CASE WHEN pg_temp.u(hashtext(x.subject), 9) < 0.5 THEN 'on' ELSE 'off' END) AS flags,
            pg_temp.id(x.i, seed) AS trace, decode(lpad(to_hex(2 * x.i), 16, '0'), 'hex') AS span,
            0.05 - 0.03 * ln(1 - pg_temp.u(x.i, 6 + seed)) + CASE WHEN x.is_hurt AND planted > 0.01 THEN 0.1 ELSE 0
                END AS seconds
        FROM pg_temp.request(n, users, planted, seed) x
    ), row AS (
        SELECT r.ts, 'span' AS signal, 'POST /checkout' AS name, r.seconds AS value, r.subject, r.flags,
        'shop' AS service, NULL::integer AS severity, r.failed AS is_error,
            r.trace AS trace_id, r.span AS span_id, NULL::bytea AS parent_span_id, NULL AS body,
            jsonb_build_object('country', r.country, 'app_version', r.app_version, 'http.route', '/checkout',
                'request_id', md5(r.i::text), 'items', 1 + r.i % 4)
                || CASE WHEN r.failed THEN jsonb_build_object('error.type', CASE WHEN r.is_hurt THEN 'CardDeclined'
                    ELSE 'Timeout' END) ELSE '{}' END AS attributes
        FROM r
        UNION ALL
        SELECT r.ts + k * interval '10 ms', 'span', 'SELECT price', CASE WHEN r.is_hurt AND planted > 0.01 THEN 0.02
            ELSE 0.005 END, r.subject, r.flags, 'prices', NULL, NULL,
            r.trace, decode(lpad(to_hex(1000000 + 16 * r.i + k), 16, '0'), 'hex'), r.span, NULL, NULL
        FROM r, LATERAL generate_series(1, CASE WHEN r.is_hurt AND planted > 0.01 THEN 4 ELSE 1 END) k
        UNION ALL
        SELECT r.ts + interval '40 ms', 'log', 'checkout', NULL, r.subject, r.flags, 'shop', 17, NULL, r.trace, r.span,
            NULL,
            CASE WHEN r.is_hurt THEN format('card refused by gateway v2 after %s ms code=%s', r.i % 90, r.i % 7)
                ELSE format('timeout of order %s', r.i) END, NULL
        FROM r WHERE r.failed
    )
    SELECT t.* FROM row w, jsonb_populate_record(NULL::flagscope.telemetry,
        to_jsonb(w) || jsonb_build_object('environment', 'production')) t;
$$;
