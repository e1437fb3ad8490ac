//! Verdicts of anomaly guardrails in words (`words` has the others).

use super::anomaly::{Lack, WARM_UP, lack, too_new};
use super::sighting::Sighting;
use super::standing::Standing;
use super::words::{MINUTE, Words, minute, subject, told};
use crate::calendar::span;
use crate::kind::words::number;

/// What a series lacks to be judged.
pub(super) fn unjudged(s: &Standing, a: &Sighting) -> Option<Words> {
    let minutes = span(a.minutes * MINUTE);
    let text = match lack(a)? {
        Lack::Point => format!("the first {minutes} of the rollout are not over yet"),
        Lack::Past => {
            let days = a.days.unwrap_or(0.0);
            format!(
                "{}: {} days of the past are known, {WARM_UP} say what is usual: in {} days",
                subject(s, s.rule.quantile),
                number(days),
                number(WARM_UP - days)
            )
        }
        Lack::Data => format!("no data in the {minutes} from {} UTC", minute(a.point)),
        Lack::OtherDays if !a.alone => {
            format!(
                "nothing to compare at {} UTC: too little data of one arm, or the share was changed",
                minute(a.point)
            )
        }
        Lack::OtherDays => format!("too little data at {} UTC on other days to say what is usual", minute(a.point)),
        Lack::StagePoint => format!("the first {minutes} of this stage are not over yet"),
    };
    Some(text.into())
}

/// A series that is unusual, or may be becoming so.
pub(super) fn unusual(s: &Standing, a: &Sighting) -> Words {
    let score = a.score.unwrap_or(f64::NAN);
    let chance = match 10_f64.powf(score) * a.minutes * MINUTE {
        time if time > 3650.0 * 1440.0 * MINUTE => "less than once in 10 years".to_owned(),
        time => format!("once in {}", span(time)),
    };
    let meaning = match (score < a.line, a.alone) {
        (true, true) => format!("It may be becoming unusual (by chance {chance})"),
        (true, false) => format!("The two may be drifting apart (by chance {chance})"),
        (false, true) => format!("That is unusual (by chance {chance})"),
        (false, false) => format!("The two differ more than they do by chance (by chance {chance})"),
    };
    format!("{}. {meaning}", beside_usual(s, a)).into()
}

/// Nothing unusual, of too few points to say so.
pub(super) fn begun(s: &Standing, a: &Sighting) -> Option<Words> {
    let (judged, wanted) = too_new(a)?;
    let why =
        if a.alone { "when the last of the control was gone" } else { "with the rollout or since it was resumed" };
    let text = format!(
        "{}. Too early to say: its evidence began anew at {} UTC, {why}, and harm takes {wanted} points of {} to be seen at \
         the least; there {} in {}",
        beside_usual(s, a),
        minute(a.counted_since),
        span(a.minutes * MINUTE),
        if judged == 1 { "is 1, the rest comes".to_owned() } else { format!("are {judged}, the rest comes") },
        span(f64::from(wanted - judged) * a.minutes * MINUTE)
    );
    Some(text.into())
}

/// Nothing unusual.
pub(super) fn usual(s: &Standing, a: &Sighting) -> Words {
    let meaning = if a.alone { "Nothing unusual" } else { "The difference is nothing unusual" };
    format!("{}. {meaning}", beside_usual(s, a)).into()
}

fn beside_usual(s: &Standing, a: &Sighting) -> String {
    let [value, usual] = [a.value, a.usual].map(|x| x.map_or_else(|| "unknown".to_owned(), |x| told(s, x)));
    let beside = if a.alone { "is usual at this time of day" } else { "is the control's at the same time" };
    format!("{}: {value} where {usual} {beside}", subject(s, s.rule.quantile))
}
