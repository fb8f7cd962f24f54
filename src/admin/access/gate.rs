use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::control::{Command, Handle};
use crate::model::{Caller, Millis, Rights, Via};

use super::super::caller::claimed;
use super::super::peer::Peer;
use super::attempts::{Attempts, Client};
use super::denied::Denied;
use super::diary::{Diary, Line};
use super::follow::InForce;
use super::proof::{Proof, Standing, is_own};
use super::users::UnixUser;

/// Where everybody comes by who asks for something.
pub(in crate::admin) struct Gate {
    clock: Clock,
    control: Handle,
    /// `None` if everybody may do everything.
    rights: Option<watch::Receiver<Arc<InForce>>>,
    // Locked for a moment, on the one thread that there is.
    attempts: Mutex<Attempts>,
    diary: Mutex<Diary>,
}

/// Who is behind a request, and by what.
#[derive(Clone, Debug)]
pub(in crate::admin) struct Known {
    pub(in crate::admin) caller: Caller,
    /// `None` if they were believed as they came.
    proof: Option<Proof>,
}

/// The longest token. Those of identity providers have a few kilobytes, and grow with the groups that they list.
const LONGEST_TOKEN: usize = 16 << 10;

impl Gate {
    pub(in crate::admin) fn new(
        clock: Clock,
        control: Handle,
        rights: Option<watch::Receiver<Arc<InForce>>>,
    ) -> Self {
        Self { clock, control, rights, attempts: Mutex::default(), diary: Mutex::default() }
    }

    /// Says who asks, or notes that nobody can tell. `what` is what they ask for.
    pub(super) async fn admit(
        &self,
        peer: &Peer,
        headers: &HeaderMap,
        what: impl FnOnce() -> String,
    ) -> Result<Known, Denied> {
        let Some(rights) = &self.rights else { return Ok(believe(peer, headers).await) };
        let rights = rights.borrow().clone();
        let client = peer.address().map(|address| Client::of(address.ip()));
        if let Some(wait) = client.and_then(|client| self.shut_out(client)) {
            return Err(Denied::TooOften(wait));
        }
        match self.identify(peer, headers, &rights).await {
            Ok((proof, Standing { name, via, rights })) => {
                let caller = Caller { name, via, from: peer.to_string().into(), rights };
                Ok(Known { caller, proof: Some(proof) })
            }
            Err(denied) => {
                if denied.is_failure() {
                    self.note(peer, client, &format!("{}: {denied}", what())).await;
                }
                Err(denied)
            }
        }
    }

    /// Whether somebody who was let in would be let in now with the same rights.
    pub(in crate::admin) fn is_still(&self, known: &Known) -> bool {
        let (Some(rights), Some(proof)) = (&self.rights, &known.proof) else { return true };
        let standing = proof.standing(&rights.borrow().rights, self.clock.wall());
        standing.is_ok_and(|standing| standing.rights == known.caller.rights)
    }

    /// Waits until the rights change. Without any they never do.
    pub(in crate::admin) fn changes(&self) -> Option<watch::Receiver<Arc<InForce>>> {
        self.rights.clone()
    }

    /// Why the rights that were written last are not in force, or not wholly.
    pub(in crate::admin) fn trouble(&self) -> Vec<String> {
        self.rights.iter().flat_map(|rights| rights.borrow().trouble()).collect()
    }

    /// Tells the history of what is due.
    pub(super) async fn look(&self) {
        let line = lock(&self.diary).look(self.clock.millis());
        if let Some(line) = line {
            self.tell(line).await;
        }
    }

