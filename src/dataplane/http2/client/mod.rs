//! Connections of clients: their requests are answered side by side, in one task.

mod answering;
mod served;
mod slots;

pub(in crate::dataplane) use served::Served;
