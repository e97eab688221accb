//! What differs between two checkpoints, by name. No blob is read: equal bytes are cut equally, so equal lists of chunks are equal bytes.

use std::collections::BTreeMap;

use crate::Result;
use crate::body::{Body, Variable};
use crate::manifest::{Blob, Manifest};
use crate::store::Store;

/// Names that are in one of two checkpoints only, or not the same in both. Each list is sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// In the later one alone.
    pub added: Vec<Variable>,
    /// In the earlier one alone.
    pub removed: Vec<Variable>,
    /// In both with other bytes, or kept in another way: as it was, and as it is. A name changes with the names that it shares objects with.
    pub changed: Vec<(Variable, Variable)>,
}

impl Store {
    /// Compares two checkpoints, which may be of different lineages.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`] where the list of names of one cannot be read.
    pub fn diff(&self, earlier: &Manifest, later: &Manifest) -> Result<Diff> {
        let (before, after) = (earlier.view()?, later.view()?);
        let (old, new) = (Contents::of(earlier, &before), Contents::of(later, &after));
        let mut diff = Diff::default();
        for (name, (variable, kept)) in &new.0 {
            match old.0.get(name) {
                None => diff.added.push((*variable).clone()),
                Some((was, other)) if other != kept => diff.changed.push(((*was).clone(), (*variable).clone())),
                Some(_) => {}
            }
        }
        let gone = old.0.iter().filter(|(name, _)| !new.0.contains_key(*name));
        diff.removed.extend(gone.map(|(_, (variable, _))| (*variable).clone()));
        Ok(diff)
    }
}

/// How each name is kept: tier, type, and the blobs of its group; for imports, what is imported.
struct Contents<'a>(BTreeMap<&'a str, (&'a Variable, Kept<'a>)>);

type Kept<'a> = (&'a str, &'a str, Vec<&'a Blob>, Vec<(&'a str, Option<&'a str>)>);

impl<'a> Contents<'a> {
    fn of(manifest: &'a Manifest, body: &'a Body) -> Contents<'a> {
        let blobs = |variable: &Variable| {
            let group = variable.group.and_then(|group| body.groups.get(group as usize));
            let numbers = group.into_iter().flat_map(|group| group.stream.iter().chain(&group.buffers));
            numbers.filter_map(|number| manifest.blobs.get(*number as usize)).collect()
        };
        let mut imported: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for import in &body.imports {
            imported.entry(&import.name).or_default().push((import.module.as_str(), import.attribute.as_deref()));
        }
        let entry = |variable: &'a Variable| {
            let from = imported.get(variable.name.as_str()).cloned().unwrap_or_default();
            let kept = (variable.tier.as_str(), variable.type_name.as_str(), blobs(variable), from);
            (variable.name.as_str(), (variable, kept))
        };
        Contents(body.variables.iter().map(entry).collect())
    }
}
