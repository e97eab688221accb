//! What processes ended over that were writing a state down.

use pyrepl3_protocol::saver::Part;

/// So many may end before the checkpoint is given up.
const MOST: usize = 24;

/// What savers of one checkpoint ended over. A part over which two of them ended is left out from then on: one end alone
/// may have come from outside.
#[derive(Debug, Default)]
pub(crate) struct SaverCrashes {
    count: usize,
    suspected: Vec<Part>,
    left_out: Vec<Part>,
}

impl SaverCrashes {
    /// Parts that the next one is to leave out.
    pub(crate) fn left_out(&self) -> &[Part] {
        &self.left_out
    }

    /// One more ended. Returns whether another attempt may come further.
    pub(crate) fn note(&mut self, over: &[Part]) -> bool {
        self.count += 1;
        if over.is_empty() || self.count >= MOST || over.iter().all(|part| self.left_out.contains(part)) {
            return false;
        }
        let (again, new): (Vec<_>, Vec<_>) = over.iter().cloned().partition(|part| self.suspected.contains(part));
        self.left_out.extend(again);
        self.suspected.extend(new);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Part, SaverCrashes};

    fn parts(names: &[&str]) -> Vec<Part> {
        names.iter().map(|name| Part("name".into(), (*name).into())).collect()
    }

    #[test]
    fn what_two_ended_over_is_left_out() {
        let mut deaths = SaverCrashes::default();
        assert!(deaths.note(&parts(&["a"])) && deaths.left_out().is_empty());
        assert!(deaths.note(&parts(&["b", "c"])) && deaths.left_out().is_empty());
        assert!(deaths.note(&parts(&["a"])) && deaths.left_out() == parts(&["a"]));
        assert!(deaths.note(&parts(&["c"])) && deaths.left_out() == parts(&["a", "c"]));
        // That it is left out did not help.
        assert!(!deaths.note(&parts(&["c"])));
    }

    #[test]
    fn it_is_given_up_in_the_end() {
        assert!(!SaverCrashes::default().note(&[]), "nobody knows over what");
        let mut deaths = SaverCrashes::default();
        let attempts = (0..100).take_while(|n| deaths.note(&parts(&[&(n / 2).to_string()]))).count();
        assert_eq!(attempts, MOST - 1);
    }
}
