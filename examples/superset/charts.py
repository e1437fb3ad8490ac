"""What the dashboards show: data sets (views of flagscope, and two made of them) and charts, in words of this file that
bundle.py turns into Superset's."""

COLOURS = {"ok": "#1a7f37", "completed": "#1a7f37", "running": "#0969da", "held": "#bf8700", "paused": "#bf8700",
           "warning": "#bf8700", "no_data": "#bf8700", "error": "#cf222e", "breached": "#cf222e", "critical": "#cf222e",
           "rolled_back": "#cf222e"}
"""Of words of states; the word stands there, too."""

LAST = ("(SELECT DISTINCT ON (flag, environment) flag, environment, treatment, control, started_at, ended_at"
        " FROM flagscope.bi_rollout WHERE started_at IS NOT NULL ORDER BY flag, environment, rollout_id DESC)")
"""The last rollout of each flag."""

ROLE = ("CASE x.variant WHEN r.treatment THEN 'treatment' WHEN r.control THEN 'control' WHEN '' THEN 'all rows'"
        " ELSE 'other: ' || x.variant END AS role")
"""What a variant is in it, so that it has one colour, however it is called."""

DATASETS = {
    "rollouts": {
        "says": "Each rollout, where it stands and what it waits for",
        "columns": "ts:time rollout_id:number flag environment treatment control status is_live:bool needs_approval:bool"
                   " percent:number stage stages waiting_for since:time last_action last_reason",
        "sql": "SELECT * FROM flagscope.bi_rollout WHERE status <> 'draft'"},
    "ramp and decisions": {
        "says": "The share that a rollout serves over time, and each decision as a point at the share that it left",
        "columns": "ts:time flag environment served:number decided:number what",
        "sql": "SELECT ts, flag, environment, percent AS served, NULL::float8 AS decided, NULL AS what"
               " FROM flagscope.bi_ramp UNION ALL SELECT ts, flag, environment, NULL,"
               " coalesce(to_percent, from_percent, 0), CASE WHEN shadow THEN 'shadow: ' ELSE '' END || action"
               " FROM flagscope.bi_decision"},
    "guardrails": {
        "says": "Each guardrail in the last rollout of its flag",
        "columns": "ts:time flag environment guardrail metric state reason measure estimate:number lower:number"
                   " upper:number tolerated:number n_treatment:number n_control:number action since:time breached:number",
        "sql": "SELECT *, (state = 'breached')::integer AS breached FROM flagscope.bi_guardrail"},
    "bi_health": {
        "says": "Is judging working, and are users split as configured",
        "columns": "ts:time scope name state detail flag environment"},
    "metrics": {
        "says": "Metrics by bucket of time and variant; in_rollout: since the flag's last rollout began, until its end",
        "columns": "ts:time flag environment variant role metric kind unit n:number events:number value:number p95:number"
                   " in_rollout:bool",
        "sql": f"SELECT x.*, {ROLE}, x.ts > r.started_at - x.seconds * interval '1 second'"
               " AND x.ts <= coalesce(r.ended_at, 'infinity') AND x.variant IN (r.treatment, r.control) AS in_rollout"
               f" FROM flagscope.bi_metric x LEFT JOIN {LAST} r USING (flag, environment)"},
    "bi_decision": {
        "says": "Each decision with its reason",
        "columns": "ts:time decision_id:number flag environment action severity title reason actor"},
    "bi_correlation": {
        "says": "Why: what correlate() found after a rollback",
        "columns": "ts:time decision_id:number flag environment rank:number kind sentence trace_id example"},
    "errors": {
        "says": "Errors: logs, events, spans and exceptions inside spans",
        "columns": "ts:time flag environment variant role service operation fingerprint subject country count:number",
        "sql": f"SELECT x.*, {ROLE} FROM flagscope.bi_error x LEFT JOIN {LAST} r USING (flag, environment)"},
    "exposures": {
        "says": "First exposures of subjects",
        "columns": "ts:time flag environment variant role subject count:number",
        "sql": f"SELECT x.*, {ROLE} FROM flagscope.bi_exposure x LEFT JOIN {LAST} r USING (flag, environment)"},
}

