//! Corrects what the emulator's CloudFormation deploys differently from AWS.
//!
//! It passes parameters on as text: `"false"` counts as true, and numbers are listed as text, which no SDK can parse. AWS
//! converts both to the type of the resource's schema. It also ignores the safeguards of the table and the stream.

mod mappings;
mod stores;

use std::collections::BTreeMap;

use crate::clients::Clients;
use crate::error::Result;
use onewrite_stack::outputs::StackOutputs;

/// Corrects the event source mappings, the table and the stream of a stack that was deployed with these parameters.
///
/// # Errors
/// A failed call.
pub(crate) async fn apply(
    clients: &Clients,
    outputs: &StackOutputs,
    parameters: &BTreeMap<String, String>,
) -> Result<()> {
    mappings::fix(clients, outputs, parameters).await?;
    stores::fix(clients, outputs).await
}
