use crate::model::Millis;

/// Something that people are told of at times only, however often it happens.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Complaint {
    told: Option<Millis>,
    untold: u64,
}

impl Complaint {
    /// It has happened again, so many times. Tells how often since people were told, if it is time to.
    pub(super) fn again(&mut self, times: u64, now: Millis, every: Millis) -> Option<u64> {
        self.untold += times;
        let is_time = self.told.is_none_or(|told| now.since(told) >= every);
        (is_time && self.untold > 0).then(|| {
            self.told = Some(now);
            std::mem::take(&mut self.untold)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_at_once_and_then_at_times_with_how_often() {
        let mut complaint = Complaint::default();
        let every = Millis(1_000);
        let told: Vec<_> = [(1, 0), (1, 10), (2, 999), (1, 1_000), (0, 2_500), (1, 2_600)]
            .map(|(times, at)| complaint.again(times, Millis(at), every))
            .into();
        assert_eq!(told, [Some(1), None, None, Some(4), None, Some(1)]);
    }
}
