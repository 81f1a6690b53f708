//! A complete pipeline on this machine: emulator, deployed template, and running event sources.
//!
//! The commands and the end-to-end tests use it. Several stacks can run side by side.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use nix::unistd::Pid;
use onewrite_event_sources::choices::Choices;

use crate::clients::Clients;
use crate::deploy::ARTIFACT_BUCKET;
use crate::downstream::{self, Created, Downstream};
use crate::emulator::{self, Credentials, Emulator};
use crate::emulator_fixes;
use crate::error::{LocalError, Result};
use crate::event_sources::{EventSources, Invoker, LambdaInvoker, LambdaMetrics, Observer};
use crate::functions::{Deployer, Redeployment};
use crate::ledger_receiver::LedgerReceiver;
use crate::metrics::Samples;
use crate::oracle::Settlement;
use crate::parameters::{self, STACK_NAME};
use crate::pipeline::{Pipeline, WaitSettings};
use crate::profile::{self, Profile};
use crate::progress::Progress;
use crate::python::Interpreter;
use crate::template::Template;
use crate::watch::Watch;
use crate::workspace::Workspace;
use onewrite_stack::outputs::StackOutputs;

/// The directory of a killed stack is kept this long for its logs.
const KEEP_DIRECTORY: Duration = Duration::from_secs(24 * 60 * 60);

/// Wraps the invoker of a stack's event sources, to inject failures or to record invocations.
pub type Decorator = Box<dyn FnOnce(Arc<dyn Invoker>) -> Arc<dyn Invoker> + Send>;

/// The settings of a stack.
pub struct StackOptions {
    /// The workspace of the template and the functions.
    pub workspace: Workspace,
    /// The prefix of the stack's directory in `target/local/stacks`.
    pub name: String,
    /// The emulator's port; `None` for a free one.
    pub port: Option<u16>,
    /// Template parameters that override [`parameters::LOCAL_PARAMETERS`].
    pub parameters: BTreeMap<String, String>,
    /// Where notifications are delivered to.
    pub downstream: Downstream,
    /// The event sources' choices where AWS's documentation leaves the behaviour open.
    pub choices: Choices,
    /// Whether [`Stack::start`] starts the event sources.
    pub event_sources: bool,
    /// How the functions are built and deployed.
    pub profile: Profile,
    /// The directory of a release package. It is deployed instead of the code of the workspace; nothing is built.
    pub package: Option<PathBuf>,
    /// Whether saved code is built and deployed. Implies [`Profile::Dev`].
    pub watch: bool,
    pub decorator: Option<Decorator>,
    /// Sees what the event sources do.
    pub observer: Arc<dyn Observer>,
    pub progress: Progress,
}

impl StackOptions {
    /// Options with event sources and a ledger as the downstream, in the release profile, without progress.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            workspace: Workspace::here(),
            name: name.into(),
            port: None,
            parameters: BTreeMap::new(),
            downstream: Downstream::Ledger,
            choices: Choices::default_outcomes(),
            event_sources: true,
            profile: Profile::Release,
            package: None,
            watch: false,
            decorator: None,
            observer: Arc::new(()),
            progress: Progress::Silent,
        }
    }

    /// Sets a template parameter.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: &str) -> Self {
        self.parameters.insert(name.into(), value.to_string());
        self
    }

    fn effective_profile(&self) -> Profile {
        if self.watch {
            Profile::Dev
        } else {
            self.profile
        }
    }
}

