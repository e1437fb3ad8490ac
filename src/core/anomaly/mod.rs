//! Scores of a series against its own past: is the newest point unusual.
//!
//! What is here, each on a scale without units, so that one threshold means the same for every metric:
//!
//! | score | scale |
//! |---|---|
//! | [`robust`] z (Hampel) | standard deviations from the median, of a normal distribution with the same MAD; 3 |
//! | [`ewma`] z | standard deviations from an exponentially weighted forecast; 3 |
//! | [`seasonal`] z | standard deviations from the usual value of this time of day; 3 |
//! | [`detector`] score | log10 of points until a false alarm: 4 comes once in 10,000 points of a healthy series |
//!
//! A series has seasons, deploys and holidays of its own. So while there is a control, what is judged is the
//! [`difference`] of the two arms and nothing else (src/core/stats/README.md, section 8).

pub mod detector;
pub mod difference;
pub mod ewma;
pub mod robust;
pub mod seasonal;
