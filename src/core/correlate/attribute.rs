//! One attribute: its values as codes, in bounded memory.
//!
//! What is here: which values get a code of their own, and what they are called. What is not: rows (`store`).
//!
//! Values stay as they are as long as there are few. From 257 different texts on they are masked as log lines are
//! (`/orders/4711` becomes `/orders/<n>`), not before: a mask would make one of all versions. From 1,001 different numbers
//! on they are rounded to two digits, and at the end those with more than 20 values are ten bins at the control's deciles.

use super::mask;
use super::store::{NONE, OTHER, Store};
use super::{Map, Value};
use crate::telemetry::Scalar;

/// Texts that are told apart before they are masked.
const PLAIN_TEXTS: usize = 256;
/// Numbers that are told apart before they are rounded.
const EXACT_NUMBERS: usize = 1_000;
/// Values that any row may add, and those that rows of the treatment with the event may add beyond.
const VALUES: usize = 4_096;
const VALUES_OF_EVENTS: usize = VALUES + 8_192;
/// Numbers with more values are bins.
const FEW_NUMBERS: usize = 20;
/// Bins of numbers.
const BINS: usize = 10;
/// Texts of a masked attribute whose masks are remembered.
const REMEMBERED: usize = 1_024;
/// An attribute whose so many most frequent values cover less than half of its rows is one of ids.
const FREQUENT: usize = 1_000;

/// What stands behind a code.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// The row has no such attribute.
    None,
    /// One of the values for which there was no room.
    Other,
    /// A value; of a masked attribute its mask.
    Value(Scalar),
    /// Numbers from the first to below the second.
    Range(f64, f64),
}

/// An attribute and its values.
#[derive(Debug, Clone)]
pub struct Attribute {
    /// What it is called.
    pub name: String,
    texts: Map<Box<str>, u16>,
    numbers: Map<u64, u16>,
    bools: [Option<u16>; 2],
    /// Of a masked attribute: texts as they came, with the codes of their masks.
    remembered: Map<Box<str>, u16>,
    known: Vec<Known>,
    rows: Vec<u64>,
    is_masked: bool,
    is_rounded: bool,
}

/// A number to two significant digits, downwards, so that it lies above a bound of two digits exactly when the number does;
/// 0 and what is not finite stay.
fn rounded(x: f64) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    let unit = 10_f64.powf(x.abs().log10().floor() - 1.0);
    (x / unit).floor() * unit
}

