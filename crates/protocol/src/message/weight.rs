//! How many bytes of memory a decoded message holds. What waits for a reader is bounded by it: a bound on the bytes of
//! one field would leave the others free.

use super::parts::{
    Branch, Changes, EndStatus, Frame, Lost, PackageDifference, PoolOptions, ProcessExit, PythonInfo, RandomState,
    SessionOptions, SnapshotKind, StopStep, Stream, TransactionPolicy, Variable,
};
use crate::failure::Code;
use crate::text::JsonText;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Bytes on the heap, about.
pub trait Weight {
    /// Bytes that hang on the value, beside the value itself.
    fn weight(&self) -> usize;
}

/// An allocation's own cost.
const ALLOCATION: usize = 16;

macro_rules! nothing_hangs_on {
    ($($ty:ty),*) => { $(impl Weight for $ty { fn weight(&self) -> usize { 0 } })* };
}
nothing_hangs_on!(
    bool,
    u32,
    u64,
    i32,
    i64,
    f64,
    Code,
    EndStatus,
    ProcessExit,
    RandomState,
    SnapshotKind,
    StopStep,
    Stream,
    TransactionPolicy
);

macro_rules! sums {
    ($($ty:ty: $($field:ident),*;)*) => {
        $(impl Weight for $ty { fn weight(&self) -> usize { 0 $(+ self.$field.weight())* } })*
    };
}
sums! {
    Variable: name, tier, type_name;
    Lost: name, reason;
    PackageDifference: name, saved, found;
    PythonInfo: version, executable, prefix, implementation;
    Branch: session_id, python, parent;
    Changes: added, rebound, removed;
    Frame: filename, name, line;
}

impl Weight for String {
    fn weight(&self) -> usize {
        if self.capacity() == 0 { 0 } else { self.capacity() + ALLOCATION }
    }
}

impl Weight for Box<RawValue> {
    fn weight(&self) -> usize {
        self.get().len() + ALLOCATION
    }
}

impl Weight for JsonText {
    fn weight(&self) -> usize {
        self.literal().len() + ALLOCATION
    }
}

impl<T: Weight> Weight for Option<T> {
    fn weight(&self) -> usize {
        self.as_ref().map_or(0, Weight::weight)
    }
}

impl<T: Weight> Weight for Vec<T> {
    fn weight(&self) -> usize {
        self.capacity() * std::mem::size_of::<T>() + self.iter().map(Weight::weight).sum::<usize>()
    }
}

impl<V: Weight> Weight for BTreeMap<String, V> {
    fn weight(&self) -> usize {
        let entry = std::mem::size_of::<String>() + std::mem::size_of::<V>() + ALLOCATION;
        self.iter().map(|(key, value)| entry + key.weight() + value.weight()).sum()
    }
}

/// Options are small, rare, and have many parts.
macro_rules! as_json {
    ($($ty:ty),*) => {
        $(impl Weight for $ty {
            fn weight(&self) -> usize { serde_json::to_vec(self).map_or(0, |json| 2 * json.len()) }
        })*
    };
}
as_json!(SessionOptions, PoolOptions);

#[cfg(test)]
mod tests {
    use crate::message::{DisplayMessage, Message};
    use std::collections::BTreeMap;

    fn display(data: usize, metadata: usize, key: usize, id: usize) -> usize {
        let raw = |size: usize| serde_json::value::to_raw_value(&"x".repeat(size)).unwrap();
        let message = DisplayMessage {
            id: String::new(),
            timestamp: 0.0,
            session_id: None,
            execution_id: None,
            seq: None,
            data: BTreeMap::from([("k".repeat(key), raw(data))]),
            metadata: BTreeMap::from([("m".to_owned(), raw(metadata))]),
            display_id: Some("i".repeat(id)),
            update: false,
        };
        Message::DisplayMessage(message).weight()
    }

    #[test]
    fn every_part_of_a_display_counts() {
        let base = display(0, 0, 0, 0);
        for at in 0..4 {
            let mut sizes = [0; 4];
            sizes[at] = 1_000_000;
            let [data, metadata, key, id] = sizes;
            assert!(display(data, metadata, key, id) >= base + 1_000_000, "part {at} is not counted");
        }
    }
}