/// A running pipeline. Dropping it ends it shortly after and keeps its logs. [`Stack::stop`] waits and removes them.
pub struct Stack {
    workspace: Workspace,
    emulator: Emulator,
    /// The deployed values of the template's parameters, without defaults.
    parameters: BTreeMap<String, String>,
    downstream: Created,
    /// A stack of `sam deploy` does not have it.
    deployer: Option<Deployer>,
    watch: Option<Watch>,
    event_sources: Option<EventSources>,
    observer: Arc<dyn Observer>,
    samples: Samples,
    clients: Clients,
    outputs: StackOutputs,
    directory: PathBuf,
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack")
            .field("emulator", &self.emulator)
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl Stack {
    /// Starts a stack. Returns when the pipeline accepts messages.
    ///
    /// # Errors
    /// A failed build, installation or deployment.
    pub async fn start(options: StackOptions) -> Result<Self> {
        let StackOptions {
            workspace,
            name,
            port,
            progress,
            ..
        } = &options;
        let template = Template::from_workspace(workspace)?;
        parameters::check_names(&template, &options.parameters)?;
        let downstream = options.downstream.next_to(&options.parameters);
        downstream.check()?;
        let interpreter = Interpreter::find().await?;
        let profile = options.effective_profile();
        let prepared = match &options.package {
            Some(package) => {
                profile::prepare_package(workspace, &interpreter, package, *progress).await?
            }
            None => profile::prepare(workspace, &interpreter, profile, *progress).await?,
        };

        let directory = new_directory(workspace, name)?;
        let step = progress.step("Starting the emulator and deploying template.yaml");
        let emulator = Emulator::start(&prepared.emulator, &interpreter, &directory, *port).await?;
        let clients = Clients::new(&emulator.endpoint(), emulator.credentials());
        let deployer = prepared.deployer(&emulator, &directory);
        let downstream = downstream.create(&deployer).await?;
        let parameters = parameters::merge(&downstream.parameters, &options.parameters);
        let deployed = prepared
            .deploy(&emulator, &clients, &parameters, &directory)
            .await?;
        let outputs = StackOutputs::new(deployed.outputs)?;
        emulator_fixes::apply(&clients, &outputs, &parameters).await?;
        step.done();

        let mut stack = Self {
            workspace: workspace.clone(),
            emulator,
            parameters,
            downstream,
            deployer: deployed.reloadable.as_ref().map(|one| one.deployer.clone()),
            watch: None,
            event_sources: None,
            observer: Arc::clone(&options.observer),
            samples: Samples::default(),
            clients,
            outputs,
            directory,
        };
        if let Some(reloadable) = deployed.reloadable.filter(|_| options.watch) {
            let functions = binaries(&stack.outputs);
            let watch = Watch::start(workspace.clone(), reloadable, functions, *progress);
            stack.watch = Some(watch);
        }
        if options.event_sources {
            stack
                .start_event_sources(options.decorator, options.choices)
                .await?;
        }
        Ok(stack)
    }

    /// Starts a poller for each event source mapping of the stack, if [`StackOptions::event_sources`] was false.
    ///
    /// # Errors
    /// [`LocalError::UnexpectedStack`] for a mapping that AWS would reject, or a failed call.
    pub async fn start_event_sources(
        &mut self,
        decorator: Option<Decorator>,
        choices: Choices,
    ) -> Result<()> {
        let mut invoker: Arc<dyn Invoker> =
            Arc::new(LambdaInvoker::new(self.clients.functions.clone()));
        if let Some(watch) = &self.watch {
            invoker = watch.wrap(invoker);
        }
        if let Some(decorate) = decorator {
            invoker = decorate(invoker);
        }
        let metrics = LambdaMetrics::new(&self.outputs, self.samples.clone());
        let observer = Arc::clone(&self.observer);
        let sources =
            EventSources::start(&self.clients, invoker, choices, &metrics, observer).await?;
        self.event_sources = Some(sources);
        Ok(())
    }

    /// Stops the event sources at once. Records and messages in flight stay where they are.
    pub fn stop_event_sources(&mut self) {
        drop(self.event_sources.take());
    }

    /// Deploys the stack again with these parameters; the others keep their values. Messages keep flowing. The pollers of
    /// this tool keep the settings of the mappings with which they started; new mappings get a poller.
    ///
    /// # Errors
    /// [`LocalError::UnknownParameter`], [`LocalError::NotRedeployable`], or [`LocalError::Step`] with the reason for the
    /// failure.
    pub async fn redeploy(&mut self, changed: &BTreeMap<String, String>) -> Result<()> {
        let template = Template::from_workspace(&self.workspace)?;
        parameters::check_names(&template, changed)?;
        let deployer = self.deployer.as_ref().ok_or(LocalError::NotRedeployable)?;
        let mut parameters = self.parameters.clone();
        parameters.extend(changed.clone());
        let redeployment = Redeployment {
            stack_name: STACK_NAME,
            bucket: ARTIFACT_BUCKET,
            parameters: &parameters,
        };
        // Meanwhile, the states of the mappings are not those that the parameters say.
        let hold = self.event_sources.as_ref().map(EventSources::hold);
        let deployed = deployer.redeploy(&redeployment).await;
        let result = match deployed.and_then(|outputs| Ok(StackOutputs::new(outputs)?)) {
            Ok(outputs) => {
                (self.outputs, self.parameters) = (outputs, parameters);
                Ok(())
            }
            Err(error) => Err(error),
        };
        // An update enables every mapping, also if the deployment fails.
        emulator_fixes::apply(&self.clients, &self.outputs, &self.parameters).await?;
        drop(hold);
        result?;
        match &mut self.event_sources {
            Some(sources) => sources.refresh().await,
            None => Ok(()),
        }
    }

    /// Clients with the emulator's account credentials.
    #[must_use]
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    #[must_use]
    pub fn outputs(&self) -> &StackOutputs {
        &self.outputs
    }

    /// The URL of the emulator.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.emulator.endpoint()
    }

