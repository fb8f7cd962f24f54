use crate::model::{PerSide, Side};
use crate::verdict::{Block, Stratum};

/// The votes of all workers since the last tick.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    block: Block,
    /// Requests that hang, by worker, as each has told last.
    hanging: Vec<Vec<(Stratum, PerSide<u32>)>>,
}

impl Gathering {
    /// Adds what a worker counted.
    pub(super) fn add(&mut self, worker: usize, block: &Block) {
        self.block += block;
        if self.hanging.len() <= worker {
            self.hanging.resize(worker + 1, Vec::new());
        }
        let hanging = &mut self.hanging[worker];
        hanging.clear();
        hanging.extend(block.parts().map(|(stratum, part)| (stratum, part.hanging)));
        hanging.retain(|(_, hanging)| *hanging != PerSide::default());
    }

    /// A tick's votes.
    pub(super) fn of_tick(&mut self) -> &Block {
        // Reports do not keep step with ticks: two of one worker are not twice as many that hang.
        self.block.forget_hanging();
        for (stratum, hanging) in self.hanging.iter().flatten() {
            let part = self.block.part(*stratum);
            for side in Side::ALL {
                part.hanging[side] += hanging[side];
            }
        }
        &self.block
    }

    /// Begins the next tick.
    pub(super) fn clear(&mut self) {
        self.block.clear();
    }

    /// Requests that hang on a side.
    pub(super) fn hanging(&self, side: Side) -> u32 {
        self.hanging.iter().flatten().map(|(_, hanging)| hanging[side]).sum()
    }
}
