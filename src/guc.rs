//! Every setting of flagscope: its name, default, bounds and texts, and a reader that returns a plain value.
//!
//! Not here: what the settings do. Only this file knows that a setting is a GUC; `pg::process` reserves the prefix.

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};
use std::ffi::{CStr, CString};
use std::time::Duration;

/// Commits wake the worker, and it knows what is due by the clock: this is for what neither tells, and a sign of life.
const INTERVAL_DEFAULT: i32 = 20_000;
/// Below this, the latch and the transaction cost more than the tick.
const INTERVAL_MIN: i32 = 10;
/// An hour; use `flagscope.enabled = off` for longer pauses.
const INTERVAL_MAX: i32 = 3_600_000;
/// A tick with data takes 10 to 30 ms: with more frequent ticks, a writer at full speed would lose time to the worker
/// without benefit (tests/bench/delay).
const MIN_INTERVAL_DEFAULT: i32 = 50;
/// A minute: for less work than this there are flagscope.interval and flagscope.enabled.
const MIN_INTERVAL_MAX: i32 = 60_000;
/// The environment created by the install script.
const ENVIRONMENT_DEFAULT: &CStr = c"production";

/// The bucketing of flags that do not specify one; read by SQL (`default_bucketing()`).
#[derive(Clone, Copy, PostgresGucEnum)]
enum DefaultBucketing {
    #[name = c"v2"]
    V2,
    #[name = c"v3"]
    V3,
}

static ENABLED: GucSetting<bool> = GucSetting::<bool>::new(true);
static INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(INTERVAL_DEFAULT);
static MIN_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(MIN_INTERVAL_DEFAULT);
static ATTRIBUTION: GucSetting<bool> = GucSetting::<bool>::new(true);
static ENVIRONMENT: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(ENVIRONMENT_DEFAULT));
static ACTOR: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static BUCKETING: GucSetting<DefaultBucketing> = GucSetting::<DefaultBucketing>::new(DefaultBucketing::V2);
static IMPORTING: GucSetting<bool> = GucSetting::<bool>::new(false);
static REASON: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));

/// Make the settings known to PostgreSQL. Called once, by `_PG_init`.
pub fn register() {
    register_worker();
    register_session();
}

fn register_worker() {
    GucRegistry::define_bool_guc(
        c"flagscope.enabled",
        c"Lets the background workers call flagscope.tick(); off leaves every rollout as it is.",
        c"Switch it off while restoring or migrating. Manual calls of flagscope.tick() still work. Takes effect on reload.",
        &ENABLED,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"flagscope.interval",
        c"Longest time from the start of one tick of the background worker to the start of the next, in milliseconds.",
        c"It ticks before when a commit leaves something to judge, and when something is due by the clock. Takes effect on reload.",
        &INTERVAL,
        INTERVAL_MIN,
        INTERVAL_MAX,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"flagscope.min_interval",
        c"Shortest time from the start of one tick of the background worker to the start of the next, in milliseconds.",
        c"Commits that leave something to judge wake the worker, but no more often than this. Takes effect on reload.",
        &MIN_INTERVAL,
        INTERVAL_MIN,
        MIN_INTERVAL_MAX,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
}

fn register_session() {
    GucRegistry::define_bool_guc(
        c"flagscope.attribution",
        c"Looks up the flags of telemetry rows that are inserted without any: by trace, else by subject.",
        c"Off saves the look-up for a writer whose rows never belong to a flag.",
        &ATTRIBUTION,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_enum_guc(
        c"flagscope.bucketing",
        c"How new flags split users: v2 as flagd up to 0.16 and JavaScript's core, v3 as Python's core from 2.0.",
        c"Flags that exist keep theirs: another one moves about half of their users to another variant.",
        &BUCKETING,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"flagscope.importing",
        c"Takes targeting rules that give a variant which the flag does not have, as flagd does.",
        c"Set by import_flagd(), which tells what it takes; otherwise such a rule is refused.",
        &IMPORTING,
        GucContext::Userset,
        GucFlags::NO_SHOW_ALL,
    );
    define_text(
        c"flagscope.environment",
        c"Environment that a call or a telemetry row means when it names none.",
        &ENVIRONMENT,
    );
    define_text(
        c"flagscope.actor",
        c"Person or program recorded as the author of a change; empty means the session's user.",
        &ACTOR,
    );
    define_text(c"flagscope.reason", c"Why a change is made, recorded with it; empty records no reason.", &REASON);
}

fn define_text(name: &'static CStr, effect: &'static CStr, setting: &'static GucSetting<Option<CString>>) {
    GucRegistry::define_string_guc(name, effect, c"", setting, GucContext::Userset, GucFlags::default());
}

/// Is the worker allowed to tick?
pub fn enabled() -> bool {
    ENABLED.get()
}

/// The longest time between the starts of two ticks.
pub fn interval() -> Duration {
    milliseconds(&INTERVAL)
}

/// The shortest time between the starts of two ticks.
pub fn min_interval() -> Duration {
    milliseconds(&MIN_INTERVAL)
}

fn milliseconds(setting: &GucSetting<i32>) -> Duration {
    Duration::from_millis(u64::from(setting.get().unsigned_abs()))
}

/// Are rows without flags attributed?
pub fn attribution() -> bool {
    ATTRIBUTION.get()
}

/// The default environment; None only if the setting was emptied.
pub fn environment() -> Option<String> {
    text(&ENVIRONMENT)
}

/// The text of a setting; empty counts as not set.
fn text(setting: &GucSetting<Option<CString>>) -> Option<String> {
    let value = setting.get()?.to_string_lossy().into_owned();
    (!value.is_empty()).then_some(value)
}