    /// The emulator's account credentials.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        self.emulator.credentials()
    }

    /// The running event sources; `None` if they were not started.
    #[must_use]
    pub fn event_sources(&self) -> Option<&EventSources> {
        self.event_sources.as_ref()
    }

    /// The watcher, if [`StackOptions::watch`] is set.
    #[must_use]
    pub fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }

    /// The deployed values of the template's parameters, without defaults.
    #[must_use]
    pub fn parameters(&self) -> &BTreeMap<String, String> {
        &self.parameters
    }

    /// The receiver, unless other targets replace it.
    #[must_use]
    pub fn ledger(&self) -> Option<&LedgerReceiver> {
        self.downstream.ledger.as_ref()
    }

    /// The receiver, if the stack delivers to it now.
    #[must_use]
    pub fn booking_ledger(&self) -> Option<&LedgerReceiver> {
        self.downstream.booking_ledger(&self.parameters)
    }

    /// The URLs of the queues of [`Downstream::Targets`], by name.
    #[must_use]
    pub fn queue_urls(&self) -> &BTreeMap<String, String> {
        &self.downstream.queue_urls
    }

    /// Whether the stack delivers notifications.
    #[must_use]
    pub fn has_downstream(&self) -> bool {
        downstream::is_configured(&self.parameters)
    }

    /// The recorded metrics. Clones share the samples.
    #[must_use]
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// The file with the functions' output.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        emulator::log(&self.directory)
    }

    /// The directory of the stack's logs.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The reason the stack stopped working, if one of its processes has exited.
    #[must_use]
    pub fn failure(&mut self) -> Option<LocalError> {
        self.emulator.failure()
    }

    /// Ends the stack and removes its directory. Returns when every process has exited.
    pub async fn stop(self) {
        let directory = self.directory.clone();
        self.end().await;
        let _ = std::fs::remove_dir_all(directory);
    }

    /// Ends the stack and keeps its logs. Returns when every process has exited.
    pub async fn end(mut self) {
        drop(self.event_sources.take());
        drop(self.watch.take());
        self.emulator.end().await;
        let _ = std::fs::remove_dir_all(self.directory.join("tmp"));
    }
}

/// The binary of each function, by the function's deployed name.
fn binaries(outputs: &StackOutputs) -> BTreeMap<String, String> {
    let functions = [
        (&outputs.ingest, "ingest"),
        (&outputs.forward, "forward"),
        (&outputs.complete, "complete"),
    ];
    functions
        .into_iter()
        .map(|(name, binary)| (name.clone(), binary.to_owned()))
        .collect()
}

impl Pipeline for Stack {
    fn clients(&self) -> &Clients {
        &self.clients
    }

    fn outputs(&self) -> &StackOutputs {
        &self.outputs
    }

    fn failure(&mut self) -> Option<LocalError> {
        Stack::failure(self)
    }

    fn is_idle(&self) -> bool {
        self.event_sources
            .as_ref()
            .is_none_or(EventSources::is_idle)
    }

    fn is_preexisting(&self, _id: &str) -> bool {
        false
    }

    fn has_downstream(&self) -> bool {
        Stack::has_downstream(self)
    }

    async fn settlement(&self) -> Result<Settlement> {
        self.downstream
            .settlement(&self.clients, &self.parameters)
            .await
    }

    fn wait_settings(&self) -> WaitSettings {
        WaitSettings {
            poll_interval: Duration::from_millis(500),
            settle_time: Duration::from_millis(500),
            stall_limit: Duration::from_secs(90),
        }
    }
}

/// Creates the directory of a stack and removes those of stacks that were killed.
fn new_directory(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    static STACKS: AtomicU32 = AtomicU32::new(0);
    let stacks = workspace.stacks();
    for entry in std::fs::read_dir(&stacks).into_iter().flatten().flatten() {
        if is_abandoned(&entry.path()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let number = STACKS.fetch_add(1, Ordering::Relaxed);
    let directory = stacks.join(format!("{name}-{number}-{}", std::process::id()));
    // An earlier process may have had the same id.
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).map_err(|source| LocalError::file(&directory, source))?;
    Ok(directory)
}

/// Whether the directory is older than [`KEEP_DIRECTORY`] and the process in its name no longer runs.
fn is_abandoned(directory: &Path) -> bool {
    let is_old = directory
        .metadata()
        .and_then(|metadata| metadata.modified())
        .is_ok_and(|modified| {
            SystemTime::now()
                .duration_since(modified)
                .is_ok_and(|age| age > KEEP_DIRECTORY)
        });
    let process = directory
        .file_name()
        .and_then(|name| name.to_str()?.rsplit('-').next()?.parse().ok());
    let is_running = |process| nix::sys::signal::kill(Pid::from_raw(process), None).is_ok();
    is_old && process.is_some_and(|process| !is_running(process))
}
