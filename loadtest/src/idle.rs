//! Connections that have carried one request, and wait for the next.

use std::io::Read as _;
use std::rc::Rc;

use anyhow::Context as _;
use clap::Args;
use tokio::runtime::{Builder, LocalOptions};

use crate::generate::{Client, Generate, Target};

/// Whom it connects to, and how often.
#[derive(Args)]
pub(crate) struct Idle {
    #[command(flatten)]
    generate: Generate,
}

impl Idle {
    /// Opens them, says so, and keeps them until its standard input ends.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(async {
            let target = Rc::new(Target::new(&self.generate)?);
            let mut kept = Vec::with_capacity(self.generate.connections);
            for place in 0..self.generate.connections {
                let which = || format!("connection {place}");
                let mut clients = Client::connect(&target, 1).await.with_context(which)?;
                for client in &mut clients {
                    client.ask().await.with_context(which)?;
                }
                kept.append(&mut clients);
            }
            println!("open {}", kept.len());
            // Nothing else has anything to do: whoever closes a connection now is found out by who counts them.
            std::io::stdin().read_to_end(&mut Vec::new())?;
            Ok(())
        })
    }
}
