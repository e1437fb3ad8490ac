//! Operations: a service and what it does, by number.
//!
//! What is here: names that are told apart in bounded memory. What is not: what is measured of them.

use super::{Map, mask};

/// Operations that are told apart, and names as they come that are remembered.
const MOST: usize = 4_096;
const REMEMBERED: usize = 16_384;
/// Number of all operations for which there was no room.
pub const OTHERS: u32 = 0;

/// Operations by service and masked name (`/orders/4711` is `/orders/<n>`).
#[derive(Debug)]
pub struct Operations {
    remembered: Map<Box<str>, u32>,
    ids: Map<Box<str>, u32>,
    names: Vec<(String, String)>,
    key: String,
}

impl Default for Operations {
    fn default() -> Self {
        let names = vec![(String::new(), "all others".to_owned())];
        Self { remembered: Map::default(), ids: Map::default(), names, key: String::new() }
    }
}

fn write(key: &mut String, service: &str, name: &str) {
    key.clear();
    key.push_str(service);
    // No text of PostgreSQL holds a NUL, so the two parts stay apart.
    key.push('\0');
    key.push_str(name);
}

impl Operations {
    /// The number of an operation.
    pub fn number(&mut self, service: Option<&str>, name: &str) -> u32 {
        let service = service.unwrap_or_default();
        write(&mut self.key, service, name);
        if let Some(number) = self.remembered.get(self.key.as_str()) {
            return *number;
        }
        let raw: Box<str> = self.key.as_str().into();
        let masked = mask::template(name);
        write(&mut self.key, service, &masked);
        let number = match self.ids.get(self.key.as_str()) {
            Some(number) => *number,
            None if self.names.len() >= MOST => OTHERS,
            None => {
                self.ids.insert(self.key.as_str().into(), self.names.len() as u32);
                self.names.push((service.to_owned(), masked));
                (self.names.len() - 1) as u32
            }
        };
        if self.remembered.len() >= REMEMBERED {
            self.remembered.clear();
        }
        self.remembered.insert(raw, number);
        number
    }

    /// Service and name of an operation.
    pub fn name(&self, number: u32) -> (&str, &str) {
        self.names.get(number as usize).map_or(("", ""), |(service, name)| (service, name))
    }

    /// It in words: "shop: POST /orders/<n>".
    pub fn words(&self, number: u32) -> String {
        match self.name(number) {
            ("", name) => name.to_owned(),
            (service, name) => format!("{service}: {name}"),
        }
    }
}
