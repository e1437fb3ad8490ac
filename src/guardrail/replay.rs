//! SQL face of looking back: the judge (`core::guardrail::try_step`) over strata of the past, one after the other.

use flagscope_core::Result as CoreResult;
use flagscope_core::guardrail::{self, DataState, Rule, Status, Stepped};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::row;
use crate::argument::given;
use crate::error::Report;
use crate::pg::record::{Given, Record, argument, for_each_row};

/// Where a rule stands on its way through the past.
struct Replay {
    rule: Rule,
    status: Status,
    /// Number of its evidence: another one begins anew.
    era: i64,
    /// The decision that began the stage.
    stage: Option<i64>,
}

/// Steps one rule through the strata that a cursor loads, in order; see `sql/api/backtest.sql`.
#[pg_extern(
    requires = ["guardrail_state"],
    sql = r#"CREATE FUNCTION _flagscope.replay_strata(strata refcursor) RETURNS SETOF _flagscope.replayed
LANGUAGE c STABLE AS '@MODULE_PATHNAME@', '@FUNCTION_NAME@';"#
)]
fn replay_strata(call: pg_sys::FunctionCallInfo) -> Result<(), ErrorReport> {
    let cursor = given("a cursor", argument::<String>(call, 0)).report()?;
    let mut given = Given::of(call);
    let mut replay = None;
    for_each_row(&cursor, |row| {
        let mut now = match replay.take() {
            Some(replay) => replay,
            None => Replay {
                rule: row::rule(row)?,
                status: row::begun(row)?,
                era: row.known("era")?,
                stage: row.get("stage_id")?,
            },
        };
        now.enter(row)?;
        let was = now.status.state;
        let (came, at) = (row::of_the_past(row, &now.rule, &now.status)?, row.time("at")?.unwrap_or_default());
        let stepped = guardrail::try_step(&now.rule, &now.status, &came, &row::stage(row)?, at)?;
        put(&mut given, row, &now.rule, &stepped, was)?;
        now.status = stepped.status;
        replay = Some(now);
        Ok(())
    })
    .report()
}

impl Replay {
    /// Evidence begins anew with another number; every stage counts its sample and its looks from 0. A stratum is compared at
    /// the margin or limit of its time, and counts by the design effect of its time.
    fn enter(&mut self, row: &Record) -> CoreResult<()> {
        let (era, stage) = (row.known("era")?, row.get("stage_id")?);
        if era != self.era {
            (self.era, self.stage, self.status, self.rule) = (era, stage, row::begun(row)?, row::rule(row)?);
        }
        if stage != self.stage {
            self.stage = stage;
            (self.status.stage_treatment, self.status.stage_control) = (0, 0);
            (self.status.rhythm_treatment, self.status.rhythm_control) = Default::default();
            self.status.looks.clear();
            self.status.looked_at = None;
        }
        self.rule.design_effect = row::design_effect(row)?;
        row::compare_at(row, &self.rule, &mut self.status)
    }
}

fn put(given: &mut Given, row: &Record, rule: &Rule, stepped: &Stepped, was: DataState) -> CoreResult<()> {
    given.copy(row);
    let status = &stepped.status;
    let [n_t, n_c] = stepped.evaluation.as_ref().map_or([0; 2], |e| e.n);
    let [y_t, y_c] = stepped.evaluation.as_ref().map(|e| e.events.clone()).unwrap_or_default();
    given.set("n_treatment", super::stored(n_t))?;
    given.set("events_treatment", super::all_stored(&y_t))?;
    given.set("n_control", super::stored(n_c))?;
    given.set("events_control", super::all_stored(&y_c))?;
    given.set("value", status.value)?;
    given.set("log_e", rule.is_sequential().then_some(status.log_e))?;
    given.set("line", rule.is_sequential().then(|| -status.alpha.ln()))?;
    given.set("state", status.state.label())?;
    given.set("reason", status.reason.as_str())?;
    // Once, until it recovers: sequential evidence is latched within an era.
    given.set("fires", status.state == DataState::Breached && was != DataState::Breached)?;
    given.put();
    Ok(())
}
