"""What the dashboards show: data sets (views of flagscope, and two made of them) and charts, in words of this file that
bundle.py turns into Superset's."""

COLOURS = {"ok": "#1a7f37", "completed": "#1a7f37", "running": "#0969da", "held": "#bf8700", "paused": "#bf8700",
           "warning": "#bf8700", "no_data": "#bf8700", "error": "#cf222e", "breached": "#cf222e", "critical": "#cf222e",
           "rolled_back": "#cf222e"}
"""Of words of states; the word stands there, too."""

DATASETS = {
    "rollouts": {
        "says": "Each rollout, where it stands and what it waits for",
        "columns": "ts:time rollout_id:number flag environment status is_live:bool needs_approval:bool percent:number stage"
                   " stages waiting_for since:time last_action last_reason",
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
    "bi_metric": {
        "says": "Metrics by bucket of time and variant",
        "columns": "ts:time flag environment variant metric kind unit n:number events:number value:number p95:number"},
    "bi_decision": {
        "says": "Each decision with its reason",
        "columns": "ts:time decision_id:number flag environment action severity title reason actor"},
    "bi_correlation": {
        "says": "Why: what correlate() found after a rollback",
        "columns": "ts:time decision_id:number flag environment rank:number kind sentence trace_id example"},
    "bi_error": {
        "says": "Errors: logs, events, spans and exceptions inside spans",
        "columns": "ts:time flag environment variant service operation fingerprint subject count:number"},
    "bi_exposure": {
        "says": "First exposures of subjects",
        "columns": "ts:time flag environment variant subject count:number"},
}

ROLLOUT = {
    "slug": "flagscope-rollout", "title": "Rollout", "says": "One flag: its ramp, what its guardrails see, and why",
    "filters": [("Flag", "rollouts", "flag", None), ("Environment", "rollouts", "environment", "production")],
    "colours": {"on": "#D55E00", "off": "#0072B2", "share of users": "#0072B2", "rollback": "#cf222e", "start": "#1a7f37",
                "advance": "#1a7f37"},
    "rows": [
        [{"title": "Now", "kind": "table", "of": "rollouts", "width": 12, "height": 24, "limit": 3,
          "columns": ["rollout_id", "status", "percent", "stage", "stages", "waiting_for", "last_action", "last_reason",
                      "since"], "order": [("rollout_id", False)]}],
        [{"title": "Share of users, and decisions", "kind": "ramp", "of": "ramp and decisions", "width": 12, "height": 42,
          "in_time": True, "metric": ("share of users", "max(served)"), "points": ("decision", "max(decided)")}],
        [{"title": "Share of failures by variant", "kind": "line", "of": "bi_metric", "width": 6, "height": 44,
          "in_time": True, "where": "kind = 'proportion'", "by": ["metric", "variant"], "grain": "PT1M", "format": ".1%",
          "metric": ("share", "sum(events)::float8 / nullif(sum(n), 0)")},
         {"title": "95th percentile by variant", "kind": "line", "of": "bi_metric", "width": 6, "height": 44,
          "in_time": True, "where": "kind = 'quantile'", "by": ["metric", "variant"], "grain": "PT1M", "format": ".3s",
          "metric": ("p95", "max(p95)"), "says": "Of several buckets the highest"}],
        [{"title": "Guardrails", "kind": "table", "of": "guardrails", "width": 12, "height": 34,
          "columns": ["state", "guardrail", "reason", "measure", "estimate", "lower", "upper", "tolerated", "action"],
          "order": [("breached", False), ("guardrail", True)]}],
        [{"title": "Why", "kind": "table", "of": "bi_correlation", "width": 12, "height": 40, "in_time": True,
          "columns": ["ts", "rank", "kind", "sentence", "trace_id"], "order": [("ts", False), ("rank", True)], "limit": 20}],
        [{"title": "Top errors by variant", "kind": "table", "of": "bi_error", "width": 7, "height": 46, "in_time": True,
          "columns": ["variant", "fingerprint", "service"], "limit": 20,
          "metrics": [("errors", "sum(count)"), ("subjects", "count(DISTINCT subject)")]},
         {"title": "Errors over time", "kind": "bars", "of": "bi_error", "width": 5, "height": 46, "in_time": True,
          "by": ["variant"], "grain": "PT1M", "metric": ("errors", "sum(count)"), "format": ",d"}],
        [{"title": "New subjects by variant", "kind": "bars", "of": "bi_exposure", "width": 5, "height": 44, "in_time": True,
          "by": ["variant"], "grain": "PT1M", "metric": ("subjects", "sum(count)"), "format": ",d"},
         {"title": "Decisions", "kind": "table", "of": "bi_decision", "width": 7, "height": 44, "in_time": True,
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
