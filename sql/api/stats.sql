-- Comments of the statistics that Rust implements (src/guardrail/estimate.rs, src/stats/), and of the checks of metrics
-- (src/plan.rs, src/query.rs, src/survey.rs).

COMMENT ON FUNCTION flagscope.check_filter(jsonb) IS
    'what is wrong with a filter of telemetry rows, where (a JSON pointer) and what to do; no rows: nothing; '
    'a problem that is no error works, but hardly as it was meant. A filter is an object of which all must hold: name, '
    'service, body (texts), value, severity (numbers), attributes {key: condition}, is_error (true, false), and, '
    'or (lists of filters), not (a filter), and in short name_matches, severity_at_least, value_above, value_below. '
    'A condition is a value to be equal to (a number is also found where it was stored as text), null for absent, '
    'a list of which one must hold, or an object of >, >=, <, <= (numbers), prefix, suffix, contains, '
    'matches (texts; a regular expression in linear time) and not: {"attributes": {"http.response.status_code": '
    '{">=": 500}, "http.route": {"not": ["/health", "/ready"]}}}';
COMMENT ON FUNCTION flagscope.check_per(jsonb) IS
    'what is wrong with a denominator of a rate or ratio: a filter as in check_filter(), with "signal" (metric, log, '
    'span, event) and "sum_values" (true, false)';
COMMENT ON FUNCTION _flagscope.require_filter(jsonb, text) IS
    'raises unless the JSON is a filter; the text says which one it is';
COMMENT ON FUNCTION _flagscope.require_per(jsonb, text) IS 'raises unless the JSON is a denominator of a rate or ratio';
COMMENT ON FUNCTION _flagscope.survey(jsonb, jsonb, timestamptz, timestamptz) IS
    'what a metric''s definition (as metric_definition()) matches among the rows stored from since to before until; '
    'attributed by their flags, or with a window by the units of rollouts (as arms())';
COMMENT ON FUNCTION _flagscope.require_query(text) IS
    'raises unless the text can be a metric''s query: one SELECT with parameters $1 and $2 (timestamptz) on tables '
    'that the caller can access, with columns subject or variant, and value';
COMMENT ON FUNCTION _flagscope.query_rows(text, text, timestamptz, timestamptz, integer, bigint) IS
    'the rows of a query over a range of time, run as a role: read only, with search_path pg_catalog, within the given '
    'milliseconds; for the tick only';
COMMENT ON FUNCTION _flagscope.own_query_rows(text, timestamptz, timestamptz, integer, bigint) IS
    'the same with the caller''s own rights';
COMMENT ON FUNCTION flagscope.odds_ratio(bigint[], bigint[], bigint[], bigint[], float8) IS
    'Mantel-Haenszel odds ratio of treatment against control over strata, and its interval, valid at every look (test '
    'P of src/core/stats/README.md); NULL where it is not defined';
COMMENT ON FUNCTION _flagscope.rate_interval(float8, bigint, float8) IS
    'interval of a rate from a count over an exposure, valid at every look: the rates that test R against a limit '
    'excludes in neither direction, each at half of alpha; NULL without exposure';
-- The decision tests. Arrays have one entry for each stratum (a tick), in order of time; NULL stands for an arm without
-- data and is allowed only where an entry is a state. All return an estimate, its interval (valid at every look),
-- log_e, the anytime p-value of the greatest e-value so far, log_e_safe (evidence that the worsening is less than
-- safe_margin) and a verdict.
COMMENT ON FUNCTION flagscope.sequential_proportion_test(bigint[], bigint[], bigint[], bigint[], float8, float8, float8,
    text, float8, float8) IS
    'test P: are events of the treatment more frequent (harm ''decrease'': rarer) than of the control by more than the '
    'margin (of the odds; exact however the baseline moves; or margin_absolute, a share such as 0.005 that is added to '
    'the control''s share in earlier strata, so that the first stratum is used for that only); '
    'estimate: Mantel-Haenszel odds ratio; verdict worse, safe or open';
COMMENT ON FUNCTION flagscope.sequential_limit_test(bigint[], bigint[], float8, text, float8, float8) IS
    'test P1: is the chance of an event above (below) a limit; exact; estimate: the rate, with a beta-binomial '
    'interval; verdict worse or open';
