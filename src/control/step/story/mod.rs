//! A migration, told in virtual time: 200 services of ten teams on three clusters, in thirty days of March, with the night in
//! which the clocks go forward. People begin migrations, release what was taken back, freeze, and switch Helios off; single
//! services degrade, both sides have bad half hours together, a cluster fails, the process is restarted.
//!
//! At the end of each day everybody who tells of it must say the same: what workers go by, the records, the history, what was
//! announced, the ledger, its sums, and the metrics.

mod accounts;
mod company;
mod days;
mod world;

use company::{DAYS, Month};
use world::World;

#[test]
fn a_month_of_migration_is_told_alike_by_all_who_tell_of_it() {
    let mut world = World::new(1);
    for day in 0..DAYS {
        world.day(day);
        world.look();
    }
    world.look_at_the_month(&Month::expected());
}
