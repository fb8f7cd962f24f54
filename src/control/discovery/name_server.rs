//! A name server for tests: it answers what it is told to, over UDP, on a free port.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CNAME, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// Ends when it is dropped.
pub(super) struct NameServer {
    pub(super) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

#[derive(Default)]
struct Zone {
    records: HashMap<(String, RecordType), Vec<Record>>,
    /// Says this instead of anything else.
    failing: Option<ResponseCode>,
    silent: bool,
    /// Questions that are left without an answer, from now on.
    losing: usize,
    asked: usize,
}

impl NameServer {
    pub(super) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::<Mutex<Zone>>::default();
        let shared = Arc::downgrade(&zone);
        let serve = move || {
            let mut packet = [0; 4_096];
            while let Some(zone) = shared.upgrade() {
                let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
                let asked = Message::from_vec(&packet[..length]).unwrap();
                if let Some(answer) = zone.lock().unwrap().answer(&asked) {
                    socket.send_to(&answer.to_vec().unwrap(), from).unwrap();
                }
            }
        };
        thread::Builder::new().name("name server".to_owned()).spawn(serve).unwrap();
        Self { address, zone }
    }

    /// Sets the addresses of a host.
    pub(super) fn host(&self, name: &str, ttl: u32, addresses: &[&str]) {
        let mut zone = self.zone.lock().unwrap();
        for kind in [RecordType::A, RecordType::AAAA] {
            zone.records.remove(&(name.to_owned(), kind));
        }
        for address in addresses {
            let (kind, data) = match address.parse().unwrap() {
                IpAddr::V4(ip) => (RecordType::A, RData::A(ip.into())),
                IpAddr::V6(ip) => (RecordType::AAAA, RData::AAAA(ip.into())),
            };
            zone.add(name, kind, ttl, data);
        }
    }

    /// Gives a host another name, for questions after its addresses.
    pub(super) fn alias(&self, name: &str, ttl: u32, of: &str) {
        let mut zone = self.zone.lock().unwrap();
        let known = zone.records[&(of.to_owned(), RecordType::A)].clone();
        zone.add(name, RecordType::A, ttl, RData::CNAME(CNAME(Name::from_ascii(of).unwrap())));
        zone.records.get_mut(&(name.to_owned(), RecordType::A)).unwrap().extend(known);
    }

    /// Sets where the SRV records of a name point: priority, weight, port, host.
    pub(super) fn srv(&self, name: &str, ttl: u32, targets: &[(u16, u16, u16, &str)]) {
        let mut zone = self.zone.lock().unwrap();
        zone.records.remove(&(name.to_owned(), RecordType::SRV));
        for (priority, weight, port, host) in targets {
            let target = Name::from_ascii(host).unwrap();
            zone.add(name, RecordType::SRV, ttl, RData::SRV(SRV::new(*priority, *weight, *port, target)));
        }
    }

    pub(super) fn fail(&self, code: Option<ResponseCode>) {
        self.zone.lock().unwrap().failing = code;
    }

    pub(super) fn be_silent(&self) {
        self.zone.lock().unwrap().silent = true;
    }

    pub(super) fn lose(&self, questions: usize) {
        self.zone.lock().unwrap().losing = questions;
    }

    /// How many questions came.
    pub(super) fn asked(&self) -> usize {
        self.zone.lock().unwrap().asked
    }
}

impl Zone {
    fn add(&mut self, name: &str, kind: RecordType, ttl: u32, data: RData) {
        let record = Record::from_rdata(Name::from_ascii(name).unwrap(), ttl, data);
        self.records.entry((name.to_owned(), kind)).or_default().push(record);
    }

    fn answer(&mut self, asked: &Message) -> Option<Message> {
        self.asked += 1;
        if self.silent || self.losing > 0 {
            self.losing = self.losing.saturating_sub(1);
            return None;
        }
        let question = asked.queries[0].clone();
        let mut answer = Message::response(asked.metadata.id, OpCode::Query);
        let name = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let known = self.records.keys().any(|(known, _)| *known == name);
        let records = self.records.get(&(name, question.query_type())).cloned().unwrap_or_default();
        answer.metadata.response_code = match self.failing {
            Some(code) => code,
            None if known => ResponseCode::NoError,
            None => ResponseCode::NXDomain,
        };
        answer.add_query(question);
        if self.failing.is_none() {
            answer.add_answers(records);
        }
        Some(answer)
    }
}
