//! The rows that wait for one database, and its senders.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Mutex, mpsc, oneshot};

use super::queue::{Answer, First, Room, Waiting};

/// A database's line.
pub struct Line {
    /// The name of the database.
    pub name: String,
    /// Whether there is no other one: rows then wait for it.
    pub is_alone: bool,
    put: mpsc::UnboundedSender<Waiting>,
    /// What waits; whoever holds it makes up a group.
    taken: Mutex<mpsc::UnboundedReceiver<Waiting>>,
    /// Senders that have a connection.
    senders: AtomicUsize,
    /// Whether a sender was without a connection once.
    was_away: AtomicBool,
}

impl Line {
    /// An empty one.
    pub fn new(name: &str, is_alone: bool) -> Self {
        let (put, taken) = mpsc::unbounded_channel();
        let (senders, was_away) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { name: name.to_owned(), is_alone, put, taken: Mutex::new(taken), senders, was_away }
    }

    /// What stands in metrics.
    pub fn label(&self) -> String {
        format!("node=\"{}\"", self.name.replace('\\', "\\\\").replace('"', "\\\""))
    }

    /// Whether a sender has a connection.
    pub fn is_up(&self) -> bool {
        self.senders.load(Ordering::SeqCst) > 0
    }

    /// Whether rows may be put in: not into one that is known to be away. At the start, before its senders have
    /// tried, it is not gone round.
    pub fn takes(&self) -> bool {
        self.is_alone || self.is_up() || !self.was_away.load(Ordering::SeqCst)
    }

    /// A sender has a connection.
    pub fn connected(&self) {
        self.senders.fetch_add(1, Ordering::SeqCst);
    }

    /// A sender has lost its connection.
    pub fn lost(&self) {
        self.senders.fetch_sub(1, Ordering::SeqCst);
        self.away();
    }

    /// A sender has no connection.
    pub fn away(&self) {
        self.was_away.store(true, Ordering::SeqCst);
        self.turn_back();
    }

    /// Puts rows in; what is told when their end is known.
    pub fn put(&self, rows: Vec<u8>, room: &Arc<Room>) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        // Whatever cannot be put in drops its end of the answer.
        let _ = self.put.send(Waiting::new(rows, answer, room));
        // The last sender may have gone between the look and the step.
        self.turn_back();
        answered
    }

    /// Gives back what waits, if nobody is there who would store it and others may.
    fn turn_back(&self) {
        if self.takes() {
            return;
        }
        // Whoever holds it is a sender who has just come, and stores what waits.
        let Ok(mut taken) = self.taken.try_lock() else { return };
        while let Ok(waiting) = taken.try_recv() {
            // Nobody may wait any more.
            let _ = waiting.answer.send(Answer::Back(waiting.rows));
        }
    }

    /// Waits for rows, and keeps others from taking any until the group is made up. Whoever stops waiting has taken none.
    pub async fn first(&self) -> First<'_> {
        let mut taken = self.taken.lock().await;
        match taken.recv().await {
            Some(first) => (first, taken),
            // The queue has an end to put into itself: it is never closed.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Queue;
    use super::*;

    #[tokio::test]
    async fn what_waits_for_a_node_that_goes_away_comes_back() {
        let names = ["a".to_owned(), "b".to_owned()];
        let queue = Queue::new(1000, 1000, &names, false);
        let room = Arc::new(queue.room(10).unwrap());
        let line = &queue.lines[0];
        assert!(line.takes() && !line.is_up(), "before its senders have tried");
        let early = line.put(vec![1], &room);
        line.away();
        assert!(matches!(early.await, Ok(Answer::Back(rows)) if rows == [1]));
        let late = line.put(vec![2], &room);
        assert!(matches!(late.await, Ok(Answer::Back(rows)) if rows == [2]));
        line.connected();
        line.connected();
        let mut waits = line.put(vec![3], &room);
        line.lost();
        assert!(line.takes() && waits.try_recv().is_err(), "another sender is there");
        line.lost();
        assert!(matches!(waits.await, Ok(Answer::Back(rows)) if rows == [3]));
    }

    #[tokio::test]
    async fn rows_wait_for_the_only_database() {
        let queue = Queue::new(1000, 1000, &["a".to_owned()], false);
        let room = Arc::new(queue.room(10).unwrap());
        let mut waits = queue.lines[0].put(vec![1], &room);
        queue.lines[0].away();
        assert!(waits.try_recv().is_err());
        assert_eq!(queue.lines[0].first().await.0.rows, [1]);
    }
}
