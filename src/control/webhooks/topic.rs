use crate::config::Topic;

use super::super::event::Happening;

/// What it is the end of, if it is the end of a trouble that people were told of.
pub(super) fn ended_by(happening: Happening) -> Option<Topic> {
    match happening {
        Happening::ConfigLoaded => Some(Topic::ConfigRefused),
        Happening::CertificateRenewed => Some(Topic::CertificateRefused),
        Happening::RightsChanged => Some(Topic::RightsRefused),
        _ => None,
    }
}

/// Under which topic something that happens is told; `None` if it is not.
pub(super) fn topic_of(happening: Happening) -> Option<Topic> {
    match happening {
        Happening::Reverted => Some(Topic::Reverted),
        Happening::Released => Some(Topic::Released),
        Happening::RampStepped => Some(Topic::RampStep),
        Happening::RampEnded => Some(Topic::RampEnded),
        Happening::PromiseBroken => Some(Topic::PromiseBroken),
        Happening::ConfigRefused => Some(Topic::ConfigRefused),
        Happening::CertificateEnding => Some(Topic::CertificateEnding),
        Happening::CertificateRefused => Some(Topic::CertificateRefused),
        Happening::FleetGuard => Some(Topic::FleetGuard),
        Happening::Advised => Some(Topic::Advised),
        Happening::NoRoom => Some(Topic::NoRoom),
        Happening::NotWritten => Some(Topic::NotWritten),
        Happening::WeightChanged => Some(Topic::WeightChanged),
        Happening::ApprovalWanted => Some(Topic::ApprovalWanted),
        Happening::Unreadable => Some(Topic::Unreadable),
        Happening::RightsRefused => Some(Topic::RightsRefused),
        Happening::RightsChanged => Some(Topic::RightsChanged),
        Happening::Started
        | Happening::RampChanged
        | Happening::Calibrated
        | Happening::ConfigLoaded
        | Happening::CertificateRenewed
        | Happening::SourceFailing
        | Happening::SourceBack
        | Happening::SourceDoubted
        | Happening::Ejected
        | Happening::ClusterOut
        | Happening::Ill
        | Happening::Well
        | Happening::Panicking
        | Happening::Room
        | Happening::Shedding => None,
    }
}
