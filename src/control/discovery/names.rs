use crate::clock::Clock;

use super::{Asked, NameAsked, Tell};

pub(super) async fn run(_clock: Clock, mut asked: Asked<NameAsked>, _tell: Tell) {
    while asked.changed().await.is_ok() {}
}
