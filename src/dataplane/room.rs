//! Room for what a request needs for a moment, kept on each worker and used again.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

/// One worker's.
#[derive(Default)]
pub(super) struct Room {
    /// Where small pieces are put, one behind the other. Whoever holds one holds all that was put beside it.
    shelf: RefCell<BytesMut>,
    heads: RefCell<Vec<HeaderMap>>,
}

/// So much is made room for at once.
const SHELF: usize = 8 << 10;
/// What is larger gets a place of its own.
const SMALL: usize = 2 << 10;

/// Heads that are kept, …
const MOST_HEADS: usize = 64;
/// … of up to so many fields.
const MOST_FIELDS: usize = 48;
/// For how many there is room in a new one.
const USUAL_FIELDS: usize = 24;

impl Room {
    /// A copy of what was read.
    pub(super) fn keep(&self, read: &[u8]) -> Bytes {
        if read.len() > SMALL {
            return Bytes::copy_from_slice(read);
        }
        let mut shelf = self.shelf.borrow_mut();
        if shelf.capacity() < read.len() {
            *shelf = BytesMut::with_capacity(SHELF);
        }
        shelf.extend_from_slice(read);
        shelf.split().freeze()
    }

    /// An empty head.
    pub(super) fn head(&self) -> HeaderMap {
        self.heads.borrow_mut().pop().unwrap_or_else(|| HeaderMap::with_capacity(USUAL_FIELDS))
    }

    /// Takes back a head that nobody needs.
    pub(super) fn take_back(&self, mut head: HeaderMap) {
        let mut heads = self.heads.borrow_mut();
        if heads.len() < MOST_HEADS && (1..=MOST_FIELDS).contains(&head.capacity()) {
            head.clear();
            heads.push(head);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_as_it_was_read() {
        let room = Room::default();
        let pieces: Vec<Vec<u8>> =
            (0..200_usize).map(|i| vec![i.to_le_bytes()[0]; i * 37 % (SMALL + 100)]).collect();
        let kept: Vec<Bytes> = pieces.iter().map(|piece| room.keep(piece)).collect();
        assert!(pieces.iter().zip(&kept).all(|(piece, kept)| piece == kept));
    }

    #[test]
    fn a_head_that_is_used_again_is_empty_and_has_room() {
        let room = Room::default();
        let mut head = room.head();
        head.insert("a", "b".parse().unwrap());
        let had = head.capacity();
        room.take_back(head);
        room.take_back(HeaderMap::with_capacity(1_000));
        let again = room.head();
        assert_eq!((again.len(), again.capacity()), (0, had));
        assert_eq!(room.heads.borrow().len(), 0, "what is large is let go");
    }
}
