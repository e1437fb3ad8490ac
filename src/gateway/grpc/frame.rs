//! A message in its frame: whether it is packed, and its length.

use bytes::{Bytes, BytesMut};

use super::{Code, Status};

/// Puts a message into a frame.
pub fn frame(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(5 + message.len());
    out.extend_from_slice(&[0]);
    // Of our own making, and far below 4 GiB.
    out.extend_from_slice(&(message.len() as u32).to_be_bytes());
    out.extend_from_slice(message);
    out.freeze()
}

/// Takes the one message of a request out of its frame, and whether it is packed.
pub fn unframe(mut body: Bytes) -> Result<(bool, Bytes), Status> {
    let broken = |what: &str| Status::new(Code::Internal, what);
    let Some((&[packed, a, b, c, d], rest)) = body.split_first_chunk() else {
        return Err(broken("there is no message"));
    };
    if rest.len() != u32::from_be_bytes([a, b, c, d]) as usize {
        return Err(broken("the length of the message is wrong, or there are several"));
    }
    if packed > 1 {
        return Err(broken("a frame of an unknown kind"));
    }
    Ok((packed == 1, body.split_off(5)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_of_their_frames() {
        assert_eq!(&frame(b"abc")[..], b"\0\0\0\0\x03abc");
        assert_eq!(unframe(frame(b"abc")).unwrap(), (false, Bytes::from_static(b"abc")));
        assert_eq!(unframe(Bytes::from_static(b"\x01\0\0\0\0")).unwrap(), (true, Bytes::new()));
        for wrong in [&b""[..], b"\0\0\0\0", b"\0\0\0\0\x01", b"\0\0\0\0\0\0\0\0\0\0", b"\x02\0\0\0\0"] {
            assert!(unframe(Bytes::copy_from_slice(wrong)).is_err(), "{wrong:?}");
        }
    }
}
