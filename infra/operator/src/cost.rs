//! stub
/// a
#[derive(Debug, clap::Args)]
pub struct Arguments {}
impl Arguments {
    /// a
    pub fn run(
        &self,
        _o: crate::cli::Output,
    ) -> Result<std::process::ExitCode, crate::error::OperatorError> {
        Ok(std::process::ExitCode::SUCCESS)
    }
}
