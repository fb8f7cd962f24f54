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
    /// Where long bodies are read to. The one that was used last is used next: it is in the core's cache.
    pieces: RefCell<Vec<BytesMut>>,
}

/// So much is made room for at once.
const SHELF: usize = 8 << 10;
/// What is larger gets a place of its own.
const SMALL: usize = 2 << 10;

/// A piece of a long body. With 64 KiB an answer of 1 MiB cost the kernel half as much again, on a core with 2 MiB of cache.
pub(super) const PIECE: usize = 32 << 10;
/// Places for one that are kept.
const MOST_PIECES: usize = 16;

/// Heads that are kept, …
const MOST_HEADS: usize = 64;
/// … of up to so many fields.
const MOST_FIELDS: usize = 64;
/// For how many there is room in a new one.
const USUAL_FIELDS: usize = 24;

impl Room {
    /// A copy of what was read.
    pub(super) fn keep(&self, read: &[u8]) -> Bytes {
        if read.len() > SMALL {
            return Bytes::copy_from_slice(read);
        }
        let mut free = self.shelf.borrow_mut();
        if free.capacity() < read.len() {
            *free = BytesMut::with_capacity(SHELF);
        }
        free.extend_from_slice(read);
        free.split().freeze()
    }

    /// A place for a piece of a long body.
    pub(super) fn piece(&self) -> BytesMut {
        self.pieces.borrow_mut().pop().unwrap_or_else(|| BytesMut::with_capacity(PIECE))
    }

    /// Takes back a place that was not needed.
    pub(super) fn put_back(&self, place: BytesMut) {
        let mut pieces = self.pieces.borrow_mut();
        if pieces.len() < MOST_PIECES {
            pieces.push(place);
        }
    }

    /// Takes back the place of a piece that has been passed on, if nobody else has it.
    pub(super) fn take_back_piece(&self, piece: Bytes) {
        if let Ok(mut place) = piece.try_into_mut() {
            place.clear();
            if place.try_reclaim(PIECE) && place.capacity() <= 2 * PIECE {
                self.put_back(place);
            }
        }
    }

    /// An empty head.
    pub(super) fn head(&self) -> HeaderMap {
        self.heads.borrow_mut().pop().unwrap_or_else(|| HeaderMap::with_capacity(USUAL_FIELDS))
    }

    /// Takes back a head that nobody needs.
    pub(super) fn take_back(&self, mut head: HeaderMap) {
        let mut heads = self.heads.borrow_mut();
        if heads.len() < MOST_HEADS && head.capacity() > 0 && head.capacity().max(head.len()) <= MOST_FIELDS {
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
    fn the_place_of_a_piece_is_used_again_once_all_of_it_has_gone() {
        let room = Room::default();
        let mut place = room.piece();
        place.extend_from_slice(&vec![1; PIECE]);
        let (mut piece, at) = (place.freeze(), room.pieces.borrow().len());
        let first = piece.as_ptr();
        let held = piece.split_to(10);
        room.take_back_piece(piece.split_off(0));
        assert_eq!(room.pieces.borrow().len(), at, "somebody has it yet");
        drop(piece);
        room.take_back_piece(held);
        assert_eq!(room.piece().as_ptr(), first);
        room.take_back_piece(Bytes::from(vec![0; 100]));
        assert!(room.pieces.borrow().is_empty(), "what is small is let go");
    }

    #[test]
    fn a_head_that_is_used_again_is_empty_and_has_room() {
        let room = Room::default();
        let mut head = room.head();
        head.insert("a", "b".parse().unwrap());
        let room_before = head.capacity();
        room.take_back(head);
        room.take_back(HeaderMap::with_capacity(1_000));
        let again = room.head();
        assert_eq!((again.len(), again.capacity()), (0, room_before));
        assert_eq!(room.heads.borrow().len(), 0, "what is large is let go");
    }
}
