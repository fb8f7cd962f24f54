use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{ClusterConfig, Published};

use super::{Asked, Tell};

pub(super) async fn run(
    _clock: Clock,
    _config: Arc<ClusterConfig>,
    mut asked: Asked<Published>,
    _tell: Tell,
) {
    while asked.changed().await.is_ok() {}
}
