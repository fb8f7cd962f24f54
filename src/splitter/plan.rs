use crate::model::Weight;

use super::{Force, Sticky};

/// How one service's requests are split at this moment.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The weight in force.
    pub weight: Weight,
    /// What keeps a user on one side, if anything does.
    pub sticky: Option<Sticky>,
    /// Who may name the side, if anybody may.
    pub force: Option<Force>,
}
