//! The fault switches of a local stack: real faults of real calls.
//!
//! A proxy stands between each function and its service. When a call arrives whose fault is armed, the proxy kills the process that
//! made the call, cuts the connection, fails entries, or throttles.

mod caller;
mod proxy;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use onewrite_console::lab::Fault;
use onewrite_console::view::Count;

use super::switches::{Design, Place, Switches};
use crate::clients::Clients;
use crate::error::{LocalError, Result};
use crate::stack::Stack;
use proxy::Proxy;

/// The proxies of a stack. Dropping it closes them, and the functions can no longer reach their services.
pub struct Faults {
    switches: Switches,
    ingest: Proxy,
    forward: Proxy,
    complete: Proxy,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("switches", &self.switches)
            .finish_non_exhaustive()
    }
}

impl Faults {
    /// Puts proxies between the functions of a stack and their services. The event sources must not run yet, because a function that
    /// runs keeps its configuration.
    ///
    /// # Errors
    /// A call failed, or no port is available.
    pub async fn start(stack: &Stack, switches: Switches) -> Result<Self> {
        let endpoint = stack.endpoint();
        let upstream = endpoint.trim_start_matches("http://").parse();
        let upstream: SocketAddr = upstream.map_err(|_| {
            LocalError::UnexpectedStack(format!("{endpoint} is not an address on this machine"))
        })?;
        let directory = stack.directory().to_path_buf();
        let start = |place| Proxy::start(upstream, directory.clone(), place, switches.clone());
        let faults = Self {
            ingest: start(Place::Store).await?,
            forward: start(Place::Send).await?,
            complete: start(Place::Settle).await?,
            switches: switches.clone(),
        };
        faults.redirect(stack).await?;
        Ok(faults)
    }

    /// Makes the functions call the proxies again. A deployment with other parameters undoes it.
    ///
    /// # Errors
    /// A failed call.
    pub async fn redirect(&self, stack: &Stack) -> Result<()> {
        let (clients, outputs) = (stack.clients(), stack.outputs());
        for (function, service, proxy) in [
            (&outputs.ingest, "DYNAMODB", &self.ingest),
            (&outputs.forward, "KINESIS", &self.forward),
            (&outputs.complete, "DYNAMODB", &self.complete),
        ] {
            redirect(clients, function, service, proxy).await?;
        }
        Ok(())
    }

    /// The switches, for the double write beside the stack.
    #[must_use]
    pub fn switches(&self) -> &Switches {
        &self.switches
    }

    /// Arms a fault for the next `count` calls of each design, or disarms it with 0.
    pub fn set(&self, fault: Fault, count: u32) {
        self.switches.set(fault, count);
    }

    /// The armed faults, and how many of them the stack has not met yet.
    #[must_use]
    pub fn left(&self) -> BTreeMap<Fault, Count> {
        let left = self.switches.left(Design::Onewrite).into_iter();
        left.map(|(fault, left)| (fault, Count(left.into())))
            .collect()
    }
}

async fn redirect(clients: &Clients, function: &str, service: &str, proxy: &Proxy) -> Result<()> {
    let configuration = clients.functions.function_configuration(function).await?;
    let mut variables = configuration["Environment"]["Variables"].clone();
    variables[format!("AWS_ENDPOINT_URL_{service}")] = proxy.endpoint().into();
    clients.functions.set_variables(function, &variables).await
}
