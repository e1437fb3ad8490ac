-- Classical tests for a single look at a sample size fixed beforehand (src/comparison.rs). Guardrails do not use them:
-- repeated until they are significant, they reject 30 to 60 % of healthy rollouts
-- (src/core/stats/README.md, section 9).

COMMENT ON FUNCTION flagscope.mean_test(flagscope.moments, flagscope.moments, float8, float8) IS
    'Welch''s t test of treatment against control: difference of means with interval, two-sided p-value, '
    'one-sided p-value for the treatment being greater by more than the margin, and the difference relative to the '
    'control''s mean; NULL where the test is not defined';
COMMENT ON FUNCTION flagscope.ratio_test(flagscope.ratio, flagscope.ratio, float8, float8) IS
    'the same for ratios of sums over units, with the variance between units (delta method)';
COMMENT ON FUNCTION flagscope.proportion_test(bigint, bigint, bigint, bigint, float8) IS
    'difference of two event rates with Newcombe''s interval, and the pooled z test (its square is Pearson''s '
    'chi-square): proportion_test(n_treatment, events_treatment, n_control, events_control)';
COMMENT ON FUNCTION flagscope.rate_test(float8, bigint, float8, bigint, float8, float8) IS
    'ratio of two rates of Poisson counts per exposure with its score interval; p-values of the score test and of the '
    'exact conditional one, against a ratio: '
    'rate_test(exposure_treatment, count_treatment, exposure_control, count_control)';
COMMENT ON FUNCTION flagscope.adjust_p_values(float8[], text) IS
    'p-values of several tests, adjusted for their number: bonferroni, holm (control the chance of any false finding), '
    'bh, by (control the share of false findings)';
COMMENT ON FUNCTION flagscope.rank_test(flagscope.histogram, flagscope.histogram) IS
    'Mann-Whitney test on histograms, where values of one bin are ties; superiority: the chance that a value of the '
    'treatment is greater; distance: the largest difference between the two cumulative shares';
COMMENT ON FUNCTION flagscope.chi_square_test(bigint[], float8[]) IS
    'Pearson''s chi-square of counts against shares in proportion to weights: the sample ratio of a finished rollout';
