use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::super::core::Core;
use super::super::pace::PREFACE;
use super::coming::Event;
use super::session::{Ending, Session};
use super::stream::Failed;

/// What is still to come of that with which a client begins, and is passed over: it has been looked at.
pub(super) struct Skip(usize);

/// So often what has come is read before it is answered.
const READS: usize = 4;

impl Skip {
    pub(super) const fn nothing() -> Self {
        Self(0)
    }

    pub(super) const fn preface() -> Self {
        Self(PREFACE.len())
    }

    fn pass(&mut self, came: &mut &[u8]) {
        let passed = self.0.min(came.len());
        (self.0, *came) = (self.0 - passed, &came[passed..]);
    }
}

/// Reads what there is. It is over when nothing more comes, or what comes means nothing; there may be more if it does not say
/// that it waits.
pub(super) fn poll_read<W: AsyncRead + Unpin>(
    wire: &mut W,
    session: &RefCell<Session>,
    core: &Core,
    cx: &mut Context<'_>,
    preface: &mut Skip,
    mut hear: impl FnMut(Event),
) -> Poll<Ending> {
    let mut scratch = core.scratch.borrow_mut();
    for _ in 0..READS {
        if session.borrow().is_deaf() {
            return Poll::Ready(Ending::No);
        }
        let mut buffer = ReadBuf::new(&mut scratch);
        let read = ready!(Pin::new(&mut *wire).poll_read(cx, &mut buffer));
        let mut came = buffer.filled();
        if read.is_err() || came.is_empty() {
            session.borrow_mut().close(Failed::Closed);
            return Poll::Ready(Ending::Closed);
        }
        preface.pass(&mut came);
        loop {
            let taken = session.borrow_mut().take(&mut came, &core.room);
            match taken {
                Ok(Some(event)) => hear(event),
                Ok(None) => break,
                Err(why) => {
                    session.borrow_mut().break_off(why);
                    return Poll::Ready(Ending::Closed);
                }
            }
        }
    }
    Poll::Ready(Ending::No)
}