COMMENT ON FUNCTION flagscope.sequential_rate_test(float8[], bigint[], float8[], bigint[], float8, float8, float8, text,
    float8, float8) IS
    'test R: are counts per exposure higher (lower) in the treatment by more than the margin (of the rate; '
    'exact for Poisson counts however the intensity moves; or margin_absolute, added to the control''s rate in earlier '
    'strata, so that the first stratum is used for that only); estimate: ratio of rates; verdict worse, safe or open';
COMMENT ON FUNCTION flagscope.sequential_mean_test(flagscope.moments[], flagscope.moments[], float8, float8, float8,
    float8, text, float8) IS
    'test M: is the mean of values in [0, cap] higher (lower) in the treatment by more than the margin (of the mean; '
    'or margin_absolute in its unit); exact for winsorised values: moments(least(greatest(x, 0), cap)); '
    'the first stratum is used for the centre only; estimate: difference of means with the asymptotic interval of test '
    'Mt; verdict worse, safe or open';
COMMENT ON FUNCTION flagscope.sequential_mean_t_test(flagscope.moments[], flagscope.moments[], float8, text, float8) IS
    'test Mt: the stratified t mixture of means; asymptotic, with too many false alarms for decreases of skewed '
    'values: use it for symmetric values or logarithms; estimate: '
    'difference of means beyond the margin; verdict worse or open';
COMMENT ON FUNCTION flagscope.sequential_quantile_test(flagscope.histogram[], flagscope.histogram[], float8, float8,
    float8, float8, text, float8) IS
    'test Q: is a larger share of the treatment above the control''s earlier quantile, moved by the margin (of its '
    'value; or margin_absolute in its unit) in whole bins; exact; quantile NULL: mean of the e-values at p50, p90, '
    'p95, p99 (mix4); the first stratum is used for thresholds only; estimate: the treatment''s quantile with its own '
    'interval; verdict worse, safe or open';
COMMENT ON FUNCTION flagscope.sequential_quantile_strict_test(flagscope.histogram[], flagscope.histogram[],
    float8, text, float8) IS
    'test Qs: is the treatment''s quantile itself higher (lower) than the control''s; one look at all strata, '
    'for a control that does not drift; estimate: the treatment''s quantile, interval: '
    'of the control''s; verdict worse or open';
COMMENT ON FUNCTION flagscope.sequential_distribution_test(flagscope.histogram[],
    flagscope.histogram[], text, float8) IS
    'test H: do the arms have different distributions, towards higher (lower) values; exact if the values of a stratum '
    'are independent draws from one distribution, but not for a mix of endpoints; not a test of means, '
    'and nearly blind to changes of the tail alone; the first stratum is used for the score only; '
    'verdict different or open';
COMMENT ON FUNCTION flagscope.sequential_ratio_test(float8[], float8[], float8[], float8[], float8,
    float8, text, float8) IS
    'test T: is sum(numerator) / sum(denominator) over units higher (lower) in the treatment by more than the margin; '
    'arrays have one entry for each unit (user, host); delta method, asymptotic; no evidence below 100 units or a '
    'numerator of 20 in an arm; estimate: ratio of ratios; verdict worse, safe or open';
COMMENT ON FUNCTION flagscope.sequential_share_test(float8[], bigint[], bigint[], float8) IS
    'test S: sample ratio mismatch: newly assigned units of the treatment and of all other variants, compared with the '
    'treatment''s nominal share in each stratum; exact; estimate: odds served divided by nominal odds; '
    'verdict mismatch or open';
COMMENT ON FUNCTION flagscope.design_effect(float8[], float8[]) IS
    'how much larger the variance of a rate is than with independent trials, at least 1, from the events and trials of '
    'units; measure it on the control before a rollout and pass it to sequential_proportion_test; '
    'NULL where it is not defined';
COMMENT ON FUNCTION flagscope.combine_e(float8[], float8[], float8) IS
    'combines e-values as the guardrails of a rollout are (src/core/guardrail/together.rs): log of the weighted '
    'average (weights are scaled to sum to 1), its p-value, which entries (counted from 1) are responsible, '
    'verdict worse or open';
COMMENT ON FUNCTION flagscope.e_bh(float8[], float8) IS
    'e-BH over a fleet: which of these log e-values to reject so that at most alpha of the rejections '
    'are false in the mean, under any dependence';
