//! The payments: an old path and a new one. They are alike, median 120 ms and 1 % of cards declined, but for one thing
//! that nobody knows: the app's version 2.4 sends German cards through a gateway of the new path that was built for 15 % of the
//! shop's traffic. Above that it gets slower and does not answer.

use crate::customers::Customer;
use std::sync::Mutex;
use std::time::Duration;

/// Share of the traffic that the new path was built for.
const BUILT_FOR: f64 = 0.15;
/// Requests over which the share is taken.
const RECENT: f64 = 500.0;

#[derive(Default)]
pub struct Payments {
    /// Share of the recent requests that took the new path.
    share: Mutex<f64>,
}

pub enum Failure {
    CardDeclined,
    GatewayTimeout,
}

impl Payments {
    /// How much more the new path has to do than it was built for; 0: it is not overloaded.
    pub fn overload(&self) -> f64 {
        let share = *self.share.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        (share / BUILT_FOR - 1.0).max(0.0)
    }

    pub async fn pay(&self, customer: &mut Customer, new_path: bool) -> Result<(), Failure> {
        let concerned = new_path && customer.country == "DE" && customer.app_version == "2.4";
        let overload = if concerned { self.overload() } else { 0.0 };
        self.count(new_path);
        let luck = &mut customer.luck;
        let seconds = 0.12 * (0.45 * luck.normal()).exp() * (1.0 + 3.0 * overload);
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        if luck.share() < 0.01 {
            Err(Failure::CardDeclined)
        } else if luck.share() < 0.8 * overload {
            Err(Failure::GatewayTimeout)
        } else {
            Ok(())
        }
    }

    fn count(&self, new_path: bool) {
        let mut share = self.share.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *share += (f64::from(u8::from(new_path)) - *share) / RECENT;
    }
}
