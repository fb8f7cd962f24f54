//! For the people who use Switchback. Each page lies beside the code that it explains.
//!
//! - [`requests`]: what happens to a request, and what an answer says about where it came from.
//! - [`configuration`]: the files, every key, and what happens when one is wrong.
//! - [`operations`]: what to type by day, and at 3 a.m.
//! - [`steering`]: ramps, migrations, second people, freezes, the fleet guard, and what is kept of it all.
//! - [`judge`]: what is compared, what is promised, and how to read a receipt.
//! - [`webhooks`]: who is told what happens, in which shape, and what becomes of messages that do not arrive.
//! - [`admin_api`]: the same as the command line, for programs.
//! - [`metrics`]: what to put on a dashboard, what to wake somebody for, and what a line of the access log says.

#[doc = include_str!("../dataplane/guide.md")]
pub mod requests {}

#[doc = include_str!("../config/guide.md")]
pub mod configuration {}

#[doc = include_str!("../cli/guide.md")]
pub mod operations {}

#[doc = include_str!("../rollout/guide.md")]
pub mod steering {}

#[doc = include_str!("../verdict/guide.md")]
pub mod judge {}

#[doc = include_str!("../control/webhooks/guide.md")]
pub mod webhooks {}

#[doc = include_str!("../admin/guide.md")]
pub mod admin_api {}

#[doc = include_str!("../telemetry/guide.md")]
pub mod metrics {}
