//! The entries of the pool in numbered places, which are used again.
//!
//! A [`Seq`] names its place, so that an entry is found without a search; it also carries the number of its arrival, by
//! which it is told from whatever is in that place later.

/// Number of an envelope in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::shh) struct Seq {
    number: u64,
    place: u32,
}

pub(super) struct Entries<T> {
    places: Vec<Option<(u64, T)>>,
    free: Vec<u32>,
    /// Of the next arrival.
    next: u64,
}

impl<T> Entries<T> {
    pub(super) fn new() -> Entries<T> {
        Entries {
            places: Vec::new(),
            free: Vec::new(),
            next: 0,
        }
    }

    pub(super) fn add(&mut self, entry: T) -> Seq {
        let number = self.next;
        self.next += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            u32::try_from(self.places.len() - 1).expect("memory ends before 2^32 envelopes")
        });
        self.places[place as usize] = Some((number, entry));
        Seq { number, place }
    }

    pub(super) fn remove(&mut self, seq: Seq) -> Option<T> {
        let slot = self.places.get_mut(seq.place as usize)?;
        let (_, entry) = slot.take_if(|(number, _)| *number == seq.number)?;
        self.free.push(seq.place);
        Some(entry)
    }

    pub(super) fn get(&self, seq: Seq) -> Option<&T> {
        let (number, entry) = self.places.get(seq.place as usize)?.as_ref()?;
        (*number == seq.number).then_some(entry)
    }

    pub(super) fn get_mut(&mut self, seq: Seq) -> Option<&mut T> {
        let (number, entry) = self.places.get_mut(seq.place as usize)?.as_mut()?;
        (*number == seq.number).then_some(entry)
    }

    /// In the order of arrival, which takes sorting.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (Seq, &T)> {
        let mut all: Vec<(Seq, &T)> = self
            .places
            .iter()
            .zip(0..)
            .filter_map(|(slot, place)| {
                let (number, entry) = slot.as_ref()?;
                let number = *number;
                Some((Seq { number, place }, entry))
            })
            .collect();
        all.sort_unstable_by_key(|(seq, _)| *seq);
        all.into_iter()
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().flatten().map(|(_, entry)| entry)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_place_is_used_again_under_another_number() {
        let mut entries = Entries::new();
        let (one, two) = (entries.add("one"), entries.add("two"));
        assert_eq!(entries.remove(one), Some("one"));
        assert_eq!(entries.remove(one), None);
        let three = entries.add("three");
        assert_eq!((one.place, entries.len()), (three.place, 2));
        assert_eq!(entries.get(one), None);
        assert_eq!(entries.get_mut(one), None);
        assert_eq!(entries.remove(one), None);
        assert_eq!(entries.get(three), Some(&"three"));
        let order: Vec<Seq> = entries.in_order().map(|(seq, _)| seq).collect();
        assert_eq!(order, [two, three]);
    }

    proptest! {
        #[test]
        fn as_an_ordered_map(steps in prop::collection::vec((any::<bool>(), any::<u16>()), 1..300)) {
            let (mut entries, mut model) = (Entries::new(), BTreeMap::new());
            for (add, value) in steps {
                let nth = model.keys().copied().nth(usize::from(value) % (model.len() + 1));
                match nth {
                    Some(seq) if !add => prop_assert_eq!(entries.remove(seq), model.remove(&seq)),
                    _ => {
                        model.insert(entries.add(value), value);
                    }
                }
                prop_assert_eq!(entries.len(), model.len());
            }
            let both = entries.in_order().zip(&model);
            prop_assert!(both.into_iter().all(|((seq, entry), (other, value))| (seq, entry) == (*other, value)));
            prop_assert_eq!(entries.all_mut().count(), model.len());
        }
    }
}
