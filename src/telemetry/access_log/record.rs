use std::net::IpAddr;
use std::sync::Arc;

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::model::{Address, Dialect, Endpoint, Fault, Micros, Outcome, Route, Side, UnixMicros, Weight};

/// One line of the access log. What reads lines reads those of other versions too: fields that it does not know
/// are passed over, and those that are not needed to tell the sides apart may be absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessRecord {
    /// When the request came: RFC 3339, UTC, with microseconds.
    pub time: String,
    /// The service that it belonged to.
    pub service: String,
    /// The request's method.
    #[serde(default)]
    pub method: String,
    /// The request's path without the query; only the beginning of a very long one.
    #[serde(default)]
    pub path: String,
    /// The client's address; absent if nobody who is believed says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// What the request counts as one of: [`Route::name`].
    #[serde(default)]
    pub route: String,
    /// What the client got; absent if it did not wait for an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The side that the request was dealt to.
    #[serde(with = "by_name")]
    pub side: Side,
    /// How the first try ended, on that side.
    pub outcome: AccessOutcome,
    /// Why, unless it ended well: the word that metrics have for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// From the request to the head of the first try's answer; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// From the request to the end of its answer, with all tries.
    #[serde(default)]
    pub duration_ms: f64,
    /// The endpoint that the first try was sent to, the last one if connections had to be tried; absent if there
    /// was none.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_text")]
    pub endpoint: Option<Address>,
    /// Whether Helios answered in place of Kubernetes.
    #[serde(default)]
    pub rescued: bool,
    /// The protocol that client and endpoint went on in, such as `websocket`; absent if they did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<String>,
    /// The trace that the request is part of: 32 hexadecimal digits; absent if it is part of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The request's identifier, where its service has requests identified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Whether the first try was evidence for the judge.
    #[serde(default)]
    pub evidence: bool,
    /// The weight in force when the request was dealt, in percent.
    #[serde(default)]
    pub weight: f64,
    /// The generation of the snapshot by which the request was dealt.
    #[serde(default)]
    pub generation: u64,
}

/// How a try ended, as far as its side is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessOutcome {
    /// Well.
    Ok,
    /// Badly, by the side's fault.
    Failed,
    /// By the client's doing or Switchback's: it says nothing about the side.
    Neither,
}

/// What a worker knows of a request that has ended. No more is done with it on the worker.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) started: Micros,
    pub(crate) took: Micros,
    pub(crate) service: Arc<str>,
    pub(crate) dialect: Dialect,
    pub(crate) method: Method,
    pub(crate) path: Box<str>,
    pub(crate) client: Option<IpAddr>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) side: Side,
    pub(crate) first: FirstTry,
    pub(crate) rescued: bool,
    pub(crate) upgrade: Option<Box<str>>,
    pub(crate) trace_id: Option<Box<str>>,
    pub(crate) request_id: Option<Box<str>>,
    pub(crate) weight: Weight,
    pub(crate) generation: u64,
}

/// How the first try of a request ended.
#[derive(Clone, Debug)]
pub(crate) struct FirstTry {
    pub(crate) outcome: Outcome,
    pub(crate) latency: Option<Micros>,
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) evidence: bool,
}

impl Finished {
    /// As a line has it. `began` is when the process started.
    pub(super) fn into_record(self, began: UnixMicros) -> AccessRecord {
        let (outcome, cause) = match self.first.outcome {
            Outcome::Ok => (AccessOutcome::Ok, None),
            Outcome::Failed(cause) => {
                let outcome = match cause.fault() {
                    Fault::Side => AccessOutcome::Failed,
                    Fault::Client | Fault::Proxy => AccessOutcome::Neither,
                };
                (outcome, Some(cause.as_str().to_owned()))
            }
        };
        AccessRecord {
            time: rfc3339(UnixMicros(began.0 + self.started.0)),
            service: (*self.service).to_owned(),
            route: Route::new(self.dialect, self.method.as_str(), &self.path).name(),
            method: self.method.as_str().to_owned(),
            path: self.path.into(),
            client: self.client,
            status: self.status.map(|status| status.as_u16()),
            side: self.side,
            outcome,
            cause,
            latency_ms: self.first.latency.map(in_ms),
            duration_ms: in_ms(self.took),
            endpoint: self.first.endpoint.map(|endpoint| endpoint.address),
            rescued: self.rescued,
            upgrade: self.upgrade.map(String::from),
            trace_id: self.trace_id.map(String::from),
            request_id: self.request_id.map(String::from),
            evidence: self.first.evidence,
            weight: self.weight.percent(),
            generation: self.generation,
        }
    }
}

fn in_ms(time: Micros) -> f64 {
    time.0 as f64 / 1e3
}

