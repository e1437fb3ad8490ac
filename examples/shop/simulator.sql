-- A shop that plays its own customers. shop.batch(n) gives the telemetry of some requests, ready for COPY.
-- Deterministic: every number is a hash of the seed, the batch and the request, or of the user; there is no random().

CREATE SCHEMA shop;

-- Uniform in (0, 1): the upper 52 bits of a hash.
CREATE FUNCTION shop.uniform(seed bigint, key text) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (((hashtextextended(key, seed) >> 12) & 4503599627370495)::float8 + 0.5) / 4503599627370496;

-- Standard normal, by Box and Muller.
CREATE FUNCTION shop.normal(seed bigint, key text) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sqrt(-2 * ln(shop.uniform(seed, key || ' radius'))) * cos(2 * pi() * shop.uniform(seed, key || ' angle'));

-- Load of the new payment path, from the share of users that is served it: it was built for 15 %.
CREATE VIEW shop.payment AS
SELECT coalesce(s.percent, 0)::float8 AS percent, coalesce(s.percent, 0)::float8 / 15 AS load
FROM flagscope.flag_state s WHERE s.flag = 'new-checkout' AND s.environment = 'production';

-- One batch of checkouts: who comes, which variant they are served, how it goes. Both paths are alike, median 120 ms
-- and 1 % errors, but for one thing that nobody knows: the app's version 2.4 sends German cards through a gateway of
-- the new path, and above its load this gets slower and does not answer.
CREATE FUNCTION shop.checkout(batch integer, requests integer, users integer, seed bigint)
RETURNS TABLE (id text, ts timestamptz, subject text, variant text, reason text, duration float8,
    is_error boolean, attributes jsonb)
LANGUAGE sql VOLATILE
AS $$
    SELECT r.id, clock_timestamp(), r.subject, e.variant, lower(e.reason),
        0.12 * exp(0.45 * shop.normal(seed, r.id)) * (1 + 3 * path.overload), failure.type IS NOT NULL,
        jsonb_strip_nulls(
            jsonb_build_object('shop', jsonb_build_object('run', jsonb_build_object('batch', batch,
                    'percent', p.percent)),
                'country', who.country, 'app_version', who.app_version,
                'request_id', md5(r.id), 'error.type', failure.type))
    FROM (SELECT i, format('%s/%s', batch, i) AS id,
            format('user-%s', floor(users * shop.uniform(seed, format('%s/%s user', batch, i)))) AS subject
          FROM generate_series(1, requests) i) r
        CROSS JOIN shop.payment p
        CROSS JOIN LATERAL flagscope.evaluate('new-checkout', r.subject) e
        CROSS JOIN LATERAL (SELECT CASE WHEN shop.uniform(seed, r.subject || ' country') < 0.4 THEN 'DE'
                ELSE ('{AT,FR,US}'::text[])[1
                    + floor(3 * shop.uniform(seed, r.subject || ' other'))::integer] END AS country,
            CASE WHEN shop.uniform(seed, r.subject || ' version') < 0.6 THEN '2.4' ELSE '2.3' END AS app_version) who
        CROSS JOIN LATERAL (SELECT CASE WHEN e.variant = 'on' AND who.country = 'DE' AND who.app_version = '2.4'
            THEN greatest(p.load - 1, 0) ELSE 0 END AS overload) path
        CROSS JOIN LATERAL (SELECT CASE WHEN shop.uniform(seed, r.id || ' error') < 0.01 THEN 'CardDeclined'
            WHEN shop.uniform(seed, r.id || ' gateway') < 0.2 * path.overload THEN
                'GatewayTimeout' END AS type) failure;
$$;

-- The same as telemetry: for each request the exposure, the span, perhaps a log and an order; and gauges of the queues.
CREATE FUNCTION shop.batch(batch integer, requests integer DEFAULT 1500, users integer DEFAULT 20000,
    seed bigint DEFAULT 7)
RETURNS TABLE (ts timestamptz, signal flagscope.signal, name text, value float8, unit text, subject text, flags jsonb,
    service text, severity smallint, is_error boolean, trace_id uuid, body text, attributes jsonb)
LANGUAGE sql VOLATILE
AS $$
    WITH request AS MATERIALIZED (
        SELECT c.*, md5(seed || ' ' || c.id)::uuid AS trace, jsonb_build_object('new-checkout', c.variant) AS flags
        FROM shop.checkout(batch, requests, users, seed) c
    )
    SELECT r.ts, 'event'::flagscope.signal, 'feature_flag.evaluation', NULL::float8, NULL, r.subject, r.flags, 'shop',
        NULL::smallint, NULL::boolean, r.trace, NULL, jsonb_build_object('feature_flag.key', 'new-checkout',
            'feature_flag.result.variant', r.variant, 'feature_flag.result.reason', r.reason)
    FROM request r
    UNION ALL
    SELECT r.ts, 'span', 'POST /checkout', r.duration, 's', r.subject, r.flags, 'shop', NULL, r.is_error, r.trace,
        NULL, r.attributes
    FROM request r
    UNION ALL
    SELECT r.ts, 'log', 'shop.payment', NULL, NULL, r.subject, r.flags, 'shop', CASE WHEN r.is_error THEN 17 ELSE 9 END,
        r.is_error, r.trace,
        CASE r.attributes ->> 'error.type'
            WHEN 'GatewayTimeout' THEN format('gateway-2 did not answer within %sms', 900 + length(r.id) % 7)
            WHEN 'CardDeclined' THEN 'card declined' ELSE 'coupon applied' END, NULL
    FROM request r WHERE r.is_error OR shop.uniform(seed, r.id || ' coupon') < 0.02
    UNION ALL
    SELECT r.ts, 'event', 'order.completed', round((35 * exp(0.6 * shop.normal(seed, r.id || ' basket')))::numeric, 2),
        'EUR', r.subject, r.flags, 'shop', NULL, NULL, r.trace, NULL, NULL
    FROM request r WHERE NOT r.is_error AND shop.uniform(seed, r.id || ' order') < 0.9
    UNION ALL
    SELECT statement_timestamp(), 'metric', 'payment.queue.depth',
        round((6 + 4 * shop.uniform(seed, format('%s/queue %s %s', batch, v.variant, i))
            + 120 * CASE v.variant WHEN 'on' THEN greatest(p.load - 1, 0) ELSE 0 END)::numeric, 1), '{payment}',
        NULL, jsonb_build_object('new-checkout', v.variant), 'shop', NULL, NULL, NULL, NULL,
        jsonb_build_object('host.name', format('payment-%s-%s', v.variant, i))
    FROM shop.payment p, (VALUES ('off'), ('on')) v(variant), generate_series(1, 5) i
    WHERE v.variant = 'off' OR p.percent > 0;
$$;
