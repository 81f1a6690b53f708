//! A deployed stack: the SDK clients for it, its outputs and its parameters.

use std::{collections::BTreeMap, ops::Deref};

use aws_config::SdkConfig;

use crate::{clients::Clients, downstream, location::is_loopback, outputs::StackOutputs};

/// A deployed stack. It dereferences to its clients.
#[derive(Debug, Clone)]
pub struct Stack {
    pub name: String,
    pub clients: Clients,
    pub outputs: StackOutputs,
    /// The template's parameters and their deployed values.
    pub parameters: BTreeMap<String, String>,
    /// Whether the stack runs in an emulator on this machine.
    pub is_local: bool,
}

impl Deref for Stack {
    type Target = Clients;

    fn deref(&self) -> &Clients {
        &self.clients
    }
}

impl Stack {
    /// Whether the stack has a downstream, and so a mapping of `complete`.
    #[must_use]
    pub fn has_downstream(&self) -> bool {
        downstream::is_configured(&self.parameters, self.is_local)
    }

    /// Creates the clients for a stack whose outputs are known.
    #[must_use]
    pub fn new(
        name: String,
        config: &SdkConfig,
        outputs: StackOutputs,
        parameters: BTreeMap<String, String>,
    ) -> Self {
        Self {
            name,
            clients: Clients::new(config),
            outputs,
            parameters,
            is_local: config.endpoint_url().is_some_and(is_loopback),
        }
    }
}
