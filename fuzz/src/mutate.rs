//! Changes to valid inputs: most of what a decoder must refuse is nearly right.

/// Numbers at which lengths, counts and offsets go wrong.
const NUMBERS: [u64; 14] = [
    0,
    1,
    2,
    0x7f,
    0xff,
    0x100,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_fff0,
    u64::MAX,
];
/// The longest input.
const LONGEST: usize = 64 << 10;

/// A source of numbers that are the same each time (xorshift, Marsaglia 2003).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        // Zero would stay zero.
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `end`, or 0 where that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end as u64).max(1)).unwrap_or(0)
    }
}

/// One to six changes. `other` is what parts are taken from.
pub(crate) fn mutated(bytes: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..=random.below(6) {
        change(&mut out, other, random);
    }
    out.truncate(LONGEST);
    out
}

fn change(out: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = place(out.len(), random);
    match random.below(9) {
        0 if !out.is_empty() => out[at] ^= 1 << random.below(8),
        1 if !out.is_empty() => out[at] = u8::try_from(random.below(256)).unwrap_or(0),
        2 => put(out, at, &NUMBERS[random.below(NUMBERS.len())].to_le_bytes()[..4]),
        3 => put(out, at, &NUMBERS[random.below(NUMBERS.len())].to_le_bytes()),
        4 => put(out, at, &NUMBERS[random.below(NUMBERS.len())].to_be_bytes()[4..]),
        5 => out.truncate(at),
        6 => drop(out.drain(at..at + random.below((out.len() - at).min(40)))),
        7 => {
            // Digits stand for numbers, too.
            let number = NUMBERS[random.below(NUMBERS.len())].to_string();
            let digits = out[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            drop(out.splice(at..at + digits, number.into_bytes()));
        }
        _ => {
            let from = random.below(other.len() + 1);
            let length = random.below((other.len() - from).min(64) + 1);
            drop(out.splice(at..at, other[from..from + length].iter().copied()));
        }
    }
}

/// Anywhere, but more often near an end: that is where heads and trailers are.
fn place(length: usize, random: &mut Random) -> usize {
    let near = length.min(64);
    match random.below(4) {
        0 => random.below(near),
        1 => length - 1.min(length) - random.below(near).min(length.saturating_sub(1)),
        _ => random.below(length),
    }
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    let end = out.len().min(at + bytes.len());
    out[at..end].copy_from_slice(&bytes[..end - at]);
}
