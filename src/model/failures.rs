use std::ops::RangeInclusive;

use super::grpc::{GrpcCode, GrpcCodes};

/// Which answers count as failures of the side that gave them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    /// By their HTTP status.
    pub statuses: Statuses,
    /// Of gRPC calls that were answered with 200, by their code.
    pub grpc: GrpcCodes,
}

/// A set of HTTP statuses. One bit each: whether an answer has failed is asked at every request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statuses([u64; 8]);

impl Failures {
    /// Statuses that can mean a failure. Below, an answer has done what was asked, or says where that is done.
    pub const POSSIBLE: RangeInclusive<u16> = 400..=599;

    /// Whether an answer with this HTTP status has failed, whatever else it says.
    pub const fn by_status(&self, status: u16) -> bool {
        self.statuses.contains(status)
    }

    /// Whether a gRPC call with this code has failed.
    pub const fn by_code(&self, code: GrpcCode) -> bool {
        self.grpc.contains(code)
    }
}

impl Default for Failures {
    /// 500 and more, and what gRPC's libraries say when it is not the caller who is wrong.
    fn default() -> Self {
        let codes = [
            GrpcCode::Unknown,
            GrpcCode::DeadlineExceeded,
            GrpcCode::Unimplemented,
            GrpcCode::Internal,
            GrpcCode::Unavailable,
            GrpcCode::DataLoss,
        ];
        Self {
            statuses: Statuses::default().with(500..=599),
            grpc: codes.into_iter().fold(GrpcCodes::default(), GrpcCodes::with),
        }
    }
}

impl Statuses {
    /// Every status that an answer can have: what can be in a set.
    pub const POSSIBLE: RangeInclusive<u16> = 100..=599;

    /// The same set with these in it; what cannot be is left out.
    #[must_use]
    pub fn with(mut self, statuses: RangeInclusive<u16>) -> Self {
        for status in statuses.filter(|status| Self::POSSIBLE.contains(status)) {
            let place = status - *Self::POSSIBLE.start();
            self.0[usize::from(place / 64)] |= 1 << (place % 64);
        }
        self
    }

    /// Whether a status is in it.
    pub const fn contains(&self, status: u16) -> bool {
        let place = status.wrapping_sub(*Self::POSSIBLE.start()) as usize;
        place < 64 * self.0.len() && self.0[place / 64] >> (place % 64) & 1 == 1
    }

    /// The set as ranges without gaps, in order.
    pub fn ranges(&self) -> Vec<RangeInclusive<u16>> {
        let mut ranges: Vec<RangeInclusive<u16>> = Vec::new();
        for status in Self::POSSIBLE.filter(|status| self.contains(*status)) {
            match ranges.last_mut() {
                Some(last) if *last.end() + 1 == status => *last = *last.start()..=status,
                Some(_) | None => ranges.push(status..=status),
            }
        }
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_into_it_and_nothing_else() {
        let set = Statuses::default().with(429..=429).with(499..=501).with(0..=103).with(599..=u16::MAX);
        for status in 0..=u16::MAX {
            let inside = matches!(status, 100..=103 | 429 | 499..=501 | 599);
            assert_eq!(set.contains(status), inside, "{status}");
        }
        assert_eq!(set.ranges(), [100..=103, 429..=429, 499..=501, 599..=599]);
        assert_eq!(Statuses::default().ranges(), []);
    }

    #[test]
    fn unless_told_otherwise_500_and_more_are_failures() {
        let failures = Failures::default();
        for (status, failed) in
            [(200, false), (304, false), (404, false), (499, false), (500, true), (599, true)]
        {
            assert_eq!(failures.by_status(status), failed, "{status}");
        }
        let whose_fault_the_caller_is = [GrpcCode::Ok, GrpcCode::Cancelled, GrpcCode::NotFound];
        assert!(whose_fault_the_caller_is.into_iter().all(|code| !failures.by_code(code)));
        assert!(failures.by_code(GrpcCode::Unavailable));
    }
}
