//! What a supervisor and a frozen process say to each other: frames of one size, each with a version, and with descriptors.
//!
//! ```text
//! 0  magic    u32   "PYR3"
//! 4  version  u16   VERSION: what the two sides understand by all that follows
//! 6  kind     u16   which request, or which event
//! 8  flags    u32   KEEP, SALVAGE, SPLIT, PREDECESSOR; no others
//! 12 index    u32   of a branch: its number among those that are made at once
//! 16 member   u32   of a branch: the number by which session init knows its processes
//! 20 zero     12 bytes
//! ```
//!
//! All numbers are little-endian. What is not understood is an error on both sides.

/// Bytes of a frame.
pub const SIZE: usize = 32;
/// Of this format, and of what its fields mean.
pub const VERSION: u16 = 1;
/// Descriptors that come with a frame at most.
pub const FDS: usize = 8;

const MAGIC: u32 = u32::from_le_bytes(*b"PYR3");
const KEEP: u32 = 1;
const SALVAGE: u32 = 2;
const SPLIT: u32 = 4;
const PREDECESSOR: u32 = 8;

/// What a frozen process is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Become the live worker. Descriptors: its control channel; the channel of its replacement, with `keep`; the process that
    /// was live, with `predecessor`; a file with values to take over, with `salvage`.
    Wake {
        /// Whether it stays usable: it forks its replacement first.
        keep: bool,
        /// Whether a process comes along that was killed: what only one can have, it has until it is gone.
        predecessor: bool,
        /// Whether a file with values comes along.
        salvage: bool,
    },
    /// Fork a session of its own. Descriptors: control channel, stdout, stderr, standard input.
    Branch {
        /// Its number among those that are made at once.
        index: u32,
        /// By which session init knows its processes.
        member: u32,
        /// Whether its random numbers are to be others.
        split: bool,
    },
    /// Fork a process that writes the state down. Descriptor: the channel on which it does.
    Save,
    /// Fork a process that answers questions about the state. Descriptor: the channel on which it does.
    Answer,
    /// End.
    Leave,
}

impl Request {
    /// The frame.
    pub fn encode(self) -> [u8; SIZE] {
        match self {
            Request::Wake { keep, predecessor, salvage } => {
                let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
                frame(1, flag(keep, KEEP) | flag(predecessor, PREDECESSOR) | flag(salvage, SALVAGE), 0, 0)
            }
            Request::Branch { index, member, split } => frame(2, u32::from(split) * SPLIT, index, member),
            Request::Save => frame(3, 0, 0, 0),
            Request::Answer => frame(4, 0, 0, 0),
            Request::Leave => frame(5, 0, 0, 0),
        }
    }

    /// What a frame says; None where it is not understood.
    pub fn decode(bytes: &[u8; SIZE]) -> Option<Request> {
        let (kind, flags, index, member) = fields(bytes)?;
        let request = match kind {
            1 => Request::Wake {
                keep: flags & KEEP != 0,
                predecessor: flags & PREDECESSOR != 0,
                salvage: flags & SALVAGE != 0,
            },
            2 => Request::Branch { index, member, split: flags & SPLIT != 0 },
            3 => Request::Save,
            4 => Request::Answer,
            5 => Request::Leave,
            _ => return None,
        };
        // One meaning, one frame.
        (request.encode() == *bytes).then_some(request)
    }

    /// How many descriptors come along.
    pub fn descriptors(self) -> usize {
        match self {
            Request::Wake { keep, predecessor, salvage } => {
                1 + usize::from(keep) + usize::from(predecessor) + usize::from(salvage)
            }
            Request::Branch { .. } => 4,
            Request::Save | Request::Answer => 1,
            Request::Leave => 0,
        }
    }
}

/// What a frozen process says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It waits.
    Frozen,
}

impl Event {
    /// The frame.
    pub fn encode(self) -> [u8; SIZE] {
        match self {
            Event::Frozen => frame(1, 0, 0, 0),
        }
    }

    /// What a frame says; None where it is not understood.
    pub fn decode(bytes: &[u8; SIZE]) -> Option<Event> {
        let event = match fields(bytes)?.0 {
            1 => Event::Frozen,
            _ => return None,
        };
        (event.encode() == *bytes).then_some(event)
    }
}

fn frame(kind: u16, flags: u32, index: u32, member: u32) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    let head = u64::from(MAGIC) | u64::from(VERSION) << 32 | u64::from(kind) << 48;
    put(&mut bytes, 0, head);
    put(&mut bytes, 8, u64::from(flags) | u64::from(index) << 32);
    put(&mut bytes, 16, u64::from(member));
    bytes
}

fn put(bytes: &mut [u8; SIZE], at: usize, value: u64) {
    for (place, byte) in bytes[at..].iter_mut().zip(value.to_le_bytes()) {
        *place = byte;
    }
}

/// Kind, flags, index and member of a frame of this version.
fn fields(bytes: &[u8; SIZE]) -> Option<(u16, u32, u32, u32)> {
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if word(0) != MAGIC || word(4) as u16 != VERSION {
        return None;
    }
    Some(((word(4) >> 16) as u16, word(8), word(12), word(16)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_request() -> impl Strategy<Value = Request> {
        prop_oneof![
            any::<[bool; 3]>().prop_map(|[keep, predecessor, salvage]| Request::Wake { keep, predecessor, salvage }),
            (any::<u32>(), any::<u32>(), any::<bool>()).prop_map(|(index, member, split)| Request::Branch {
                index,
                member,
                split
            }),
            Just(Request::Save),
            Just(Request::Answer),
            Just(Request::Leave),
        ]
    }

    proptest! {
        #[test]
        fn a_request_is_read_as_it_was_written(request in any_request()) {
            prop_assert_eq!(Request::decode(&request.encode()), Some(request));
        }

        #[test]
        fn one_changed_bit_is_no_other_meaning_of_the_same_bytes(request in any_request(), bit in 0..SIZE * 8) {
            let mut bytes = request.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Some(other) = Request::decode(&bytes) {
                prop_assert_ne!(other, request);
                prop_assert_eq!(other.encode(), bytes);
            }
        }

        #[test]
        fn anything_is_refused_or_written_the_same_again(bytes in any::<[u8; SIZE]>()) {
            if let Some(request) = Request::decode(&bytes) {
                prop_assert_eq!(request.encode(), bytes);
            }
            if let Some(event) = Event::decode(&bytes) {
                prop_assert_eq!(event.encode(), bytes);
            }
        }
    }
}
