//! What commands write: to whom, in which words, and how it is laid out on what people read it from.
//!
//! A terminal has a width, which no row of a table goes past, and may take colour. Whatever is no terminal gets everything,
//! in full and plain: a program reads it, or somebody later.

mod out;
mod screen;
mod table;
mod words;

pub(super) use out::{Lines, complain, is_standard, say};
pub(super) use screen::{Screen, Tone, WhenColour, complaints_take_colour};
pub(super) use table::{Cell, Column, facts, one_line, table};
pub(super) use words::{ago, ahead, clock, counted, moment, percent, rate};
