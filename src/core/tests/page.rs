//! Pages: what they say, what they never let through, and how long they get.

use flagscope_core::page::{
    Action, Events, Field, Message, Overview, RolloutPage, Shell, TracePage, render_message, render_rollout,
    render_rollouts, render_trace,
};
use serde_json::{Value, json};

fn shell() -> Shell {
    Shell { base: Some("/".into()), ..Shell::default() }
}

fn rollout(page: Value) -> String {
    render_rollout(&serde_json::from_value(page).unwrap(), &Shell::default())
}

/// A rollout that was rolled back, as rollout_page_data() tells it; times from 1,796,032,000 on.
fn rolled_back() -> Value {
    json!({
        "at": 1796032300, "rollout": {"id": 5, "flag": "new-checkout", "environment": "production", "treatment": "on",
            "control": "off", "status": "rolled_back", "stage": 2, "percent": 0, "enabled": true, "waiting_for": null,
            "since": 1796032240, "started_at": 1796032000, "ended_at": 1796032240},
        "stages": [{"ordinal": 1, "percent": 5, "entered_at": 1796032000, "conditions": "at least 00:01:00"},
            {"ordinal": 2, "percent": 25, "entered_at": 1796032120, "conditions": "an approval", "approved_by": "ann"}],
        "ramp": [{"at": 1796031999.999999, "percent": 0}, {"at": 1796032000, "percent": 5},
            {"at": 1796032120, "percent": 25}, {"at": 1796032240, "percent": 0}],
        "decisions": [
            {"id": 7, "at": 1796032000, "action": "start", "severity": "info", "title": "started, from 0 % to 5 %",
                "actor": "ann", "reason": "a try"},
            {"id": 9, "at": 1796032240, "action": "rollback", "severity": "critical", "automatic": true,
                "title": "rolled back, from 25 % to 0 %", "actor": "flagscope", "reason": "errors: harm is proven",
                "explanation": "decision 9: rollback"}],
        "guardrails": [{"id": 1, "name": "errors", "metric": "errors", "kind": "proportion", "comparison": "control",
            "test": "sequential", "action": "rollback", "state": "breached", "reason": "16 % fail, 1.33 % of the control",
            "measure": "odds_ratio", "estimate": 14.1, "lower": 4.4, "upper": "Infinity", "tolerated": 1.02,
            "n_treatment": 300, "n_control": 900, "log_e": 9.2, "line": 5.3,
            "series": [{"at": 1796032060, "estimate": null, "lower": null, "upper": null, "log_e": 0},
                {"at": 1796032120, "estimate": 1.5, "lower": 0.2, "upper": 90, "log_e": 0.5},
                {"at": 1796032240, "estimate": 14.1, "lower": 4.4, "upper": "NaN", "log_e": 9.2}]}],
        "metrics": [{"name": "errors", "kind": "proportion", "unit": "", "bucket_width": 60,
            "summary": [{"variant": "on", "n": 300, "events": 48, "rate": 0.16},
                {"variant": "off", "n": 900, "events": 12, "rate": 0.013333333333333334}],
            "series": [{"variant": "on", "points": [{"at": 1796032000, "n": 10, "value": 0.1}, {"at": 1796032060, "n": 0, "value": null},
                {"at": 1796032120, "n": 290, "value": 0.17}]}, {"variant": "off", "points": []}]}],
        "findings": [{"decision_id": 9, "rank": 1, "kind": "segment", "sentence": "80 % of the harm is where country = DE",
            "share": 0.8, "p_value": 0.001, "traces": ["00000000-0000-0000-0000-0000000000f1"]}],
        "traces": [{"trace_id": "00000000-0000-0000-0000-0000000000f1", "at": 1796032200, "name": "pay", "is_error": true,
            "variant": "on", "duration": 0.055, "message": "card refused"}],
        "messages": [{"id": 3, "event": "rolled_back", "severity": "critical", "at": 1796032240, "sentence": "Rollout 5 was rolled back",
            "deliveries": [{"sink": "chat", "ended_at": 1796032241}, {"sink": "pager", "problem": "timeout"}]}],
        "health": [{"name": "split", "state": "ok", "reason": "100 of 400 new subjects"}], "notes": ["errors: divided by 1.9"]
    })
}

