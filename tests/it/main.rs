//! The real program under real traffic: one test crate, so that it is built and linked once.
#![expect(clippy::disallowed_methods, reason = "tests run their own peers on their own threads")]
#![expect(clippy::unwrap_used, reason = "what goes wrong in a peer fails the test")]

mod support;

mod acceptance;
mod access;
mod access_log;
mod admin;
mod bulkheads;
mod calibrate;
mod cancelling;
mod capacity;
mod clusters;
mod command_line;
mod completions;
mod configuration;
mod crashes;
mod demo;
mod ejection;
mod every_command;
mod failures;
mod grpc;
mod header_rules;
mod health;
mod hedging;
mod helios;
mod help;
mod holds;
mod interop;
mod judge;
mod kubernetes;
mod limits;
mod memory;
mod mixes;
mod outage;
mod peers;
mod pools;
mod proxy_protocol;
mod proxying;
mod pty;
mod receipts;
mod refusals;
mod rehearsal;
mod reload;
mod replay;
mod rescue;
mod rolling;
mod shutdown;
mod simulate;
mod smuggling;
mod splitting;
mod tls;
mod unix_sockets;
mod upgrades;
mod webhooks;
mod weights;
