use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{MastersConfig, Registered};

use super::{Asked, Tell};

pub(super) async fn run(
    _clock: Clock,
    _config: Arc<MastersConfig>,
    mut asked: Asked<Registered>,
    _tell: Tell,
) {
    while asked.changed().await.is_ok() {}
}
