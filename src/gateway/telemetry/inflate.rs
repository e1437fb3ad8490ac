//! Unpacking, with the bytes counted while they come: 64 kB may be 64 MiB.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use super::Outcome;

/// So much is unpacked at a time.
const STEP: usize = 64 << 10;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    None,
    /// By gzip.
    Gzip,
    /// By zstd.
    Zstd,
}

impl Packing {
    /// The packing that a header names.
    pub fn of(name: &str) -> Result<Self, Outcome> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(Outcome::Unsupported(format!("content-encoding is \"{name}\": none, gzip and zstd are read"))),
        }
    }

    /// Unpacks a body; before each step it asks for room.
    pub fn unpack(
        self,
        body: Bytes,
        limit: usize,
        grow: &mut dyn FnMut(usize) -> Result<(), Outcome>,
    ) -> Result<Bytes, Outcome> {
        match self {
            Self::None => Ok(body),
            Self::Gzip => all(MultiGzDecoder::new(&*body), limit, grow),
            Self::Zstd => {
                let decoder = StreamingDecoder::new(&*body);
                all(decoder.map_err(|problem| Outcome::Bad(format!("not zstd: {problem}")))?, limit, grow)
            }
        }
    }
}

fn all(
    mut packed: impl Read,
    limit: usize,
    grow: &mut dyn FnMut(usize) -> Result<(), Outcome>,
) -> Result<Bytes, Outcome> {
    let (mut out, mut step) = (Vec::new(), vec![0; STEP]);
    loop {
        let n = packed.read(&mut step).map_err(|problem| Outcome::Bad(format!("cannot be unpacked: {problem}")))?;
        if n == 0 {
            return Ok(out.into());
        }
        if out.len() + n > limit {
            return Err(Outcome::TooLong(limit));
        }
        grow(n)?;
        out.extend_from_slice(&step[..n]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::Queue;
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn packed(bytes: &[u8]) -> Bytes {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap().into()
    }

    #[test]
    fn what_is_packed_comes_back() {
        let queue = Queue::new(1 << 20, 1 << 20, &["shop".to_owned()], false);
        let text = b"telemetry".repeat(10_000);
        let mut room = queue.room(0).unwrap();
        let mut grow = |n| room.grow(n);
        assert_eq!(Packing::Gzip.unpack(packed(&text), 1 << 20, &mut grow).unwrap(), text);
        // Source: printf telemetry | zstd | od -An -tx1
        let zstd: &[u8] = &[
            0x28, 0xB5, 0x2F, 0xFD, 0x04, 0x58, 0x49, 0x00, 0x00, 0x74, 0x65, 0x6C, 0x65, 0x6D, 0x65, 0x74, 0x72,
            0x79, 0xC5, 0x04, 0xBA, 0x74,
        ];
        assert_eq!(Packing::Zstd.unpack(Bytes::from_static(zstd), 100, &mut grow).unwrap(), "telemetry");
        for packing in [Packing::Gzip, Packing::Zstd] {
            assert!(matches!(packing.unpack(Bytes::from_static(b"plain"), 100, &mut grow), Err(Outcome::Bad(_))));
        }
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit_and_by_the_queue() {
        let bomb = packed(&vec![0; 4 << 20]);
        let queue = Queue::new(1 << 20, 1 << 20, &["shop".to_owned()], false);
        let unpack = |limit| {
            let mut room = queue.room(0).unwrap();
            Packing::Gzip.unpack(bomb.clone(), limit, &mut |n| room.grow(n))
        };
        assert_eq!(unpack(1 << 19), Err(Outcome::TooLong(1 << 19)));
        assert_eq!(unpack(4 << 20), Err(Outcome::TooLong(1 << 20)));
        let others = queue.room(1 << 19);
        assert!(matches!(unpack(4 << 20), Err(Outcome::Full(_))));
        drop(others);
        assert_eq!(queue.used(), 0);
    }
}
