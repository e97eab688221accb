//! Where blobs are cut into chunks. Equal bytes are cut equally, however they come in, so that what is there already is recognised.

use fastcdc::v2020::FastCDC;

use crate::pack::MAX_CHUNK;

/// Buffers are cut every so many bytes: a change in place moves no later cut, and every chunk begins on a page.
pub(crate) const BUFFER_CHUNK: usize = 64 << 10;
/// Streams are cut by content (FastCDC; Xia and others, 2020), so that bytes put in or taken out change the chunks around them alone.
const STREAM: (usize, usize, usize) = (16 << 10, 64 << 10, MAX_CHUNK);

/// The two ways to cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlobKind {
    /// Pickle bytes: cut by content, compressed.
    Stream,
    /// Memory: cut at fixed places, kept so that it can be mapped unless it compresses well.
    Buffer,
}

impl BlobKind {
    /// How many of these bytes are the first chunk, or 0 where more bytes must be seen first. `last` says that no more come.
    pub(crate) fn cut(self, bytes: &[u8], last: bool) -> usize {
        match self {
            BlobKind::Buffer if bytes.len() >= BUFFER_CHUNK => BUFFER_CHUNK,
            // With less than the largest chunk in sight, a later byte could still move the cut.
            BlobKind::Stream if bytes.len() >= MAX_CHUNK => first(&bytes[..MAX_CHUNK]),
            BlobKind::Stream if last && !bytes.is_empty() => first(bytes),
            BlobKind::Buffer if last => bytes.len(),
            _ => 0,
        }
    }
}

fn first(bytes: &[u8]) -> usize {
    let (least, mean, most) = STREAM;
    FastCDC::new(bytes, least, mean, most).next().map_or(bytes.len(), |chunk| chunk.length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cuts(kind: BlobKind, bytes: &[u8]) -> Vec<usize> {
        let (mut at, mut cuts) = (0, Vec::new());
        while at < bytes.len() {
            let length = kind.cut(&bytes[at..], true);
            assert!(length > 0 && length <= MAX_CHUNK);
            at += length;
            cuts.push(at);
        }
        cuts
    }

    #[test]
    fn bytes_put_in_change_few_cuts() {
        let bytes: Vec<u8> = blake3::Hasher::new().finalize_xof_to(2 << 20);
        let mut longer = bytes.clone();
        longer.splice(700_000..700_000, *b"seven");
        let (before, after) = (cuts(BlobKind::Stream, &bytes), cuts(BlobKind::Stream, &longer));
        let kept = before.iter().filter(|cut| after.contains(cut) || after.contains(&(**cut + 5))).count();
        assert!(before.len() > 10 && before.len() - kept <= 2, "{before:?} {after:?}");
    }

    trait Xof {
        fn finalize_xof_to(&self, length: usize) -> Vec<u8>;
    }
    impl Xof for blake3::Hasher {
        fn finalize_xof_to(&self, length: usize) -> Vec<u8> {
            let mut bytes = vec![0; length];
            self.finalize_xof().fill(&mut bytes);
            bytes
        }
    }

    proptest! {
        #[test]
        fn what_comes_later_moves_no_cut(seed: u64, length in 0usize..1_500_000, seen in 0usize..1_500_000) {
            let mut hasher = blake3::Hasher::new();
            let bytes = hasher.update(&seed.to_le_bytes()).finalize_xof_to(length);
            for kind in [BlobKind::Stream, BlobKind::Buffer] {
                let whole = cuts(kind, &bytes);
                let part = kind.cut(&bytes[..seen.min(length)], false);
                prop_assert!(part == 0 || whole[0] == part);
            }
        }
    }
}
