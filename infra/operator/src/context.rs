//! The context of a command.

use onewrite_stack::stack::Stack;

use crate::terminal::Output;

/// What every command needs: the stack, and how to print its output.
pub struct Context {
    pub stack: Stack,
    pub output: Output,
    /// The command line that runs this tool on the same stack, for suggested commands.
    pub command: String,
}
