//! A bounded search for an input that a target panics over.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::mutate::{Random, mutated};

/// An input that a target panicked over.
#[derive(Debug)]
pub struct Finding {
    /// The input.
    pub input: Vec<u8>,
    /// What the panic said.
    pub why: String,
}

/// Runs a target over the seeds, over nothing, and over so many inputs that are changed seeds or random bytes. The same seeds and number give the same inputs.
///
/// # Errors
/// The first input that it panics over.
pub fn search(target: impl Fn(&[u8]), seeds: &[Vec<u8>], rounds: u64) -> Result<(), Box<Finding>> {
    let tried = |input: &[u8]| {
        catch_unwind(AssertUnwindSafe(|| target(input))).map_err(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Box::new(Finding { input: input.to_vec(), why: text.unwrap_or("a panic without words").to_owned() })
        })
    };
    tried(&[])?;
    seeds.iter().try_for_each(|seed| tried(seed))?;
    for round in 0..rounds {
        let mut random = Random::new(round + 1);
        let random_bytes: Vec<u8> =
            (0..random.below(200)).map(|_| u8::try_from(random.below(256)).unwrap_or(0)).collect();
        let (Some(seed), true) = (seeds.get(random.below(seeds.len())), random.below(16) > 0) else {
            tried(&random_bytes)?;
            continue;
        };
        let other = seeds.get(random.below(seeds.len())).filter(|_| random.below(2) == 0).unwrap_or(&random_bytes);
        tried(&mutated(seed, other, &mut random))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A length and that many bytes, of which the length is believed.
    fn believes_lengths(bytes: &[u8]) {
        if bytes.len() >= 4 {
            let length = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
            std::hint::black_box(&bytes[4..4 + length]);
        }
    }

    /// Two bytes that must fit to the rest, and an offset behind them that is believed: what is not sealed anew never gets there.
    fn believes_what_is_sealed(bytes: &[u8]) {
        if bytes.len() >= 6 && bytes[..2] == seal(&bytes[2..]) {
            std::hint::black_box(bytes[2..][usize::from(bytes[2])]);
        }
    }

    fn seal(bytes: &[u8]) -> [u8; 2] {
        let sum = bytes.iter().fold(7u16, |sum, byte| sum.wrapping_mul(31).wrapping_add(u16::from(*byte)));
        sum.to_le_bytes()
    }

    fn sealed_anew(bytes: &[u8]) {
        believes_what_is_sealed(bytes);
        if let Some(rest) = bytes.get(2..) {
            believes_what_is_sealed(&[&seal(rest), rest].concat());
        }
    }

    #[test]
    fn a_decoder_that_believes_a_length_is_found() {
        let good = [&5u32.to_be_bytes()[..], b"bytes"].concat();
        let found = search(believes_lengths, std::slice::from_ref(&good), 1_000).unwrap_err();
        assert!(found.why.contains("out of range") && found.input != good, "{found:?}");
    }

    #[test]
    fn a_decoder_that_believes_what_is_behind_a_seal_is_found() {
        let rest = [2, 0, 9, 9];
        let good = [&seal(&rest)[..], &rest].concat();
        assert!(search(sealed_anew, &[good], 1_000).is_err());
    }

    #[test]
    fn inputs_are_the_same_each_time_and_not_all_alike() {
        let seen = || {
            let seen = std::sync::Mutex::new(Vec::new());
            search(|bytes| seen.lock().unwrap().push(bytes.to_vec()), &[b"abcdef".to_vec()], 200).unwrap();
            seen.into_inner().unwrap()
        };
        let mut once = seen();
        assert_eq!(once, seen());
        once.sort();
        once.dedup();
        assert!(once.len() > 150, "{}", once.len());
    }
}