impl Attribute {
    /// An attribute without values.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            texts: Map::default(),
            numbers: Map::default(),
            bools: [None; 2],
            remembered: Map::default(),
            known: vec![Known::None, Known::Other],
            rows: vec![0, 0],
            is_masked: false,
            is_rounded: false,
        }
    }

    /// The code of a row's value; `is_event` where the row is one of the treatment with the event. True beside it: some
    /// values have become one, and the rows so far are to be told by `recode`.
    pub fn code(&mut self, value: Value, is_event: bool) -> (u16, bool) {
        let mut recode = false;
        if self.texts.len() > PLAIN_TEXTS && !self.is_masked {
            (self.is_masked, recode) = (true, true);
        }
        if self.numbers.len() > EXACT_NUMBERS && !self.is_rounded {
            (self.is_rounded, recode) = (true, true);
        }
        let code = self.find(value, is_event);
        self.rows[usize::from(code)] += 1;
        (code, recode)
    }

    fn find(&mut self, value: Value, is_event: bool) -> u16 {
        let known = match value {
            Value::Text(text) if self.is_masked => return self.masked(text, is_event),
            Value::Text(text) => self.texts.get(text).copied(),
            Value::Number(x) => self.numbers.get(&self.number(x).to_bits()).copied(),
            Value::Bool(bool) => self.bools[usize::from(bool)],
        };
        known.unwrap_or_else(|| self.admit(value, is_event))
    }

    fn number(&self, x: f64) -> f64 {
        if self.is_rounded { rounded(x) } else { x }
    }

    fn masked(&mut self, text: &str, is_event: bool) -> u16 {
        if let Some(code) = self.remembered.get(text) {
            return *code;
        }
        let mask = mask::template(text);
        let known = self.texts.get(mask.as_str()).copied();
        let code = known.unwrap_or_else(|| self.admit(Value::Text(&mask), is_event));
        if code != OTHER && self.remembered.len() < REMEMBERED {
            self.remembered.insert(text.into(), code);
        }
        code
    }

    /// Gives a new value, of a masked attribute a mask, a code while there is room.
    fn admit(&mut self, value: Value, is_event: bool) -> u16 {
        if self.known.len() >= if is_event { VALUES_OF_EVENTS } else { VALUES } {
            return OTHER;
        }
        let code = self.known.len() as u16;
        let scalar = match value {
            Value::Text(text) => {
                self.texts.insert(text.into(), code);
                Scalar::Text(text.to_owned())
            }
            Value::Number(x) => {
                let x = self.number(x);
                self.numbers.insert(x.to_bits(), code);
                Scalar::Number(x)
            }
            Value::Bool(bool) => {
                self.bools[usize::from(bool)] = Some(code);
                Scalar::Bool(bool)
            }
        };
        self.known.push(Known::Value(scalar));
        self.rows.push(0);
        code
    }

    /// Merges the values that are one by now, in the rows so far, too.
    pub fn recode(&mut self, place: usize, store: &mut Store) {
        let mut fresh = Self { is_masked: self.is_masked, is_rounded: self.is_rounded, ..Self::new(&self.name) };
        fresh.rows[..2].copy_from_slice(&self.rows[..2]);
        let mut map = vec![NONE, OTHER];
        for (known, rows) in self.known.iter().zip(&self.rows).skip(2) {
            let Known::Value(value) = known else { continue };
            let code = fresh.find(Value::of(value), true);
            fresh.rows[usize::from(code)] += rows;
            map.push(code);
        }
        store.recode(place, &map);
        *self = fresh;
    }

    /// What stands behind a code.
    pub fn known(&self, code: u16) -> &Known {
        self.known.get(usize::from(code)).unwrap_or(&Known::Other)
    }

    /// Were texts masked, so that a value stands for all that have its mask.
    pub fn is_masked(&self) -> bool {
        self.is_masked
    }

    /// Does it name single requests or users rather than kinds of them: then it explains nothing.
    pub fn is_identity(&self) -> bool {
        let mut rows = self.rows[2..].to_vec();
        rows.sort_unstable_by(|a, b| b.cmp(a));
        let frequent: u64 = rows.iter().take(FREQUENT).sum();
        let all: u64 = rows.iter().sum::<u64>() + self.rows[usize::from(OTHER)];
        rows.len() > FREQUENT && 2 * frequent < all
    }

    /// Makes bins of numbers with many values, at the deciles of the control's rows.
    pub fn bin(&mut self, place: usize, store: &mut Store) {
        let number = |known: &Known| match known {
            Known::Value(Scalar::Number(x)) if x.is_finite() => Some(*x),
            _ => None,
        };
        let mut numbers: Vec<(f64, usize)> =
            self.known.iter().enumerate().filter_map(|(code, known)| Some((number(known)?, code))).collect();
        if numbers.len() <= FEW_NUMBERS {
            return;
        }
        numbers.sort_by(|a, b| a.0.total_cmp(&b.0));
        let weights = store.control_rows(place, self.known.len());
        let total: f64 = numbers.iter().map(|(_, code)| weights[*code]).sum();
        let mut map: Vec<u16> = (0..self.known.len() as u16).collect();
        let (mut below, mut starts): (f64, Vec<f64>) = (0.0, Vec::new());
        for (x, code) in numbers {
            // A bin begins with the first number at which the next tenth of the control begins.
            if starts.is_empty() || below >= total * starts.len() as f64 / BINS as f64 && starts.len() < BINS {
                starts.push(x);
            }
            map[code] = (self.known.len() + starts.len() - 1) as u16;
            below += weights[code];
        }
        let ends = starts.iter().skip(1).copied().chain([f64::INFINITY]);
        let begins = starts.iter().enumerate().map(|(i, x)| if i == 0 { f64::NEG_INFINITY } else { *x });
        self.known.extend(begins.zip(ends).map(|(from, below)| Known::Range(from, below)));
        self.rows.resize(self.known.len(), 0);
        store.recode(place, &map);
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::Row;
    use super::*;

    fn filled(values: impl Iterator<Item = Scalar>) -> (Attribute, Store) {
        let (mut attribute, mut store) = (Attribute::new("a"), Store::new(1, 100_000));
        for (subject, value) in values.enumerate() {
            let (code, recode) = attribute.code(Value::of(&value), false);
            store
                .push(Row { subject: subject as u64, treated: false, event: false, stratum: 0, witness: 0 }, &[code]);
            if recode {
                attribute.recode(0, &mut store);
            }
        }
        (attribute, store)
    }

    /// By hand.
    #[test]
    fn texts_are_masked_only_when_there_are_many() {
        let (few, _) = filled((0..100).map(|i| Scalar::Text(format!("2.{i}"))));
        assert!(!few.is_masked());
        let (many, store) = filled((0..1000).map(|i| Scalar::Text(format!("/orders/{i}"))));
        assert!(many.is_masked());
        assert_eq!(*many.known(store.code(0, 0)), Known::Value(Scalar::Text("/orders/<n>".into())));
        assert!((0..1000).all(|at| store.code(0, at) == store.code(0, 0)));
    }

    #[test]
    fn many_numbers_are_ten_bins_of_the_control() {
        let (mut numbers, mut store) = filled((0..5000).map(|i| Scalar::Number(f64::from(i))));
        numbers.bin(0, &mut store);
        let first = numbers.known(store.code(0, 0)).clone();
        assert!(matches!(first, Known::Range(from, _) if from == f64::NEG_INFINITY), "{first:?}");
        let Known::Range(from, below) = *numbers.known(store.code(0, 4999)) else { panic!("a range") };
        // Rounding to two digits moves a decile by 2 % at most.
        assert!((from - 4500.0).abs() <= 100.0 && below == f64::INFINITY, "{from} {below}");
        let bins: std::collections::BTreeSet<u16> = (0..5000).map(|at| store.code(0, at)).collect();
        assert_eq!(bins.len(), BINS);
    }

    #[test]
    fn ids_are_no_attribute() {
        assert!(!filled((0..3000).map(|i| Scalar::Text(format!("c{}", i % 50)))).0.is_identity());
        assert!(filled((0..9000).map(|i| Scalar::Text(words(i)))).0.is_identity());
    }

    /// Different words of letters alone, which no mask makes one.
    fn words(mut i: u64) -> String {
        let mut word = String::new();
        for _ in 0..6 {
            word.push(char::from(b'g' + (i % 20) as u8));
            i /= 20;
        }
        word
    }
}
