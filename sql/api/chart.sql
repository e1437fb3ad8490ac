-- Text charts, which Rust draws (src/chart.rs).

COMMENT ON FUNCTION flagscope.sparkline(float8[]) IS 'a line chart with one character per value; NULL leaves a gap';
COMMENT ON FUNCTION flagscope.bar(float8, float8, integer) IS 'a bar of value / max, width characters long';

CREATE AGGREGATE flagscope.sparkline(float8) (
    SFUNC = array_append, STYPE = float8[], FINALFUNC = flagscope.sparkline, INITCOND = '{}', PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.sparkline(float8) IS 'a line chart of a series: sparkline(x ORDER BY t)';
