//! The world outside: 20,000 users, each with a country and a version of the app of its own, who come in an order that is
//! the same in every run.

const USERS: u64 = 20_000;

pub struct Customer {
    pub user: String,
    pub country: &'static str,
    pub app_version: &'static str,
    /// What chance has in store for this request.
    pub luck: Luck,
}

#[derive(Default)]
pub struct Customers {
    luck: Luck,
}

impl Customers {
    pub fn next(&mut self) -> Customer {
        let number = self.luck.number() % USERS;
        let mut own = Luck(number);
        let country = if own.share() < 0.4 { "DE" } else { ["AT", "FR", "US"][(own.number() % 3) as usize] };
        let app_version = if own.share() < 0.4 { "2.4" } else { "2.3" };
        Customer { user: format!("user-{number}"), country, app_version, luck: Luck(self.luck.number()) }
    }
}

/// Pseudo-random numbers (splitmix64).
#[derive(Default)]
pub struct Luck(u64);

impl Luck {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in (0, 1).
    pub fn share(&mut self) -> f64 {
        ((self.number() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    /// Standard normal, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.share().ln()).sqrt() * (std::f64::consts::TAU * self.share()).cos()
    }
}