    /// A certificate first, then a token, then the system's word.
    async fn identify(
        &self,
        peer: &Peer,
        headers: &HeaderMap,
        rights: &InForce,
    ) -> Result<(Proof, Standing), Denied> {
        let now = self.clock.wall();
        let mut denied = Denied::Nothing;
        if let Peer::Tls(_, Some(holder)) = peer {
            let proof = Proof::Certificate(holder.clone());
            match proof.standing(&rights.rights, now) {
                Ok(standing) => return Ok((proof, standing)),
                Err(why) => denied = why,
            }
        }
        let proof = match (bearer(headers)?, peer) {
            (Some(token), _) if is_own(token) => Proof::of_token(token, &rights.rights)?,
            (Some(token), _) => {
                let keyring = rights.keyring.as_ref().ok_or(Denied::NoProvider)?;
                let person = keyring.person(token).await?;
                Proof::Person(person, keyring.provider().clone())
            }
            (None, Peer::Unix(Some(uid))) => Proof::User(UnixUser::look_up(*uid).await),
            (None, Peer::Unix(None)) => return Err(Denied::NoUser),
            (None, Peer::Tcp(_) | Peer::Tls(..)) => return Err(denied),
        };
        let standing = proof.standing(&rights.rights, now)?;
        Ok((proof, standing))
    }

    fn shut_out(&self, client: Client) -> Option<Millis> {
        lock(&self.attempts).shut_out(client, self.clock.millis())
    }

    async fn note(&self, peer: &Peer, client: Option<Client>, details: &str) {
        let now = self.clock.millis();
        if let Some(client) = client {
            lock(&self.attempts).failed(client, now);
        }
        let from = peer.address().map_or_else(|| peer.to_string(), |address| plain(address.ip()));
        let lines = lock(&self.diary).failed(from.into(), details.into(), now);
        for line in lines {
            self.tell(line).await;
        }
    }

    async fn tell(&self, line: Line) {
        let Line { from, details, times } = line;
        // Control that has ended has told so already.
        let _ = self.control.ask(ourselves(), Command::LoginFailed { from, details, times }).await;
    }
}

/// Who tells control of what the interface itself has found.
pub(super) fn ourselves() -> Caller {
    Caller {
        name: "the admin interface".into(),
        via: Via::Word,
        from: "Switchback".into(),
        rights: Rights::default(),
    }
}

/// Where there are no rights, everybody is who they say.
async fn believe(peer: &Peer, headers: &HeaderMap) -> Known {
    let (name, via) = match peer {
        Peer::Unix(Some(uid)) => (UnixUser::named(*uid).await, Via::User),
        Peer::Unix(None) => ("unknown user".into(), Via::Word),
        Peer::Tcp(_) | Peer::Tls(..) => (claimed(headers).into(), Via::Word),
    };
    let caller = Caller { name, via, from: peer.to_string().into(), rights: Rights::unbounded() };
    Known { caller, proof: None }
}

/// The token that is shown, if one is (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Denied> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Denied::Malformed("stands there twice"));
    }
    if value.len() > LONGEST_TOKEN {
        return Err(Denied::Malformed("is too long"));
    }
    let (scheme, token) = value.to_str().ok().and_then(|value| value.split_once(' ')).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Denied::Malformed("is of another scheme than Bearer"));
    }
    let token = token.trim_matches(' ');
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || !token.bytes().all(is_plain) {
        return Err(Denied::Malformed("has no token in it"));
    }
    Ok(Some(token))
}

/// An address without the port, which is another with each connection.
fn plain(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_token_is_what_stands_behind_bearer() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            bearer(&headers).map(|token| token.map(str::to_owned))
        };
        assert_eq!(read(&[]), Ok(None));
        for good in ["Bearer a.b-c_d~e+f/g==", "bearer  a.b-c_d~e+f/g== ", "BEARER a.b-c_d~e+f/g=="] {
            assert_eq!(read(&[good]), Ok(Some("a.b-c_d~e+f/g==".to_owned())), "{good}");
        }
        let long = format!("Bearer {}", "x".repeat(LONGEST_TOKEN));
        for bad in ["", "Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "Basic YTpi", "Bearera", &long] {
            assert!(matches!(read(&[bad]), Err(Denied::Malformed(_))), "{bad}");
        }
        assert!(matches!(read(&["Bearer a", "Bearer a"]), Err(Denied::Malformed(_))));
    }
}
