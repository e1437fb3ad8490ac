//! Where rows wait until they are stored, and the room that they and their requests take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{MutexGuard, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::Outcome;
use super::line::Line;
use super::route::{Marks, Nodes};

/// What became of rows.
pub enum Answer {
    /// They are stored.
    Stored,
    /// They are not, or nobody knows.
    Failed(Outcome),
    /// They certainly are not, and another node may take them.
    Back(Vec<u8>),
}

/// The rows of a request, waiting.
pub struct Waiting {
    /// Packed, without the version in front.
    pub rows: Vec<u8>,
    /// Who waits for the answer.
    pub answer: oneshot::Sender<Answer>,
    /// The room of its request.
    _room: Arc<Room>,
}

impl Waiting {
    /// Rows, and whoever waits for what becomes of them.
    pub fn new(rows: Vec<u8>, answer: oneshot::Sender<Answer>, room: &Arc<Room>) -> Self {
        Self { rows, answer, _room: Arc::clone(room) }
    }
}

/// The first rows of a group, and the right to take the others.
pub type First<'a> = (Waiting, MutexGuard<'a, mpsc::UnboundedReceiver<Waiting>>);

/// The queue.
pub struct Queue {
    room: Arc<Semaphore>,
    size: usize,
    group: usize,
    /// A line for each database.
    pub lines: Vec<Line>,
    /// Whose a row is.
    pub nodes: Nodes,
    by_subject: bool,
    /// Bytes stored a second, lately.
    rate: AtomicU64,
}

/// Room in the queue, given back when it is dropped.
pub struct Room {
    queue: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
    /// What the whole queue holds: who needs more never gets it.
    size: usize,
    retry: u64,
}

impl Room {
    /// Takes more.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Outcome> {
        if self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) + bytes > self.size {
            return Err(Outcome::TooLong(self.size));
        }
        let more = Arc::clone(&self.queue).try_acquire_many_owned(u32::try_from(bytes).unwrap_or(u32::MAX));
        let more = more.map_err(|_| Outcome::Full(self.retry))?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

impl Room {
    /// Gives back all but so much.
    pub fn shrink(&mut self, bytes: usize) {
        self.permit = self.permit.as_mut().and_then(|permit| permit.split(bytes));
    }
}

impl Queue {
    /// With room for so many bytes, of which so many make a group; for databases with these names.
    pub fn new(size: usize, group: usize, names: &[String], by_subject: bool) -> Self {
        Self {
            room: Arc::new(Semaphore::new(size.min(Semaphore::MAX_PERMITS))),
            size,
            group,
            lines: names.iter().map(|name| Line::new(name, names.len() == 1)).collect(),
            nodes: Nodes::new(names.iter().map(String::as_str)),
            by_subject,
            rate: AtomicU64::new(0),
        }
    }

    /// For the marks of rows, where there are several nodes.
    pub fn marks(&self) -> Option<Marks> {
        (self.lines.len() > 1).then(|| Marks::new(self.by_subject))
    }

    /// Room for so many bytes, or when to come again.
    pub fn room(&self, bytes: usize) -> Result<Room, Outcome> {
        let mut room =
            Room { queue: Arc::clone(&self.room), permit: None, size: self.size, retry: self.retry_after() };
        room.grow(bytes)?;
        Ok(room)
    }

    /// Bytes that are taken.
    pub fn used(&self) -> usize {
        self.size.saturating_sub(self.room.available_permits())
    }

    /// In how many seconds there should be room: what waits by what is stored a second.
    fn retry_after(&self) -> u64 {
        let rate = self.rate.load(Ordering::Relaxed).max(1);
        (self.used() as u64).div_ceil(rate).clamp(1, 30)
    }

    /// Whether somebody can store what is put in.
    pub fn is_open(&self) -> bool {
        self.lines.iter().any(Line::is_up)
    }

    /// So much was stored in that time.
    pub fn stored(&self, bytes: usize, time: Duration) {
        let now = (bytes as f64 / time.as_secs_f64().max(1e-6)) as u64;
        let before = self.rate.load(Ordering::Relaxed);
        self.rate.store(if before == 0 { now } else { before / 4 * 3 + now / 4 }, Ordering::Relaxed);
    }

    /// The group that begins with those rows: what waits, and what comes while they wait for `linger`.
    pub async fn group(&self, (first, mut taken): First<'_>, linger: Duration) -> Vec<Waiting> {
        let mut bytes = first.rows.len();
        let mut group = vec![first];
        let end = tokio::time::Instant::now() + linger;
        while bytes < self.group {
            match tokio::time::timeout_at(end, taken.recv()).await {
                Ok(Some(next)) => {
                    bytes += next.rows.len();
                    group.push(next);
                }
                _ => break,
            }
        }
        group
    }
}