#[test]
fn a_rollout_says_first_what_is_asked_first() {
    let html = rollout(rolled_back());
    let places: Vec<usize> = [
        "rolled back</span> Nobody gets “on”; “off” is served",
        "since 2026-11-30 09:50:40 UTC, 60 seconds before this page was made",
        "rolled back, from 25 % to 0 %</strong> by flagscope, 2026-11-30 09:50:40 UTC: errors: harm is proven",
        "80 % of the harm is where country = DE",
        "flagscope.restart_rollout(5);",
        "Ramp and decisions",
        "16 % fail, 1.33 % of the control",
        "Metrics of both variants",
        "Requests worth a look",
        "Who was told",
        "Can the numbers be trusted",
    ]
    .iter()
    .map(|words| html.find(words).unwrap_or_else(|| panic!("{words} is missing in {html}")))
    .collect();
    assert!(places.is_sorted(), "{places:?}");
    // The numbers of variant_summary().
    for number in [
        "<td class=\"n\">16 %</td>",
        "<td class=\"n\">1.33 %</td>",
        "<td class=\"n\">48</td>",
        "<td class=\"n\">900</td>",
    ] {
        assert!(html.contains(number), "{number}");
    }
    assert!(html.contains("chat: told 2026-11-30 09:50:41 UTC; pager: not yet told: timeout."));
}

#[test]
fn a_file_stands_alone() {
    let html = rollout(rolled_back());
    for word in ["<script", "<form", "http", "//", "@import", "url(", " style=", "NaN", "inf ", "inf<", "inf%"] {
        assert!(!html.contains(word), "{word}");
    }
    assert!(html.starts_with("<!DOCTYPE html><html lang=\"en\">"));
}

#[test]
fn a_console_has_links_forms_and_events() {
    let shell = Shell {
        base: Some("/console/".into()),
        user: Some("ann <admin>".into()),
        nonce: Some("abc".into()),
        events: Some(Events { address: "/console/events".into(), script: "listen()".into(), script_address: None }),
        actions: vec![Action {
            label: "Roll back".into(),
            address: "/console/rollout/5/rollback".into(),
            hint: "Everybody gets the control.".into(),
            is_danger: true,
            override_label: Some("despite the freeze".into()),
            fields: vec![Field { name: "token".into(), value: "\"><script>".into() }],
        }],
        ..Shell::default()
    };
    let page: RolloutPage = serde_json::from_value(rolled_back()).unwrap();
    let html = render_rollout(&page, &shell);
    for words in [
        "<a href=\"/console/trace/00000000-0000-0000-0000-0000000000f1\">",
        "<form method=\"post\" action=\"/console/rollout/5/rollback\">",
        "<input type=\"hidden\" name=\"token\" value=\"&quot;&gt;&lt;script&gt;\">",
        "<main id=\"main\" data-events=\"/console/events\">",
        "<script nonce=\"abc\">listen()</script>",
        "<style nonce=\"abc\">",
        "ann &lt;admin&gt;",
    ] {
        assert!(html.contains(words), "{words} is missing in {html}");
    }
}

/// Every text of a value by a hostile one; every number by one that JSON cannot hold.
fn hostile(value: &Value, text: &str, number: &Value) -> Value {
    match value {
        Value::String(_) => json!(text),
        // Numbers of things stay numbers.
        Value::Number(x) if x.is_u64() && x.as_u64() < Some(100_000) => value.clone(),
        Value::Number(_) => number.clone(),
        Value::Array(list) => list.iter().map(|x| hostile(x, text, number)).collect(),
        Value::Object(map) => map.iter().map(|(key, x)| (key.clone(), hostile(x, text, number))).collect(),
        other => other.clone(),
    }
}

#[test]
fn what_applications_sent_is_text() {
    let long = "x".repeat(10_000);
    let texts = [
        "<script>alert(1)</script>",
        "\"' onload='alert(1)' x=\"",
        "</title></svg></style>",
        "&amp;\u{202e}\u{0}",
        &long,
    ];
    for text in texts {
        for number in [Value::Null, json!("NaN"), json!("-Infinity"), json!(1e308), json!(-1e308), json!(0)] {
            let html = rollout(hostile(&rolled_back(), text, &number));
            assert!(
                !html.contains("<script") && !html.contains("\"' onload") && !html.contains("</svg></style>"),
                "{html}"
            );
            assert!(["NaN", "inf ", "inf<", "inf%", "inf\""].iter().all(|word| !html.contains(word)), "{number}");
            assert!(html.len() < 200_000, "{}", html.len());
        }
    }
}

#[test]
fn nothing_still_is_a_page() {
    for page in
        [json!({}), json!({"rollout": {"status": "draft", "id": 1}}), json!({"guardrails": null, "metrics": null})]
    {
        assert!(rollout(page).contains("never started"));
    }
    assert!(render_rollouts(&Overview::default(), &shell()).contains("There is no flag yet"));
    assert!(render_trace(&TracePage::default(), &shell()).contains("0 rows"));
    // A start without anything after it.
    assert!(
        rollout(json!({"at": 100, "rollout": {"status": "running", "started_at": 100}}))
            .contains("<svg class=\"chart\"")
    );
}