fn rfc3339(time: UnixMicros) -> String {
    let time = i64::try_from(time.0).ok().and_then(|time| jiff::Timestamp::from_microsecond(time).ok());
    // Nobody's clock is beyond the year 9999.
    format!("{:.6}", time.unwrap_or_default())
}

/// A side by its name.
mod by_name {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::model::Side;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's way")]
    pub(super) fn serialize<S: Serializer>(side: &Side, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(side.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Side, D::Error> {
        let name = String::deserialize(deserializer)?;
        Side::parse(&name).ok_or_else(|| D::Error::custom(format!("{name:?} is no side")))
    }
}

/// An address as people write it.
mod as_text {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::model::Address;

    #[expect(clippy::ref_option, reason = "serde's way")]
    pub(super) fn serialize<S: Serializer>(
        address: &Option<Address>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match address {
            Some(address) => serializer.collect_str(address),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Address>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        Address::parse(&text).map(Some).ok_or_else(|| D::Error::custom(format!("{text:?} is no address")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Cause;

    fn finished() -> Finished {
        Finished {
            started: Micros(1_500_000),
            took: Micros(20_500),
            service: "playlist".into(),
            dialect: Dialect::Http,
            method: Method::GET,
            path: "/v1/users/17/\"quoted\"".into(),
            client: Some([203, 0, 113, 7].into()),
            status: Some(StatusCode::OK),
            side: Side::Kubernetes,
            first: FirstTry {
                outcome: Outcome::Failed(Cause::Status),
                latency: Some(Micros(12_345)),
                endpoint: Some(Endpoint::at(Address::Tcp(([10, 8, 0, 4], 8080).into()))),
                evidence: true,
            },
            rescued: true,
            upgrade: None,
            trace_id: Some("0af7651916cd43dd8448eb211c80319c".into()),
            request_id: Some("7f3a".into()),
            weight: Weight::from_steps(2_550).unwrap(),
            generation: 7,
        }
    }

    const BEGAN: UnixMicros = UnixMicros(1_790_000_000_000_001);

    #[test]
    fn a_line_says_all_that_is_known() {
        let record = finished().into_record(BEGAN);
        let line = serde_json::to_string(&record).unwrap();
        let expected = concat!(
            r#"{"time":"2026-09-21T14:13:21.500001Z","service":"playlist","method":"GET","#,
            r#""path":"/v1/users/17/\"quoted\"","client":"203.0.113.7","route":"GET /v1/users/*/\"quoted\"","status":200,"#,
            r#""side":"kubernetes","outcome":"failed","cause":"status","latency_ms":12.345,"duration_ms":20.5,"#,
            r#""endpoint":"10.8.0.4:8080","rescued":true,"trace_id":"0af7651916cd43dd8448eb211c80319c","#,
            r#""request_id":"7f3a","evidence":true,"weight":25.5,"generation":7}"#
        );
        assert_eq!(line, expected);
        assert_eq!(serde_json::from_str::<AccessRecord>(&line).unwrap(), record);
    }

    #[test]
    fn a_unix_socket_is_told_by_its_path() {
        let mut by_socket = finished();
        by_socket.first.endpoint = Address::parse("unix:/run/playlist.sock").map(Endpoint::at);
        let record = by_socket.into_record(BEGAN);
        let line = serde_json::to_string(&record).unwrap();
        assert!(line.contains(r#""endpoint":"unix:/run/playlist.sock""#), "{line}");
        assert_eq!(serde_json::from_str::<AccessRecord>(&line).unwrap(), record);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let mut cut_short = finished();
        cut_short.status = None;
        cut_short.first.outcome = Outcome::Failed(Cause::ClientGone);
        (cut_short.first.latency, cut_short.first.endpoint) = (None, None);
        let record = cut_short.into_record(BEGAN);
        let line = serde_json::to_value(&record).unwrap();
        assert_eq!((&line["outcome"], &line["cause"]), (&"neither".into(), &"client_gone".into()));
        for absent in ["status", "latency_ms", "endpoint"] {
            assert!(line.get(absent).is_none(), "{absent}: {line}");
        }
        assert_eq!(serde_json::from_value::<AccessRecord>(line).unwrap(), record);
        let mut good = finished();
        good.first.outcome = Outcome::Ok;
        assert_eq!(good.into_record(BEGAN).cause, None);
    }

    #[test]
    fn lines_of_other_versions_are_read() {
        let line = r#"{"time":"x","service":"a","side":"helios","outcome":"ok","colour":"blue"}"#;
        let record: AccessRecord = serde_json::from_str(line).unwrap();
        assert_eq!((record.side, record.outcome, record.latency_ms), (Side::Helios, AccessOutcome::Ok, None));
        for line in [
            r#"{"time":"x","service":"a","side":"helios"}"#,
            r#"{"time":"x","service":"a","side":"moon","outcome":"ok"}"#,
        ] {
            assert!(serde_json::from_str::<AccessRecord>(line).is_err(), "{line}");
        }
    }
}
