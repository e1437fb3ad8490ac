//! A request's rows on their way to the databases that store them: divided among the nodes, and gone round with where one is
//! away. A row is given to another node only when it is certain that the first one has not stored it.

use std::sync::Arc;

use super::Outcome;
use super::decode::Decoded;
use super::queue::{Answer, Room};
use super::route::{Mark, Part};
use crate::gateway::Gateway;

/// Puts rows into the queue, and waits until they are stored.
pub async fn put(gateway: &Gateway, decoded: Decoded) -> Result<(), Outcome> {
    let stored = spread(gateway, decoded.part, Arc::new(decoded.room));
    // Whoever has them still may store them.
    tokio::time::timeout(gateway.config.ingest_timeout, stored).await.unwrap_or(Err(Outcome::Unknown))
}

async fn spread(gateway: &Gateway, part: Part, room: Arc<Room>) -> Result<(), Outcome> {
    let lines = &gateway.queue.lines;
    if let [line] = lines.as_slice() {
        return match line.put(part.rows, &room).await {
            Ok(Answer::Stored) => Ok(()),
            Ok(Answer::Failed(outcome)) => Err(outcome),
            Ok(Answer::Back(_)) => Err(Outcome::Away),
            // Whoever had them ended without a word: they may be stored or not.
            Err(_) => Err(Outcome::Unknown),
        };
    }
    let (mut left, mut refused, mut worst) = (part, vec![false; lines.len()], Ok(()));
    while !left.marks.is_empty() {
        let may = |node: usize| !refused.get(node).copied().unwrap_or(true) && lines[node].takes();
        // Nothing of it is put in where one row has no place: what is sent again as a whole is then stored once.
        let parts = gateway.queue.nodes.split(&left, may).ok_or(Outcome::Away)?;
        left = Part::default();
        let put: Vec<_> =
            parts.into_iter().map(|(node, part)| (node, part.marks, lines[node].put(part.rows, &room))).collect();
        for (node, marks, answered) in put {
            match answered.await {
                Ok(Answer::Stored) => count(gateway, node, &marks),
                Ok(Answer::Back(rows)) => {
                    refused[node] = true;
                    left.rows.extend(rows);
                    left.marks.extend(marks);
                }
                Ok(Answer::Failed(outcome)) => worst = worse(worst, outcome),
                Err(_) => worst = worse(worst, Outcome::Unknown),
            }
        }
    }
    worst
}

/// What to tell of several parts: to send again, where one may still be stored.
fn worse(worst: Result<(), Outcome>, outcome: Outcome) -> Result<(), Outcome> {
    match worst {
        Err(told) if told.status().2.is_some() => Err(told),
        _ => Err(outcome),
    }
}

/// Counts rows that a node has stored, and from which other one they were kept.
fn count(gateway: &Gateway, node: usize, marks: &[Mark]) {
    let (queue, metrics) = (&gateway.queue, &gateway.metrics);
    metrics.node_rows.add(&queue.lines[node].label(), marks.len() as u64);
    let mut round = vec![0; queue.lines.len()];
    for home in marks.iter().filter_map(|mark| queue.nodes.home(mark)) {
        round[home] += u64::from(home != node);
    }
    for (line, rows) in queue.lines.iter().zip(round) {
        metrics.node_round.add(&line.label(), rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_send_again_with_success_is_told_so() {
        let bad = || Outcome::Bad("22P02".to_owned());
        assert_eq!(worse(Ok(()), bad()), Err(bad()));
        assert_eq!(worse(Err(bad()), Outcome::Away), Err(Outcome::Away));
        assert_eq!(worse(Err(Outcome::Away), bad()), Err(Outcome::Away));
    }
}