ROLLOUT = {
    "slug": "flagscope-rollout", "title": "Rollout", "says": "One flag: its ramp, what its guardrails see, and why",
    "filters": [("Flag", "rollouts", "flag", None), ("Environment", "rollouts", "environment", "production")],
    # What one chart shows one of, at first the first.
    "choices": [("Failures", "metric", "Share of failures by variant"), ("Durations", "metric", "95th percentile by variant")],
    "colours": {"treatment": "#D55E00", "control": "#0072B2", "all rows": "#767676", "share of users": "#0072B2", "rollback": "#cf222e", "start": "#1a7f37",
                "advance": "#1a7f37"},
    "rows": [
        [{"title": "Now", "kind": "table", "of": "rollouts", "width": 12, "height": 24, "limit": 3,
          "columns": ["rollout_id", "status", "treatment", "control", "percent", "stage", "stages", "waiting_for", "last_action", "last_reason",
                      "since"], "order": [("rollout_id", False)]}],
        [{"title": "Share of users, and decisions", "kind": "ramp", "of": "ramp and decisions", "width": 12, "height": 42,
          "in_time": True, "metric": ("share of users", "max(served)"), "points": ("decision", "max(decided)")}],
        [{"title": "Share of failures by variant", "kind": "line", "of": "metrics", "width": 6, "height": 44,
          "in_time": True, "where": "kind = 'proportion'", "by": ["role"], "grain": "PT30S", "format": ".1%",
          "metric": ("share", "sum(events)::float8 / nullif(sum(n), 0)")},
         {"title": "95th percentile by variant", "kind": "line", "of": "metrics", "width": 6, "height": 44,
          "in_time": True, "where": "kind = 'quantile'", "by": ["role"], "grain": "PT30S", "format": ".3s",
          "metric": ("p95", "max(p95)"), "says": "Of several buckets the highest"}],
        [{"title": "Both variants in the last rollout", "kind": "table", "of": "metrics", "width": 12, "height": 38,
          "by": "min(metric || CASE role WHEN 'treatment' THEN ' 1' ELSE ' 2' END)", "where": "in_rollout", "columns": ["metric", "role", "variant"], "limit": 40,
          "metrics": [("data points", "sum(n)"), ("events", "sum(events)"),
                      ("share or mean", "sum(value * n) / nullif(sum(n), 0)"), ("p95", "max(p95)")],
          "says": "As variant_summary() says, but for p95, which is the highest of any bucket"}],
        [{"title": "Guardrails", "kind": "table", "of": "guardrails", "width": 12, "height": 34,
          "columns": ["state", "guardrail", "reason", "measure", "estimate", "lower", "upper", "tolerated", "action"],
          "order": [("breached", False), ("guardrail", True)]}],
        [{"title": "Why", "kind": "table", "of": "bi_correlation", "width": 12, "height": 40, "in_time": True,
          "columns": ["ts", "rank", "kind", "sentence", "trace_id"], "order": [("ts", False), ("rank", True)], "limit": 20}],
        [{"title": "Top errors by variant", "kind": "table", "of": "errors", "width": 7, "height": 46, "in_time": True,
          "columns": ["role", "fingerprint", "service"], "limit": 20,
          "metrics": [("errors", "sum(count)"), ("subjects", "count(DISTINCT subject)")]},
         {"title": "Errors by country and variant", "kind": "bars", "of": "errors", "width": 5, "height": 46,
          "in_time": True, "axis": "country", "where": "country IS NOT NULL", "by": ["role"],
          "metric": ("errors", "sum(count)"), "format": ",d"}],
        [{"title": "Errors over time", "kind": "bars", "of": "errors", "width": 6, "height": 44, "in_time": True,
          "by": ["role"], "grain": "PT1M", "metric": ("errors", "sum(count)"), "format": ",d"},
         {"title": "New subjects by variant", "kind": "bars", "of": "exposures", "width": 6, "height": 44, "in_time": True,
          "by": ["role"], "grain": "PT1M", "metric": ("subjects", "sum(count)"), "format": ",d"}],
        [{"title": "Decisions", "kind": "table", "of": "bi_decision", "width": 12, "height": 44, "in_time": True,
          "columns": ["ts", "title", "reason", "actor"], "order": [("ts", False), ("decision_id", False)], "limit": 100}],
    ],
}

ALL = {
    "slug": "flagscope-all", "title": "All rollouts", "says": "Which rollouts are on their way, and who must act",
    "filters": [("Environment", "rollouts", "environment", "production")],
    "rows": [
        [{"title": "On their way", "kind": "number", "of": "rollouts", "width": 3, "height": 26, "below": "live rollouts",
          "metric": ("live", "count(*) FILTER (WHERE is_live)")},
         {"title": "Wait for a person", "kind": "number", "of": "rollouts", "width": 3, "height": 26,
          "below": "stages to approve", "metric": ("waiting", "count(*) FILTER (WHERE is_live AND needs_approval)")},
         {"title": "Breached", "kind": "number", "of": "guardrails", "width": 3, "height": 26, "below": "guardrails",
          "metric": ("breached", "count(*) FILTER (WHERE state = 'breached')")},
         {"title": "Is judging working", "kind": "number", "of": "bi_health", "width": 3, "height": 26,
          "below": "things that are not as they should be", "metric": ("problems", "count(*) FILTER (WHERE state <> 'ok')")}],
        [{"title": "Rollouts", "kind": "table", "of": "rollouts", "width": 12, "height": 44, "limit": 200,
          "columns": ["flag", "status", "percent", "waiting_for", "last_action", "last_reason", "since"],
          "order": [("is_live", False), ("since", False)]}],
        [{"title": "Guardrails that are not ok", "kind": "table", "of": "guardrails", "width": 12, "height": 38,
          "where": "state NOT IN ('ok', 'safe')", "columns": ["flag", "state", "guardrail", "reason", "since"],
          "order": [("breached", False), ("flag", True)]}],
        [{"title": "Decisions", "kind": "table", "of": "bi_decision", "width": 7, "height": 46, "in_time": True, "limit": 100,
          "columns": ["ts", "flag", "title", "reason", "actor"], "order": [("ts", False), ("decision_id", False)]},
         {"title": "Health", "kind": "table", "of": "bi_health", "width": 5, "height": 46,
          "columns": ["state", "name", "flag", "detail"], "order": [("state", True), ("name", True)]}],
    ],
}

DASHBOARDS = [ROLLOUT, ALL]
