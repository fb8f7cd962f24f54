use http::HeaderName;

use super::field::{Entry, Field};
use super::table::STATIC;

/// A name as it is written.
#[derive(Clone, Copy)]
pub(super) struct Called<'a> {
    /// Its place in the static table, 0 if it has none.
    pub(super) index: u8,
    pub(super) text: &'a [u8],
    /// Where the last value of this name is remembered. Names with a place in the static table have one of their own.
    pub(super) slot: usize,
}

/// Slots of names with a place in the static table: one for each place.
const OWN_SLOTS: usize = STATIC.len() + 1;
/// All other names share these. A worker's heads hold a handful of them.
const SHARED_SLOTS: usize = 16;
pub(super) const SLOTS: usize = OWN_SLOTS + SHARED_SLOTS;

/// Where a regular name has its place in the static table, by [`place`].
static INDEXES: [u8; 128] = indexes();

impl<'a> Called<'a> {
    pub(super) const AUTHORITY: Called<'static> = Called { index: 1, text: b":authority", slot: 1 };
    pub(super) const DATE: Called<'static> = Called { index: 33, text: b"date", slot: 33 };

    pub(super) fn of(name: &'a HeaderName) -> Self {
        let text = name.as_str().as_bytes();
        let place = place(text);
        let index = INDEXES[place];
        if index > 0
            && let Entry::Understood(Field::Regular(known, _)) = &STATIC[usize::from(index) - 1].stored.entry
            && known == name
        {
            return Self { index, text, slot: usize::from(index) };
        }
        Self { index: 0, text, slot: OWN_SLOTS + place % SHARED_SLOTS }
    }

    pub(super) const fn is_alone_in_its_slot(&self) -> bool {
        self.slot < OWN_SLOTS
    }
}

/// A number below 128 that no two names of the static table have in common; the factors were found by trying.
const fn place(name: &[u8]) -> usize {
    match name {
        [first, .., last] => (name.len() * 17 + *first as usize * 50 + *last as usize * 121) % 128,
        _ => 0,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "there are 61")]
const fn indexes() -> [u8; 128] {
    let mut indexes = [0; 128];
    let mut at = 0;
    while at < STATIC.len() {
        let name = STATIC[at].name.as_bytes();
        if name[0] != b':' {
            let place = place(name);
            assert!(indexes[place] == 0, "two names have the same place");
            indexes[place] = at as u8 + 1;
        }
        at += 1;
    }
    indexes
}
