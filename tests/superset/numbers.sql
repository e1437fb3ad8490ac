-- Data points and events of both variants in the last rollout of flag new-checkout, as psql and the console get them.
SELECT rtrim(concat_ws(' ', s.metric, s.variant, s.n, s.events))
FROM (SELECT * FROM flagscope.rollout WHERE flag = 'new-checkout' AND environment = 'production'
        ORDER BY id DESC LIMIT 1) r,
    flagscope.variant_summary(r.flag, r.environment, r.started_at,
        coalesce(r.ended_at, now()) + interval '1 microsecond') s
WHERE s.variant IN (r.treatment, r.control);
