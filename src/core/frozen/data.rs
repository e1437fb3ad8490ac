//! The values of one column of a segment, to be written or as they were read.

use bytes::Bytes;
use parquet::data_type::{ByteArray, FixedLenByteArray};

use super::column::Kind;
use super::fault::corrupted;
use crate::Result;

/// One value.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// Of a time: microseconds since 1970.
    Long(i64),
    /// Of a double.
    Float(f64),
    /// Of a smallint.
    Small(i32),
    /// Of a boolean.
    Truth(bool),
    /// Of all others.
    Bytes(&'a [u8]),
}

/// The values that are not NULL.
#[derive(Debug, Clone)]
pub(super) enum Values {
    Long(Vec<i64>),
    Float(Vec<f64>),
    Small(Vec<i32>),
    Truth(Vec<bool>),
    Bytes(Vec<ByteArray>),
    Fixed(Vec<FixedLenByteArray>),
}

/// A column of a segment.
#[derive(Debug, Clone)]
pub struct Data {
    /// 1 for a row with a value, 0 for NULL.
    pub(super) present: Vec<i16>,
    pub(super) values: Values,
    /// Place of each row's value; that of a NULL means nothing.
    places: Vec<u32>,
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::Long(values) => values.len(),
            Self::Float(values) => values.len(),
            Self::Small(values) => values.len(),
            Self::Truth(values) => values.len(),
            Self::Bytes(values) => values.len(),
            Self::Fixed(values) => values.len(),
        }
    }
}

impl Data {
    /// A column whose values are in the order of its rows.
    ///
    /// # Errors
    /// There are not as many values as rows that have one.
    pub(super) fn new(present: Vec<i16>, values: Values) -> Result<Self> {
        let mut next = 0;
        let mut places = Vec::with_capacity(present.len());
        for present in &present {
            places.push(next);
            next += u32::from(*present == 1);
        }
        if next as usize != values.len() {
            return Err(corrupted(format!("a column has {} values for {next} rows", values.len())));
        }
        Ok(Self { present, values, places })
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.present.len()
    }

    /// Has it no rows.
    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// The value of a row; `None`: NULL.
    pub fn get(&self, row: usize) -> Option<Value<'_>> {
        if *self.present.get(row)? == 0 {
            return None;
        }
        let place = self.places[row] as usize;
        Some(match &self.values {
            Values::Long(values) => Value::Long(values[place]),
            Values::Float(values) => Value::Float(values[place]),
            Values::Small(values) => Value::Small(values[place]),
            Values::Truth(values) => Value::Truth(values[place]),
            Values::Bytes(values) => Value::Bytes(values[place].data()),
            Values::Fixed(values) => Value::Bytes(values[place].data()),
        })
    }

    /// The time of a row.
    pub fn long(&self, row: usize) -> Option<i64> {
        match self.get(row)? {
            Value::Long(value) => Some(value),
            _ => None,
        }
    }

    /// The bytes of a row.
    pub fn bytes(&self, row: usize) -> Option<&[u8]> {
        match self.get(row)? {
            Value::Bytes(value) => Some(value),
            _ => None,
        }
    }

    /// Is every value the same, bit by bit. (NaN equals itself, 0 differs from -0.)
    pub fn is_same(&self, other: &Self) -> bool {
        self.present == other.present
            && match (&self.values, &other.values) {
                (Values::Long(a), Values::Long(b)) => a == b,
                (Values::Float(a), Values::Float(b)) => {
                    a.iter().map(|a| a.to_bits()).eq(b.iter().map(|b| b.to_bits()))
                }
                (Values::Small(a), Values::Small(b)) => a == b,
                (Values::Truth(a), Values::Truth(b)) => a == b,
                (Values::Bytes(a), Values::Bytes(b)) => a == b,
                (Values::Fixed(a), Values::Fixed(b)) => a == b,
                _ => false,
            }
    }
}

/// A column that is being filled, row by row.
#[derive(Debug)]
pub struct Builder {
    kind: Kind,
    present: Vec<i16>,
    plain: Values,
    /// Bytes of all values one after the other, so that they are not allocated one by one, and where each ends.
    packed: Vec<u8>,
    ends: Vec<usize>,
}

impl Builder {
    /// An empty column.
    pub fn new(kind: Kind) -> Self {
        let plain = match kind {
            Kind::Time => Values::Long(Vec::new()),
            Kind::Float => Values::Float(Vec::new()),
            Kind::Small => Values::Small(Vec::new()),
            Kind::Truth => Values::Truth(Vec::new()),
            Kind::Uuid => Values::Fixed(Vec::new()),
            Kind::Text | Kind::Json | Kind::Bytes => Values::Bytes(Vec::new()),
        };
        Self { kind, present: Vec::new(), plain, packed: Vec::new(), ends: Vec::new() }
    }

    /// What its values are.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.present.len()
    }

    /// Has it no rows.
    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// Adds a row.
    ///
    /// # Errors
    /// The value is not of the column's kind.
    pub fn push(&mut self, value: Option<Value>) -> Result<()> {
        match (&mut self.plain, value) {
            (_, None) => {}
            (Values::Long(values), Some(Value::Long(value))) => values.push(value),
            (Values::Float(values), Some(Value::Float(value))) => values.push(value),
            (Values::Small(values), Some(Value::Small(value))) => values.push(value),
            (Values::Truth(values), Some(Value::Truth(value))) => values.push(value),
            (Values::Bytes(_), Some(Value::Bytes(value))) => {
                self.packed.extend_from_slice(value);
                self.ends.push(self.packed.len());
            }
            (Values::Fixed(_), Some(Value::Bytes(value))) if value.len() == 16 => {
                self.packed.extend_from_slice(value);
                self.ends.push(self.packed.len());
            }
            _ => return Err(corrupted(format!("a value is not of kind {:?}", self.kind))),
        }
        self.present.push(i16::from(value.is_some()));
        Ok(())
    }

    /// The column, whole.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn finish(self) -> Result<Data> {
        let packed = Bytes::from(self.packed);
        let mut start = 0;
        let slices = self.ends.iter().map(|end| packed.slice(std::mem::replace(&mut start, *end)..*end));
        let slices = slices.map(ByteArray::from);
        let values = match self.plain {
            Values::Bytes(_) => Values::Bytes(slices.collect()),
            Values::Fixed(_) => Values::Fixed(slices.map(FixedLenByteArray::from).collect()),
            plain => plain,
        };
        Data::new(self.present, values)
    }
}
