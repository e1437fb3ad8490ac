//! What an error of the database means for who sent something: whether to send it again.

use tokio_postgres::Error;

/// A kind of error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// What was sent is bad: sent again it fails again.
    Data,
    /// Nothing was stored; it may work later, or when an operator has changed something.
    Away,
    /// The connection broke off, or no answer came in time: it may be stored or not.
    Unsure,
    /// A defect.
    Defect,
}

/// The kind of an error, and whether it is worth trying again at once.
pub fn failure(error: &Error) -> (Failure, bool) {
    match error.code() {
        Some(code) => of_code(code.code()),
        // Of the client: the connection is gone, or its other side speaks in riddles.
        None => (Failure::Unsure, false),
    }
}

fn of_code(code: &str) -> (Failure, bool) {
    match code {
        // Serialisation failure, deadlock.
        "40001" | "40P01" => (Failure::Away, true),
        // Of our own making: cached plans after a change of the schema.
        "0A000" | "26000" => (Failure::Away, true),
        _ => match code.get(..2).unwrap_or_default() {
            "22" | "23" => (Failure::Data, false),
            // A pooler says so of a connection to the server that broke off within a statement, too.
            "08" => (Failure::Unsure, false),
            // Transactions, resources, operators, and what an operator has to mend: rights, names, read only.
            "25" | "28" | "3D" | "3F" | "40" | "42" | "53" | "54" | "55" | "57" | "58" => (Failure::Away, false),
            _ => (Failure::Defect, false),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_told_to_come_again_where_that_helps() {
        for (code, wanted) in [
            ("22P03", Failure::Data),
            ("23514", Failure::Data),
            ("08006", Failure::Unsure),
            ("25006", Failure::Away),
            ("28P01", Failure::Away),
            ("40P01", Failure::Away),
            ("42501", Failure::Away),
            ("53100", Failure::Away),
            ("55P03", Failure::Away),
            ("57014", Failure::Away),
            ("57P01", Failure::Away),
            ("XX000", Failure::Defect),
            ("P0001", Failure::Defect),
        ] {
            assert_eq!(of_code(code).0, wanted, "{code}");
        }
        assert!(of_code("40001").1 && !of_code("57014").1);
    }
}