#[test]
fn two_hundred_guardrails_fit() {
    let mut page = rolled_back();
    for list in ["guardrails", "metrics", "decisions", "findings", "messages", "traces", "stages"] {
        let one = page[list][0].clone();
        page[list] = (0..200).map(|_| one.clone()).collect();
    }
    let points: Vec<Value> = (0..5000)
        .map(|i| json!({"at": 1796032000 + i, "estimate": i % 7, "lower": 0, "upper": 9, "value": i % 5}))
        .collect();
    for i in 0..200 {
        page["guardrails"][i]["series"] = json!(points[..if i < 20 { 5000 } else { 0 }]);
        page["metrics"][i]["series"][0]["points"] = json!(points[..if i < 20 { 5000 } else { 0 }]);
    }
    let html = rollout(page);
    assert!(html.len() < 200_000, "{}", html.len());
    assert!(html.matches("<article class=\"card\">").count() > 10);
}

#[test]
fn a_thousand_flags_fit() {
    let flag = |i: usize| {
        let status = ["running", "held", "completed", "rolled_back", "draft"][i % 5];
        json!({"flag": format!("a-flag-with-a-long-name-{i}"), "environment": "production", "enabled": true, "variant": "off",
            "rollout": if i.is_multiple_of(3) { json!({"id": i, "status": status, "stage": 1, "stages": 4, "percent": 25, "since": 1796032000,
                "waiting_for": "errors: not_enough: 12 of 100 data points of the treatment, those that are missing will be there in 5 minutes",
                "guardrail": "errors", "guardrail_state": "not_enough"}) } else { Value::Null }})
    };
    let overview: Overview =
        serde_json::from_value(json!({"at": 1796032300, "flags": (0..1000).map(flag).collect::<Vec<_>>()})).unwrap();
    let html = render_rollouts(&overview, &shell());
    assert!(html.len() < 200_000, "{}", html.len());
    assert_eq!(
        (0..1000)
            .filter(|i| ["<", " "].iter().all(|end| !html.contains(&format!("a-flag-with-a-long-name-{i}{end}"))))
            .count(),
        0
    );
    let urgent = html.find("Needs somebody").unwrap();
    assert!(urgent < html.find("Under way").unwrap() && html.contains("67 need somebody"), "{}", &html[..4000]);
    // All of them under way: those that do not fit are counted.
    let mut many = overview.clone();
    many.flags = overview.flags.iter().filter(|f| f.rollout.is_some()).cycle().take(3000).cloned().collect();
    let html = render_rollouts(&many, &shell());
    assert!(html.len() < 200_000 && html.contains("more are not shown"), "{}", html.len());
}

#[test]
fn a_trace_is_a_waterfall() {
    let page: TracePage = serde_json::from_value(json!({"trace_id": "00000000-0000-0000-0000-0000000000f1", "rows": 3, "rollouts": [5],
        "spans": [
            {"depth": 0, "signal": "span", "name": "checkout", "at": 1796032000, "after": 0, "duration": 0.2, "self_duration": 0.15,
                "service": "web", "subject": "ann", "flags": {"new-checkout": "on"}},
            {"depth": 1, "signal": "span", "name": "pay", "after": 0.1, "duration": 0.05, "self_duration": 0.05, "is_error": true,
                "problems": ["CardError: refused"], "attributes": {"country": "<b>DE</b>"}},
            {"depth": 2, "signal": "log", "name": "pay.log", "after": 0.12, "body": "card \u{0} refused"}]})).unwrap();
    let html = render_trace(&page, &shell());
    for words in [
        "took 200 ms",
        "new-checkout: <strong>on</strong>",
        "x=\"50%\" width=\"25%\"",
        "<p class=\"critical\">CardError: refused</p>",
        "country: &lt;b&gt;DE&lt;/b&gt;",
        "<a href=\"/rollout/5\">Rollout 5</a>",
    ] {
        assert!(html.contains(words), "{words} is missing in {html}");
    }
}

#[test]
fn an_error_says_what_to_do() {
    let message = Message {
        title: "There is no rollout 7".into(),
        detail: "<b>".into(),
        hint: "See all rollouts.".into(),
        status: Some(404),
    };
    let html = render_message(&message, &shell());
    assert!(
        html.contains("<h1>There is no rollout 7</h1>")
            && html.contains("&lt;b&gt;")
            && html.contains("What to do: ")
    );
}
