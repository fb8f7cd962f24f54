//! The record of who did what: every change and every refusal, in lines that are only ever added, each linked to the one
//! before by its hash.
//!
//! Whoever can write the state directory can write a whole new history. So its last hash is told to whoever asks
//! ([`Verification`]), and an auditor who has kept an earlier one sees by it what was written since.

mod chain;
mod entry;
mod files;
mod read;

pub(crate) use chain::sha256;
pub use entry::{Deed, DeedOutcome, Draft, HistoryEntry, ReceiptSeal};
pub(crate) use files::History;
pub use read::{HistoryFault, Verification};
pub(crate) use read::{Page, Reader, receipt_at, receipt_file, receipts_in};

/// Its folder in the state directory.
pub(crate) const FOLDER: &str = "history";
/// That of the receipts.
pub(crate) const RECEIPTS: &str = "receipts";
