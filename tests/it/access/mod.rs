//! Who asks the admin interface, by what they are known, and what they may.

mod command_line;
mod follow;
mod limits;
mod may;
mod provider;
mod ways;
mod world;
