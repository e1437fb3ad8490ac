-- Comments of the statistics and charts that Rust implements (src/guardrail.rs, src/chart.rs, src/telemetry.rs).

COMMENT ON FUNCTION flagscope.check_filter(jsonb) IS
    'raises unless the JSON is a filter of telemetry rows: {"name", "name_matches", "service", "is_error", "severity_at_least", "value_above", "value_below", "attributes": {key: scalar}}';
COMMENT ON FUNCTION flagscope.odds_ratio(bigint[], bigint[], bigint[], bigint[], float8) IS
    'Mantel-Haenszel odds ratio of treatment against control over strata, and an interval of the score that is valid at every look (statistics.md P); NULL where the strata do not tell';
COMMENT ON FUNCTION flagscope._weigh_stratum(text, text, text, float8, float8, float8, integer[], bigint, bigint, flagscope.histogram,
    bigint, bigint, flagscope.histogram) IS
    'what one stratum adds to a guardrail''s evidence: Fisher tilt against control, one-sample tilt against a limit (statistics.md P, Q, P1)';
COMMENT ON FUNCTION flagscope._weigh_counts(text, text, text, float8, float8, float8, bigint, bigint[], bigint, bigint[]) IS
    'what stored counts add to a guardrail''s evidence: the increment of _weigh_stratum once more';
COMMENT ON FUNCTION flagscope._log_e(float8[]) IS 'natural log of the e-value of some evidence: mixture over the grid, mean over quantiles';
COMMENT ON FUNCTION flagscope._quantile_bins(flagscope.histogram, float8) IS
    'bins that hold the tested quantiles (NULL: p50, p90, p95, p99); NULL without values';
COMMENT ON FUNCTION flagscope._add(float8[], float8[]) IS 'sum of two lists; an empty one counts as zeros';
COMMENT ON FUNCTION flagscope._add(bigint[], bigint[]) IS 'sum of two lists; an empty one counts as zeros';
COMMENT ON FUNCTION flagscope._verdict(jsonb) IS 'data state and reason in words of where a guardrail stands (src/core/guardrail/verdict.rs)';
COMMENT ON FUNCTION flagscope.sparkline(float8[]) IS 'a line chart of one character a value; NULL leaves a gap';
COMMENT ON FUNCTION flagscope.bar(float8, float8, integer) IS 'a bar of value / max, width characters long';

CREATE AGGREGATE flagscope.sparkline(float8) (
    SFUNC = array_append, STYPE = float8[], FINALFUNC = flagscope.sparkline, INITCOND = '{}', PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.sparkline(float8) IS 'a line chart of a series: sparkline(x ORDER BY t)';
