//! Protobuf's wire format: the fields of a message one by one, and the writing of them. What fields mean is known by those
//! who read them.
//!
//! Source: protobuf.dev, "Encoding". Groups, which proto3 does not have, are faults.

/// A field's value as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wire<'a> {
    /// An integer, an enum or a truth value.
    Varint(u64),
    /// Eight bytes: fixed64, sfixed64, double.
    Eight(u64),
    /// A text, bytes, a message, or many numbers packed.
    Bytes(&'a [u8]),
    /// Four bytes: fixed32, sfixed32, float.
    Four(u32),
}

/// Why a message cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken(pub &'static str);

/// A message that is read.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next field with its number; none at the end.
    pub fn field(&mut self) -> Result<Option<(u32, Wire<'a>)>, Broken> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or(Broken("a field without a number"))?;
        let value = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Eight(self.eight()?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Broken("a length beyond the message"))?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Four(self.four()?),
            _ => return Err(Broken("a field of an unknown wire type")),
        };
        Ok(Some((number, value)))
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A number of one to ten bytes; what is beyond 64 bits is dropped, as other readers do.
    pub fn varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0;
        for (place, &byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7F) << (7 * place);
            if byte < 0x80 {
                self.0 = &self.0[place + 1..];
                return Ok(value);
            }
        }
        Err(Broken(if self.0.len() < 10 {
            "the message ends within a number"
        } else {
            "a number of more than ten bytes"
        }))
    }

    /// Eight bytes.
    pub fn eight(&mut self) -> Result<u64, Broken> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Broken("the message ends within a number"))?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    /// Four bytes.
    pub fn four(&mut self) -> Result<u32, Broken> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Broken("the message ends within a number"))?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*bytes))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Broken> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Broken("a length beyond the message"))?;
        self.0 = rest;
        Ok(bytes)
    }
}

/// A signed number as sint32 and sint64 have it: 0, -1, 1, -2 ...
pub fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Appends a number.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field that is an integer, an enum or a truth value.
pub fn put_integer(out: &mut Vec<u8>, field: u32, value: i64) {
    put_varint(out, u64::from(field) << 3);
    put_varint(out, value as u64);
}

/// Appends a field that is a double.
pub fn put_double(out: &mut Vec<u8>, field: u32, value: f64) {
    put_varint(out, u64::from(field) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a field that is a text, bytes or a message.
pub fn put_bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    put_varint(out, u64::from(field) << 3 | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Base64 in the standard alphabet, padded, as ProtoJSON writes bytes.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |place: usize| group.get(place).copied().map_or(0, u32::from);
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back() {
        let mut out = Vec::new();
        put_integer(&mut out, 1, 300);
        put_integer(&mut out, 2, -1);
        put_double(&mut out, 3, 0.5);
        put_bytes(&mut out, 1000, b"text");
        // Source: protobuf.dev, "Encoding": 300 is AC 02, -1 ten bytes.
        assert_eq!(&out[..3], [0x08, 0xAC, 0x02]);
        let mut reader = Reader::new(&out);
        assert_eq!(reader.field(), Ok(Some((1, Wire::Varint(300)))));
        assert_eq!(reader.field(), Ok(Some((2, Wire::Varint(u64::MAX)))));
        assert_eq!(reader.field(), Ok(Some((3, Wire::Eight(0.5_f64.to_bits())))));
        assert_eq!(reader.field(), Ok(Some((1000, Wire::Bytes(b"text")))));
        assert_eq!(reader.field(), Ok(None));
        assert_eq!([0, 1, 2, 3, u64::MAX].map(zigzag), [0, -1, 1, -2, i64::MIN]);
    }

    #[test]
    fn broken_messages_are_told() {
        for bytes in [
            &[0x08][..],
            &[0x08, 0x80],
            &[0x80; 11],
            &[0x09, 1, 2, 3],
            &[0x0D, 1],
            &[0x0A, 5, 1],
            &[0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
            &[0x00, 0x00],
            &[0x0B],
            &[0x0C],
            &[0x0F, 0],
        ] {
            assert!(Reader::new(bytes).field().is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn base64_is_padded() {
        // Source: RFC 4648, section 10.
        for (bytes, wanted) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), wanted);
        }
        assert_eq!(base64(&[0xFB, 0xFF]), "+/8=");
    }
}
