use std::collections::HashMap;
use std::collections::hash_map::Entry;

use siphasher::sip::SipHasher13;

/// The routes of a trace, numbered in the order in which they first occur.
///
/// Beside its number, which is quick to count by, a route has a key that depends on its name alone: the judge
/// goes by that, so that it does not matter which of two rows of the same moment comes first.
#[derive(Clone, Debug)]
pub struct Routes {
    names: Vec<Box<str>>,
    keys: Vec<u64>,
    by_key: HashMap<u64, u32>,
    /// Where a name was found last, by a few of its bits: traces repeat themselves.
    found: Vec<u32>,
}

/// Routes that are told apart. Past this they are one, [`Routes::OTHERS`]; the judge keeps far fewer.
const MOST: usize = 1 << 20;
/// Names that are found without hashing all of them. A power of two.
const FOUND: usize = 256;

impl Default for Routes {
    fn default() -> Self {
        Self { names: Vec::new(), keys: Vec::new(), by_key: HashMap::new(), found: vec![0; FOUND] }
    }
}

impl Routes {
    /// The name that routes beyond the bound share.
    pub const OTHERS: &str = "(others)";

    /// The number of a route.
    pub fn number(&mut self, name: &str) -> u32 {
        self.number_of(name.as_bytes()).unwrap_or_default()
    }

    /// The number of a route that is yet to be found to be text; `None` if it is not.
    pub(super) fn number_of(&mut self, name: &[u8]) -> Option<u32> {
        let place = place(name);
        let number = self.found[place];
        if self.names.get(number as usize).is_some_and(|known| known.as_bytes() == name) {
            return Some(number);
        }
        let number = self.look_up(std::str::from_utf8(name).ok()?);
        self.found[place] = number;
        Some(number)
    }

    fn look_up(&mut self, name: &str) -> u32 {
        let is_full = self.names.len() >= MOST;
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let name = if is_full && !self.by_key.contains_key(&key(name)) { Self::OTHERS } else { name };
        match self.by_key.entry(key(name)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(free) => {
                self.names.push(name.into());
                self.keys.push(*free.key());
                *free.insert(number)
            }
        }
    }

    /// The name of a route.
    pub fn name(&self, number: u32) -> &str {
        self.names.get(number as usize).map_or("", |name| name)
    }

    /// The key of a route.
    pub fn key(&self, number: u32) -> u64 {
        self.keys.get(number as usize).copied().unwrap_or_default()
    }

    /// The route with this key.
    pub fn with_key(&self, key: u64) -> Option<u32> {
        self.by_key.get(&key).copied()
    }
}

/// The same in every process and on every machine.
fn key(name: &str) -> u64 {
    SipHasher13::new().hash(name.as_bytes())
}

/// Routes of one service differ in length or in how they begin and end.
fn place(name: &[u8]) -> usize {
    let end = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let ends = end(name.first_chunk()).rotate_left(7) ^ end(name.last_chunk());
    let short = name.first().zip(name.last()).map_or(0, |(first, last)| usize::from(first ^ last));
    let mixed = ends.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
    (usize::from(mixed[7]) ^ short ^ name.len()) % FOUND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_keeps_its_number_and_its_key_depends_on_its_name_alone() {
        let names: Vec<String> = (0..1_000).map(|number| format!("GET /v1/{number}")).collect();
        let (mut forth, mut back) = (Routes::default(), Routes::default());
        for name in &names {
            forth.number(name);
        }
        for name in names.iter().rev() {
            back.number(name);
        }
        for (number, name) in (0..).zip(&names) {
            assert_eq!((forth.number(name), forth.name(number)), (number, name.as_str()));
            let key = forth.key(number);
            assert_eq!(forth.with_key(key), Some(number));
            assert_eq!(back.with_key(key).map(|number| back.name(number)), Some(name.as_str()));
        }
        assert_eq!(forth.number_of(b"GET /\xff"), None);
        assert_eq!(Routes::default().number(""), 0);
    }

    #[test]
    fn past_the_bound_routes_are_one() {
        let mut routes = Routes::default();
        for number in 0..MOST {
            routes.number(&number.to_string());
        }
        let others = routes.number("one more");
        assert_eq!((routes.number("and another"), routes.name(others)), (others, Routes::OTHERS));
        assert_eq!(routes.name(routes.by_key[&key("17")]), "17");
        assert_eq!(routes.number("17"), 17);
    }
}
